"""Rules of the whole accepted table: how many rows, whose sum, how fresh. They set no row aside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.data.model import RuleResult
from headrace.definition.model import EqualSum, Fresh, RowCount, Source
from headrace.language.row_decimals import PLACES as DECIMAL_PLACES
from headrace.language.types import Type

Floats = NDArray[np.float64]
PLACES = 9
"""Decimal places that a column of floats may have to be summed exactly."""
_EXACT = 2.0**53
_HALF = 26
"""Bits: whole numbers below 2**53 are summed in halves, which stay within 64 bits."""
_BATCH = 1 << 20
_US = {"d": 86_400_000_000, "h": 3_600_000_000, "min": 60_000_000, "s": 1_000_000}


def table_results(
    source: Source, fields: Mapping[str, Type], table: pl.LazyFrame, rows: int, statics: Mapping[str, pl.LazyFrame]
) -> list[RuleResult]:
    """What the accepted rows say to the rules of row counts and sums.

    Parameters
    ----------
    fields, table, rows
        Types, rows and number of rows of the accepted table.
    statics
        The accepted tables that `source.needs` names.
    """
    found = [_row_count(rule, rows) for rule in source.row_counts]
    return found + [_equal_sum(rule, fields, table, statics[rule.source]) for rule in source.equal_sums]


def _row_count(rule: RowCount, rows: int) -> RuleResult:
    has_passed = (rule.min is None or rows >= rule.min) and (rule.max is None or rows <= rule.max)
    bounds = [
        f"{word} {bound:,}" for word, bound in (("at least", rule.min), ("at most", rule.max)) if bound is not None
    ]
    return RuleResult(
        rule=f"check:{rule.name}",
        kind="rows",
        on_fail=rule.on_fail,
        failed=0 if has_passed else rows,
        detail=f"{rows:,} rows are accepted, {' and '.join(bounds)} must be",
        passed=has_passed,
    )


def _equal_sum(rule: EqualSum, fields: Mapping[str, Type], table: pl.LazyFrame, other: pl.LazyFrame) -> RuleResult:
    ours, theirs = table.select(pl.col(rule.column).alias("x")), other.select(pl.col(rule.equals).alias("x"))
    scale = 1e-6 if fields[rule.column] is Type.DURATION else 1.0
    if rule.tolerance is None:
        sums = [decimal_sum(ours), decimal_sum(theirs)]
        has_passed = sums[0] is not None and sums[0] == sums[1]
        detail = "the sums are equal to the last digit" if has_passed else "the sums differ"
        if None in sums:
            detail = f"a column holds numbers with more than {PLACES} decimal places: state a tolerance"
    else:
        difference = abs(float_sum(ours) - float_sum(theirs)) * scale
        has_passed = difference <= rule.tolerance
        detail = f"the sums differ by {difference:.6g}, at most {rule.tolerance:.6g} is allowed"
    return RuleResult(
        rule=f"check:{rule.name}",
        kind="sum",
        column=rule.column,
        on_fail=rule.on_fail,
        failed=0 if has_passed else 1,
        detail=f"against {rule.equals!r} of source {rule.source!r}: {detail}",
        passed=has_passed,
    )


def decimal_sum(column: pl.LazyFrame) -> Decimal | None:
    """The sum of a column of numbers read as the decimals that they are written as: 0.1 + 0.2 is 0.3.

    The column is called `x`. None when some number has more than `PLACES` decimal places, more than 15 digits, or is
    infinite.

    Examples
    --------
    >>> decimal_sum(pl.LazyFrame({"x": [0.1, 0.2, None]}))
    Decimal('0.3')
    """
    if not column.collect_schema()["x"].is_float():
        total = column.select(pl.col("x").to_physical().cast(pl.Int128).sum()).collect().item()
        return Decimal(int(total)).scaleb(-DECIMAL_PLACES if column.collect_schema()["x"].is_decimal() else 0)
    places = 0
    for values in _batches(column):
        while places <= PLACES and not _has_places(values, places):
            places += 1
    if places > PLACES:
        return None
    total = 0
    for values in _batches(column):
        units = np.rint(values * 10.0**places).astype(np.int64)
        total += (int((units >> _HALF).sum()) << _HALF) + int((units & ((1 << _HALF) - 1)).sum())
    return Decimal(total).scaleb(-places)


def _has_places(values: Floats, places: int) -> bool:
    """Whether each is the float nearest to a decimal number of so many places. Polars would not do: it divides by a
    constant as it multiplies by its inverse, which is not rounded right."""
    units = np.rint(values * 10.0**places)
    return bool(np.all((np.abs(units) < _EXACT) & (units / 10.0**places == values)))


def float_sum(column: pl.LazyFrame) -> float:
    """The sum of a column of numbers called `x`, rounded once: the same whatever order the rows are read in."""
    try:
        return math.fsum(value for values in _batches(column) for value in values.tolist())
    except (OverflowError, ValueError):  # beyond the largest float, or infinities of both signs
        return math.nan


def _batches(column: pl.LazyFrame) -> Iterator[Floats]:
    """The numbers of a column called `x` without nulls, a part at a time."""
    x = pl.col("x") if column.collect_schema()["x"].is_decimal() else pl.col("x").to_physical()
    numbers = column.select(x.cast(pl.Float64))
    rows = column.select(pl.len()).collect().item()
    for start in range(0, rows, _BATCH):
        yield numbers.slice(start, _BATCH).collect()["x"].drop_nulls().to_numpy()


def fresh_result(fresh: Fresh, newest_us: int | None, now_us: int) -> tuple[RuleResult, str | None]:
    """Whether the newest `event_time` is young enough, and a warning when the clock and the data contradict each other.

    Parameters
    ----------
    newest_us
        The newest event time accepted; None when there is none, which is not fresh.
    now_us
        The clock of the machine that checks.
    """
    age = None if newest_us is None else now_us - newest_us
    has_passed = age is not None and age <= fresh.within_us
    limit = duration(fresh.within_us)
    if age is None:
        detail = "no row has an event_time"
    else:
        detail = "" if has_passed else f"the newest event_time is {duration(age)} old, at most {limit} is allowed"
    result = RuleResult(
        rule="fresh",
        kind="fresh",
        on_fail=fresh.on_fail,
        failed=0 if has_passed else 1,
        detail=detail or f"the newest event_time is at most {limit} old",
        passed=has_passed,
    )
    if age is None or age >= 0:
        return result, None
    return result, "the newest event_time is ahead of this machine's clock: one of them is wrong"


def duration(us: int) -> str:
    """For people: 3 d 4 h, 12 min.

    >>> duration(273_600_000_000), duration(5)
    ('3 d 4 h', '0 s')
    """
    parts: list[str] = []
    for unit, size in _US.items():
        if us >= size and len(parts) < 2:
            parts.append(f"{us // size} {unit}")
        us %= size
    return " ".join(parts) or "0 s"
