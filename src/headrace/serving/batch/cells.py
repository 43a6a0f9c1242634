"""Columns of Arrow → values as JSON has them: what a client without Arrow would have sent, and nothing else.

A column whose type is that of the model's column is checked as a whole and told in bulk. Every other value is decoded
and encoded by itself, by the very functions that read JSON; so both ways refuse the same.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.language.errors import ValueMismatch
from headrace.language.row_kernels import date_to_text, timestamp_to_text
from headrace.language.types import Type
from headrace.language.values import decoder, encode
from headrace.language.zones import FIRST_DAY, FIRST_INSTANT, LAST_DAY, LAST_INSTANT, SECOND

CHECKED: Final = 8_192
"""Rows that are checked at a time where each value is looked at by itself."""
_GREATEST: Final = 2**63 - 1
_LONGEST_US: Final = 2**52
"""Of a duration: as many microseconds as seconds in JSON tell apart."""
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MS_OF_DAY: Final = 86_400_000
_AS_JSON: Final = "a finite number"
_TIMES: Final = frozenset({"timestamp", "date", "duration"})
"""Families that are read as nothing but themselves: a number or a text that is made of one is hardly what was meant."""
_VIEW_WORDS: Final = 4
"""Of a view of a text, the first of which is the text's length."""
_NOTHING: Final = object()
"""What no type reads."""


class Misfit(NamedTuple):
    """The first value of a column that cannot be read."""

    row: int
    expected: str
    found: str


class Cells:
    """One column, read as one or several types.

    Parameters
    ----------
    chunks : of one Arrow type; dictionaries stay as they are
    types : what the value must be, for every arm that may answer
    """

    def __init__(self, name: str, chunks: pa.ChunkedArray, types: Sequence[Type]) -> None:
        self.name, self._chunks, self._types = name, chunks, tuple(dict.fromkeys(types))
        kind = chunks.type
        self._texts: list[list[str | None]] | None = None
        if pa.types.is_dictionary(kind):
            self._texts = [chunk.dictionary.to_pylist() for chunk in chunks.chunks]
        self._told: Callable[[pa.Array], list[Any]] | None = None
        if len(self._types) == 1:
            self._told = _bulk(kind, self._types[0])
        self._own = own_type(kind)

    def misfit(self) -> Misfit | None:
        """The first value that is not of its type."""
        family = _family(self._chunks.type)
        if self._told is not None:
            return _first(self._chunks, _CHECKS.get(family))
        if family in _TIMES:
            return _first_of(self._chunks, self._types, family)
        for start in range(0, len(self._chunks), CHECKED):
            values = self._raw(start, CHECKED)
            for place, value in enumerate(values):
                try:
                    self._one(value)
                except ValueMismatch as error:
                    return Misfit(start + place, error.facts["expected"], error.facts["found"])
        return None

    def tell(self, start: int, rows: int) -> list[Any]:
        """Values of so many rows, as JSON has them; what `misfit` has found to be right."""
        if self._told is None:
            return [self._one(value) for value in self._raw(start, rows)]
        if self._texts is not None:
            return self._raw(start, rows)
        told: list[Any] = []
        for chunk in self._chunks.slice(start, rows).chunks:
            told += self._told(chunk)
        return told

    def _one(self, value: Any) -> Any:
        """A value as JSON has it, and as each of the types reads it."""
        if isinstance(value, float) and math.isinf(value):
            raise ValueMismatch(expected=_AS_JSON, found="an infinity")
        if len(self._types) == 1:
            [only] = self._types
            if isinstance(value, decimal.Decimal) and only is Type.FLOAT:
                value = float(value)
            return encode(decoder(only)(value), only)
        told = value if self._own is None else encode(decoder(self._own)(value), self._own)
        for each in self._types:
            decoder(each)(told)
        return told

    def _raw(self, start: int, rows: int) -> list[Any]:
        """Values as Python has them."""
        found: list[Any] = []
        part = self._chunks.slice(start, rows)
        if self._texts is None:
            for chunk in part.chunks:
                found += chunk.to_pylist()
            return found
        place = 0
        for chunk, texts in zip(self._chunks.chunks, self._texts, strict=True):
            begin, end = max(start - place, 0), min(start + rows - place, len(chunk))
            if begin < end:
                indices = chunk.indices.slice(begin, end - begin)
                found += [None if index is None else texts[index] for index in indices.to_pylist()]
            place += len(chunk)
        return found


