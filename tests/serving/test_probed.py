"""What is remembered of trying packages, and whose word is taken for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from headrace.serving.probed import MOST, ProbedBefore, circumstances

PACKAGE, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "probed.json"


def test_what_was_tried_is_known_to_the_next_server_until_it_is_forgotten(path: Path) -> None:
    assert ProbedBefore(path, "x").row_us(PACKAGE) is None
    ProbedBefore(path, "x").remember({PACKAGE: 20.5, OTHER: 3.0})
    assert ProbedBefore(path, "x").row_us(PACKAGE) == 20.5
    assert path.stat().st_mode & 0o777 == 0o600
    ProbedBefore(path, "x").forget([PACKAGE])
    assert ProbedBefore(path, "x").row_us(PACKAGE) is None
    assert ProbedBefore(path, "x").row_us(OTHER) == 3.0


def test_what_is_remembered_and_forgotten_side_by_side_is_all_kept(path: Path) -> None:
    packages = [f"{number:064x}" for number in range(60)]
    before = ProbedBefore(path, "x")
    before.remember({PACKAGE: 1.0, OTHER: 1.0})
    with ThreadPoolExecutor(8) as threads:
        gone = threads.submit(before.forget, [OTHER])
        list(threads.map(lambda package: before.remember({package: 2.0}), packages))
        gone.result()
    assert [before.row_us(package) for package in (PACKAGE, OTHER, *packages)] == [1.0, None, *[2.0] * 60]


def test_under_other_circumstances_nothing_is_known(path: Path) -> None:
    ProbedBefore(path, "x").remember({PACKAGE: 20.5})
    assert ProbedBefore(path, "y").row_us(PACKAGE) is None
    ProbedBefore(path, "y").remember({OTHER: 1.0})
    assert ProbedBefore(path, "y").row_us(PACKAGE) is None  # and what was found out before is gone


def test_where_they_cannot_be_told_nothing_is_kept_or_believed(path: Path) -> None:
    ProbedBefore(path, None).remember({PACKAGE: 20.5})
    assert not path.exists()
    ProbedBefore(path, "x").remember({PACKAGE: 20.5})
    assert ProbedBefore(path, None).row_us(PACKAGE) is None


def test_the_newest_are_kept(path: Path) -> None:
    before = ProbedBefore(path, "x")
    before.remember({PACKAGE: 1.0})
    before.remember({f"{n:064x}": 1.0 for n in range(MOST)})
    assert before.row_us(PACKAGE) is None
    assert before.row_us(f"{0:064x}") == 1.0
    before.remember({PACKAGE: 1.0})
    assert before.row_us(f"{0:064x}") is None
    assert before.row_us(f"{1:064x}") == before.row_us(PACKAGE) == 1.0


def _make_foreign(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 65_534, 65_534)


def _make_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _make_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def _claims(value: object) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(msgspec.json.encode({"under": "x", "row_us": {PACKAGE: value}}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.chmod(0o620),
        lambda path: path.chmod(0o602),
        _make_foreign,
        _make_link,
        _make_pipe,
        _make_socket,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 1_000_000),
        lambda path: path.write_bytes(b"[" * 60_000),
        _claims(-1.0),
        _claims(0.0),
        _claims(1e400),
        _claims("20.5"),
        _claims(None),
    ],
)
def test_what_is_not_its_own_or_not_of_its_form_is_as_if_it_were_not_there(
    path: Path, damage: Callable[[Path], object]
) -> None:
    before = ProbedBefore(path, "x")
    before.remember({PACKAGE: 20.5})
    damage(path)
    assert before.row_us(PACKAGE) is None
    before.remember({PACKAGE: 7.0})  # and is replaced by what is
    assert before.row_us(PACKAGE) == 7.0


def test_a_place_that_takes_no_file_fails_nobody(tmp_path: Path) -> None:
    (tmp_path / "serving").write_bytes(b"a file where a folder would be")
    before = ProbedBefore(tmp_path / "serving" / "probed.json", "x")
    before.remember({PACKAGE: 20.5})
    assert before.row_us(PACKAGE) is None


def test_circumstances_are_told_alike_and_differ_with_limits_and_what_libraries_read() -> None:
    now = circumstances(1, 2.0, environment={"HOME": "/a"})
    assert now is not None
    assert circumstances(1, 2.0, environment={"HOME": "/b"}) == now
    others = [
        circumstances(1, 3.0, environment={}),
        circumstances(1, 2.0, environment={"LD_PRELOAD": "x.so"}),
        circumstances(1, 2.0, environment={"ORT_X": "1"}),
    ]
    assert len({now, *others}) == 4


def test_a_library_that_was_put_in_anothers_place_is_another_circumstance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "made_up" / "inside" / "code.so"
    code.parent.mkdir(parents=True)
    (tmp_path / "made_up" / "__init__.py").touch()
    code.write_bytes(b"1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("headrace.serving.probed.CODE", (("made_up", ("inside",)),))
    now = circumstances()
    assert now == circumstances() is not None
    about = code.stat()
    code.write_bytes(b"2")
    os.utime(code, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert circumstances() != now
    code.parent.rename(tmp_path / "gone")
    assert circumstances() is None
