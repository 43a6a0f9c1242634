"""Values at the edge: from JSON, CSV text, Python and NumPy into the row form and back, strictly."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from headrace.language import row_kernels as k
from headrace.language.errors import ValueMismatch
from headrace.language.row_decimals import (
    DIGITS,
    PLACES,
    SCALE,
    decimal_to_text,
    exactly,
    float_exactly,
    text_to_decimal,
    within,
)
from headrace.language.types import Type
from headrace.language.zones import SECOND

if TYPE_CHECKING:
    import polars as pl

RowValue = int | float | str | bool | None
"""What a row holds; a decimal is its millionths."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def decode(value: object, type: Type) -> RowValue:  # noqa: A002  (the word of the language)
    """A value in the row form of its type.

    Accepted are None; booleans for boolean; integers, and floats without a fraction, for integer; numbers for float,
    where NaN becomes None; integers, decimals of the standard library, decimal text, and floats that fifteen digits
    tell, for decimal; text for string and category; for dates and timestamps `datetime` objects (naive is UTC) and
    ISO 8601 text; for durations `timedelta` and a number of seconds. NumPy scalars count as what they hold.

    Raises
    ------
    ValueMismatch : anything else; a boolean is not an integer, text is not a number.

    Examples
    --------
    >>> decode("1970-01-01T00:00:01Z", Type.TIMESTAMP)
    1000000
    >>> decode(3.0, Type.INTEGER), decode(float("nan"), Type.FLOAT)
    (3, None)
    """
    return decoder(type)(value)


def decoder(type: Type) -> Callable[[object], RowValue]:  # noqa: A002
    """`decode` for one type, for who decodes many values."""
    return _DECODERS[type]


def decode_text(text: str, type: Type) -> RowValue:  # noqa: A002
    """A value written as text, as in CSV, in the row form of its type; the grammar is CAST's.

    Raises
    ------
    ValueMismatch : text that is not of the type. Which texts mean null is the caller's to know.

    Examples
    --------
    >>> decode_text("12", Type.INTEGER), decode_text("true", Type.BOOLEAN)
    (12, True)
    """
    parser = _PARSERS.get(type)
    if parser is None:
        return decode(text, type)
    value = parser(text)
    if value is None:
        raise ValueMismatch(expected=_EXPECTED[type], found="other text")
    return value


_PARSERS: dict[Type, Callable[[str], RowValue]] = {
    Type.INTEGER: k.text_to_integer,
    Type.FLOAT: k.text_to_float,
    Type.DECIMAL: text_to_decimal,
    Type.BOOLEAN: k.text_to_boolean,
}
_EXPECTED = {
    Type.INTEGER: "an integer within 64 bits",
    Type.FLOAT: "a number",
    Type.DECIMAL: "a number with at most 12 digits before the point and 6 after it",
    Type.BOOLEAN: "true or false",
}


