"""From a column as it was read to a column of its type: the value, and which cells do not fit.

| read as   | wanted              | rule                                                                           |
|-----------|---------------------|--------------------------------------------------------------------------------|
| text      | integer, float      | a number, blanks around it allowed, blanks alone are null; "57.0" is no integer |
| text      | decimal             | exactly: at most 12 digits before the point and 6 after it, zeros apart         |
| text      | boolean             | true or false in any case, 1 or 0                                              |
| text      | date, timestamp     | ISO 8601; without an offset a timestamp is wall-clock time of the column's zone |
| integer   | decimal, float, text | the same number                                                               |
| float     | decimal             | the one that it was written as, if that is told                                 |
| float     | integer             | if it has no fraction                                                          |
| decimal   | float, text         | the same number                                                                |
| number    | boolean             | 1 or 0                                                                         |
| number    | duration            | seconds                                                                        |
| date      | timestamp           | its midnight in the column's zone                                              |
| timestamp | date                | at midnight only                                                               |
| any       | text                | as JSON would write it                                                         |

A column rule may say that numbers are written with a decimal comma or with thousands apart, that dates follow a format,
or that texts are codes for others: then texts are read so, and nothing else fits.

Whatever is not here does not fit. A NaN is no misfit: it becomes null, and that is counted as a repair.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from headrace.data.times import TIMESTAMP, dates_by, instants_by, timestamps_of_zones, to_utc
from headrace.definition.model import ColumnRule
from headrace.language import column_decimals, column_kernels, column_scaled
from headrace.language.column_batches import apply
from headrace.language.types import Type
from headrace.language.values import dtype, type_of_dtype

_BLANKS = " \t\r"
_LEAST, _BEYOND = -(2.0**63), 2.0**63
_TEXTS = (Type.STRING, Type.CATEGORY)
_APART = {" ": "[ \\u{a0}\\u{202f}]"}
_WRITTEN_BLANKS = _BLANKS + "\u00a0\u202f"


@dataclass(frozen=True, slots=True)
class Cast:
    """A column's way to its type, as expressions over the column as read."""

    value: pl.Expr
    present: pl.Expr | None = None
    """What must not become null in `value`; None where every cell fits."""
    nan: pl.Expr | None = None
    """Whether the cell is a NaN, which `value` makes null; None where that cannot be."""


def plain(read: pl.DataType) -> pl.DataType | None:
    """The type that a column is held in as read, which loses nothing of it; None for lists, structs and bytes."""
    if read in (pl.UInt64, pl.Int128, pl.UInt128):
        return pl.String()  # may be beyond 64 bits, which the cast then finds
    if type_of_dtype(read) is Type.DECIMAL:
        return dtype(Type.DECIMAL)
    if read.is_float() or read.is_decimal():
        return pl.Float64()
    if read.is_integer():
        return pl.Int64()
    if isinstance(read, pl.Datetime):
        return pl.Datetime("us", "UTC" if read.time_zone else None)
    if isinstance(read, pl.Duration):
        return pl.Duration("us")
    if isinstance(read, pl.Categorical | pl.Enum | pl.Time):
        return pl.String()
    return read if read in (pl.String, pl.Boolean, pl.Date, pl.Null) else None


def as_text(name: str, read: pl.DataType) -> pl.Expr:
    """A column's values as text that casts back to them."""
    column = pl.col(name)
    if isinstance(read, pl.Datetime):
        return column.dt.strftime(_instant_format(read))
    if isinstance(read, pl.Duration):
        return (column.dt.total_microseconds() / 1e6).cast(pl.String).alias(name)
    return column.cast(pl.String)


def _instant_format(read: pl.Datetime) -> str:
    return "%Y-%m-%dT%H:%M:%S%.f%:z" if read.time_zone else "%Y-%m-%dT%H:%M:%S%.f"


def cast_of(
    name: str, read: pl.DataType, wanted: Type, rule: ColumnRule | None = None, *, missing: tuple[str, ...] = ()
) -> Cast:
    """How the column `name`, read as `read`, becomes `wanted`; texts in `missing` are null before anything else."""
    column, rule = pl.col(name), rule or ColumnRule()
    zone = rule.zone or "UTC"
    if read == pl.Null:
        return Cast(column.cast(dtype(wanted)))
    if rule.codes and read != pl.String:
        column, read = _code_text(column, read), pl.String()
    if read == pl.String:
        return _from_text(pl.when(~column.is_in(missing)).then(column) if missing else column, wanted, rule)
    if rule.places is not None and read in (pl.Float64, pl.Int64):
        return _counted(column, read, rule.places)
    if read == pl.Float64:
        return _from_float(column, wanted)
    if read == pl.Int64:
        return _from_integer(column, wanted)
    if read == pl.Boolean:
        return _from_boolean(column, wanted)
    if read.is_decimal():
        return _from_decimal(name, column, wanted, rule)
    return _from_time(column, read, wanted, zone)


