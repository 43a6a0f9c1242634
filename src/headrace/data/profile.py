"""What each accepted column looks like: exact counts and extremes, levels exact up to a limit, the shape from a sample.

The first pass counts; the second counts the levels of columns that have few, and of the others the levels that a sample
names and the size of a known fraction of all, so that memory is bounded whatever the number of levels. The shape (inner
quantiles, bars, kinds of personal data) is of a sample: every k-th row, the same ones every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from headrace.data.blocks import row_count
from headrace.data.histogram import histogram
from headrace.data.model import ColumnProfile, Personal
from headrace.data.personal import HIDDEN, find_personal
from headrace.language.types import Type
from headrace.language.values import encode, physical, physical_expression

EXACT_LEVELS = 10_000
"""Up to about this many, the distinct values of a column are counted exactly."""
SAMPLE_ROWS = 100_000
TOP = 10
DETAILED_COLUMNS: Final = 2_000
"""A table with more columns gets no bars and no search for personal data: a report of it would be gigabytes."""
_NUMBERS = (Type.INTEGER, Type.DECIMAL, Type.FLOAT, Type.DURATION)
_TEXTS = (Type.STRING, Type.CATEGORY)
_DIGITS = 12
"""Significant digits of means: a streaming sum's last digits depend on the order of its parts."""
_FRACTION_SIZE: Final = 20_000
"""About how many distinct values are held of a column with more than `EXACT_LEVELS`."""
_ROUGHLY: Final = 1.4
"""The first pass's estimate of distinct values was seen up to 30 % off."""
_AT_ONCE: Final = 8
"""Columns whose levels are held in memory at a time."""


