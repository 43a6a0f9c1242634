"""The columns forms of the statistics of several arguments, of hashes and of buckets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from headrace.language import row_lists
from headrace.language.column_batches import (
    Array,
    arrays,
    each_distinct,
    even,
    folded,
    names_twice,
    stacked,
    takes_result,
)
from headrace.language.types import Type
from headrace.language.values import dtype


def count_nulls(*columns: pl.Expr) -> pl.Expr:
    return pl.sum_horizontal([column.is_null().cast(pl.Int64) for column in columns])


def count_true(*columns: pl.Expr) -> pl.Expr:
    return pl.sum_horizontal([column.fill_null(value=False).cast(pl.Int64) for column in columns])


@names_twice
def sum_of_integers(*columns: pl.Expr) -> pl.Expr:
    total = pl.sum_horizontal([column.cast(pl.Int128) for column in columns])
    known = pl.any_horizontal([column.is_not_null() for column in columns])
    return pl.when(known).then(total).cast(pl.Int64, strict=False)


def sum_of(*columns: pl.Expr) -> pl.Expr:
    return stacked(lambda values, known: (_sum(values, known), _any(known)), Type.FLOAT, *columns)


def mean_of(*columns: pl.Expr) -> pl.Expr:
    def over(values: Array, known: Array) -> tuple[Array, Array]:
        return _sum(values, known) / known.sum(axis=0), _any(known)

    return stacked(over, Type.FLOAT, *columns)


def stddev_of(*columns: pl.Expr) -> pl.Expr:
    def over(values: Array, known: Array) -> tuple[Array, Array]:
        count = known.sum(axis=0)
        away = values - _sum(values, known) / count
        return np.sqrt(_sum(away * away, known) / (count - 1)), count > 1

    return stacked(over, Type.FLOAT, *columns)


def median_of(*columns: pl.Expr) -> pl.Expr:
    def over(values: Array, known: Array) -> tuple[Array, Array]:
        ascending = np.sort(np.where(known, values, np.nan), axis=0)  # NaN comes last
        count = known.sum(axis=0)
        middle, rows = count // 2, np.arange(values.shape[1])
        upper = ascending[np.minimum(middle, len(values) - 1), rows]
        lower = ascending[np.maximum(middle - 1, 0), rows]
        return np.where(count % 2 == 1, upper, lower * 0.5 + upper * 0.5), count > 0

    return stacked(over, Type.FLOAT, *columns)


def _sum(values: Array, known: Array) -> Array:
    """From the first to the last, as the row form adds; NumPy's own sum adds in another order."""
    total = np.zeros(values.shape[1])
    for value, there in zip(values, known, strict=True):
        total = np.where(there, total + value, total)
    return total


def _any(known: Array) -> Array:
    found: Array = np.logical_or.reduce(known)
    return found


Better = Callable[[pl.Series, pl.Series], pl.Series]


@takes_result
def max_of(result: Type, *columns: pl.Expr) -> pl.Expr:
    return _best(lambda new, old: new > old, result, columns)


@takes_result
def min_of(result: Type, *columns: pl.Expr) -> pl.Expr:
    return _best(lambda new, old: new < old, result, columns)


def _best(better: Better, result: Type, columns: Sequence[pl.Expr]) -> pl.Expr:
    return folded(lambda best, new: new.zip_with(_wins(better, best, new), best), result, *columns)


def argmax_of(*columns: pl.Expr) -> pl.Expr:
    return _place(lambda new, old: new > old, columns)


def argmin_of(*columns: pl.Expr) -> pl.Expr:
    return _place(lambda new, old: new < old, columns)


def _place(better: Better, columns: Sequence[pl.Expr]) -> pl.Expr:
    def over(series: Sequence[pl.Series]) -> pl.Series:
        best, *others = even(series)
        place = np.where(best.is_not_null().to_numpy(), 1, 0)
        for at, new in enumerate(others, 2):
            wins = _wins(better, best, new)
            best = new.zip_with(wins, best)
            place = np.where(wins.to_numpy(), at, place)
        return pl.Series(series[0].name, place, dtype=pl.Int64).set(pl.Series(place == 0), None)

    return pl.map_batches(list(columns), over, return_dtype=pl.Int64(), is_elementwise=True)


def _wins(better: Better, best: pl.Series, new: pl.Series) -> pl.Series:
    return (new.is_not_null() & best.is_null()) | better(new, best).fill_null(value=False)


# --- hashes and buckets ----------------------------------------------------------------------------------------------


def hash64(a: pl.Expr) -> pl.Expr:
    return each_distinct(row_lists.hash64, Type.INTEGER, a)


def hash64_of_integer(a: pl.Expr) -> pl.Expr:
    return each_distinct(row_lists.hash64_of_integer, Type.INTEGER, a)


def hash_bucket(a: pl.Expr, count: int) -> pl.Expr:
    return each_distinct(row_lists.hash_bucket_in(count), Type.INTEGER, a)


def hash_bucket_of_integer(a: pl.Expr, count: int) -> pl.Expr:
    return each_distinct(row_lists.hash_bucket_of_integer_in(count), Type.INTEGER, a)


def bucket(a: pl.Expr, *edges: Any) -> pl.Expr:
    def over(series: pl.Series) -> pl.Series:
        plain = series.to_physical()
        ascending = pl.Series(sorted(edges), dtype=plain.dtype)
        found = ascending.search_sorted(plain, side="right").cast(pl.Int64)
        return found.set(series.is_null(), None) if series.null_count() else found

    return a.map_batches(over, return_dtype=dtype(Type.INTEGER), is_elementwise=True)


def width_bucket(a: pl.Expr, low: float, high: float, count: int) -> pl.Expr:
    width = high - low

    def over(x: Array) -> Array:
        inside = (x >= low) & (x < high)
        places = np.minimum(np.where(inside, (x - low) / width * count, 0.0).astype(np.int64), count - 1) + 1
        found: Array = np.where(inside, places, np.where(x < low, 0, count + 1))
        return found

    return arrays(over, Type.INTEGER, a)
