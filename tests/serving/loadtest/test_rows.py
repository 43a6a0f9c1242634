"""What a load test asks with."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.scoring.made import package_files, program

from headrace.data.model import Field
from headrace.features.model import Program
from headrace.language.types import Type
from headrace.scoring.bodies import BodyReader
from headrace.serving.loadtest.rows import from_frame, made_rows, newest_rows

YEAR = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)


def flights(n: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "carrier": ["UA", "AA", None][:3] * (n // 3) + ["DL"] * (n % 3),
            "distance": [float("nan") if i % 9 == 0 else 100.5 + i for i in range(n)],
            "seats": [None if i % 7 == 0 else i for i in range(n)],
            "vip": [[True, False, None][i % 3] for i in range(n)],
            "due": [YEAR + dt.timedelta(minutes=i) for i in range(n)],
            "beside": ["unread"] * n,
        },
        schema_overrides={"due": pl.Datetime("us", "UTC")},
    )


def read(bodies: list[bytes], of: Program | None = None) -> list[list[object]]:
    reader = BodyReader(of or program())
    return [list(reader.one(body)) for body in bodies]


def test_the_newest_rows_are_asked_as_a_client_would_write_them() -> None:
    rows = newest_rows(flights(300).lazy(), program(), sticky=(), after_us=None, most=100, seed=1)
    due = [values[4] for values in read(rows.bodies)]
    first = (YEAR + dt.timedelta(minutes=200)).timestamp() * 1e6
    assert sorted(due, key=str) == [first + minute * 60e6 for minute in range(100)]
    assert due != sorted(due, key=str)  # in an order that is drawn
    assert rows.said == "newest of flights"
    assert b"beside" not in rows.bodies[0]


def test_instants_are_moved_together_to_where_the_online_values_are() -> None:
    after = round((YEAR + dt.timedelta(days=400)).timestamp() * 1e6)
    rows = newest_rows(flights(90).lazy(), program(), sticky=(), after_us=after, most=100, seed=1)
    due = sorted(int(str(values[4])) for values in read(rows.bodies))
    assert due[0] == after
    assert due[-1] - due[0] == 89 * 60_000_000
    assert "moved to after the history's end" in rows.said


def test_rows_are_distinct_and_their_entities_are_counted() -> None:
    twice = pl.concat([flights(30), flights(30)])
    rows = from_frame(twice, program(), sticky=("seats",), after_us=None, most=100, seed=1, said="")
    assert len(rows.bodies) == len(set(rows.bodies)) == 30
    assert rows.entities == 26  # of 30, five have none, and that is one


def test_every_type_is_written_so_that_it_is_read_again() -> None:
    types = {
        Type.DATE: dt.date(2014, 2, 3),
        Type.DURATION: dt.timedelta(seconds=1.5),
        Type.DECIMAL: Decimal("12.5"),
        Type.TIMESTAMP: dt.datetime(2014, 1, 1, 0, 0, 0, 250_000, tzinfo=dt.UTC),
        Type.STRING: 'a "quoted"\nline',
    }
    of = msgspec.structs.replace(program(), request=tuple(Field(name=t.value, type=t) for t in types), time=None)
    frame = pl.DataFrame({t.value: [value] for t, value in types.items()})
    rows = from_frame(frame, of, sticky=(), after_us=None, most=9, seed=0, said="")
    assert read(rows.bodies, of) == [[16_104, 1_500_000, 12_500_000, 1_388_534_400_250_000, 'a "quoted"\nline']]


def test_a_host_without_tables_asks_rows_made_by_the_package_s_profile() -> None:
    profile: dict[str, Any] = {
        "columns": [
            {"name": "carrier", "count": 100, "nulls": 50, "levels": [["UA", 49], ["AA", 1]]},
            {
                "name": "distance",
                "count": 9,
                "nulls": 0,
                "edges": [10.0],
                "counts": [1, 8],
                "minimum": 0,
                "maximum": 99,
            },
        ]
    }
    rows = made_rows(program(), profile, after_us=10**15, most=500, seed=3)
    made = [msgspec.json.decode(body) for body in rows.bodies]
    assert {row["carrier"] for row in made} <= {"UA", "AA", None}
    assert 0.3 < sum(row["carrier"] is None for row in made) / 500 < 0.7
    assert 0.7 < sum(row["distance"] > 10 for row in made) / 500 < 1
    assert min(int(str(values[4])) for values in read(rows.bodies)) >= 10**15
    assert made_rows(program(), profile, after_us=10**15, most=500, seed=3) == rows


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_package_s_own_profile_is_enough(task: Any) -> None:
    profile = msgspec.json.decode(package_files(task=task)["profile.json"])
    rows = made_rows(program(), profile, after_us=0, most=5, seed=0)
    assert len(read(rows.bodies)) == 5
