"""What a definition says becomes the objects that the stations take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from headrace.definition.errors import DefinitionErrors, Mistake
from headrace.definition.model import (
    Budget,
    Check,
    ColumnRule,
    Costs,
    Definition,
    Features,
    Join,
    Known,
    Lookup,
    Project,
    Selection,
    Source,
    Split,
    Stores,
    Training,
    Trust,
    Window,
)
from headrace.definition.reader import read_definition, read_stores
from headrace.language.types import Type

Read = Callable[[str], Definition]
Mistakes = Callable[[str], tuple[Mistake, ...]]

MINUTE = 60_000_000
HOUR = 60 * MINUTE

SMALLEST = """
format = 1
[project]
[sources.rows]
read = "rows.csv"
"""


def test_the_flights_sample_becomes_the_expected_objects(read: Read, flights: str) -> None:
    flights_source = Source(
        name="flights",
        read=("data/flights/*.csv",),
        format="csv",
        event_time="sched_dep_at",
        unique=("carrier", "flight", "sched_dep_at"),
        joins=(Join(name="dest", source="airports", key=(("dest", "faa"),), take=("tzone",)),),
        derive=(
            ("arr_at", "local_time(time_hour, arr_time, dest_tzone)"),
            ("dep_at", "local_time(time_hour, dep_time, 'America/New_York')"),
            ("sched_dep_at", "local_time(time_hour, minute, 'America/New_York')"),
        ),
        columns=(
            ("carrier", ColumnRule(type=Type.CATEGORY)),
            ("distance", ColumnRule(type=Type.FLOAT, unit="mile", min=1.0)),
            ("tailnum", ColumnRule(type=Type.STRING, max_null=0.02)),
            ("dep_delay", ColumnRule(type=Type.FLOAT, unit="minute", known=Known(after="dep_at"))),
            ("arr_delay", ColumnRule(type=Type.FLOAT, unit="minute", known=Known(after="arr_at"))),
        ),
        checks=(Check(name="plausible_air_time", where="air_time IS NULL OR air_time > 10", on_fail="quarantine"),),
    )
    weather = Source(
        name="weather",
        read=("data/weather.parquet",),
        format="parquet",
        event_time="time_hour",
        known=Known(after="time_hour", delay_us=10 * MINUTE),
    )
    planes = Source(name="planes", read=("data/planes.ndjson",), format="ndjson", rename=(("year", "built"),))
    airports = Source(
        name="airports",
        read=("data/reference.db",),
        format="sqlite",
        query="SELECT faa, lat, lon, tzone FROM airports",
    )
    expected = Definition(
        format=1,
        project=Project(
            name="flight-delays",
            source="flights",
            task="binary",
            key=("carrier", "flight", "sched_dep_at"),
            time="sched_dep_at",
            label="arr_delay > 30",
            request=("carrier", "flight", "tailnum", "origin", "dest", "distance", "sched_dep_at"),
        ),
        sources=(flights_source, weather, planes, airports),
        features=Features(
            expressions=(
                ("dep_hour", "hour(sched_dep_at, 'America/New_York')"),  # before `night`, which uses it
                ("night", "dep_hour < 6 OR dep_hour >= 22"),
                ("route", "origin || '-' || dest"),
                ("log_mile", "ln(distance + 1)"),
                ("age", "year(sched_dep_at, 'America/New_York') - plane_built"),
            ),
            lookups=(
                Lookup(
                    name="weather",
                    source="weather",
                    key=(("origin", "origin"),),
                    take=("temp", "wind_speed", "precip", "visib"),
                    max_age_us=3 * HOUR,
                ),
                Lookup(name="plane", source="planes", key=(("tailnum", "tailnum"),), take=("built", "seats")),
            ),
            windows=(
                Window(
                    name="origin_delay",
                    source="flights",
                    key=(("origin", "origin"),),
                    value="dep_delay",
                    over_us=(HOUR, 6 * HOUR, 24 * HOUR),
                    over_text=("1h", "6h", "24h"),
                    take=("mean", "max", "count"),
                ),
            ),
        ),
        split=Split(by="time"),
        training=Training(families=("linear", "lightgbm"), budget=Budget(seconds=120.0), metric="average_precision"),
        costs=Costs(currency="USD", false_positive=4.0, false_negative=60.0, volume_per_month=2e6),
        selection=Selection(rule="least_cost"),
        stores=Stores(),
        trust=Trust(),
    )

    found = read(flights)

    assert found == expected
    assert all(type(rule.type) is Type for _, rule in found.source("flights").columns)


def test_a_definition_is_json_and_back(read: Read, flights: str) -> None:
    found = read(flights)

    assert msgspec.json.decode(msgspec.json.encode(found), type=Definition) == found


def test_project_and_one_source_are_enough(read: Read) -> None:
    found = read(SMALLEST)

    assert found.project == Project(name="flight-delays", source="rows")
    assert found.sources == (Source(name="rows", read=("rows.csv",), format="csv"),)
    assert found.costs is None
    assert found.selection.rule == "best_metric"
    assert found.split.by == "random"


def test_costs_alone_make_the_choice_by_money(read: Read) -> None:
    found = read(SMALLEST + '[costs]\nover = "2 EUR"\nunder = "0.50 EUR"\n')

    assert found.costs == Costs(currency="EUR", over=2.0, under=0.5)
    assert found.selection.rule == "least_cost"


def test_a_multiclass_matrix_is_read(read: Read) -> None:
    found = read(SMALLEST + '[costs.matrix]\n"cat > dog" = "3 USD"\n"dog>cat" = "1 USD"\n')

    assert found.costs is not None
    assert found.costs.matrix == (("cat", "dog", 3.0), ("dog", "cat", 1.0))


def test_a_time_splits_by_time(read: Read) -> None:
    found = read(SMALLEST.replace("[project]", '[project]\ntime = "t"\nrequest = ["t", "x"]'))

    assert found.split.by == "time"


def test_derived_columns_are_stored_in_an_order_in_which_they_can_be_computed(read: Read) -> None:
    found = read(SMALLEST + '[sources.rows.derive]\nc = "b + a"\nb = "a + 1"\na = "x + 1"\nz = "x"\n')

    assert [name for name, _ in found.source("rows").derive] == ["a", "b", "c", "z"]


@pytest.mark.parametrize(
    ("read_key", "extra", "expected"),
    [
        ('"rows.csv.gz"', "", "csv"),
        ('"rows.CSV"', "", "csv"),
        ('["a/*.csv.zst", "s3://bucket/b.csv"]', "", "csv"),
        ('"rows.jsonl"', "", "ndjson"),
        ('"file:///data/rows.parquet"', "", "parquet"),
        ('"rows.txt"', 'format = "csv"\nseparator = "\\t"', "csv"),
        ('"${env:DATA}"', 'format = "parquet"', "parquet"),
        ('"postgresql://me:${env:PGPASSWORD}@db/flights"', 'query = "SELECT 1 AS x"', "postgresql"),
        ('"rows.db"', 'query = "SELECT 1 AS x"', "sqlite"),
    ],
)
def test_the_format_is_told_by_the_address_or_said(read: Read, read_key: str, extra: str, expected: str) -> None:
    found = read(SMALLEST.replace('"rows.csv"', f"{read_key}\n{extra}"))

    assert found.source("rows").format == expected


def test_line_ends_and_byte_order_mark_of_windows_are_read(tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode())

    assert read_definition(file).project.source == "rows"


def test_a_folder_name_with_other_characters_makes_a_name(tmp_path: Path) -> None:
    file = tmp_path / "my flights (2013)" / "headrace.toml"
    file.parent.mkdir()
    file.write_text(SMALLEST)

    assert read_definition(file).project.name == "my-flights-2013"


def test_stores_are_read_without_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text('[project]\nname = "p"\nlabel = "((("\n[stores]\ncatalog = "c.db"\n')

    assert read_stores(file) == ("p", Stores(catalog="c.db"))


def test_a_mistake_in_the_stores_is_found_when_only_they_are_read(tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text('[project]\nname = "p"\n[stores]\ncatalogue = "c.db"\n')

    with pytest.raises(DefinitionErrors, match="did you mean `catalog`"):
        read_stores(file)


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (b"format = 1\n[project\n", 2, "Expected"),
        (b"format = 1\nformat = 2\n", 2, "Cannot overwrite"),
        (b"format = 1\nname = 'a\n", 2, 'Expected "\'" at the end'),
        (b"format = 1\n# caf\xe9\n", 2, "byte 0xe9"),
        (b"a = [1,\n\n", 1, "at the end"),
        (b"format = " + b"9" * 5000, 1, "too many digits"),
        (b"a = " + b"[" * 5000, 1, "nested too deeply"),
        (b"#" * (1 << 20) + b"##", 1, "bytes"),
    ],
)
def test_what_is_no_toml_is_one_located_mistake(tmp_path: Path, content: bytes, line: int, found: str) -> None:
    file = tmp_path / "headrace.toml"
    file.write_bytes(content)

    with pytest.raises(DefinitionErrors) as caught:
        read_definition(file)

    [mistake] = caught.value.mistakes
    assert mistake.line == line
    assert found in f"{mistake.message} {mistake.found}"
    assert mistake.code in ("syntax", "unreadable")


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_a_file_that_cannot_be_read_is_one_mistake(tmp_path: Path, name: str) -> None:
    with pytest.raises(DefinitionErrors, match="cannot be read"):
        read_definition(tmp_path / name)
