"""A column beside its past: bins and levels that add up, and alarms as rare as they claim to be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.stage import source_of

from headrace.data.distribution import ALPHA, LEVELS, compare, counted, critical, psi, sketches
from headrace.data.model import RuleResult
from headrace.definition.model import SameDistribution
from headrace.language.types import Type


def beside(
    before: pl.DataFrame, now: pl.DataFrame, type_: Type = Type.FLOAT, threshold: float = 0.1, name: str = "x"
) -> RuleResult:
    source = source_of(
        "a.csv", distributions=(SameDistribution(name="as_before", columns=(name,), threshold=threshold),)
    )
    return compare(source, now.lazy(), sketches(source, {name: type_}, before.lazy())).rules[0]


def column(values: Sequence[object] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> pl.DataFrame:
    return pl.DataFrame({"x": values})


@given(
    values=st.lists(st.none() | st.floats(allow_nan=False) | st.integers(-3, 3).map(float), max_size=60),
    others=st.lists(st.none() | st.floats(allow_nan=False), max_size=60),
)
def test_every_row_is_in_one_bin(values: list[float | None], others: list[float | None]) -> None:
    source = source_of("a.csv", distributions=(SameDistribution(name="d", columns=("x",)),))
    before, now = (pl.LazyFrame({"x": v}, schema={"x": pl.Float64}) for v in (values, others))
    [sketch] = sketches(source, {"x": Type.FLOAT}, before)
    assert sum(sketch.counts) == len(values)
    assert sketch.counts[-1] == values.count(None)
    assert sum(counted(now, sketch)) == len(others)
    bins = np.searchsorted(sketch.edges, [v for v in others if v is not None], side="left")
    assert counted(now, sketch)[:-1] == tuple(np.bincount(bins, minlength=len(sketch.edges) + 1))


def test_levels_beyond_the_most_frequent_are_counted_together() -> None:
    source = source_of("a.csv", distributions=(SameDistribution(name="d", columns=("x",)),))
    rows = [f"l{n:03}" for n in range(LEVELS + 7) for _ in range(2)] + [None]
    [sketch] = sketches(source, {"x": Type.CATEGORY}, pl.LazyFrame({"x": rows}))
    assert sketch.levels == tuple(f"l{n:03}" for n in range(LEVELS))
    assert sketch.counts == (*[2] * LEVELS, 14, 1)


def test_the_index_of_known_counts() -> None:
    index, bins = psi([500, 300, 200], [400, 300, 300])
    expected = sum((p - q) * np.log(p / q) for p, q in ((0.5, 0.4), (0.3, 0.3), (0.2, 0.3)))
    assert bins == 3
    assert index == pytest.approx(expected, rel=0.01)


def test_a_shift_is_found_and_named_without_a_value() -> None:
    draw = np.random.default_rng(7)
    result = beside(column(draw.normal(0, 1, 2000)), column(draw.normal(1, 1, 2000)))
    assert not result.passed
    assert result.rule == "check:as_before"
    assert "over 10 bins beside the last snapshot of 2,000 rows" in result.detail


@pytest.mark.parametrize("n", [100, 300, 1000, 5000])
@pytest.mark.parametrize("type_", [Type.FLOAT, Type.CATEGORY])
def test_without_a_change_alarms_are_as_rare_as_claimed_at_every_size(n: int, type_: Type) -> None:
    draw = np.random.default_rng(n)
    alarms = 0
    for _ in range(300):
        if type_ is Type.FLOAT:
            before, now = draw.normal(size=5000), draw.normal(size=n)
            found = beside(column(before), column(now), threshold=0.0)
        else:
            zipf = 1 / np.arange(1, 51)
            b, c = (draw.choice(50, size, p=zipf / zipf.sum()).astype(str) for size in (5000, n))
            found = beside(pl.DataFrame({"x": b}), pl.DataFrame({"x": c}), Type.CATEGORY, threshold=0.0)
        alarms += not found.passed
    assert alarms <= 300 * ALPHA * 4  # a chance below 1e-4 for a true rate of 1 %


def test_on_many_rows_a_change_too_small_to_matter_is_none() -> None:
    draw = np.random.default_rng(1)
    before, now = column(draw.normal(0, 1, 300_000)), column(draw.normal(0.02, 1, 300_000))
    assert beside(before, now).passed
    assert not beside(before, now, threshold=0.0).passed


def test_the_limit_falls_with_the_rows_and_none_means_none() -> None:
    assert critical(100, 100, 10, 0.01) > 10 * critical(10_000, 10_000, 10, 0.01)
    assert critical(0, 10, 10, 0.01) == critical(10, 10, 1, 0.01) == float("inf")
    assert beside(column([1.0, 2.0]), pl.DataFrame(schema={"x": pl.Float64})).passed


@pytest.mark.parametrize(
    ("type_", "before", "now"),
    [
        (Type.INTEGER, list(range(1000)), list(range(2000, 3000))),
        (Type.DATE, [dt.date(2026, 1, 1 + n % 28) for n in range(500)], [dt.date(2026, 3, 1)] * 500),
        (
            Type.TIMESTAMP,
            [dt.datetime(2026, 1, 1, n % 24, tzinfo=dt.UTC) for n in range(500)],
            [dt.datetime(2027, 1, 1, tzinfo=dt.UTC)] * 500,
        ),
        (Type.BOOLEAN, [True, False] * 300, [True] * 600),
        (Type.CATEGORY, ["a", "b"] * 300, ["a", "c"] * 300),
        (Type.FLOAT, [1.0] * 500, [None] * 500),
        (Type.FLOAT, [1.0, float("inf")] * 300, [1.0, float("-inf")] * 300),
    ],
)
def test_every_type_has_a_distribution(type_: Type, before: list[object], now: list[object]) -> None:
    frames = [pl.DataFrame({"x": pl.Series(v, strict=False)}) for v in (before, now)]
    if frames[1]["x"].dtype == pl.Null:
        frames[1] = frames[1].cast(frames[0].schema)
    assert beside(frames[0], frames[0], type_).passed
    assert not beside(frames[0], frames[1], type_).passed


def test_the_first_snapshot_has_nothing_to_compare_with_nor_has_a_column_of_another_type() -> None:
    source = source_of("a.csv", distributions=(SameDistribution(name="d", columns=("x", "y")),))
    now = pl.LazyFrame({"x": ["a"], "y": [1.0]})
    old = sketches(source_of("a.csv", distributions=(SameDistribution(name="d", columns=("x",)),)),
                   {"x": Type.FLOAT}, pl.LazyFrame({"x": [1.0]}))  # fmt: skip
    results = compare(source, now, old).rules
    assert [(r.rule, r.passed) for r in results] == [("check:d:x", True), ("check:d:y", True)]
    assert all(r.detail == "there is no earlier snapshot to compare with" for r in results)
