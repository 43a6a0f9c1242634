"""Lines of text, however the file is cut into pieces: the plain way says what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.data import text

LONGEST = 8
MARK = text.BYTE_ORDER_MARK


def plainly(data: bytes) -> list[tuple[bytes, bool]]:
    """The begins of the lines of a whole file, and whether each is too long, its end counted in."""
    *ended, last = data.removeprefix(MARK).split(b"\n")
    lines = [line + b"\n" for line in ended] + ([last] if last else [])
    return [(line[:LONGEST], len(line) > LONGEST) for line in lines]


@given(
    st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\r", b"\r\n", b"c" * LONGEST, b"d" * 3 * LONGEST]), max_size=12),
    st.booleans(),
    st.integers(4, 20),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_are_those_of_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], has_mark: bool, size: int
) -> None:
    monkeypatch.setattr(text, "LONGEST_LINE", LONGEST)
    path = tmp_path / "a.csv"
    data = (MARK if has_mark else b"") + b"".join(pieces)
    path.write_bytes(data)
    found = list(text.lines(path, size))
    assert [(line[:LONGEST], text.is_too_long(line)) for line in found] == plainly(data)
    assert all(len(line) <= LONGEST + 2 for line in found), "no more is held than shows that a line is too long"


@given(st.lists(st.integers(0, 3 * LONGEST), max_size=8), st.binary(max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_long_line_is_never_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], tail: bytes
) -> None:
    monkeypatch.setattr(text, "LONGEST_LINE", LONGEST)
    path = tmp_path / "a.csv"
    path.write_bytes(b"".join(b"x" * size + b"\n" for size in sizes) + tail)
    longest = max(map(len, path.read_bytes().split(b"\n")))
    found = text.has_long_line(path)
    assert found or longest <= LONGEST
    assert not found or longest > LONGEST // 2 - 1
