"""The columns forms that do not fit in a line; imported only when a tree is compiled for columns.

Every kernel gives what its row form gives, to the bit, and takes nulls to nulls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from headrace.language import row_kernels as k
from headrace.language.column_batches import arrays, each, even, folded, inside, names_twice, physical, takes_result
from headrace.language.regex import compile_pattern
from headrace.language.types import Type
from headrace.language.values import dtype
from headrace.language.zones import DAY, FIRST_DAY, FIRST_INSTANT, LAST_DAY, LAST_INSTANT, SECOND

_TIMESTAMP, _DURATION = pl.Datetime("us", "UTC"), pl.Duration("us")


def read(name: str, type_: Type) -> pl.Expr:
    """A column as the language sees it: a time outside the years 1 to 9999 is null (`columns` settles floats)."""
    column = pl.col(name)
    if type_ is Type.TIMESTAMP:
        return in_years(column.cast(pl.Int64))
    if type_ is Type.DATE:
        return _within_days(column.cast(pl.Int64))
    if type_ is Type.DECIMAL:
        return column.cast(dtype(type_), strict=False).to_physical().cast(pl.Int64)
    return column


def literal(value: Any, type_: Type) -> pl.Expr:
    """A constant; an instant is given as its integer, so that no date passes through Python."""
    if isinstance(value, float):
        value += 0.0
    return pl.lit(value, dtype=physical(type_)).cast(inside(type_))


# --- numbers ---------------------------------------------------------------------------------------------------------


def _wide(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int128)


def _opposite(a: pl.Expr) -> pl.Expr:
    return pl.lit(0, dtype=pl.Int128) - a


def _narrow(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int64, strict=False)


def add_integers(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return _narrow(_wide(a) + _wide(b))


def subtract_integers(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return _narrow(_wide(a) - _wide(b))


def multiply_integers(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return _narrow(_wide(a) * _wide(b))


def negate_integer(a: pl.Expr) -> pl.Expr:
    return _narrow(_opposite(_wide(a)))


def abs_integer(a: pl.Expr) -> pl.Expr:
    return _narrow(_wide(a).abs())


def divide(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return arrays(lambda x, y: (np.divide(x, y), y != 0.0), Type.FLOAT, a, b)


@names_twice
def integer_divide(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    magnitude = _wide(a).abs() // _wide(pl.when(b != 0).then(b)).abs()
    return _narrow(pl.when((a < 0) == (b < 0)).then(magnitude).otherwise(_opposite(magnitude)))


@names_twice
def integer_modulo(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    rest = _wide(a).abs() % _wide(pl.when(b != 0).then(b)).abs()
    return _narrow(pl.when(a < 0).then(_opposite(rest)).otherwise(rest))


def modulo(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return arrays(lambda x, y: (np.fmod(x, y), (y != 0.0) & np.isfinite(x)), Type.FLOAT, a, b)


def sign(a: pl.Expr) -> pl.Expr:
    return a.sign().cast(pl.Int64)


def round_half_away(a: pl.Expr) -> pl.Expr:
    return a.round(0, mode="half_away_from_zero")


@names_twice
def round_to_digits(a: pl.Expr, digits: int) -> pl.Expr:
    scaled = a * 10.0**digits
    return pl.when(scaled.is_infinite()).then(a).otherwise(divide(round_half_away(scaled), pl.lit(10.0**digits)))


@takes_result
def greatest(result: Type, *values: pl.Expr) -> pl.Expr:
    return folded(lambda best, new: _kept(new > best, new, best), result, *values)


@takes_result
def least(result: Type, *values: pl.Expr) -> pl.Expr:
    return folded(lambda best, new: _kept(new < best, new, best), result, *values)


def _kept(answer: pl.Series, new: pl.Series, best: pl.Series) -> pl.Series:
    """The better one of two; null where there is no answer, as one of them is null."""
    chosen = new.zip_with(answer.fill_null(value=False), best)
    return chosen.set(answer.is_null(), None) if answer.null_count() else chosen


@names_twice
def clip(a: pl.Expr, low: pl.Expr, high: pl.Expr) -> pl.Expr:
    known = a.is_not_null() & low.is_not_null() & high.is_not_null()
    return pl.when(known).then(pl.when(a < low).then(low).when(a > high).then(high).otherwise(a))


def power(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """The C library's pow, as in Python; Polars takes short cuts if the exponent is one value, so it never is here."""

    def over(series: Sequence[pl.Series]) -> pl.Series:
        x, y = even([*series, pl.Series([1.0, 1.0])] if len(series[0]) == len(series[1]) == 1 else series)[:2]
        return x.pow(y).head(max(len(one) for one in series))

    return pl.map_batches([a, b], over, return_dtype=pl.Float64(), is_elementwise=True)


def sqrt(a: pl.Expr) -> pl.Expr:
    return a.sqrt()


