"""The contenders of the checks benchmark find the same."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

from benchmarks import checks


def test_ours_finds_what_polars_by_hand_finds(tmp_path: Path) -> None:
    hour = dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC)
    good = {"origin": "JFK", "dest": "LAX", "carrier": "UA", "month": 1, "hour": 5, "distance": 9, "dep_delay": 3.0}
    wrong: list[dict[str, object]] = [
        {"origin": "XXX"},
        {"carrier": "ua"},
        {"month": 13},
        {"hour": -1},
        {"distance": 0},
        {"dep_delay": 2000.0},
    ]
    wrong += [{"dest": None}, {"carrier": None}]
    rows = [{**good, "flight": n, "time_hour": hour, **change} for n, change in enumerate([{}, {}, *wrong])]
    rows.append({**rows[0], "distance": 10})  # the same key
    path = tmp_path / "flights.parquet"
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
    hand, ours = checks.by_hand(path), checks.ours(path)
    assert {name: count for name, count in hand.items() if count} == {
        "null dest": 1, "null carrier": 1, "range month": 1, "range hour": 1, "range distance": 1,
        "range dep_delay": 1, "set": 1, "pattern": 1, "unique": 1,
    }  # fmt: skip
    assert {rule: count for rule, count in ours.items() if count} == {
        "not_null:dest": 1, "not_null:carrier": 1, "null-key:dest": 1, "null-key:carrier": 1, "max:month": 1,
        "min:hour": 1, "min:distance": 1, "max:dep_delay": 1, "allowed:origin": 1, "pattern:carrier": 1, "unique": 1,
    }  # fmt: skip
