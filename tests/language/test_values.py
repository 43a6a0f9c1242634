"""Values at the edge: what is taken, what is refused, and the way back."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from headrace.language.errors import ValueMismatch
from headrace.language.types import Type
from headrace.language.values import RowValue, decode, decode_text, dtype, encode, type_of_dtype


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        *((None, type_, None) for type_ in Type),
        (7, Type.INTEGER, 7),
        (7.0, Type.INTEGER, 7),
        (np.int32(7), Type.INTEGER, 7),
        (np.float64(7), Type.INTEGER, 7),
        (-(2**63), Type.INTEGER, -(2**63)),
        (7, Type.FLOAT, 7.0),
        (2.5, Type.FLOAT, 2.5),
        (math.nan, Type.FLOAT, None),
        (np.float32(0.5), Type.FLOAT, 0.5),
        (np.float64("nan"), Type.FLOAT, None),
        (math.inf, Type.FLOAT, math.inf),
        ("12.30", Type.DECIMAL, 12_300_000),
        ("-.050", Type.DECIMAL, -50_000),
        (Decimal("12.3000000"), Type.DECIMAL, 12_300_000),
        (np.int32(-7), Type.DECIMAL, -7_000_000),
        (12.3, Type.DECIMAL, 12_300_000),
        (np.float64("nan"), Type.DECIMAL, None),
        (123456789012.5, Type.DECIMAL, 123_456_789_012_500_000),
        (999_999_999_999, Type.DECIMAL, 999_999_999_999_000_000),
        ("é\U0001f600", Type.STRING, "é\U0001f600"),
        (np.str_("UA"), Type.CATEGORY, "UA"),
        (np.bool_(True), Type.BOOLEAN, True),
        (False, Type.BOOLEAN, False),
        ("1970-01-02", Type.DATE, 1),
        (dt.date(1969, 12, 31), Type.DATE, -1),
        ("1970-01-01T00:00:01Z", Type.TIMESTAMP, 1_000_000),
        ("1970-01-01 01:00:00.5+01:00", Type.TIMESTAMP, 500_000),
        ("1970-01-01T00:00:00.000001999Z", Type.TIMESTAMP, 1),
        ("1970-01-02", Type.TIMESTAMP, 86_400_000_000),
        ("1970-01-01T00:00", Type.TIMESTAMP, 0),
        (dt.datetime(1970, 1, 1, 0, 0, 1), Type.TIMESTAMP, 1_000_000),  # noqa: DTZ001  (naive is UTC)
        (dt.datetime(1970, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))), Type.TIMESTAMP, 0),
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), Type.TIMESTAMP, -62_135_596_800_000_000),
        (dt.timedelta(seconds=1.5), Type.DURATION, 1_500_000),
        (1.5, Type.DURATION, 1_500_000),
    ],
)
def test_values_are_taken_into_the_row_form(value: object, type_: Type, expected: RowValue) -> None:
    found = decode(value, type_)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("value", "type_", "found"),
    [
        (True, Type.INTEGER, "a boolean"),
        (np.bool_(True), Type.INTEGER, "a boolean"),
        (7.5, Type.INTEGER, "a number"),
        (math.nan, Type.INTEGER, "a number"),
        (math.inf, Type.INTEGER, "a number"),
        ("7", Type.INTEGER, "text"),
        (2**63, Type.INTEGER, "a larger one"),
        (True, Type.FLOAT, "a boolean"),
        ("2.5", Type.FLOAT, "text"),
        (10**400, Type.FLOAT, "a larger integer"),
        ([1.0], Type.FLOAT, "a list"),
        (np.array([1.0, 2.0]), Type.FLOAT, "ndarray"),
        (np.longdouble(1), Type.FLOAT, "longdouble"),
        ("0.0000001", Type.DECIMAL, "other text"),
        ("yesterday", Type.DECIMAL, "other text"),
        (True, Type.DECIMAL, "a boolean"),
        (0.1 + 0.2, Type.DECIMAL, "one with more digits"),
        (12345678901.123456, Type.DECIMAL, "one with more digits"),  # the float of another decimal too
        (1e12, Type.DECIMAL, "one with more digits"),
        (math.inf, Type.DECIMAL, "one with more digits"),
        (Decimal("NaN"), Type.DECIMAL, "one with more digits"),
        (Decimal("1e999999"), Type.DECIMAL, "one with more digits"),
        (7, Type.STRING, "an integer"),
        (b"bytes", Type.STRING, "bytes"),
        ("\ud800", Type.STRING, "text with a lone surrogate"),
        (1, Type.BOOLEAN, "an integer"),
        ("true", Type.BOOLEAN, "text"),
        ("2013-02-29", Type.DATE, "other text"),
        ("20130228", Type.DATE, "other text"),
        (dt.datetime(2013, 1, 1, tzinfo=dt.UTC), Type.DATE, "datetime"),
        ("2013-01-31T25:00:00Z", Type.TIMESTAMP, "other text"),
        ("2013-01-31T05:00:60Z", Type.TIMESTAMP, "other text"),
        ("0001-01-01T00:00:00+01:00", Type.TIMESTAMP, "other text"),
        ("yesterday", Type.TIMESTAMP, "other text"),
        (1_357_034_100, Type.TIMESTAMP, "an integer"),
        (dt.date(2013, 1, 1), Type.TIMESTAMP, "date"),
        ("1h", Type.DURATION, "text"),
        (1e300, Type.DURATION, "a longer one"),
        (dt.timedelta.max, Type.DURATION, "a longer one"),
    ],
)
def test_other_values_are_refused_without_being_shown(value: object, type_: Type, found: str) -> None:
    with pytest.raises(ValueMismatch) as caught:
        decode(value, type_)
    assert caught.value.found == found
    assert "yesterday" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "type_", "expected"),
    [
        ("12", Type.INTEGER, 12),
        ("-1.5e3", Type.FLOAT, -1500.0),
        ("true", Type.BOOLEAN, True),
        ("-1.5", Type.DECIMAL, -1_500_000),
        ("x", Type.STRING, "x"),
        ("1970-01-02", Type.DATE, 1),
    ],
)
def test_text_is_read_as_a_cast_reads_it(text: str, type_: Type, expected: RowValue) -> None:
    assert decode_text(text, type_) == expected


@pytest.mark.parametrize(("text", "type_"), [("1.0", Type.INTEGER), ("", Type.FLOAT), ("yes", Type.BOOLEAN)])
def test_text_that_is_not_of_the_type_is_refused(text: str, type_: Type) -> None:
    with pytest.raises(ValueMismatch):
        decode_text(text, type_)


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (1_000_000, Type.TIMESTAMP, "1970-01-01T00:00:01Z"),
        (1, Type.TIMESTAMP, "1970-01-01T00:00:00.000001Z"),
        (-719162, Type.DATE, "0001-01-01"),
        (1_500_000, Type.DURATION, 1.5),
        (math.inf, Type.FLOAT, None),
        (-12_300_000, Type.DECIMAL, "-12.3"),
        (7, Type.INTEGER, 7),
        (None, Type.TIMESTAMP, None),
    ],
)
def test_values_go_out_as_json_has_them(value: RowValue, type_: Type, expected: RowValue) -> None:
    assert encode(value, type_) == expected


def test_what_goes_out_comes_in_again() -> None:
    for type_, value in (
        (Type.TIMESTAMP, 1_357_034_100_123_456),
        (Type.DATE, 15706),
        (Type.DURATION, 1_500_000),
        (Type.DECIMAL, -1),
    ):
        assert decode(encode(value, type_), type_) == value


def test_every_type_has_a_polars_type_and_back() -> None:
    for type_ in Type:
        assert type_of_dtype(dtype(type_)) is (Type.STRING if type_ is Type.CATEGORY else type_)
    assert type_of_dtype(pl.UInt8()) is Type.INTEGER
    assert type_of_dtype(pl.Float32()) is Type.FLOAT
    assert type_of_dtype(pl.Decimal(10, 2)) is Type.DECIMAL
    assert type_of_dtype(pl.Decimal(38, 6)) is type_of_dtype(pl.Decimal(10, 7)) is Type.FLOAT
    assert type_of_dtype(pl.Categorical()) is Type.CATEGORY
    assert type_of_dtype(pl.Datetime("ns")) is Type.TIMESTAMP
    assert type_of_dtype(pl.List(pl.Int64())) is None
