"""Whatever stands in the file, the reader gives a definition or located mistakes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headrace.definition.errors import DefinitionErrors
from headrace.definition.grammar import DEFINITION
from headrace.definition.kinds import Kind, ListOf, MapOf, Section, TextOrTable
from headrace.definition.model import Definition
from headrace.definition.reader import read_definition

VALUES = (
    '""', '"x"', '"dep_delay"', '"distance"', '"1h"', '"7m"', '"4 USD"', '"60 trials"', '"2M / month"',
    '"s3://b/k.csv"', '"postgresql://u:p@h/d"', '"${env:X}"', '"time"', '"linear"', '"a >"', '"((((("',
    '"Europe/Paris"', '"a.csv"', "0", "1", "-1", "0.2", "nan", "inf", "1e400", "99999999999999999999999", "true",
    "1979-05-27", "[]", "{}", '["a", "a"]', "[1, [2]]", '{ a = "b" }', "[{ x = 1 }]", '"\\u0000"', '"\\U0010FFFF"',
    "'''\na\n'''",
)  # fmt: skip


def names_of(kind: Kind[object]) -> set[str]:
    match kind:
        case Section():
            return {key.name for key in kind.keys} | {name for key in kind.keys for name in names_of(key.kind)}
        case ListOf() | MapOf():
            return names_of(kind.item)
        case TextOrTable():
            return names_of(kind.table)
        case _:
            return set()


KEYS = (*sorted(names_of(DEFINITION)), "x", "fresh", "personal", "serving", '""', '"a b"', "_a", "column")
LINES = st.one_of(
    st.builds("{} = {}".format, st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.builds("[{}]".format, st.lists(st.sampled_from(KEYS), min_size=1, max_size=4).map(".".join)),
    st.builds("[[{}]]".format, st.lists(st.sampled_from(KEYS), min_size=1, max_size=4).map(".".join)),
    st.text(max_size=20),
)
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=250)


def check(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    found: Definition | DefinitionErrors
    try:
        found = read_definition(file)
    except DefinitionErrors as raised:
        found = raised
    if isinstance(found, DefinitionErrors):
        check_mistakes(found, text)
    else:
        assert isinstance(found, Definition)


def check_mistakes(errors: DefinitionErrors, text: str) -> None:
    assert errors.mistakes
    assert str(errors)
    assert list(errors.mistakes) == sorted(errors.mistakes, key=lambda m: m.line)
    for mistake in errors.mistakes:
        assert 1 <= mistake.line <= text.count("\n") + 1
        assert mistake.column >= 1
        assert mistake.message
        assert mistake.expected
        assert mistake.found
        assert mistake.fix


@QUIET
@given(lines=st.lists(LINES, max_size=25))
@example(lines=["[project]", 'key = "a"', "[project.key]"])
def test_lines_that_look_like_a_definition(tmp_path: Path, lines: list[str]) -> None:
    check(tmp_path / "headrace.toml", "\n".join(lines))


@QUIET
@given(data=st.data())
def test_a_definition_with_lines_changed(tmp_path: Path, flights: str, data: st.DataObject) -> None:
    lines = flights.split("\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["delete", "insert", "value", "swap", "character"]))
        if change == "delete":
            del lines[at]
        elif change == "insert":
            lines.insert(at, data.draw(LINES))
        elif change == "value" and "=" in lines[at]:
            lines[at] = f"{lines[at].split('=')[0]}= {data.draw(st.sampled_from(VALUES))}"
        elif change == "swap":
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif lines[at]:
            i = data.draw(st.integers(0, len(lines[at]) - 1))
            lines[at] = lines[at][:i] + data.draw(st.characters()) + lines[at][i + 1 :]
    check(tmp_path / "headrace.toml", "\n".join(lines))


@QUIET
@given(content=st.binary(max_size=200))
def test_bytes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "headrace.toml"
    file.write_bytes(content)
    with pytest.raises(DefinitionErrors):
        read_definition(file)


def test_the_names_come_from_the_whole_grammar() -> None:
    assert {"label", "delay", "personal", "over", "where", "signers"} <= set(KEYS)
