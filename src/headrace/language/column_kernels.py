"""The columns forms that do not fit in a line; imported only when a tree is compiled for columns.

Every kernel gives what its row form gives, to the bit, and takes nulls to nulls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from headrace.language import row_kernels as k
from headrace.language.types import Type
from headrace.language.values import dtype

_TIMESTAMP, _DURATION = pl.Datetime("us", "UTC"), pl.Duration("us")


def read(name: str, type_: Type) -> pl.Expr:
    """A column as the language sees it: a NaN, and an instant outside the years 1 to 9999, is null."""
    column = pl.col(name)
    if type_ is Type.FLOAT:
        return column.fill_nan(None)
    if type_ is Type.TIMESTAMP:
        return _within(column.cast(pl.Int64))
    if type_ is Type.DATE:
        return _within_days(column.cast(pl.Int64))
    return column


def literal(value: Any, type_: Type) -> pl.Expr:
    """A constant; an instant is given as its integer, so that no date passes through Python."""
    physical = {Type.TIMESTAMP: pl.Int64, Type.DURATION: pl.Int64, Type.DATE: pl.Int32}.get(type_, dtype(type_))
    return pl.lit(value, dtype=physical).cast(dtype(type_))


def each(kernel: Callable[..., Any], result: Type, *columns: pl.Expr) -> pl.Expr:
    """The row form over columns, value by value: for what is rare, or has no equal among the expressions of Polars."""

    def over(series: Sequence[pl.Series]) -> pl.Series:
        height = _height(series)
        lists = [_full(one, height).to_physical().to_list() for one in series]
        values = [None if None in row else kernel(*row) for row in zip(*lists, strict=True)]
        physical = {Type.TIMESTAMP: pl.Int64, Type.DURATION: pl.Int64, Type.DATE: pl.Int32}.get(result, dtype(result))
        return pl.Series(series[0].name, values, dtype=physical).cast(dtype(result))

    return pl.map_batches(list(columns), over, return_dtype=dtype(result), is_elementwise=True)


def _height(series: Sequence[pl.Series]) -> int:
    """Rows of a batch: a constant comes as one row."""
    return next((len(one) for one in series if len(one) != 1), 1)


def _full(series: pl.Series, height: int) -> pl.Series:
    return series if len(series) == height else series.new_from_index(0, height)


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
    return pl.when(b != 0.0).then(a / b)


def integer_divide(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    wide_a, wide_b = _wide(a), _wide(pl.when(b != 0).then(b))
    magnitude = wide_a.abs() // wide_b.abs()
    return _narrow(pl.when((a < 0) == (b < 0)).then(magnitude).otherwise(_opposite(magnitude)))


def integer_modulo(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    rest = _wide(a).abs() % _wide(pl.when(b != 0).then(b)).abs()
    return _narrow(pl.when(a < 0).then(_opposite(rest)).otherwise(rest))


def modulo(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return each(k.modulo, Type.FLOAT, a, b)


def sign(a: pl.Expr) -> pl.Expr:
    return (a > 0.0).cast(pl.Int64) - (a < 0.0).cast(pl.Int64)


def round_half_away(a: pl.Expr) -> pl.Expr:
    return a.round(0, mode="half_away_from_zero")


def round_to_digits(a: pl.Expr, digits: int) -> pl.Expr:
    scaled = a * 10.0**digits
    return pl.when(scaled.is_infinite()).then(a).otherwise(round_half_away(scaled) / 10.0**digits)


def greatest(first: pl.Expr, *others: pl.Expr) -> pl.Expr:
    for other in others:
        first = pl.when((other > first).is_null()).then(None).when(other > first).then(other).otherwise(first)
    return first


def least(first: pl.Expr, *others: pl.Expr) -> pl.Expr:
    for other in others:
        first = pl.when((other < first).is_null()).then(None).when(other < first).then(other).otherwise(first)
    return first


def clip(a: pl.Expr, low: pl.Expr, high: pl.Expr) -> pl.Expr:
    known = a.is_not_null() & low.is_not_null() & high.is_not_null()
    return pl.when(known).then(pl.when(a < low).then(low).when(a > high).then(high).otherwise(a))


def power(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return each(k.power, Type.FLOAT, a, b)


def sqrt(a: pl.Expr) -> pl.Expr:
    return a.sqrt()


def log10(a: pl.Expr) -> pl.Expr:
    return each(k.log10, Type.FLOAT, a)


def atan2(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.arctan2(a, b)


def radians(a: pl.Expr) -> pl.Expr:
    return a.radians()


def haversine(lat1: pl.Expr, lon1: pl.Expr, lat2: pl.Expr, lon2: pl.Expr) -> pl.Expr:
    north1, north2 = lat1.radians(), lat2.radians()
    s = ((north2 - north1) / 2.0).sin()
    t = ((lon2.radians() - lon1.radians()) / 2.0).sin()
    h = s * s + north1.cos() * north2.cos() * (t * t)
    return 2.0 * k.EARTH_RADIUS_KM * pl.when(h < 1.0).then(h).otherwise(h * 0.0 + 1.0).sqrt().arcsin()


# --- logic -----------------------------------------------------------------------------------------------------------


def is_in(a: pl.Expr, *values: Any) -> pl.Expr:
    expression = a == values[0] if len(values) == 1 else None
    if expression is None:
        expression = a.is_in(list(values))
    return pl.when(a.is_not_null()).then(expression)


def if_else(condition: pl.Expr, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.when(condition).then(a).otherwise(b)


def coalesce(*values: pl.Expr) -> pl.Expr:
    return pl.coalesce(*values)


def nullif(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.when((a == b).fill_null(value=False)).then(None).otherwise(a)


# --- text ------------------------------------------------------------------------------------------------------------


def concat(*texts: pl.Expr) -> pl.Expr:
    return pl.concat_str(*texts, ignore_nulls=False)


def lower(a: pl.Expr) -> pl.Expr:
    return each(str.lower, Type.STRING, a)


def upper(a: pl.Expr) -> pl.Expr:
    return each(str.upper, Type.STRING, a)


def trim(a: pl.Expr) -> pl.Expr:
    return a.str.strip_chars(" ")


def length(a: pl.Expr) -> pl.Expr:
    return a.str.len_chars().cast(pl.Int64)


def substring_from(a: pl.Expr, start: pl.Expr) -> pl.Expr:
    return each(k.substring_from, Type.STRING, a, start)


def substring(a: pl.Expr, start: pl.Expr, length: pl.Expr) -> pl.Expr:
    return each(k.substring, Type.STRING, a, start, length)


def left(a: pl.Expr, count: pl.Expr) -> pl.Expr:
    return each(k.left, Type.STRING, a, count)


def right(a: pl.Expr, count: pl.Expr) -> pl.Expr:
    return each(k.right, Type.STRING, a, count)


def replace(a: pl.Expr, search: str, replacement: str) -> pl.Expr:
    return a.str.replace_all(search, replacement, literal=True) if search else a


# --- time ------------------------------------------------------------------------------------------------------------


def _within(instant: pl.Expr) -> pl.Expr:
    return pl.when(instant.is_between(k.FIRST_INSTANT, k.LAST_INSTANT)).then(instant).cast(_TIMESTAMP)


def _within_days(day: pl.Expr) -> pl.Expr:
    return pl.when(day.is_between(k.FIRST_DAY, k.LAST_DAY)).then(day).cast(pl.Int32).cast(pl.Date)


def shift(a: pl.Expr, by: pl.Expr) -> pl.Expr:
    return _within(add_integers(a.cast(pl.Int64), by.cast(pl.Int64)))


def shift_back(a: pl.Expr, by: pl.Expr) -> pl.Expr:
    return _within(subtract_integers(a.cast(pl.Int64), by.cast(pl.Int64)))


def add_durations(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return add_integers(a.cast(pl.Int64), b.cast(pl.Int64)).cast(_DURATION)


def subtract_durations(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return subtract_integers(a.cast(pl.Int64), b.cast(pl.Int64)).cast(_DURATION)


def negate_duration(a: pl.Expr) -> pl.Expr:
    return negate_integer(a.cast(pl.Int64)).cast(_DURATION)


def abs_duration(a: pl.Expr) -> pl.Expr:
    return abs_integer(a.cast(pl.Int64)).cast(_DURATION)


def shift_days(a: pl.Expr, by: pl.Expr) -> pl.Expr:
    return _within_days(add_integers(a.cast(pl.Int64), by))


def shift_days_back(a: pl.Expr, by: pl.Expr) -> pl.Expr:
    return _within_days(subtract_integers(a.cast(pl.Int64), by))


def time_between(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return (a.cast(pl.Int64) - b.cast(pl.Int64)).cast(_DURATION)


def days_between(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int64) - b.cast(pl.Int64)


def divide_durations(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return each(lambda x, y: x / y if y else None, Type.FLOAT, a, b)


def integer_duration(a: pl.Expr, unit: int) -> pl.Expr:
    return _narrow(_wide(a) * unit).cast(_DURATION)


def float_duration(a: pl.Expr, unit: int) -> pl.Expr:
    return float_to_integer(round_half_away(a * float(unit))).cast(_DURATION)


def in_units(a: pl.Expr, unit: float) -> pl.Expr:
    return a.cast(pl.Int64).cast(pl.Float64) / unit


def year(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.year_in(zone), Type.INTEGER, a)


def month(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.month_in(zone), Type.INTEGER, a)


def day(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.day_in(zone), Type.INTEGER, a)


def weekday(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.weekday_in(zone), Type.INTEGER, a)


def day_of_year(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.day_of_year_in(zone), Type.INTEGER, a)


def is_weekend(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.is_weekend_in(zone), Type.BOOLEAN, a)


def hour(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.hour_in(zone), Type.INTEGER, a)


def minute(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.minute_in(zone), Type.INTEGER, a)


def second(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.second_in(zone), Type.INTEGER, a)


def date(a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.date_in(zone), Type.DATE, a)


def year_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.year().cast(pl.Int64)


def month_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.month().cast(pl.Int64)


def day_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.day().cast(pl.Int64)


def weekday_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.weekday().cast(pl.Int64)


def day_of_year_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.ordinal_day().cast(pl.Int64)


def is_weekend_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.weekday() >= 6


def timestamp_diff(unit: str, start: pl.Expr, end: pl.Expr) -> pl.Expr:
    return each(k.timestamp_diff_in(unit), Type.INTEGER, start, end)


def date_diff(unit: str, start: pl.Expr, end: pl.Expr) -> pl.Expr:
    return each(k.date_diff_in(unit), Type.INTEGER, start, end)


def date_trunc(unit: str, a: pl.Expr, zone: str) -> pl.Expr:
    return each(k.date_trunc_in(unit, zone), Type.TIMESTAMP, a)


def local_time(a: pl.Expr, minute: pl.Expr, zone: pl.Expr) -> pl.Expr:
    return each(k.local_time, Type.TIMESTAMP, a, minute, zone)


def next_local_time(after: pl.Expr, hhmm: pl.Expr, zone: pl.Expr) -> pl.Expr:
    return each(k.next_local_time, Type.TIMESTAMP, after, hhmm, zone)


# --- conversion ------------------------------------------------------------------------------------------------------


def to_integer(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int64)


def to_float(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Float64)


def to_string(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.String)


def float_to_integer(a: pl.Expr) -> pl.Expr:
    return _narrow(a)


def text_to_integer(a: pl.Expr) -> pl.Expr:
    return pl.when(a.str.contains(r"^[+-]?[0-9]{1,19}$")).then(a.str.strip_prefix("+").cast(pl.Int64, strict=False))


def text_to_float(a: pl.Expr) -> pl.Expr:
    return each(k.text_to_float, Type.FLOAT, a)


def float_to_string(a: pl.Expr) -> pl.Expr:
    return each(k.float_to_text, Type.STRING, a)


def date_to_string(a: pl.Expr) -> pl.Expr:
    return each(k.date_to_text, Type.STRING, a)


def timestamp_to_string(a: pl.Expr) -> pl.Expr:
    return each(k.timestamp_to_text, Type.STRING, a)


def text_to_boolean(a: pl.Expr) -> pl.Expr:
    return pl.when(a == "true").then(pl.lit(value=True)).when(a == "false").then(pl.lit(value=False))


def text_to_date(a: pl.Expr) -> pl.Expr:
    return each(k.text_to_date, Type.DATE, a)


def text_to_timestamp(a: pl.Expr) -> pl.Expr:
    return each(k.text_to_timestamp, Type.TIMESTAMP, a)


def timestamp_to_date(a: pl.Expr) -> pl.Expr:
    return (a.cast(pl.Int64) // k.DAY).cast(pl.Int32).cast(pl.Date)


def date_to_timestamp(a: pl.Expr) -> pl.Expr:
    return (a.cast(pl.Int64) * k.DAY).cast(_TIMESTAMP)