def own_type(kind: pa.DataType) -> Type | None:
    """The type that an Arrow type is by itself; None: none."""
    return _OWN.get(_family(kind))


def is_read(kind: pa.DataType) -> bool:
    """Whether a column of that type can hold what a model reads."""
    return _family(kind) is not None


def text_bytes(column: pa.Array) -> int:
    """What a column takes with each value at its own length: a dictionary, or a view, may name one text many times."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        lengths = np.array([0 if text is None else len(text) for text in column.dictionary.to_pylist()], np.int64)
        valid = column.indices.drop_null().to_numpy(zero_copy_only=False)
        return int(column.nbytes) + (int(lengths[valid].sum()) if len(valid) else 0)
    if pa.types.is_string_view(kind):
        views = np.frombuffer(column.buffers()[1], np.int32)[::_VIEW_WORDS]
        return int(column.nbytes) + int(views[column.offset : column.offset + len(column)].astype(np.int64).sum())
    return int(column.nbytes)


def _family(kind: pa.DataType) -> str | None:
    t = pa.types
    if t.is_dictionary(kind):
        return "text" if _family(kind.value_type) == "text" else None
    tests: tuple[tuple[str, Callable[[Any], bool]], ...] = (
        ("integer", t.is_integer),
        ("float", t.is_floating),
        ("boolean", t.is_boolean),
        ("timestamp", t.is_timestamp),
        ("date", t.is_date),
        ("duration", t.is_duration),
        ("decimal", t.is_decimal),
        ("null", t.is_null),
    )
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return "text"
    return next((name for name, test in tests if test(kind)), None)


_OWN: Final[dict[str | None, Type]] = {
    "integer": Type.INTEGER,
    "float": Type.FLOAT,
    "boolean": Type.BOOLEAN,
    "text": Type.STRING,
    "timestamp": Type.TIMESTAMP,
    "date": Type.DATE,
    "duration": Type.DURATION,
    "decimal": Type.DECIMAL,
}


def _bulk(kind: pa.DataType, type_: Type) -> Callable[[pa.Array], list[Any]] | None:
    """How a column of that Arrow type is told as that type, where nothing but what `_CHECKS` look at can be wrong."""
    family = _family(kind)
    if family == "null":
        return pa.Array.to_pylist  # type: ignore[no-any-return]
    if type_ in (Type.STRING, Type.CATEGORY) and family == "text":
        return pa.Array.to_pylist  # type: ignore[no-any-return]
    if family in ("integer", "boolean") and _OWN[family] is type_:
        return pa.Array.to_pylist  # type: ignore[no-any-return]
    if type_ is Type.FLOAT and family in ("integer", "float"):
        return _floats if family == "float" else pa.Array.to_pylist
    if family == "timestamp" and type_ is Type.TIMESTAMP:
        return _instants
    if family == "date" and type_ is Type.DATE:
        return _days
    if family == "duration" and type_ is Type.DURATION:
        return _seconds
    return None


def _first_of(chunks: pa.ChunkedArray, types: Sequence[Type], family: str) -> Misfit | None:
    """The first value at all, of a column that no value of can be right."""
    place = 0
    for chunk in chunks.chunks:
        valid = chunk.is_valid().to_numpy(zero_copy_only=False)
        if valid.any():
            wrong = next(each for each in types if each is not _OWN[family])
            try:
                decoder(wrong)(_NOTHING)
            except ValueMismatch as error:
                return Misfit(place + int(valid.argmax()), error.facts["expected"], f"a {family}")
        place += len(chunk)
    return None


def _floats(chunk: pa.Array) -> list[Any]:
    values: list[Any] = chunk.to_pylist()
    return [None if value != value else value for value in values] if _has_nan(chunk) else values


def _has_nan(chunk: pa.Array) -> bool:
    values = chunk.to_numpy(zero_copy_only=False)
    return bool(np.isnan(values).any())


def _instants(chunk: pa.Array) -> list[Any]:
    return [None if value is None else timestamp_to_text(value) for value in _whole(chunk)]


def _days(chunk: pa.Array) -> list[Any]:
    return [None if value is None else date_to_text(value) for value in _whole(chunk)]


def _seconds(chunk: pa.Array) -> list[Any]:
    return [None if value is None else value / SECOND for value in _whole(chunk)]


def _whole(chunk: pa.Array) -> list[int | None]:
    """Microseconds of instants and lengths of time, days of dates; what is finer is cut off towards the past."""
    kind = chunk.type
    raw: list[int | None]
    if pa.types.is_date32(kind):
        raw = chunk.view(pa.int32()).to_pylist()
        return raw
    raw = chunk.view(pa.int64()).to_pylist()
    if pa.types.is_date64(kind):
        return [None if value is None else value // _MS_OF_DAY for value in raw]
    unit = _PER_SECOND[kind.unit]
    if unit <= SECOND:
        factor = SECOND // unit
        return raw if factor == 1 else [None if value is None else value * factor for value in raw]
    return [None if value is None else value // (unit // SECOND) for value in raw]


_Check = Callable[[pa.Array], tuple[NDArray[np.bool_], str, str]]
"""Which values are wrong, what was expected, what was found."""


def _first(chunks: pa.ChunkedArray, check: _Check | None) -> Misfit | None:
    if check is None:
        return None
    place = 0
    for chunk in chunks.chunks:
        wrong, expected, found = check(chunk)
        if wrong.any():
            return Misfit(place + int(wrong.argmax()), expected, found)
        place += len(chunk)
    return None


def _infinite(chunk: pa.Array) -> tuple[NDArray[np.bool_], str, str]:
    return np.isinf(chunk.to_numpy(zero_copy_only=False)), _AS_JSON, "an infinity"


def _too_large(chunk: pa.Array) -> tuple[NDArray[np.bool_], str, str]:
    expected, found = "an integer within 64 bits", "a larger one"
    if chunk.type != pa.uint64():
        return np.zeros(len(chunk), bool), expected, found
    return _filled(chunk, pa.uint64()) > _GREATEST, expected, found


def _beyond(chunk: pa.Array) -> tuple[NDArray[np.bool_], str, str]:
    unit = _PER_SECOND[chunk.type.unit]
    raw = _filled(chunk, pa.int64())
    first, last = FIRST_INSTANT * unit // SECOND, LAST_INSTANT * unit // SECOND
    wrong = np.zeros(len(raw), bool) if unit > SECOND else (raw < first) | (raw > last)  # nanoseconds are all within
    return wrong, "a timestamp such as 2013-01-31T05:00:00Z", "a time outside the years 1 to 9999"


def _no_day(chunk: pa.Array) -> tuple[NDArray[np.bool_], str, str]:
    per_day = _MS_OF_DAY if pa.types.is_date64(chunk.type) else 1
    raw = _filled(chunk, pa.int64() if per_day > 1 else pa.int32())
    wrong = (raw < FIRST_DAY * per_day) | (raw >= (LAST_DAY + 1) * per_day)
    return wrong, "a date such as 2013-01-31", "a day outside the years 1 to 9999"


def _too_long(chunk: pa.Array) -> tuple[NDArray[np.bool_], str, str]:
    unit = _PER_SECOND[chunk.type.unit]
    raw = _filled(chunk, pa.int64())
    most = min(_LONGEST_US * unit // SECOND, _GREATEST)
    return (raw < -most) | (raw > most), "a duration of 142 years at most", "a longer one"


def _filled(chunk: pa.Array, kind: pa.DataType) -> NDArray[Any]:
    """Numbers, 0 where there is none."""
    values: NDArray[Any] = chunk.view(kind).fill_null(0).to_numpy(zero_copy_only=False)
    return values


_CHECKS: Final[dict[str | None, _Check]] = {
    "float": _infinite,
    "integer": _too_large,
    "timestamp": _beyond,
    "date": _no_day,
    "duration": _too_long,
}
