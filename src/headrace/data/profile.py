"""What each accepted column looks like: exact counts, extremes and means; quantiles and rare levels from a sample.

Memory is bounded whatever the number of levels: it is exact up to `EXACT_LEVELS`, estimated above, where the frequent
ones are counted exactly among candidates that a sample names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from headrace.data.blocks import row_count
from headrace.data.model import ColumnProfile
from headrace.language.types import Type
from headrace.language.values import encode

EXACT_LEVELS = 10_000
SAMPLE_ROWS = 100_000
TOP = 10
_NUMBERS = (Type.INTEGER, Type.FLOAT, Type.DURATION)
_TEXTS = (Type.STRING, Type.CATEGORY)
_DIGITS = 12
"""Significant digits of means: a streaming sum's last digits depend on the order of its parts."""


def profile(table: Path, fields: Mapping[str, Type]) -> tuple[ColumnProfile, ...]:
    """Profiles of the columns of an accepted table (a Parquet file)."""
    rows = row_count(table)
    scan = pl.scan_parquet(table)
    sample = scan.gather_every(max(1, -(-rows // SAMPLE_ROWS))).collect()
    counted = scan.select(_counts(fields, exact=rows <= EXACT_LEVELS)).collect().row(0, named=True)
    return tuple(_column(scan, name, type_, counted, sample[name]) for name, type_ in fields.items())


def _counts(fields: Mapping[str, Type], *, exact: bool) -> list[pl.Expr]:
    found = []
    for name, type_ in fields.items():
        column = pl.col(name)
        found.append(column.null_count().alias(f"nulls {name}"))
        distinct = column.drop_nulls().n_unique() if exact else column.approx_n_unique()
        found.append(distinct.alias(f"distinct {name}"))
        if type_ is not Type.BOOLEAN:
            physical = column if type_ in (*_TEXTS, Type.FLOAT) else column.to_physical()
            found += [physical.min().alias(f"minimum {name}"), physical.max().alias(f"maximum {name}")]
        if type_ in (*_NUMBERS, Type.BOOLEAN):
            number = _finite(column, type_).to_physical()
            found.append(number.mean().alias(f"mean {name}"))
            found += [number.min().alias(f"lowest {name}"), number.max().alias(f"highest {name}")]
    return found


def _finite(column: pl.Expr, type_: Type) -> pl.Expr:
    """The column with null for infinities, of which there is no mean and no JSON."""
    return pl.when(column.is_finite()).then(column) if type_ is Type.FLOAT else column


def _column(scan: pl.LazyFrame, name: str, type_: Type, counted: Mapping[str, Any], sample: pl.Series) -> ColumnProfile:
    distinct = counted[f"distinct {name}"]
    top: tuple[tuple[str, int], ...] = ()
    if type_ in (*_TEXTS, Type.BOOLEAN):
        distinct, top = _levels(scan, name, distinct, sample)
    scale = 1e-6 if type_ is Type.DURATION else 1.0
    mean = counted.get(f"mean {name}")
    quantiles: list[Any] = []
    if type_ in _NUMBERS and counted[f"lowest {name}"] is not None:
        numbers = sample.to_frame().select(_finite(pl.col(name), type_).to_physical())[name].drop_nulls()
        within = [numbers.quantile(q, "nearest") for q in (0.25, 0.5, 0.75)]
        quantiles = [counted[f"lowest {name}"], *within, counted[f"highest {name}"]]
    return ColumnProfile(
        name=name,
        type=type_,
        nulls=counted[f"nulls {name}"],
        distinct=distinct,
        minimum=_text(counted.get(f"minimum {name}"), type_),
        maximum=_text(counted.get(f"maximum {name}"), type_),
        mean=None if mean is None or not math.isfinite(mean) else float(f"{mean * scale:.{_DIGITS}g}"),
        quantiles=tuple(float(q) * scale for q in quantiles if q is not None),
        top=top,
    )


def _levels(scan: pl.LazyFrame, name: str, distinct: int, sample: pl.Series) -> tuple[int, tuple[tuple[str, int], ...]]:
    """The number of levels and the most frequent ones."""
    column = scan.select(pl.col(name).cast(pl.String)).drop_nulls()
    is_exact = distinct <= EXACT_LEVELS
    if not is_exact:
        candidates = sample.cast(pl.String).drop_nulls().value_counts(sort=True).head(10 * TOP)[name]
        column = column.filter(pl.col(name).is_in(candidates.implode()))
    counts = column.group_by(name).len().collect()
    top = counts.sort(pl.col("len"), name, descending=[True, False]).head(TOP)
    return counts.height if is_exact else distinct, tuple((level, count) for level, count in top.iter_rows())


def _text(value: Any, type_: Type) -> str | None:
    if value is None:
        return None
    if type_ in (Type.DATE, Type.TIMESTAMP, Type.DURATION):
        return str(encode(value, type_))
    return str(value)
