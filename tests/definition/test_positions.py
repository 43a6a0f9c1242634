"""The index of places holds the same keys as tomllib's document, each where it is written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.definition.positions import Place, Positions, read_string, toml_key, toml_string, written

NAMES = st.sampled_from(["a", "b", "c-1", "'a'", '"b"', '"x.y"', "'# ['", '"\\u00e9\\t\\""', '""', "é"[:0] + "1"])
SPACE = st.sampled_from(["", " ", "\t", "  "])
BLANK = st.sampled_from(["", " ", "\n", " # ] } \" '''\n", "\n\n\t"])
SCALARS = st.sampled_from(
    [
        "1",
        "-0x1F"[1:],
        "1.5e3",
        "true",
        "inf",
        "1979-05-27 07:32:00Z",
        "07:32:00",
        '"a # [ { = \\" \\\\"',
        "'\\'",
        '"""\n"a" ""\\\n   b""""',
        '"""""\\""""""""',
        "'''\n'' [x] # '''''",
        "''",
        '"\\U0001F600"',
    ]
)


@st.composite
def keys(draw: st.DrawFn) -> str:
    parts = draw(st.lists(NAMES, min_size=1, max_size=3))
    return (draw(SPACE) + "." + draw(SPACE)).join(parts)


@st.composite
def inline_tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    pairs = [f"{draw(keys())}{draw(SPACE)}={draw(SPACE)}{draw(values)}" for _ in range(draw(st.integers(0, 3)))]
    return "{" + draw(SPACE) + f"{draw(SPACE)},{draw(SPACE)}".join(pairs) + draw(SPACE) + "}"


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    items = [draw(values) for _ in range(draw(st.integers(0, 3)))]
    comma = draw(st.sampled_from(["", ","])) if items else ""
    return "[" + draw(BLANK) + f"{draw(BLANK)},{draw(BLANK)}".join(items) + draw(BLANK) + comma + draw(BLANK) + "]"


VALUES = st.recursive(SCALARS, lambda inner: inline_tables(inner) | arrays(inner), max_leaves=6)


@st.composite
def statements(draw: st.DrawFn) -> str:
    key, end = draw(keys()), draw(SPACE) + draw(st.sampled_from(["\n", " # c = 1\n", "\r\n", "\n\n"]))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return f"{draw(SPACE)}[{draw(SPACE)}{key}{draw(SPACE)}]{end}"
    if kind == 1:
        return f"{draw(SPACE)}[[{draw(SPACE)}{key}{draw(SPACE)}]]{end}"
    return f"{draw(SPACE)}{key}{draw(SPACE)}={draw(SPACE)}{draw(VALUES)}{end}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Every statement that tomllib accepts after those before it."""
    text = ""
    for statement in draw(st.lists(statements(), max_size=12)):
        try:
            tomllib.loads(text + statement)
        except tomllib.TOMLDecodeError:
            continue
        text += statement
    return text


def same_keys(place: Place, value: Any) -> bool:
    if isinstance(value, dict):
        return place.children.keys() == value.keys() and all(same_keys(place.children[k], v) for k, v in value.items())
    if isinstance(value, list):
        return list(place.children) == list(range(len(value))) and all(
            same_keys(place.children[i], v) for i, v in enumerate(value)
        )
    return not place.children


def strings_read(place: Place, value: Any, text: str) -> bool:
    """Whether each string value, read at its place by our own reader, is the one that tomllib gives."""
    if isinstance(value, dict):
        return all(strings_read(place.children[k], v, text) for k, v in value.items())
    if isinstance(value, list):
        return all(strings_read(place.children[i], v, text) for i, v in enumerate(value))
    return not isinstance(value, str) or (
        place.value_offset is not None and read_string(text, place.value_offset)[0] == value
    )


def key_read(place: Place, name: str, text: str) -> bool:
    quoted = text[place.offset] in "\"'"
    return read_string(text, place.offset)[0] == name if quoted else text.startswith(name, place.offset)


def keys_read(place: Place, text: str) -> bool:
    return all(
        (isinstance(name, int) or key_read(child, name, text)) and keys_read(child, text)
        for name, child in place.children.items()
    )


@settings(deadline=None, max_examples=300)
@given(documents())
def test_the_index_has_the_keys_that_tomllib_has_where_they_are_written(document: str) -> None:
    text = document.replace("\r\n", "\n")

    root = Positions(text).root

    table = tomllib.loads(document)
    assert same_keys(root, table)
    assert keys_read(root, text)
    assert strings_read(root, table, text)


@given(st.text())
def test_a_quoted_text_is_read_back_by_tomllib(text: str) -> None:
    assert tomllib.loads(f"a = {toml_string(text)}\n{toml_key(text)}.x = 1" if text != "a" else "a = 'a'")["a"] == text


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("top",), 1, 1),
        (("a",), 2, 2),
        (("a", "b.c"), 3, 1),
        (("a", "b.c", "d"), 3, 9),
        (("a", "list", 1), 6, 3),
        (("a", "in", "x", "y"), 8, 10),
        (("t", 0), 9, 3),
        (("t", 1, "k"), 12, 3),
        (("t", 1, "absent"), 11, 3),
    ],
)
def test_a_key_path_leads_to_its_line_and_column(path: tuple[str | int, ...], line: int, column: int) -> None:
    positions = Positions(
        'top = 1\n[a]\n"b.c" . d = 2\nlist = [\n  1,\n  2,\n]\nin = { x.y = 1 }\n[[t]]\nk = 1\n[[t]]\n  k = 2\n'
    )

    assert positions.line_and_column(positions.nearest(path).offset) == (line, column)


def test_a_table_stands_at_its_own_header_not_where_a_table_inside_it_named_it_first() -> None:
    positions = Positions("[a.b]\nc = 1\n[a]\nd = 1\n")

    assert positions.line_and_column(positions.nearest(("a",)).offset) == (3, 2)
    assert positions.line_and_column(positions.nearest(("a", "b")).offset) == (1, 4)


def test_a_character_of_a_string_is_found_behind_escapes_and_line_ends() -> None:
    text = 'e = """\nab\\tc\\\n   d"""\n'
    positions = Positions(text)

    assert [text[positions.offset_in_string(("e",), i)] for i in range(5)] == ["a", "b", "\\", "c", "d"]
    assert positions.line_and_column(positions.offset_in_string(("e",), 4)) == (3, 4)


def test_a_key_path_is_written_as_toml_would() -> None:
    assert written(("sources", "my table", "checks", 0, "where")) == 'sources."my table".checks[0].where'
