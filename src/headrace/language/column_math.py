"""The columns forms of mathematics and of bits.

NumPy has its own vectorised expm1, log2, … that differ from the C library's in the last bit: where Polars does not call
the C library, the row form is asked value by value.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from headrace.language import row_math
from headrace.language.column_batches import Array, arrays, each
from headrace.language.types import Type


def pi() -> pl.Expr:
    return pl.lit(math.pi)


def log2(a: pl.Expr) -> pl.Expr:
    return each(row_math.log2, Type.FLOAT, a)


def expm1(a: pl.Expr) -> pl.Expr:
    return each(row_math.expm1, Type.FLOAT, a)


def cbrt(a: pl.Expr) -> pl.Expr:
    return each(row_math.cbrt, Type.FLOAT, a)


def hypot(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return arrays(np.hypot, Type.FLOAT, a, b)


def trunc(a: pl.Expr) -> pl.Expr:
    return arrays(np.trunc, Type.FLOAT, a)


def sigmoid(a: pl.Expr) -> pl.Expr:
    return arrays(lambda grown: 1.0 / (1.0 + grown), Type.FLOAT, (-a).exp())


def logit(a: pl.Expr) -> pl.Expr:
    return arrays(lambda p: p / (1.0 - p), Type.FLOAT, a).log()


def gcd(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    def over(x: Array, y: Array) -> tuple[Array, Array]:
        found = np.gcd(x, y)
        return found, found >= 0  # 2^63 does not fit

    return arrays(over, Type.INTEGER, a, b)


def floor_mod(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    def over(x: Array, y: Array) -> tuple[Array, Array]:
        rest = np.fmod(x, y)
        found = np.where((rest != 0.0) & ((rest < 0.0) != (y < 0.0)), rest + y, rest)
        return found, (y != 0.0) & np.isfinite(x)

    return arrays(over, Type.FLOAT, a, b)


def floor_mod_of_integers(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return arrays(lambda x, y: (np.mod(x, y), y != 0), Type.INTEGER, a, b)


def cyclic_sin(a: pl.Expr, period: float) -> pl.Expr:
    return _turned(a, period).sin()


def cyclic_cos(a: pl.Expr, period: float) -> pl.Expr:
    return _turned(a, period).cos()


def _turned(a: pl.Expr, period: float) -> pl.Expr:
    return arrays(lambda x: np.fmod(x, period) / period * math.tau, Type.FLOAT, a)


def cell(a: pl.Expr, size: float) -> pl.Expr:
    def over(x: Array) -> tuple[Array, Array]:
        found = np.floor(x / size)
        fits = (found >= -9223372036854775808.0) & (found < 9223372036854775808.0)
        return np.where(fits, found, 0.0).astype(np.int64), fits

    return arrays(over, Type.INTEGER, a)


# --- bits ------------------------------------------------------------------------------------------------------------


def bit_count(a: pl.Expr) -> pl.Expr:
    return a.bitwise_count_ones().cast(pl.Int64)


def shift_left(a: pl.Expr, places: pl.Expr) -> pl.Expr:
    def over(x: Array, by: Array) -> tuple[Array, Array]:
        near = np.clip(by, 0, 63)
        shifted = x << near
        return shifted, (by == near) & (shifted >> near == x)

    return arrays(over, Type.INTEGER, a, places)


def shift_right(a: pl.Expr, places: pl.Expr) -> pl.Expr:
    def over(x: Array, by: Array) -> tuple[Array, Array]:
        near = np.clip(by, 0, 63)
        return x >> near, by == near

    return arrays(over, Type.INTEGER, a, places)