def profile(table: Path, fields: Mapping[str, Type]) -> tuple[ColumnProfile, ...]:
    """Profiles of the columns of an accepted table (a Parquet file)."""
    rows = row_count(table)
    scan = pl.scan_parquet(table)
    sample = scan.gather_every(max(1, -(-rows // SAMPLE_ROWS))).collect()
    counted = scan.select(_counts(fields)).collect().row(0, named=True)
    is_whole = sample.height == rows

    def column(name: str) -> pl.LazyFrame:
        # each look into a file of thousands of columns reads what it says of all of them: that would grow as the square
        return sample.get_column(name).to_frame().lazy() if is_whole else scan.select(name)

    levels = _count_levels(column, fields, counted, sample)
    is_detailed = len(fields) <= DETAILED_COLUMNS
    personal = find_personal(sample, fields) if is_detailed else {}
    return tuple(
        _column(name, type_, counted, levels[name], sample[name], personal.get(name, ()), is_detailed=is_detailed)
        for name, type_ in fields.items()
    )


@dataclass(frozen=True, slots=True)
class _Levels:
    """Distinct values of a column, and the most frequent ones."""

    distinct: int
    error: float | None
    top: tuple[tuple[str, int], ...]


def _counts(fields: Mapping[str, Type]) -> list[pl.Expr]:
    found = []
    for name, type_ in fields.items():
        column = pl.col(name)
        found.append(column.null_count().alias(f"nulls {name}"))
        found.append(column.approx_n_unique().alias(f"distinct {name}"))
        if type_ is not Type.BOOLEAN:
            physical = column if type_ in (*_TEXTS, Type.FLOAT) else physical_expression(column, type_)
            found += [physical.min().alias(f"minimum {name}"), physical.max().alias(f"maximum {name}")]
        if type_ in (*_NUMBERS, Type.BOOLEAN):
            number = physical_expression(_finite(column, type_), type_)
            found.append(number.mean().alias(f"mean {name}"))
            found += [number.min().alias(f"lowest {name}"), number.max().alias(f"highest {name}")]
    return found


def _finite(column: pl.Expr, type_: Type) -> pl.Expr:
    """The column with null for infinities, of which there is no mean and no JSON."""
    return pl.when(column.is_finite()).then(column) if type_ is Type.FLOAT else column


def _count_levels(
    column: Callable[[str], pl.LazyFrame], fields: Mapping[str, Type], counted: Mapping[str, Any], sample: pl.DataFrame
) -> dict[str, _Levels]:
    """Distinct values and most frequent levels of every column, a few columns at a time."""
    found: dict[str, _Levels] = {}
    few = [name for name in fields if counted[f"distinct {name}"] <= _ROUGHLY * EXACT_LEVELS]
    for start in range(0, len(few), _AT_ONCE):
        names = few[start : start + _AT_ONCE]
        queries = [column(name).drop_nulls().group_by(name).len() for name in names]
        for name, counts in zip(names, pl.collect_all(queries), strict=True):
            top = _top(counts, name) if fields[name] in (*_TEXTS, Type.BOOLEAN) else ()
            found[name] = _Levels(counts.height, None, top)
    many = [name for name in fields if name not in found]
    for start in range(0, len(many), _AT_ONCE):
        names = many[start : start + _AT_ONCE]
        queries = [_fraction(column(name), name, counted[f"distinct {name}"])[0] for name in names]
        texts = [name for name in names if fields[name] in _TEXTS]
        queries += [_candidates(column(name), name, sample[name]) for name in texts]
        collected = pl.collect_all(queries)
        tops = {name: _top(counts, name) for name, counts in zip(texts, collected[len(names) :], strict=True)}
        for name, held in zip(names, collected, strict=False):
            fraction = _fraction(column(name), name, counted[f"distinct {name}"])[1]
            found[name] = _estimate(int(held.item()), fraction, tops.get(name, ()))
    return found


def _fraction(column: pl.LazyFrame, name: str, roughly: int) -> tuple[pl.LazyFrame, float]:
    """How many distinct values fall into a fraction of all hashes, and that fraction.

    Distinct sampling: Gibbons, "Distinct Sampling for Highly-Accurate Answers to Distinct Values Queries", VLDB 2001.
    The hash is mixed again: that of small whole numbers alone was seen to lead an estimate 30 % astray."""
    power = max(0, round(math.log2(max(1.0, roughly / _FRACTION_SIZE))))
    mixed = pl.col(name).hash(seed=7)
    mixed = (mixed ^ (mixed // 2**31)).hash(seed=11)
    is_held = mixed < 2 ** (64 - power) if power else pl.lit(value=True)
    query = column.drop_nulls().filter(is_held).unique().select(pl.len())
    return query, 2.0**-power


def _estimate(held: int, fraction: float, top: tuple[tuple[str, int], ...]) -> _Levels:
    """Each distinct value is held with the probability `fraction`: the count is binomial."""
    if fraction == 1.0:
        return _Levels(held, None, top)
    error = 1.96 * math.sqrt((1 - fraction) / max(held, 1))
    return _Levels(round(held / fraction), float(f"{error:.2g}"), top)


def _candidates(column: pl.LazyFrame, name: str, sample: pl.Series) -> pl.LazyFrame:
    """Exact counts of the levels that are frequent in the sample."""
    named = sample.cast(pl.String).drop_nulls().value_counts(sort=False).sort("count", name, descending=[True, False])
    texts = column.select(pl.col(name).cast(pl.String))
    return texts.filter(pl.col(name).is_in(named.head(10 * TOP)[name].implode())).group_by(name).len()


def _top(counts: pl.DataFrame, name: str) -> tuple[tuple[str, int], ...]:
    text = counts.select(pl.col(name).cast(pl.String), pl.col("len"))
    ranked = text.sort(pl.col("len"), name, descending=[True, False]).head(TOP)
    return tuple((level, count) for level, count in ranked.iter_rows())


def _column(
    name: str,
    type_: Type,
    counted: Mapping[str, Any],
    levels: _Levels,
    sample: pl.Series,
    personal: tuple[Personal, ...],
    *,
    is_detailed: bool,
) -> ColumnProfile:
    is_millionths = type_ in (Type.DURATION, Type.DECIMAL)
    scale = 1e-6 if is_millionths else 1.0
    mean = counted.get(f"mean {name}")
    quantiles: list[float] = []
    deviation: float | None = None
    if type_ in _NUMBERS and counted[f"lowest {name}"] is not None:
        numbers = physical(sample.to_frame().select(_finite(pl.col(name), type_))[name].drop_nulls()).to_physical()
        within = [numbers.quantile(q, "nearest") for q in (0.25, 0.5, 0.75)]
        found = [counted[f"lowest {name}"], *within, counted[f"highest {name}"]]
        quantiles = [q / 1e6 if is_millionths else float(q) for q in found if q is not None]
        deviation = _finite_float(numbers.cast(pl.Float64).std(), scale)
    is_hidden = any(one.confidence in HIDDEN for one in personal)
    return ColumnProfile(
        name=name,
        type=type_,
        nulls=counted[f"nulls {name}"],
        distinct=levels.distinct,
        distinct_error=levels.error,
        minimum=None if is_hidden else _text(counted.get(f"minimum {name}"), type_),
        maximum=None if is_hidden else _text(counted.get(f"maximum {name}"), type_),
        mean=None if is_hidden else _finite_float(mean, scale),
        deviation=None if is_hidden else deviation,
        quantiles=() if is_hidden else tuple(quantiles),
        top=() if is_hidden else levels.top,
        histogram=histogram(sample, type_) if is_detailed and not (is_hidden and type_ not in _TEXTS) else None,
        personal=personal,
    )


def _finite_float(value: Any, scale: float) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value * scale:.{_DIGITS}g}")


def _text(value: Any, type_: Type) -> str | None:
    if value is None:
        return None
    if type_ in (Type.DATE, Type.TIMESTAMP, Type.DURATION, Type.DECIMAL):
        return str(encode(value, type_))
    return str(value)
