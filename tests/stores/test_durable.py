"""The one helper that makes files durable."""

from __future__ import annotations

import errno
import itertools
import stat
from pathlib import Path

import pytest

from headrace.stores import durable
from headrace.stores.errors import StoreFull, StoreUnavailable
from headrace.testing.faults import fail_at, kill_at, system_calls
from headrace.testing.processes import race, run_killed


def _write(path: Path) -> None:
    durable.write_file(path, b"new")


def _create(path: Path) -> None:
    durable.create_file(path, b"new")


def _killed(k: int, how: str, path: Path) -> None:
    with system_calls(kill_at(k)):
        {"write": _write, "create": _create}[how](path)


@pytest.mark.parametrize(("how", "before"), [("write", b"old"), ("write", None), ("create", None)])
def test_a_file_is_whole_or_as_before_at_every_kill(quick_path: Path, how: str, before: bytes | None) -> None:
    seen = set()
    for k in itertools.count():
        path = quick_path / f"{k}" / "file"
        path.parent.mkdir()
        if before is not None:
            path.write_bytes(before)
        was_killed = run_killed(_killed, k, how, path)
        seen.add(path.read_bytes() if path.exists() else None)
        if not was_killed:
            break
    assert seen == {before, b"new"}


@pytest.mark.parametrize(("error", "expected"), [(errno.ENOSPC, StoreFull), (errno.EIO, StoreUnavailable)])
def test_a_failure_is_ours_names_the_file_and_leaves_no_other(
    tmp_path: Path, error: int, expected: type[Exception]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for k in itertools.count():
        with system_calls(fail_at(k, error)) as called:
            told = None
            try:
                durable.write_file(path, b"new")
            except expected as found:
                told = str(found)
        assert told is None or str(path) in told
        assert path.read_bytes() in (b"old", b"new")
        assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
        if len(called) <= k:
            break


def test_the_mode_is_what_was_asked_for(tmp_path: Path) -> None:
    durable.write_file(tmp_path / "secret", b"")
    durable.write_file(tmp_path / "public", b"", mode=0o644)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


def _create_racing(number: int, path: Path) -> bool:
    durable.make_folder(path.parent)
    return durable.create_file(path, b"%d" % number * 1000)


def test_of_twenty_racing_creators_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    won = race(20, _create_racing, path)
    assert won.count(True) == 1
    assert path.read_bytes() == b"%d" % won.index(True) * 1000
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_made_with_its_parents_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    durable.make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b").chmod(0o750)
    durable.make_folder(tmp_path / "a" / "b" / "c")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/c")]
    assert modes == [0o700, 0o750, 0o700]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file"):
        durable.make_folder(tmp_path / "file" / "below")
