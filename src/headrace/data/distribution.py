"""Whether a column looks as it did in an earlier snapshot: the population stability index, with a size-aware threshold.

PSI is the sum over bins of (p - q) ln(p / q). Without any change it is about (1/n + 1/m) times a chi-square with one
degree less than there are bins (Yurdakul, "Statistical Properties of Population Stability Index", 2018), so that a
fixed limit such as 0.1 cries wolf on hundreds of rows, while on millions a test alone would report changes too small to
matter. A change counts when it is beyond both: what chance explains at these sizes, and what matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from headrace.data.bounds import INSTANTS, NUMBERS
from headrace.data.model import Compared, RuleResult, Sketch
from headrace.definition.model import SameDistribution, Source
from headrace.language.types import Type

BINS = 10
LEVELS = 50
ALPHA = 0.01
"""Chance of a false alarm of one rule, shared by its columns."""
RARE = 5.0
"""Bins of which fewer rows are expected are taken together: the chi-square is no guide for them."""
_BINNED = (*NUMBERS, *INSTANTS, Type.DURATION)


def sketches(source: Source, fields: Mapping[str, Type], table: pl.LazyFrame) -> tuple[Sketch, ...]:
    """Sketches of the columns of the accepted table that some rule compares."""
    columns = dict.fromkeys(column for rule in source.distributions for column in rule.columns)
    return tuple(_sketch(table, column, fields[column]) for column in columns)


def _sketch(table: pl.LazyFrame, column: str, type_: Type) -> Sketch:
    if type_ in _BINNED:
        shares = [n / BINS for n in range(1, BINS)]
        values = table.select(_physical(column, type_)).select(
            pl.col(column).quantile(share, "nearest").alias(str(share)) for share in shares
        )
        found = {value for value in values.collect().row(0) if value is not None and math.isfinite(value)}
        empty = Sketch(column=column, type=type_, edges=tuple(sorted(found)), counts=())
    else:
        text = table.select(pl.col(column).cast(pl.String)).drop_nulls().group_by(column).len()
        top = text.collect().sort(pl.col("len"), column, descending=[True, False]).head(LEVELS)
        empty = Sketch(column=column, type=type_, levels=tuple(top[column]), counts=())
    return Sketch(column=column, type=type_, edges=empty.edges, levels=empty.levels, counts=counted(table, empty))


def _physical(column: str, type_: Type) -> pl.Expr:
    return pl.col(column).cast(pl.Float64) if type_ is Type.DECIMAL else pl.col(column).to_physical()


def counted(table: pl.LazyFrame, sketch: Sketch) -> tuple[int, ...]:
    """Rows of a table in the bins of a sketch, as `Sketch.counts` has them."""
    if sketch.type in _BINNED:
        column, ends = _physical(sketch.column, sketch.type), [*sketch.edges, None]
        below = [pl.lit(value=True) if end is None else column <= pl.lit(end) for end in ends]
        bins = [(column.is_not_null() & inside).sum().alias(str(n)) for n, inside in enumerate(below)]
        up_to = table.select(bins).collect().row(0)
        counts = [int(b - a) for a, b in zip((0, *up_to), up_to, strict=False)]
    else:
        text = pl.col(sketch.column).cast(pl.String)
        by_level = dict(table.select(text).drop_nulls().group_by(sketch.column).len().collect().iter_rows())
        counts = [by_level.pop(level, 0) for level in sketch.levels]
        counts.append(sum(by_level.values()))
    nulls = table.select(pl.col(sketch.column).null_count()).collect().item()
    return (*counts, int(nulls))


def psi(reference: Sequence[int], current: Sequence[int]) -> tuple[float, int]:
    """The population stability index of two sets of counts, and over how many bins once rare ones are taken together.

    Half a row is added to each bin, so that an empty one is not infinitely far from a row.

    Examples
    --------
    >>> psi([50, 50], [50, 50])
    (0.0, 2)
    """
    p, q = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    n, m = p.sum(), q.sum()
    if not n or not m:
        return 0.0, 0
    is_there = p + q > 0
    p, q = p[is_there], q[is_there]
    is_rare = (p + q) * min(n, m) / (n + m) < RARE
    if is_rare.any():
        p, q = (np.append(counts[~is_rare], counts[is_rare].sum()) for counts in (p, q))
    p, q = p + 0.5, q + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum()), len(p)


def critical(n: int, m: int, bins: int, alpha: float) -> float:
    """The index that chance exceeds with probability `alpha` when nothing has changed."""
    if bins < 2 or not n or not m:
        return math.inf
    from scipy.special import chdtri

    return float((1 / n + 1 / m) * chdtri(bins - 1, alpha))


def compare(source: Source, table: pl.LazyFrame, reference: Sequence[Sketch]) -> Compared:
    """Hold the accepted table's columns beside their sketches in an earlier one.

    Parameters
    ----------
    reference
        Of the table accepted before; a column that has none there has nothing to be compared with, and passes.
    """
    before = {sketch.column: sketch for sketch in reference}
    schema = table.collect_schema()
    results = []
    for rule in source.distributions:
        for column in rule.columns:
            sketch = before.get(column)
            if sketch is not None and (sketch.type in _BINNED) is not _is_binned(schema[column]):
                sketch = None  # of another type now: the schema's rules speak of that
            results.append(_result(rule, column, table, sketch))
    return Compared(rules=tuple(results))


def _is_binned(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype.is_temporal()


def _result(rule: SameDistribution, column: str, table: pl.LazyFrame, sketch: Sketch | None) -> RuleResult:
    has_passed, detail = True, "there is no earlier snapshot to compare with"
    if sketch is not None:
        current = counted(table, sketch)
        index, bins = psi(sketch.counts, current)
        n, m = sum(sketch.counts), sum(current)
        chance = critical(n, m, bins, ALPHA / len(rule.columns))
        has_passed = not index > max(chance, rule.threshold)
        detail = (
            f"index {index:.4f} over {bins} bins beside the last snapshot of {n:,} rows; "
            f"chance explains {chance:.4f}, {rule.threshold:g} matters"
        )
    return RuleResult(
        rule=f"check:{rule.name}" if len(rule.columns) == 1 else f"check:{rule.name}:{column}",
        kind="distribution",
        column=column,
        on_fail=rule.on_fail,
        failed=0 if has_passed else 1,
        detail=detail,
        passed=has_passed,
    )
