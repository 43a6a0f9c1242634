"""The definition that `init` writes reads back without a mistake, whatever the columns are called."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.definition.lock import LockedColumn
from headrace.definition.model import ColumnRule, Definition
from headrace.definition.reader import read_definition
from headrace.definition.writer import FirstSource, first_definition, source_names
from headrace.language.errors import ExpressionError
from headrace.language.types import Type

Read = Callable[[str], Definition]


def column(type_: Type, evidence: str = "…") -> LockedColumn:
    return LockedColumn(type=type_, evidence=evidence)


FLIGHTS = FirstSource(
    name="flights",
    read=("data/flights.csv",),
    columns={
        "id": column(Type.INTEGER, "3 of 3 values are whole numbers, all different"),
        "sched dep": column(Type.TIMESTAMP, "3 of 3 values are ISO 8601"),
        "distance": column(Type.FLOAT, "3 of 3 values are numbers"),
        "arr_delay": column(Type.FLOAT, "2 of 2 values are numbers,\n1 is null"),
        "_internal": column(Type.STRING),
    },
    unique=("id",),
)


def test_the_text_is_as_people_would_write_it(read: Read) -> None:
    text = first_definition("flight delays", [FLIGHTS], "arr_delay > 30", [])

    assert text == (
        "# A first definition, written by `headrace init`. Its types were inferred: the evidence stands behind each.\n"
        "format = 1\n"
        "\n"
        "[project]\n"
        'name = "flight-delays"\n'
        'key = ["id"]  # what one row is about\n'
        'label = "arr_delay > 30"\n'
        '# time = "sched dep"  # when a prediction is asked for: what came before it is the past\n'
        "# Keep only what is known when a prediction is asked for: a column that is known later makes the model look\n"
        "# better than it will be.\n"
        "request = [\n"
        '  "sched dep",\n'
        '  "distance",\n'
        "]\n"
        "\n"
        "[sources.flights]\n"
        'read = "data/flights.csv"\n'
        'unique = ["id"]  # no two rows were found to be equal in it\n'
        "[sources.flights.columns]\n"
        'id = { type = "integer" }             # 3 of 3 values are whole numbers, all different\n'
        '"sched dep" = { type = "timestamp" }  # 3 of 3 values are ISO 8601\n'
        'distance = { type = "float" }         # 3 of 3 values are numbers\n'
        'arr_delay = { type = "float" }        # 2 of 2 values are numbers, 1 is null\n'
        '_internal = { type = "string" }       # …\n'
        "\n"
        "[training]\n"
        'budget = "60s"  # of wall clock; "60 trials" makes runs byte-equal\n'
    )
    assert read(text).source("flights").rule("sched dep") == ColumnRule(type=Type.TIMESTAMP)


def test_without_a_label_there_is_a_place_for_it(read: Read) -> None:
    text = first_definition("p", [FLIGHTS], None, ["distance"])

    assert '# label = "…"' in text
    assert read(text).project.label is None
    assert read(text).project.request == ("distance",)


def test_several_sources_get_names_of_their_own(read: Read) -> None:
    other = FirstSource(name="flights", read=("a.txt", "b.txt"), format="csv", columns={})
    base = FirstSource(name="2013", read=("x.db",), query='SELECT "a" FROM t', columns={"a": column(Type.STRING)})

    found = read(first_definition("p", [FLIGHTS, other, base], None, []))

    assert [source.name for source in found.sources] == ["flights", "flights_2", "source_2013"]
    assert found.project.source == "flights"
    assert found.source("source_2013").query == 'SELECT "a" FROM t'


@pytest.mark.parametrize("label", ["arr_dealy > 30", "arr_delay >", "arr_delay > 'x'"])
def test_a_label_that_cannot_be_is_refused_before_anything_is_written(label: str) -> None:
    with pytest.raises(ExpressionError):
        first_definition("p", [FLIGHTS], label, [])


COLUMNS = st.dictionaries(
    st.text(max_size=12), st.builds(LockedColumn, type=st.sampled_from(Type), evidence=st.text(max_size=20)), max_size=6
)


@st.composite
def first_sources(draw: st.DrawFn) -> FirstSource:
    columns = draw(COLUMNS)
    return FirstSource(
        name=draw(st.text(max_size=12)),
        read=tuple(draw(st.lists(st.sampled_from(["a.csv", "b/*.csv.gz", 'c"\\é.csv']), min_size=1, unique=True))),
        columns=columns,
        unique=tuple(draw(st.lists(st.sampled_from(sorted(columns)), unique=True))) if columns else (),
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=20), first=first_sources(), data=st.data())
def test_any_columns_read_back_without_a_mistake(
    tmp_path: Path, name: str, first: FirstSource, data: st.DataObject
) -> None:
    request = data.draw(st.lists(st.sampled_from(sorted(first.columns)), unique=True)) if first.columns else []
    text = first_definition(name, [first], None, request)
    file = tmp_path / "headrace.toml"
    file.write_bytes(text.encode())

    found = read_definition(file)

    [source] = found.sources
    assert source.read == first.read
    assert dict(source.columns) == {n: ColumnRule(type=c.type) for n, c in first.columns.items() if n and "\0" not in n}
    assert tomllib.loads(text)["format"] == 1


@given(st.lists(st.text(max_size=8), min_size=1, max_size=8))
def test_source_names_are_different_and_stay_as_they_are(names: list[str]) -> None:
    made = source_names(names)

    assert len({*made}) == len(names)
    assert source_names(made) == made
