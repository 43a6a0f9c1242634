"""A fingerprint changes with everything that an outcome depends on, and with nothing else."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.runs import fingerprint as module
from headrace.runs.errors import NotCanonical
from headrace.runs.fingerprint import LIBRARIES, as_json, canonical, code_hash, fingerprint_of

TEXT = st.text()
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Part(msgspec.Struct, frozen=True):
    b: float
    a: dict[str, int]


@pytest.fixture
def forget_versions() -> Any:
    """Versions are read once a process; a test that changes them starts and ends with none read."""
    module.version_of.cache_clear()
    yield
    module.version_of.cache_clear()


def of(
    depends: Any = None, *, name: str = "train", rooms: tuple[str, ...] = ("language",), root: Path | None = None
) -> str:
    return fingerprint_of(name, {} if depends is None else depends, rooms, roots=() if root is None else (root,))


def room(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "language" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@given(st.dictionaries(st.text(), PLAIN, min_size=2, max_size=5))
def test_the_order_of_keys_does_not_matter(depends: dict[str, Any]) -> None:
    assert of(depends) == of(dict(reversed(depends.items())))


@given(PLAIN)
def test_canonical_json_says_the_value(value: Any) -> None:
    assert msgspec.json.decode(canonical(value)) == value


@pytest.mark.parametrize(
    "other",
    [{"a": 2}, {"b": 1}, {"a": 1.0}, {"a": "1"}, {"a": None}, {"a": [1]}, {"a": True}, {"a": 1, "b": None}],
    ids=str,
)
def test_another_dependency_is_another_fingerprint(other: dict[str, Any]) -> None:
    assert of(other) != of({"a": 1})


def test_name_and_rooms_count() -> None:
    assert (
        len({of(name="a"), of(name="b"), of(rooms=()), of(rooms=("definition",)), of(rooms=("language", "definition"))})
        == 5
    )


def test_structs_and_sets_count_by_their_values() -> None:
    assert of({"part": Part(1.0, {"x": 1, "y": 2})}) == of({"part": Part(1.0, {"y": 2, "x": 1})})
    assert of({"part": Part(1.0, {"x": 1})}) != of({"part": Part(1.0, {"x": 2})})
    assert of({"names": {"b", "a"}}) == of({"names": ["a", "b"]})


def test_it_is_the_same_in_another_process_whatever_its_hash_seed() -> None:
    code = (
        "from headrace.runs.fingerprint import fingerprint_of as f;"
        "print(f('train', {'names': {'b', 'a', 'c'}, 'k': 1}, ('cost',)))"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert prints == {fingerprint_of("train", {"k": 1, "names": {"c", "a", "b"}}, ("cost",))}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_finite_number_is_refused_with_its_place(bad: float) -> None:
    with pytest.raises(NotCanonical, match=r"stage 'train'.*depends\.part\.a\[1\]") as caught:
        of({"part": {"a": [0.0, bad]}})
    assert caught.value.facts["place"] == "depends.part.a[1]"
    for value in ({"x": bad}, {"pair": (1.0, bad)}):
        with pytest.raises(NotCanonical):
            as_json(value)


def test_a_value_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(NotCanonical, match="object"):
        of({"x": object()})


def test_json_of_an_outcome_keeps_the_order_of_keys() -> None:
    assert as_json({"b": 1, "a": 2}) == '{"b":1,"a":2}'


@pytest.mark.parametrize(
    "change",
    [
        {"one.py": "x = 2"},
        {"two.py": "x = 1"},
        {"deep/query.sql": "SELECT 2"},
        {"deep/page.html.j2": "<p>b</p>"},
        {"one.py": "x = 1", "deep/new.py": ""},
    ],
    ids=str,
)
def test_a_change_in_a_source_file_changes_it(tmp_path: Path, change: dict[str, str]) -> None:
    files = {"one.py": "x = 1", "deep/query.sql": "SELECT 1", "deep/page.html.j2": "<p>a</p>"}
    before = of(root=room(tmp_path / "before", files))
    assert of(root=room(tmp_path / "after", files | change)) != before


def test_files_that_are_no_source_do_not_change_it(tmp_path: Path) -> None:
    before = of(root=room(tmp_path / "before", {"one.py": "x = 1"}))
    assert of(root=room(tmp_path / "after", {"one.py": "x = 1", "__pycache__/one.pyc": "?", "notes.md": "!"})) == before


def test_moving_text_between_files_changes_it(tmp_path: Path) -> None:
    before = of(root=room(tmp_path / "before", {"a.py": "x = 1\n", "b.py": "y = 2\n"}))
    assert of(root=room(tmp_path / "after", {"a.py": "x = 1\ny = 2\n", "b.py": ""})) != before


def test_only_the_named_rooms_count(tmp_path: Path) -> None:
    before = of(root=room(tmp_path / "before", {"one.py": "x = 1"}))
    after = room(tmp_path / "after", {"one.py": "x = 1"})
    (after / "training").mkdir()
    (after / "training" / "fit.py").write_text("y = 1")
    assert of(root=after) == before


def test_a_room_may_be_one_module() -> None:
    assert code_hash("runs.model") != code_hash("runs.meter")


def test_a_room_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="no room 'nowhere'"):
        of(rooms=("nowhere",))


@pytest.mark.usefixtures("forget_versions")
@pytest.mark.parametrize("library", ["polars", "msgspec"])
def test_another_version_of_a_library_of_the_room_changes_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(rooms=("features",))
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.0" if name == library else real(name))
    module.version_of.cache_clear()
    assert of(rooms=("features",)) != before


@pytest.mark.usefixtures("forget_versions")
def test_another_version_of_a_library_of_another_room_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(rooms=("features",))
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.0" if name == "lightgbm" else real(name))
    module.version_of.cache_clear()
    assert of(rooms=("features",)) == before


def test_another_machine_or_python_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    with monkeypatch.context() as patch:
        patch.setattr(platform, "machine", lambda: "riscv128")
        assert of() != before
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", (3, 99, 0))
        assert of() != before
    assert of() == before


def test_every_room_of_the_table_exists_and_its_libraries_are_known() -> None:
    for name, libraries in LIBRARIES.items():
        assert code_hash(name)
        assert all(importlib.metadata.version(library) for library in libraries)