def number(text: pl.Expr, wanted: Type) -> pl.Expr:
    """A number's text as the CSV reader takes it, and with blanks after it; null where it is none."""
    return text.str.strip_chars(_BLANKS).cast(dtype(wanted), strict=False)


def _never(column: pl.Expr, wanted: Type) -> Cast:
    return Cast(pl.lit(None, dtype=dtype(wanted)), column)


def _code_text(column: pl.Expr, read: pl.DataType) -> pl.Expr:
    """A value as a list of codes names it: a whole number without a fraction, whatever it is held in."""
    text = column.cast(pl.String)
    return text.str.strip_suffix(".0") if read == pl.Float64 else text


def _from_text(text: pl.Expr, wanted: Type, rule: ColumnRule) -> Cast:
    if rule.codes:
        decoded = text.replace_strict(dict(rule.codes), default=None, return_dtype=pl.String)
        inner = _plain_from_text(decoded, wanted, rule)
        return Cast(inner.value, text, inner.nan)
    return _plain_from_text(text, wanted, rule)


def _plain_from_text(text: pl.Expr, wanted: Type, rule: ColumnRule) -> Cast:
    if wanted in _TEXTS:
        return Cast(text)
    if wanted in (Type.DATE, Type.TIMESTAMP):
        return _time_from_text(text, wanted, rule)
    if rule.decimal != "." or rule.thousands:
        return _written_number(text, wanted, rule)
    text = pl.when(text.str.strip_chars(_BLANKS) != "").then(text)
    if rule.places is not None:
        return Cast(_places_of(text.str.strip_chars(_BLANKS), rule.places), text)
    if wanted is Type.DECIMAL:
        return Cast(_decimal_of(text.str.strip_chars(_BLANKS)), text)
    if wanted is Type.INTEGER:
        return Cast(number(text, wanted), text)
    if wanted is Type.FLOAT:
        value = number(text, wanted)
        is_nan = value.is_nan().fill_null(value=False)
        return Cast(value.fill_nan(None), pl.when(~is_nan).then(text), is_nan)
    if wanted is Type.BOOLEAN:
        lower = text.str.strip_chars(_BLANKS).str.to_lowercase()
        return Cast(_boolean(lower.is_in(["true", "1"]), lower.is_in(["false", "0"])), text)
    return Cast(_seconds(number(text, Type.FLOAT)), text)


def _written_number(text: pl.Expr, wanted: Type, rule: ColumnRule) -> Cast:
    """A number in the writing that the rule states: `1.234,5`. In another one it does not fit, so that `1.5` under
    `thousands = "."` is no fifteen."""
    point, apart = re.escape(rule.decimal), _APART.get(rule.thousands or "", re.escape(rule.thousands or ""))
    groups = rf"|[0-9]{{1,3}}(?:{apart}[0-9]{{3}})+" if rule.thousands else ""
    shape = rf"^[+-]?(?:(?:[0-9]+{groups})(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?$"
    trimmed = text.str.strip_chars(_WRITTEN_BLANKS)
    text = pl.when(trimmed != "").then(trimmed)
    plain_: pl.Expr = pl.when(text.str.contains(shape)).then(text)
    if rule.thousands:
        plain_ = plain_.str.replace_all(apart, "")
    if rule.decimal != ".":
        plain_ = plain_.str.replace(rule.decimal, ".", literal=True)
    if wanted is Type.DECIMAL:
        return Cast(_decimal_of(plain_), text)
    return Cast(number(plain_, wanted) if rule.places is None else _places_of(plain_, rule.places), text)


def _decimal_of(text: pl.Expr) -> pl.Expr:
    """A decimal text as a decimal; null for more than six places or twelve digits."""
    return column_decimals.shown(apply(column_decimals.from_text, Type.DECIMAL, [text]))


def _places_of(text: pl.Expr, places: int) -> pl.Expr:
    """A decimal text as an integer of its last place; null for more places and beyond 64 bits."""
    return apply(column_scaled.from_text, Type.INTEGER, [text, places])


def _counted(column: pl.Expr, read: pl.DataType, places: int) -> Cast:
    """A number as an integer of its last place; a float is taken for the shortest decimal that stands for it."""
    if read == pl.Int64:
        return Cast(apply(column_scaled.from_integer, Type.INTEGER, [column, places]), column)
    is_nan = column.is_nan().fill_null(value=False)
    number_ = column.fill_nan(None)
    counted = apply(column_scaled.from_float, Type.INTEGER, [number_, places])
    is_exact = column_scaled.to_float(counted, places) == number_
    return Cast(pl.when(is_exact).then(counted), number_, is_nan)