def _plain(value: object, expected: str) -> object:
    """What a NumPy scalar holds; a ValueMismatch for what is of no plain type."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        plain: object = value.item()  # type: ignore[attr-defined]
        if type(plain).__module__ != "numpy":  # a longdouble holds but itself
            return plain
    raise _mismatch(expected, value)


def _integer(value: object) -> RowValue:
    if value.__class__ is not int:
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        elif isinstance(value, bool) or not isinstance(value, int):
            return _integer(_plain(value, "an integer"))
    if not k.LEAST_INTEGER <= value <= k.GREATEST_INTEGER:
        raise ValueMismatch(expected="an integer within 64 bits", found="a larger one")
    return int(value)


def _float(value: object) -> RowValue:
    if value.__class__ is not float:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return _float(_plain(value, "a number"))
        try:
            value = float(value)
        except OverflowError:
            raise ValueMismatch(expected="a number within the range of a float", found="a larger integer") from None
    return value if value == value else None  # NaN is not itself


def _decimal(value: object) -> RowValue:
    if value is None:
        return None
    if isinstance(value, str):
        found = text_to_decimal(value)
    elif isinstance(value, float):
        if math.isnan(value):
            return None
        found = float_exactly(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        found = within(int(value) * SCALE)
    elif type(value).__module__ == "decimal":
        found = exactly(value)  # type: ignore[arg-type]
    else:
        return _decimal(_plain(value, _EXPECTED[Type.DECIMAL]))
    if found is None:
        what = {"str": "other text"}.get(type(value).__name__, "one with more digits")
        raise ValueMismatch(expected=_EXPECTED[Type.DECIMAL], found=what)
    return found


def _text(value: object) -> RowValue:
    if not isinstance(value, str):
        return None if value is None else _text(_plain(value, "text"))
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueMismatch(expected="text", found="text with a lone surrogate") from None
    return value if value.__class__ is str else str(value)


def _boolean(value: object) -> RowValue:
    if value is None or isinstance(value, bool):
        return value
    return _boolean(_plain(value, "true or false"))


def _date(value: object) -> RowValue:
    if value is None:
        return None
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value.toordinal() - _EPOCH.toordinal()
    if not isinstance(value, str):
        return _date(_plain(value, "a date such as 2013-01-31"))
    day = k.text_to_date(value)
    if day is None:
        raise ValueMismatch(expected="a date such as 2013-01-31", found="other text")
    return day


def _timestamp(value: object) -> RowValue:
    if value is None:
        return None
    if isinstance(value, str):
        instant = k.text_to_timestamp(value)
        found = "other text"
    elif isinstance(value, dt.datetime):
        aware = value.replace(tzinfo=dt.UTC) if value.utcoffset() is None else value
        instant = k.within((aware - _EPOCH) // _MICROSECOND)
        found = "a time outside the years 1 to 9999"
    else:
        return _timestamp(_plain(value, _A_TIMESTAMP))
    if instant is None:
        raise ValueMismatch(expected=_A_TIMESTAMP, found=found)
    return instant


_A_TIMESTAMP = "a timestamp such as 2013-01-31T05:00:00Z"


def _duration(value: object) -> RowValue:
    if isinstance(value, dt.timedelta):
        microseconds: int | None = value // _MICROSECOND
    elif isinstance(value, str):
        raise _mismatch("a duration in seconds", value)
    else:
        seconds = _float(value)
        if seconds is None:
            return None
        microseconds = k.duration_in(SECOND)(float(seconds))
    if microseconds is None or not k.LEAST_INTEGER <= microseconds <= k.GREATEST_INTEGER:
        raise ValueMismatch(expected="a duration in seconds", found="a longer one")
    return microseconds


_DECODERS: dict[Type, Callable[[object], RowValue]] = {
    Type.INTEGER: _integer,
    Type.FLOAT: _float,
    Type.DECIMAL: _decimal,
    Type.STRING: _text,
    Type.CATEGORY: _text,
    Type.BOOLEAN: _boolean,
    Type.DATE: _date,
    Type.TIMESTAMP: _timestamp,
    Type.DURATION: _duration,
}


def _mismatch(expected: str, value: object) -> ValueMismatch:
    names = {"str": "text", "bool": "a boolean", "int": "an integer", "float": "a number", "list": "a list"}
    found = names.get(type(value).__name__, type(value).__name__)
    return ValueMismatch(expected=expected, found=found)


def encode(value: RowValue, type: Type) -> RowValue:  # noqa: A002
    """A row value as JSON holds it.

    Dates and timestamps are ISO 8601 text, decimals text such as "12.3", durations seconds, infinities null.

    Examples
    --------
    >>> encode(1_000_000, Type.TIMESTAMP)
    '1970-01-01T00:00:01Z'
    """
    if value is None:
        return None
    if type is Type.TIMESTAMP:
        return k.timestamp_to_text(int(value))
    if type is Type.DATE:
        return k.date_to_text(int(value))
    if type is Type.DURATION:
        return int(value) / SECOND
    if type is Type.DECIMAL:
        return decimal_to_text(int(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def dtype(type: Type) -> pl.DataType:  # noqa: A002
    """The Polars type that holds a type's columns."""
    import polars as pl

    types: dict[Type, Any] = {
        Type.INTEGER: pl.Int64(),
        Type.FLOAT: pl.Float64(),
        Type.DECIMAL: pl.Decimal(DIGITS, PLACES),
        Type.STRING: pl.String(),
        Type.CATEGORY: pl.String(),
        Type.BOOLEAN: pl.Boolean(),
        Type.DATE: pl.Date(),
        Type.TIMESTAMP: pl.Datetime("us", "UTC"),
        Type.DURATION: pl.Duration("us"),
    }
    found: pl.DataType = types[type]
    return found


def physical(column: pl.Series) -> pl.Series:
    """A column in the values of the row form: decimals as millionths, dates as days, instants as microseconds."""
    import polars as pl

    if column.dtype.is_decimal():
        return column.to_physical().cast(pl.Int64)
    return column.to_physical() if column.dtype.is_temporal() else column


def physical_expression(column: pl.Expr, type: Type) -> pl.Expr:  # noqa: A002
    """`physical` of an expression that gives a column of `type`."""
    import polars as pl

    return column.to_physical().cast(pl.Int64) if type is Type.DECIMAL else column.to_physical()


def from_physical(column: pl.Series, type: Type) -> pl.Series:  # noqa: A002
    """What `physical` gives as the column that it was of."""
    import polars as pl

    wanted = dtype(type)
    if column.dtype == wanted:
        return column
    return column.cast(pl.Int128).reinterpret(dtype=wanted) if type is Type.DECIMAL else column.cast(wanted)


def column_of(name: str, values: Sequence[object], type: Type) -> pl.Series:  # noqa: A002
    """Values of the row form as a column."""
    import polars as pl

    whole = {Type.TIMESTAMP: pl.Int64(), Type.DURATION: pl.Int64(), Type.DATE: pl.Int32(), Type.DECIMAL: pl.Int64()}
    return from_physical(pl.Series(name, values, dtype=whole.get(type, dtype(type))), type)


def cell_bytes(type: Type) -> int:  # noqa: A002
    """What a cell of a column takes in memory, about: a text is a view of 16 bytes and what it points to."""
    return {Type.BOOLEAN: 1, Type.DECIMAL: 16, Type.STRING: 40, Type.CATEGORY: 40}.get(type, 8)


def type_of_dtype(dtype: pl.DataType) -> Type | None:
    """The type that a Polars type is cast to without loss of meaning; None when there is none."""
    import polars as pl

    if dtype.is_integer():
        return Type.INTEGER
    if isinstance(dtype, pl.Decimal):
        fits = dtype.scale <= PLACES and dtype.precision - dtype.scale <= DIGITS - PLACES
        return Type.DECIMAL if fits else Type.FLOAT
    if dtype.is_float():
        return Type.FLOAT
    found: dict[Any, Type] = {
        pl.String: Type.STRING,
        pl.Categorical: Type.CATEGORY,
        pl.Enum: Type.CATEGORY,
        pl.Boolean: Type.BOOLEAN,
        pl.Date: Type.DATE,
        pl.Datetime: Type.TIMESTAMP,
        pl.Duration: Type.DURATION,
    }
    return found.get(dtype.base_type())
