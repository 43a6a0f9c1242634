"""Rows that are one observation twice are found, strangers that agree by chance are not, and splits never part them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.features.small import DAY, flights_definition, with_project
from tests.features.test_frame import gather, some_flights

from headrace.definition.model import Definition, Features, Split
from headrace.features.duplicates import find_repeats, united
from headrace.features.holdout import as_units, drawn
from headrace.training.data import divide
from headrace.training.splits import make_folds


def observed(n: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "weight": rng.normal(70, 12, n),
            "height": rng.normal(170, 9, n),
            "steps": rng.integers(0, 20_000, n),
            "town": [f"Town {code}" for code in rng.integers(0, 30, n)],
        }
    )


def units_of(*batches: pl.DataFrame) -> list[int]:
    return [int(unit) for unit in united(find_repeats(batches))]


def repeated(*batches: pl.DataFrame) -> int:
    units = units_of(*batches)
    return len(units) - len(set(units))


def test_rows_written_twice_are_one_unit_also_when_they_stand_in_different_batches() -> None:
    rows = observed(500)
    units = units_of(rows, rows[40:60])
    assert units[40:60] == units[500:]
    assert len(set(units)) == 500


def test_nearly_equal_rows_are_one_unit() -> None:
    rows = observed(500)
    near = rows[100:130].with_columns(
        pl.col("weight") * (1 + 1e-9), town=pl.col("town").str.to_uppercase().str.replace(" ", "  ")
    )
    units = units_of(rows, near)
    assert units[100:130] == units[500:]


def test_a_minority_that_was_copied_a_hundred_times_is_found() -> None:
    rows = observed(20_000)
    assert repeated(pl.concat([rows, *[rows[:20]] * 99])) == 20 * 99


def test_strangers_that_agree_in_coarse_columns_are_not_repeats() -> None:
    rng = np.random.default_rng(1)
    coarse = pl.DataFrame(
        {name: rng.integers(0, levels, 5000) for name, levels in zip("abcd", (3, 2, 40, 3), strict=True)}
    )
    assert coarse.is_duplicated().sum() > 4000
    assert repeated(coarse) == 0


def test_one_column_alone_says_nothing_and_names_of_rows_are_passed_over() -> None:
    rows = observed(300)
    assert repeated(pl.concat([rows, rows]).select("steps")) == 0
    named = pl.concat([rows, rows]).with_columns(id=pl.int_range(600).cast(pl.String), same=pl.lit(1))
    assert repeated(named) == 300


def test_nulls_and_not_a_numbers_are_compared_as_values() -> None:
    rows = observed(3000).with_columns(
        pl.when(pl.int_range(3000) % 3 == 0).then(None).otherwise(pl.col("weight")).alias("weight"),
        pl.when(pl.int_range(3000) % 3 == 1).then(float("nan")).otherwise(pl.col("height")).alias("height"),
    )
    assert repeated(rows, rows[:50]) == 50
    assert repeated(rows[:0]) == 0


def test_units_are_chained_and_hash_as_their_least() -> None:
    unit = united([np.array([0, 0, 1, 2, 3]), np.array([9, 8, 8, 7, 6])])
    assert unit[0] == unit[1] == unit[2]
    assert len(set(unit.tolist())) == 3
    hashes = np.array([5, 2, 9, 1, 7], np.uint64)
    assert as_units(hashes, unit).tolist() == [2, 2, 2, 1, 7]


def test_rows_of_one_unit_and_several_classes_are_held_out_together() -> None:
    hashes = np.repeat(np.arange(100, dtype=np.uint64) * np.uint64(7919) % np.uint64(101), 2)
    labels = pl.Series([True, False] * 40 + [False] * 120)
    chosen = drawn(hashes, 0.3, labels)
    assert 30 < chosen.sum() < 90
    assert (chosen[::2] == chosen[1::2]).all()


def plain(request: tuple[str, ...]) -> Definition:
    """The flights with nothing but request columns."""
    definition = with_project(flights_definition(), request=request)
    return msgspec.structs.replace(definition, features=Features())


def told_apart(count: int) -> list[dict[str, Any]]:
    flights = some_flights(count)
    for place, flight in enumerate(flights):
        flight["tail"], flight["carrier"], flight["distance"] = f"T{place}", f"C{place % 90}", 100.0 + place * 7.77
    return flights


@pytest.mark.parametrize("by", ["random", "stratified", "group"])
def test_no_split_that_draws_parts_repeats(tmp_path: Path, by: Any) -> None:
    """Every flight stands in the table twice, under two keys; where carriers are groups, half of the copies fly for
    another."""
    flights = told_apart(300)
    copies = [{**flight, "tail": flight["tail"] + "b"} for flight in flights]
    request: tuple[str, ...] = ("origin", "distance", "due", "carrier")
    if by == "group":
        copies = [{**copy, "carrier": f"C{int(copy['carrier'][1:]) // 2 * 2}"} for copy in copies]
        request = ("origin", "distance", "due")
    split = Split(by=by, holdout=0.25, folds=4, group="carrier" if by == "group" else None)
    frame, rows = gather(tmp_path, flights + copies, plain(request), split=split)
    assert frame.repeats == frame.rows // 2
    assert 0.1 < frame.holdout_rows / frame.rows < 0.4
    sides = rows.group_by("distance").agg(pl.col("_holdout").n_unique())
    assert (sides["_holdout"] == 1).all()
    data = divide(frame, rows, split)
    distance = data.train.rows["distance"].to_numpy()
    for fold in make_folds(data.train, split):
        assert not set(distance[fold.train].tolist()) & set(distance[fold.validation].tolist())


def test_under_time_repeats_are_counted_and_stay_where_they_are(tmp_path: Path) -> None:
    flights = told_apart(300)
    later = max(flight["due"] for flight in flights) + DAY
    copies = [
        {**flight, "tail": f"again{place}", "due": later, "landed": later + DAY}
        for place, flight in enumerate(flights[:30])
    ]
    definition = plain(("carrier", "distance", "origin"))
    frame, rows = gather(tmp_path, flights + copies, definition, split=Split(by="time", holdout=0.25))
    labelled = sum(flight["arr_delay"] is not None for flight in flights[:30])
    assert frame.repeats == labelled
    assert frame.repeats_held_out > 0.6 * labelled
    assert "_unit" not in rows.columns
