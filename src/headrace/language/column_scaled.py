"""The columns forms of exact decimals."""

from __future__ import annotations

import polars as pl

from headrace.language import row_scaled
from headrace.language.column_batches import each_distinct, names_twice
from headrace.language.column_kernels import divide, float_to_integer, round_half_away
from headrace.language.types import Type

_DECIMAL = r"^(?:[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))$"


@names_twice
def from_text(a: pl.Expr, places: int) -> pl.Expr:
    fraction = a.str.extract(r"\.([0-9]*)", 1).fill_null("").str.strip_chars_end("0")
    good = a.str.contains(_DECIMAL) & (fraction.str.len_bytes() <= places)
    sign = pl.when(a.str.starts_with("-")).then(pl.lit("-")).otherwise(pl.lit(""))
    whole = a.str.extract(r"^[+-]?([0-9]*)", 1).str.strip_chars_start("0")
    digits = pl.concat_str(sign, pl.lit("0"), whole, fraction.str.pad_end(places, "0"))
    return pl.when(good).then(digits).cast(pl.Int64, strict=False)


@names_twice
def from_integer(a: pl.Expr, places: int) -> pl.Expr:
    return rescale(a, 0, places)


def from_float(a: pl.Expr, places: int) -> pl.Expr:
    return float_to_integer(round_half_away(a * 10.0**places))


def to_float(a: pl.Expr, places: int) -> pl.Expr:
    return divide(a.cast(pl.Float64), pl.lit(10.0**places))


def to_text(a: pl.Expr, places: int) -> pl.Expr:
    return each_distinct(row_scaled.to_text_in(places), Type.STRING, a)


@names_twice
def rescale(a: pl.Expr, places: int, wanted: int) -> pl.Expr:
    wide = a.cast(pl.Int128).abs() * pl.lit(10 ** max(wanted - places, 0), dtype=pl.Int128)
    down = 10 ** max(places - wanted, 0)
    moved = (wide * 2 + pl.lit(down, dtype=pl.Int128)) // pl.lit(2 * down, dtype=pl.Int128)
    signed = pl.when(a < 0).then(pl.lit(0, dtype=pl.Int128) - moved).otherwise(moved)
    return signed.cast(pl.Int64, strict=False)
