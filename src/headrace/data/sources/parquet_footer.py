"""How many rows the row groups of a Parquet file have, from its footer: Polars tells only their sum.

The footer is a struct of Thrift's compact protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md. Only what is asked for is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_MARK = b"PAR1"
_ROW_GROUPS, _ROWS_OF_GROUP = 4, 3
_DEEPEST = 32
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)


class NoFooterError(ValueError):
    """The file ends in no footer that can be read."""


def group_rows(path: Path) -> list[int]:
    """Rows of each row group, in order.

    Raises
    ------
    NoFooterError
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        end = stream.read(8)
        length = int.from_bytes(end[:4], "little")
        if end[4:] != _MARK or length > size - 8:
            raise NoFooterError
        stream.seek(size - 8 - length)
        footer = _Reader(stream.read(length))
    try:
        groups = footer.struct(0, {_ROW_GROUPS}).get(_ROW_GROUPS, [])
        return [int(group[_ROWS_OF_GROUP]) for group in groups]
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise NoFooterError from error


class _Reader:
    """Reads values one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, depth: int, wanted: set[int] | None = None) -> dict[int, Any]:
        """The fields by their number; those in `wanted`, or all that are numbers or lists of structs."""
        if depth > _DEEPEST:
            raise NoFooterError
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            delta, kind = header >> 4, header & 15
            number = number + delta if delta else self._integer()
            value = self._value(kind, depth)
            if wanted is None or number in wanted:
                fields[number] = value
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind == _MAP:
            raise NoFooterError  # Parquet's footer has none
        self._skip({_BYTE: 1, _DOUBLE: 8}.get(kind) or self._length(kind))
        return None

    def _list(self, depth: int) -> list[Any]:
        header = self._byte()
        count, kind = header >> 4, header & 15
        if count == 15:
            count = self._varint()
        if count > len(self._data) or depth > _DEEPEST:
            raise NoFooterError
        if kind in (_TRUE, _FALSE):
            self._skip(count)
            return []
        return [self._value(kind, depth) for _ in range(count)]

    def _length(self, kind: int) -> int:
        if kind != _BINARY:
            raise NoFooterError
        return self._varint()

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise NoFooterError

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise NoFooterError

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
