"""Arrow columns against the plain way: every value decoded and encoded by itself, as JSON would have it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.language.errors import ValueMismatch
from headrace.language.types import Type
from headrace.language.values import decode, encode
from headrace.serving.batch.cells import Cells, text_bytes

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
INSTANTS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))  # noqa: DTZ001 - naive is UTC
LENGTHS = st.timedeltas(dt.timedelta(days=-40_000), dt.timedelta(days=40_000))
AMOUNTS = st.decimals(-999_999_999_999, 999_999_999_999, places=6)
COLUMNS: list[tuple[Any, Type, Any]] = [
    (pa.int64(), Type.INTEGER, INTEGERS),
    (pa.int8(), Type.INTEGER, st.integers(-128, 127)),
    (pa.uint64(), Type.INTEGER, st.integers(0, 2**63 - 1)),
    (pa.int64(), Type.FLOAT, INTEGERS),
    (pa.float64(), Type.FLOAT, st.floats(allow_infinity=False)),
    (pa.float32(), Type.FLOAT, st.floats(allow_infinity=False, width=32)),
    (pa.float64(), Type.INTEGER, st.integers(-(2**53), 2**53).map(float)),
    (pa.bool_(), Type.BOOLEAN, st.booleans()),
    (pa.string(), Type.STRING, TEXTS),
    (pa.large_string(), Type.CATEGORY, TEXTS),
    (pa.string_view(), Type.CATEGORY, TEXTS),
    (pa.dictionary(pa.int8(), pa.string()), Type.CATEGORY, st.sampled_from(["AA", "UA", "ü"])),
    (pa.date32(), Type.DATE, st.dates()),
    (pa.date64(), Type.DATE, st.dates()),
    (pa.timestamp("us"), Type.TIMESTAMP, INSTANTS),
    (pa.timestamp("ms", "UTC"), Type.TIMESTAMP, INSTANTS.map(lambda t: t.replace(microsecond=0, tzinfo=dt.UTC))),
    (
        pa.timestamp("s", "Europe/Berlin"),
        Type.TIMESTAMP,
        INSTANTS.map(lambda t: t.replace(microsecond=0, tzinfo=dt.UTC)),
    ),
    (pa.duration("us"), Type.DURATION, LENGTHS),
    (pa.decimal128(18, 6), Type.DECIMAL, AMOUNTS),
    (pa.decimal256(40, 6), Type.DECIMAL, AMOUNTS),
    (pa.int64(), Type.DECIMAL, st.integers(-999_999_999_999, 999_999_999_999)),
    (pa.string(), Type.TIMESTAMP, INSTANTS.map(lambda t: t.isoformat())),
    (pa.string(), Type.DECIMAL, AMOUNTS.map(str)),
    (pa.float64(), Type.DURATION, st.floats(-1e9, 1e9)),
]


def cells(values: Sequence[Any], kind: Any, types: Sequence[Type], pieces: int = 1) -> Cells:
    size = max(1, math.ceil(len(values) / pieces))
    chunks = [pa.array(values[start : start + size], kind) for start in range(0, len(values), size)]
    return Cells("a", pa.chunked_array(chunks, kind), types)


@pytest.mark.parametrize(("kind", "type_", "strategy"), COLUMNS, ids=[f"{k} as {t}" for k, t, _ in COLUMNS])
@given(data=st.data())
def test_a_column_says_what_each_value_says_by_itself(kind: Any, type_: Type, strategy: Any, data: Any) -> None:
    values = data.draw(st.lists(st.none() | strategy, max_size=12))
    column = cells(values, kind, [type_], pieces=data.draw(st.integers(1, 3)))
    assert column.misfit() is None
    plain = [encode(decode(value, type_), type_) for value in pa.array(values, kind).to_pylist()]
    place = data.draw(st.integers(0, len(values)))
    told = column.tell(0, place) + column.tell(place, len(values))
    assert told == [_as_told(kind, type_, value, given) for value, given in zip(values, plain, strict=True)]
    # and what is told is read as what the value itself is read as
    assert [decode(each, type_) for each in told] == [
        decode(value, type_) for value in pa.array(values, kind).to_pylist()
    ]


def _as_told(kind: Any, type_: Type, value: Any, plain: Any) -> Any:
    """JSON says integers in a column of floats as they are; both are read alike."""
    return value if type_ is Type.FLOAT and pa.types.is_integer(kind) else plain


@pytest.mark.parametrize(
    ("kind", "types", "values", "row", "found"),
    [
        (pa.float64(), [Type.FLOAT], [1.0, None, math.inf], 2, "an infinity"),
        (pa.float64(), [Type.INTEGER], [None, 1.0, 1.5], 2, "a number"),
        (pa.uint64(), [Type.INTEGER], [1, 2**63], 1, "a larger one"),
        (pa.string(), [Type.FLOAT], [None, "1"], 1, "text"),
        (pa.int64(), [Type.CATEGORY], [None, 3], 1, "an integer"),
        (pa.bool_(), [Type.INTEGER], [True], 0, "a boolean"),
        (pa.string(), [Type.TIMESTAMP], ["2013-01-01", "then"], 1, "other text"),
        (pa.timestamp("ms"), [Type.TIMESTAMP], [None, 2**60], 1, "a time outside the years 1 to 9999"),
        (pa.timestamp("us"), [Type.CATEGORY], [None, 0], 1, "a timestamp"),
        (pa.date32(), [Type.TIMESTAMP], [0], 0, "a date"),
        (pa.date32(), [Type.DATE], [0, 2**30], 1, "a day outside the years 1 to 9999"),
        (pa.duration("s"), [Type.DURATION], [0, 2**40], 1, "a longer one"),
        (pa.decimal128(20, 7), [Type.DECIMAL], [Decimal("0.5"), Decimal("0.0000001")], 1, "one with more digits"),
        (pa.float64(), [Type.FLOAT, Type.INTEGER], [1.0, 1.5], 1, "a number"),
    ],
)
def test_the_first_value_that_is_wrong_is_named(kind: Any, types: Any, values: Any, row: int, found: str) -> None:
    misfit = cells(values, kind, types, pieces=2).misfit()
    assert misfit is not None
    assert (misfit.row, misfit.found) == (row, found)


def test_what_is_finer_than_a_microsecond_is_cut_off_as_in_frames() -> None:
    column = cells([1_999, -1], pa.timestamp("ns", "UTC"), [Type.TIMESTAMP])
    assert column.tell(0, 2) == ["1970-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z"]


def test_columns_that_no_value_is_of_hold_nulls_alone() -> None:
    column = cells([None, None], pa.null(), [Type.TIMESTAMP])
    assert column.misfit() is None
    assert column.tell(0, 2) == [None, None]
    assert cells([None, None], pa.timestamp("us"), [Type.CATEGORY]).misfit() is None


def test_a_decimal_is_a_number_to_a_column_of_numbers() -> None:
    assert cells([Decimal("0.1"), None], pa.decimal128(9, 2), [Type.FLOAT]).tell(0, 2) == [0.1, None]


def test_a_text_counts_as_often_as_it_is_named() -> None:
    long = "x" * 1_000
    named = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), pa.array([long]))
    _, view, data = pa.array([long], pa.string_view()).buffers()
    views = pa.Array.from_buffers(pa.string_view(), 500, [None, pa.py_buffer(view.to_pybytes()[:16] * 500), data])
    assert views.to_pylist() == [long] * 500
    assert text_bytes(named) >= 500_000
    assert text_bytes(views) >= 500_000
    assert text_bytes(pa.array(["a"] * 500)) < 5_000


@pytest.mark.parametrize("value", [1.5, "x", None, True])
def test_arms_that_read_a_column_as_other_types_both_have_to(value: Any) -> None:
    kind = pa.array([value]).type
    types = [Type.FLOAT, Type.INTEGER]
    column = cells([value], kind, types)
    try:
        for each in types:
            decode(value, each)
    except ValueMismatch:
        assert column.misfit() is not None
    else:
        assert column.tell(0, 1) == [value]
