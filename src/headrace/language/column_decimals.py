"""The columns forms of decimals: over the Int64 of their millionths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from headrace.language import column_scaled, row_decimals
from headrace.language.column_batches import Array, arrays, each_distinct, names_twice
from headrace.language.column_kernels import divide as divide_floats
from headrace.language.column_kernels import float_to_integer, round_half_away
from headrace.language.row_decimals import DIGITS, GREATEST_DECIMAL, PLACES, SCALE
from headrace.language.types import Type
from headrace.language.values import dtype

_HALF = SCALE // 2
_PLAIN = rf"\A-?[0-9]{{1,{DIGITS - PLACES}}}(?:\.[0-9]{{1,{PLACES}}})?\z"


def shown(millionths: pl.Expr) -> pl.Expr:
    """Millionths as the decimals that they are."""
    return millionths.cast(pl.Int128).reinterpret(dtype=dtype(Type.DECIMAL))


def _ranged(function: Callable[..., Array], *columns: pl.Expr) -> pl.Expr:
    """A function of arrays of millionths whose results stay within 64 bits; what has too many digits becomes null."""

    def over(*values: Any) -> tuple[Array, Array]:
        made = function(*values)
        return made, (made >= -GREATEST_DECIMAL) & (made <= GREATEST_DECIMAL)

    return arrays(over, Type.DECIMAL, *columns)


# --- arithmetic ------------------------------------------------------------------------------------------------------


def add(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return _ranged(lambda x, y: x + y, a, b)


def subtract(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return _ranged(lambda x, y: x - y, a, b)


def multiply(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    def over(x: Array, y: Array) -> tuple[Array, Array]:
        if int(np.abs(x).max(initial=0)) * int(np.abs(y).max(initial=0)) < 2**62:
            product = x * y
            found = (np.abs(product) + _HALF) // SCALE
            return np.where(product < 0, -found, found), found <= GREATEST_DECIMAL
        wide = pl.Series(x).cast(pl.Int128) * pl.Series(y).cast(pl.Int128)
        half, one, most = (pl.Series([x], dtype=pl.Int128) for x in (_HALF, SCALE, GREATEST_DECIMAL))
        moved = (wide.abs() + half) // one
        fits = (moved <= most).to_numpy()
        found = moved.cast(pl.Int64, strict=False).fill_null(0).to_numpy()
        return np.where((x < 0) != (y < 0), -found, found), fits

    return arrays(over, Type.DECIMAL, a, b)


def divide(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return divide_floats(a.cast(pl.Float64), b.cast(pl.Float64))


def round_to(a: pl.Expr, digits: int = 0) -> pl.Expr:
    step = 10 ** max(PLACES - digits, 0)
    return _ranged(lambda x: np.sign(x) * ((2 * np.abs(x) + step) // (2 * step) * step), a)


def floor(a: pl.Expr) -> pl.Expr:
    return _ranged(lambda x: x // SCALE * SCALE, a)


def ceil(a: pl.Expr) -> pl.Expr:
    return _ranged(lambda x: -(-x // SCALE * SCALE), a)


def trunc(a: pl.Expr) -> pl.Expr:
    return arrays(lambda x: x - np.fmod(x, SCALE), Type.DECIMAL, a)


@names_twice
def sum_of(*columns: pl.Expr) -> pl.Expr:
    total = pl.sum_horizontal([column.cast(pl.Int128) for column in columns])
    known = pl.any_horizontal([column.is_not_null() for column in columns])
    most = pl.lit(GREATEST_DECIMAL, dtype=pl.Int128)
    return pl.when(known & (total.abs() <= most)).then(total).cast(pl.Int64)


# --- from and to other types -----------------------------------------------------------------------------------------


def _within(a: pl.Expr) -> pl.Expr:
    return _ranged(lambda x: x, a)


def from_integer(a: pl.Expr) -> pl.Expr:
    def over(x: Array) -> tuple[Array, Array]:
        fits = (x > -(10**12)) & (x < 10**12)
        return np.where(fits, x, 0) * SCALE, fits

    return arrays(over, Type.DECIMAL, a)


def from_float(a: pl.Expr) -> pl.Expr:
    return _within(float_to_integer(round_half_away(a * 1e6)))


def from_float_exactly(a: pl.Expr) -> pl.Expr:
    """Of floats the decimals that they were written as; null where that is not told."""

    def over(x: Array) -> tuple[Array, Array]:
        small = np.abs(x) < float(1 << 33)
        found = np.rint(np.where(small, x, 0.0) * 1e6).astype(np.int64)
        fits = small & (found / 1e6 == x)
        for place in np.flatnonzero(~small):
            exact = row_decimals.float_exactly(float(x[place]))
            found[place], fits[place] = exact or 0, exact is not None
        return found, fits

    return arrays(over, Type.DECIMAL, a)


def from_boolean(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int64) * SCALE


def from_text(a: pl.Expr) -> pl.Expr:
    """Polars reads what is plain, which is nearly everything; it would also round, and take other writings."""

    def over(series: pl.Series) -> pl.Series:
        is_plain = series.str.contains(_PLAIN)
        plain = series.set(~is_plain, None) if not is_plain.all() else series
        found = plain.cast(dtype(Type.DECIMAL)).to_physical().cast(pl.Int64)
        if plain is series:
            return found
        odd = is_plain.not_().fill_null(value=False)
        read = series.filter(odd).to_frame("text").select(_within(column_scaled.from_text(pl.col("text"), PLACES)))
        return found.scatter(odd.arg_true(), read.to_series())

    return a.map_batches(over, return_dtype=pl.Int64(), is_elementwise=True)


@names_twice
def from_text_or(a: pl.Expr, default: pl.Expr) -> pl.Expr:
    known = a.is_not_null() & default.is_not_null()
    return pl.when(known).then(pl.coalesce(from_text(a), default))


@names_twice
def from_scaled(a: pl.Expr, places: int) -> pl.Expr:
    return _within(column_scaled.rescale(a, places, PLACES))


@names_twice
def to_scaled(a: pl.Expr, places: int) -> pl.Expr:
    if places >= PLACES:
        return column_scaled.rescale(a, PLACES, places)
    step = 10 ** (PLACES - places)
    return pl.when(a % step == 0).then(a // step)


def to_integer(a: pl.Expr) -> pl.Expr:
    return arrays(lambda x: (x - np.fmod(x, SCALE)) // SCALE, Type.INTEGER, a)


def to_float(a: pl.Expr) -> pl.Expr:
    return divide_floats(a.cast(pl.Float64), pl.lit(1e6))


def to_text(a: pl.Expr) -> pl.Expr:
    return each_distinct(row_decimals.decimal_to_text, Type.STRING, a)


# --- hashes ----------------------------------------------------------------------------------------------------------


def hash64(a: pl.Expr) -> pl.Expr:
    return each_distinct(row_decimals.hash64_of_decimal, Type.INTEGER, a)


def hash_bucket(a: pl.Expr, count: int) -> pl.Expr:
    return each_distinct(row_decimals.hash_bucket_in(count), Type.INTEGER, a)