def _time_from_text(text: pl.Expr, wanted: Type, rule: ColumnRule) -> Cast:
    if wanted is Type.DATE:
        return Cast(text.map_batches(dates_by(rule.format), return_dtype=pl.Date(), is_elementwise=True), text)
    if rule.zone_column is None:
        read = instants_by(rule.format, rule.zone or "UTC")
        return Cast(text.map_batches(read, return_dtype=TIMESTAMP, is_elementwise=True), text)

    def to_instants(parts: Sequence[pl.Series]) -> pl.Series:
        return timestamps_of_zones(parts[0], parts[1], rule.format)

    zones = pl.col(rule.zone_column).cast(pl.String)
    value = pl.map_batches([text, zones], to_instants, return_dtype=TIMESTAMP, is_elementwise=True)
    return Cast(value, text)


def _from_float(column: pl.Expr, wanted: Type) -> Cast:
    if wanted in _TEXTS:
        return Cast(column.cast(pl.String))
    is_nan = column.is_nan().fill_null(value=False)
    number_ = column.fill_nan(None)
    if wanted is Type.FLOAT:
        return Cast(number_, None, is_nan)
    if wanted is Type.INTEGER:
        is_whole = number_.is_between(_LEAST, _BEYOND, closed="left") & (number_.floor() == number_)
        return Cast(pl.when(is_whole).then(number_).cast(pl.Int64, strict=False), number_, is_nan)
    if wanted is Type.DECIMAL:
        return Cast(column_decimals.shown(column_decimals.from_float_exactly(number_)), number_, is_nan)
    if wanted is Type.BOOLEAN:
        return Cast(_boolean(number_ == 1, number_ == 0), number_, is_nan)
    if wanted is Type.DURATION:
        return Cast(_seconds(number_), number_, is_nan)
    return _never(column, wanted)


def _from_integer(column: pl.Expr, wanted: Type) -> Cast:
    if wanted is Type.INTEGER:
        return Cast(column)
    if wanted is Type.FLOAT or wanted in _TEXTS:
        return Cast(column.cast(dtype(wanted)))
    if wanted is Type.DECIMAL:
        return Cast(column_decimals.shown(column_decimals.from_integer(column)), column)
    if wanted is Type.BOOLEAN:
        return Cast(_boolean(column == 1, column == 0), column)
    if wanted is Type.DURATION:
        return Cast(_seconds(column.cast(pl.Float64)), column)
    return _never(column, wanted)


def _from_decimal(name: str, column: pl.Expr, wanted: Type, rule: ColumnRule) -> Cast:
    if rule.places is None and wanted is Type.DECIMAL:
        return Cast(column)
    if rule.places is not None:
        counted = apply(column_decimals.to_scaled, Type.INTEGER, [column_kernels.read(name, Type.DECIMAL), rule.places])
        return Cast(counted, column)
    if wanted in _TEXTS:
        return Cast(column_decimals.to_text(column_kernels.read(name, Type.DECIMAL)))
    return _from_float(column.cast(pl.Float64), wanted)


def _from_boolean(column: pl.Expr, wanted: Type) -> Cast:
    if wanted is Type.DECIMAL:
        return Cast(column_decimals.shown(column_decimals.from_boolean(column)))
    if wanted in (Type.BOOLEAN, Type.INTEGER, Type.FLOAT, *_TEXTS):
        return Cast(column.cast(dtype(wanted)))
    return _never(column, wanted)


def _from_time(column: pl.Expr, read: pl.DataType, wanted: Type, zone: str) -> Cast:
    if isinstance(read, pl.Datetime):
        return _from_instant(column, read, wanted, zone)
    if read == pl.Date and wanted is Type.DATE:
        return Cast(column)
    if read == pl.Date and wanted is Type.TIMESTAMP:
        return Cast(_localised(column.cast(pl.Datetime("us")), zone), column)
    if isinstance(read, pl.Duration) and wanted is Type.DURATION:
        return Cast(column)
    return Cast(column.cast(pl.String)) if wanted in _TEXTS else _never(column, wanted)


def _from_instant(column: pl.Expr, read: pl.Datetime, wanted: Type, zone: str) -> Cast:
    if wanted is Type.TIMESTAMP:
        return Cast(column) if read.time_zone else Cast(_localised(column, zone), column)
    if wanted is Type.DATE:
        return Cast(pl.when(column.dt.time() == pl.time(0, 0, 0)).then(column.dt.date()), column)
    if wanted in _TEXTS:
        return Cast(column.dt.strftime(_instant_format(read)))
    return _never(column, wanted)


def _localised(column: pl.Expr, zone: str) -> pl.Expr:
    if zone == "UTC":
        return column.dt.replace_time_zone("UTC")
    return column.map_batches(lambda walls: to_utc(walls, zone), return_dtype=TIMESTAMP, is_elementwise=True)


def _boolean(is_true: pl.Expr, is_false: pl.Expr) -> pl.Expr:
    return pl.when(is_true).then(pl.lit(value=True)).when(is_false).then(pl.lit(value=False))


def _seconds(seconds: pl.Expr) -> pl.Expr:
    microseconds = (seconds * 1e6).round()
    fits = microseconds.is_between(_LEAST, _BEYOND, closed="left")
    return pl.when(fits).then(microseconds).cast(pl.Int64, strict=False).cast(pl.Duration("us"))
