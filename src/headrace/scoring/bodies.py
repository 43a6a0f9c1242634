"""JSON bytes → values of the request columns, as fast as a closed type can be decoded.

A row whose every request column is there in its usual JSON form is decoded into a struct made for the program. Whatever
that refuses (a column missing that others tell, `57.0` for an integer, a mistake) is decoded again into plain mappings
and read by `headrace.scoring.rows`, which either takes it or says what is wrong: the fast way never decides alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec.structs import astuple

from headrace.features.model import Program
from headrace.language.errors import ValueMismatch
from headrace.language.types import Type
from headrace.language.values import RowValue, decoder
from headrace.scoring.errors import BodyNotJson, BodyRefused
from headrace.scoring.rows import RowReader

Values = Sequence[object]
"""The request columns of one row in the row form, in the program's order."""

_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_KINDS: Final[Mapping[Type, Any]] = {
    Type.FLOAT: float | None,
    Type.INTEGER: _Integer | None,
    Type.BOOLEAN: bool | None,
    Type.STRING: str | None,
    Type.CATEGORY: str | None,
    Type.TIMESTAMP: str | None,
    Type.DATE: str | None,
    Type.DURATION: float | None,
    Type.DECIMAL: int | float | str | None,
}
_READ_FURTHER: Final = frozenset({Type.TIMESTAMP, Type.DATE, Type.DURATION, Type.DECIMAL})
"""Types whose JSON form is not yet the row form."""


class BodyReader:
    """Reads the bodies of requests for one program.

    Parameters
    ----------
    also : further columns that a row may carry, and that are passed over
    """

    def __init__(self, program: Program, also: Iterable[str] = ()) -> None:
        self._reader = RowReader(program, also)
        names = [field.name for field in program.request]
        self._width = len(names)
        beside = [name for name in self._reader.known if name not in names]
        fields: list[Any] = [(f"c{n}", _KINDS[field.type]) for n, field in enumerate(program.request)]
        fields += [(f"c{self._width + n}", msgspec.Raw, msgspec.Raw(b"null")) for n in range(len(beside))]
        row = msgspec.defstruct(
            "Row",
            fields,
            rename={f"c{n}": name for n, name in enumerate([*names, *beside])},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._one = msgspec.json.Decoder(row).decode
        self._many = msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]
        self._further: list[tuple[int, Callable[[object], RowValue]]] = [
            (place, decoder(field.type)) for place, field in enumerate(program.request) if field.type in _READ_FURTHER
        ]

    def one(self, body: bytes) -> Values:
        """The values of a body that is one JSON object.

        Raises
        ------
        BodyNotJson, BodyRefused, ColumnMissing, ColumnUnknown, ValueRefused
        """
        try:
            values = astuple(self._one(body))[: self._width]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._plain_one(body)
        if not self._further:
            return values
        read = list(values)
        try:
            for place, convert in self._further:
                read[place] = convert(read[place])
        except ValueMismatch:
            return self._plain_one(body)
        return read

    def many(self, body: bytes, most: int) -> list[Values]:
        """The values of a body that is a JSON array of at most `most` objects; raises as `one`."""
        try:
            rows = [astuple(row)[: self._width] for row in self._many(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._plain_many(body, most)
        if len(rows) > most:
            raise BodyRefused(f"at most {most:,} rows", f"{len(rows):,}")
        if not self._further:
            return list(rows)
        read = [list(row) for row in rows]
        try:
            for row in read:
                for place, convert in self._further:
                    row[place] = convert(row[place])
        except ValueMismatch:
            return self._plain_many(body, most)
        return list(read)

    @property
    def known(self) -> frozenset[str]:
        """Columns that a row may carry."""
        return self._reader.known

    def read_of(self, names: Sequence[str], *, ignore_unknown: bool) -> tuple[tuple[str, Type], ...]:
        """Of rows that carry these columns those that are read, with their types; raises as `one`."""
        return self._reader.columns(names, ignore_unknown=ignore_unknown)

    def mapping(self, row: Mapping[str, object], number: int) -> Values:
        """The values of a row that is decoded already; its columns that the program does not know are passed over.

        Parameters
        ----------
        number : the row's place among the rows, for errors
        """
        return self._reader.read(row, number, ignore_unknown=True)

    def _plain_one(self, body: bytes) -> Values:
        [row] = plain_rows(body, many=False, most=1)
        return self._reader.read(row, 0, ignore_unknown=False)

    def _plain_many(self, body: bytes, most: int) -> list[Values]:
        rows = plain_rows(body, many=True, most=most)
        return [self._reader.read(row, number, ignore_unknown=False) for number, row in enumerate(rows)]


def plain_rows(body: bytes, *, many: bool, most: int) -> list[dict[str, object]]:
    """The rows of a body as it says them: one JSON object, or an array of at most `most`.

    Raises
    ------
    BodyNotJson, BodyRefused
    """
    if not many:
        found = _decoded(body)
        if not isinstance(found, dict):
            raise BodyRefused("one row as a JSON object", _kind(found))
        return [found]
    if body.lstrip()[:1] != b"[":
        raise BodyRefused("a JSON array of rows", _kind(_decoded(body)))
    rows = []
    for number, element in enumerate(_elements(body, most)):
        row = element.value
        if not isinstance(row, dict):
            raise BodyRefused(f"a JSON object in place {number}", _kind(row))
        rows.append(row)
    return rows


class _Element:
    """One of an array, as it says it."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class _TooMany(Exception):
    """The array has more elements than are read."""


def _elements(body: bytes, most: int) -> list[_Element]:
    """An array's elements, and not one more than may be: eight megabytes of `{},` would take 200 of memory."""
    room = most

    def element(_: type, value: object) -> _Element:
        nonlocal room
        room -= 1
        if room < 0:
            raise _TooMany
        return _Element(value)

    try:
        found: list[_Element] = _decoded(body, msgspec.json.Decoder(list[_Element], dec_hook=element).decode)
    except _TooMany:
        raise BodyRefused(f"at most {most:,} rows", "more") from None
    return found


def _decoded(body: bytes, decode: Callable[[bytes], Any] = msgspec.json.decode) -> Any:
    try:
        return decode(body)
    except RecursionError:
        raise BodyNotJson("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise BodyNotJson("it is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise BodyNotJson(str(error)) from None


def _kind(value: object) -> str:
    names = {"str": "text", "bool": "a boolean", "int": "a number", "float": "a number", "list": "an array"}
    return {"NoneType": "null", "dict": "an object", **names}[type(value).__name__]