def log10(a: pl.Expr) -> pl.Expr:
    return each(k.log10, Type.FLOAT, a)


def atan2(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.arctan2(a, b)


def radians(a: pl.Expr) -> pl.Expr:
    return a.radians()


@names_twice
def haversine(lat1: pl.Expr, lon1: pl.Expr, lat2: pl.Expr, lon2: pl.Expr) -> pl.Expr:
    north1, north2 = lat1.radians(), lat2.radians()
    s = ((north2 - north1) / 2.0).sin()
    t = ((lon2.radians() - lon1.radians()) / 2.0).sin()
    h = s * s + north1.cos() * north2.cos() * (t * t)
    # NaN is above every number to Polars, so it must go the way of the numbers above 1, and stay NaN there
    distance = pl.when(h < 1.0).then(h).otherwise(h * 0.0 + 1.0).sqrt().arcsin() * (2.0 * k.EARTH_RADIUS_KM)
    return pl.when(lat1.is_between(-90.0, 90.0) & lat2.is_between(-90.0, 90.0)).then(distance)


# --- logic -----------------------------------------------------------------------------------------------------------


def is_in(a: pl.Expr, *values: Any) -> pl.Expr:
    return a.to_physical().is_in(list(values))


def if_else(condition: pl.Expr, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.when(condition).then(a).otherwise(b)


def coalesce(*values: pl.Expr) -> pl.Expr:
    return pl.coalesce(*values)


@names_twice
def null_if_zero(a: pl.Expr) -> pl.Expr:
    return pl.when(a != 0).then(a)


@names_twice
def nullif(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.when((a == b).fill_null(value=False)).then(None).otherwise(a)


# --- text ------------------------------------------------------------------------------------------------------------


def concat(*texts: pl.Expr) -> pl.Expr:
    return pl.concat_str(*texts, ignore_nulls=False)


def lower(a: pl.Expr) -> pl.Expr:
    return _cased(a, str.lower, lambda series: series.str.to_lowercase())


def upper(a: pl.Expr) -> pl.Expr:
    return _cased(a, str.upper, lambda series: series.str.to_uppercase())


def _cased(a: pl.Expr, slow: Callable[[str], str], fast: Callable[[pl.Series], pl.Series]) -> pl.Expr:
    """Polars and Python carry different editions of Unicode; they agree on ASCII, the rest is Python's."""

    def over(series: pl.Series) -> pl.Series:
        if (series.str.len_bytes() == series.str.len_chars()).all():
            return fast(series)
        return pl.Series(series.name, [None if text is None else slow(text) for text in series], dtype=pl.String)

    return a.map_batches(over, return_dtype=pl.String(), is_elementwise=True)


def trim(a: pl.Expr) -> pl.Expr:
    return a.str.strip_chars(" ")


def length(a: pl.Expr) -> pl.Expr:
    return a.str.len_chars().cast(pl.Int64)


_LONGEST = 1 << 40
"""More than any text has; counts are cut to it so that sums of them stay in range."""


def _count(a: pl.Expr) -> pl.Expr:
    return a.clip(0, _LONGEST)


@names_twice
def substring_from(a: pl.Expr, start: pl.Expr) -> pl.Expr:
    return _sliced(a, start.clip(1, _LONGEST) - 1, pl.lit(_LONGEST))


@names_twice
def substring(a: pl.Expr, start: pl.Expr, length: pl.Expr) -> pl.Expr:
    begin = start.clip(1, _LONGEST) - 1
    end = _wide(start) - 1 + _wide(pl.when(length >= 0).then(length))
    count = pl.when(end < 0).then(0).when(end > _LONGEST).then(_LONGEST).otherwise(_narrow(end)) - begin
    return pl.when(end.is_not_null()).then(_sliced(a, begin, _count(count)))


@names_twice
def left(a: pl.Expr, count: pl.Expr) -> pl.Expr:
    return _sliced(a, pl.lit(0), _count(count))


@names_twice
def right(a: pl.Expr, count: pl.Expr) -> pl.Expr:
    size = length(a)
    return _sliced(a, _count(size - _count(count)), _count(count))


def _sliced(a: pl.Expr, offset: pl.Expr, count: pl.Expr) -> pl.Expr:
    known = offset.is_not_null() & count.is_not_null()
    return pl.when(known).then(a.str.slice(offset.fill_null(0), count.fill_null(0).cast(pl.UInt64)))


def replace(a: pl.Expr, search: str, replacement: str) -> pl.Expr:
    return a.str.replace_all(search, replacement, literal=True) if search else a


def regexp_matches(a: pl.Expr, pattern: str) -> pl.Expr:
    return a.str.contains(compile_pattern(pattern).rust)


# --- time ------------------------------------------------------------------------------------------------------------


def in_years(instant: pl.Expr) -> pl.Expr:
    return pl.when(instant.is_between(FIRST_INSTANT, LAST_INSTANT)).then(instant).cast(_TIMESTAMP)


def _within_days(day: pl.Expr) -> pl.Expr:
    return pl.when(day.is_between(FIRST_DAY, LAST_DAY)).then(day).cast(pl.Int32).cast(pl.Date)


@names_twice
def shift(a: pl.Expr, by: pl.Expr) -> pl.Expr:
    return in_years(add_integers(a.cast(pl.Int64), by.cast(pl.Int64)))


@names_twice
def shift_back(a: pl.Expr, by: pl.Expr) -> pl.Expr:
    return in_years(subtract_integers(a.cast(pl.Int64), by.cast(pl.Int64)))


def add_durations(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return add_integers(a.cast(pl.Int64), b.cast(pl.Int64)).cast(_DURATION)


def subtract_durations(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return subtract_integers(a.cast(pl.Int64), b.cast(pl.Int64)).cast(_DURATION)


def negate_duration(a: pl.Expr) -> pl.Expr:
    return negate_integer(a.cast(pl.Int64)).cast(_DURATION)


def abs_duration(a: pl.Expr) -> pl.Expr:
    return abs_integer(a.cast(pl.Int64)).cast(_DURATION)


@names_twice
def shift_days(a: pl.Expr, by: pl.Expr) -> pl.Expr:
    return _within_days(add_integers(a.cast(pl.Int64), by))


@names_twice
def shift_days_back(a: pl.Expr, by: pl.Expr) -> pl.Expr:
    return _within_days(subtract_integers(a.cast(pl.Int64), by))


def time_between(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return (a.cast(pl.Int64) - b.cast(pl.Int64)).cast(_DURATION)


def days_between(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int64) - b.cast(pl.Int64)


def divide_durations(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return divide(_as_float(a), _as_float(b))


def integer_duration(a: pl.Expr, unit: int) -> pl.Expr:
    return _narrow(_wide(a) * unit).cast(_DURATION)


def float_duration(a: pl.Expr, unit: int) -> pl.Expr:
    return _narrow(round_half_away(a * float(unit))).cast(_DURATION)


def in_units(a: pl.Expr, unit: float) -> pl.Expr:
    return divide(_as_float(a), pl.lit(unit))


def _as_float(duration: pl.Expr) -> pl.Expr:
    return duration.cast(pl.Int64).cast(pl.Float64)


# --- conversion ------------------------------------------------------------------------------------------------------


def to_integer(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int64)


def to_float(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Float64)


def to_string(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.String)


def float_to_integer(a: pl.Expr) -> pl.Expr:
    return _narrow(a)


@names_twice
def text_to_integer(a: pl.Expr) -> pl.Expr:
    return pl.when(a.str.contains(r"^[+-]?[0-9]{1,19}$")).then(a.str.strip_prefix("+").cast(pl.Int64, strict=False))


@names_twice
def text_to_float(a: pl.Expr) -> pl.Expr:
    return pl.when(a.str.contains(r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$")).then(
        a.cast(pl.Float64, strict=False)
    )


def float_to_string(a: pl.Expr) -> pl.Expr:
    return each(k.float_to_text, Type.STRING, a)


def date_to_string(a: pl.Expr) -> pl.Expr:
    return a.dt.to_string("%Y-%m-%d")


@names_twice
def timestamp_to_string(a: pl.Expr) -> pl.Expr:
    whole = a.dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    return pl.when(a.cast(pl.Int64) % SECOND == 0).then(whole).otherwise(a.dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"))


@names_twice
def text_to_boolean(a: pl.Expr) -> pl.Expr:
    return pl.when(a == "true").then(pl.lit(value=True)).when(a == "false").then(pl.lit(value=False))


def text_to_date(a: pl.Expr) -> pl.Expr:
    return each(k.text_to_date, Type.DATE, a)


def text_to_timestamp(a: pl.Expr) -> pl.Expr:
    return each(k.text_to_timestamp, Type.TIMESTAMP, a)


def timestamp_to_date(a: pl.Expr) -> pl.Expr:
    return (a.cast(pl.Int64) // DAY).cast(pl.Int32).cast(pl.Date)


def date_to_timestamp(a: pl.Expr) -> pl.Expr:
    return (a.cast(pl.Int64) * DAY).cast(_TIMESTAMP)


def _or_default(read: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Expr, pl.Expr], pl.Expr]:
    """A reading that gives a default where it fails; null where either argument is null."""

    def of(a: pl.Expr, default: pl.Expr) -> pl.Expr:
        known = a.is_not_null() & default.is_not_null()
        return pl.when(known).then(pl.coalesce(read(a), default))

    return names_twice(of)


float_to_integer_or = _or_default(float_to_integer)
text_to_integer_or = _or_default(text_to_integer)
text_to_float_or = _or_default(text_to_float)
text_to_boolean_or = _or_default(text_to_boolean)
text_to_date_or = _or_default(text_to_date)
text_to_timestamp_or = _or_default(text_to_timestamp)
