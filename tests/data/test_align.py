"""Requests are aligned as the source's rows were."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from tests.data.stage import Bench, source_of

from headrace.data.align import align_request, table_types
from headrace.data.check import scan
from headrace.data.errors import CastRefused, ContractError
from headrace.definition.model import ColumnRule, Join, Known
from headrace.language.types import Type

TYPES = {"origin": Type.CATEGORY, "mile": Type.INTEGER, "at": Type.TIMESTAMP, "wind": Type.FLOAT}
SOURCE = source_of(
    "a.csv",
    rename=(("from", "origin"),),
    joins=(Join(name="port", source="ports", key=(("origin", "code"),), take=("zone",)),),
    derive=(("km", "mile * 1.6"), ("far", "km > 20"), ("gust", "wind * 2"), ("place", "port_zone || '!'")),
    columns={"at": ColumnRule(zone="America/New_York"), "mile": ColumnRule(missing=("?",))},
)
PORTS = pl.LazyFrame({"code": ["A", "B"], "zone": ["New York", "Tokyo"], "other": [1, 2]})
WANTED = ("far", "km", "place", "origin", "at", "gust")


def test_a_request_as_text_is_renamed_cast_joined_and_derived() -> None:
    rows = pl.LazyFrame(
        {
            "at": ["2013-07-01T08:00:00", "2013-07-01T08:00:00Z", ""],
            "mile": ["10", "20", "?"],
            "from": ["B", "A", "NA"],
            "more": ["x", "y", "z"],
        }
    )
    found = align_request(rows, SOURCE, TYPES, {"ports": PORTS}, WANTED).collect()
    assert found.to_dict(as_series=False) == {
        "far": [False, True, None],
        "km": [16.0, 32.0, None],
        "place": ["Tokyo!", "New York!", None],
        "origin": ["B", "A", None],
        "at": [dt.datetime(2013, 7, 1, 12, tzinfo=dt.UTC), dt.datetime(2013, 7, 1, 8, tzinfo=dt.UTC), None],
    }


def test_names_after_rename_and_typed_columns_do_as_well() -> None:
    rows = pl.LazyFrame(
        {
            "origin": pl.Series(["A"], dtype=pl.Categorical),
            "mile": pl.Series([10], dtype=pl.UInt8),
            "wind": [float("nan")],
        }
    )
    found = align_request(rows, SOURCE, TYPES, {"ports": PORTS}, WANTED).collect()
    assert found.to_dict(as_series=False) == {
        "far": [False],
        "km": [16.0],
        "place": ["New York!"],
        "origin": ["A"],
        "gust": [None],
    }


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_a_cell_that_does_not_fit_names_row_and_column(engine: str) -> None:
    rows = pl.LazyFrame({"mile": [str(n) for n in range(50_000)] + ["hunter2", "3"], "from": ["A"] * 50_002})
    plan = align_request(rows, SOURCE, TYPES, {"ports": PORTS}, ("km",))
    with pytest.raises(CastRefused, match="row 50001: the value of column 'mile' is no integer") as caught:
        plan.collect(engine=engine)  # type: ignore[call-overload]
    assert "hunter2" not in str(caught.value)
    assert "fix:" in str(caught.value)
    assert caught.value.facts == {"column": "mile", "expected": "integer", "row": 50_001}
    assert caught.value.exit_code == 2
    assert "This error" not in str(caught.value) + str(caught.value.fix)


def test_a_column_of_lists_does_not_fit() -> None:
    with pytest.raises(CastRefused, match="'mile' is no integer"):
        align_request(pl.LazyFrame({"mile": [[1]]}), SOURCE, TYPES, {"ports": PORTS}, ("km",))


def test_a_request_aligns_to_what_history_holds(bench: Bench) -> None:
    bench.write("ports.csv", "code,zone\nA,New York\nB,Tokyo\n")
    ports = bench.check(source_of("ports.csv", unique=("code",)), {"code": Type.CATEGORY, "zone": Type.STRING})
    text = "from,mile,at,wind\nB,10,2013-07-01T08:00:00,1.5\nA,20,2013-07-01 08:00:00+02:00,\nC,?,2013-07-01,nan\n"
    bench.write("a.csv", text)
    checked = bench.check(SOURCE, TYPES, {"ports": ports.table})
    history = bench.read(checked.table.ref)
    request = pl.scan_csv(bench.root / "a.csv", infer_schema=False, null_values=["", "NA"])
    statics = {"ports": scan(ports.table.ref, bench.stage)}
    again = align_request(request, SOURCE, TYPES, statics, history.columns).collect()
    assert again.equals(history)
    assert again.schema == history.schema


def test_types_of_the_table_need_no_data() -> None:
    statics = {"ports": {"code": Type.STRING, "zone": Type.STRING}}
    assert table_types(SOURCE, TYPES, statics) == {
        **TYPES,
        "port_zone": Type.STRING,
        "km": Type.FLOAT,
        "far": Type.BOOLEAN,
        "gust": Type.FLOAT,
        "place": Type.STRING,
    }


def test_a_join_of_unlike_keys_is_refused() -> None:
    with pytest.raises(ContractError, match=r"join 'port': 'origin' is category, 'code' is integer"):
        table_types(SOURCE, TYPES, {"ports": {"code": Type.INTEGER, "zone": Type.STRING}})


def test_columns_that_say_when_must_be_there() -> None:
    rules = {"wind": ColumnRule(known=Known(after="seen")), "mile": ColumnRule(known=Known(after="at"))}
    source = source_of("a.csv", columns=rules, event_time="happened", known=Known(after="told"), unique=("code",))
    with pytest.raises(ContractError) as caught:
        table_types(source, TYPES, {})
    assert caught.value.facts["problems"] == [
        "unique: there is no column 'code'",
        "event_time: there is no column 'happened'",
        "known: there is no column 'told'",
        "columns.wind: known: there is no column 'seen'",
    ]
