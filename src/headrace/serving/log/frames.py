"""Frames: how records lie in a segment file, so that a torn end and a damaged middle can be told apart.

A frame is a head of 28 bytes, a MessagePack payload and an end byte. The head holds payload length, number of records,
sequence number of the first of them, kind, CRC-32 of the payload and CRC-32 of the head itself, little-endian. What a
killed writer leaves is a frame that is short; what a power cut leaves is one whose end is NUL bytes, which the end byte
never is. Everything else that does not check is damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple
from zlib import crc32


class Kind(IntEnum):
    """What a frame's payload is."""

    HEADER = 1
    ROUTE = 2
    """A pair: the number that records name it by, and the route."""
    RECORDS = 3
    OUTCOMES = 4
    GAP = 5
    CLOSE = 6
    """The segment ends here on purpose."""


HEAD: Final = struct.Struct("<IIQII")
CHECK: Final = struct.Struct("<I")
HEAD_BYTES: Final = HEAD.size + CHECK.size
END: Final = b"\xa5"
COUNTED: Final = frozenset({Kind.RECORDS, Kind.OUTCOMES, Kind.GAP})
"""Kinds whose records have sequence numbers."""


class Frame(NamedTuple):
    """A frame that checks."""

    kind: Kind
    sequence: int
    n: int
    """Records in it that have sequence numbers."""
    payload: memoryview
    offset: int
    """Of its head in the file."""


class DamagedFrameError(ValueError):
    """Bytes that neither a writer nor a cut can have left."""

    def __init__(self, offset: int, what: str) -> None:
        self.offset, self.what = offset, what
        super().__init__(f"byte {offset}: {what}")


def encode_frame(kind: int, sequence: int, count: int, payload: bytes) -> bytes:
    """The bytes of one frame.

    Examples
    --------
    >>> [frame.kind.name for frame in Frames(encode_frame(Kind.CLOSE, 7, 0, b""))]
    ['CLOSE']
    """
    head = HEAD.pack(len(payload), count, sequence, kind, crc32(payload))
    return b"".join((head, CHECK.pack(crc32(head)), payload, END))


class Frames:
    """Iterates over the whole frames of a segment's bytes and stops where they end.

    Raises
    ------
    DamagedFrameError : while iterating, at a frame that is neither whole nor a torn tail.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self.end = 0
        """Where the last whole frame ends."""

    @property
    def torn(self) -> int:
        """Bytes after the last whole frame, once iterated."""
        return len(self._data) - self.end

    def __iter__(self) -> Iterator[Frame]:
        data, size = self._data, len(self._data)
        while size - self.end >= HEAD_BYTES:
            start = self.end
            head = data[start : start + HEAD.size]
            length, count, sequence, kind, check = HEAD.unpack(head)
            if CHECK.unpack_from(data, start + HEAD.size)[0] != crc32(head):
                if self._written(start) >= start + HEAD_BYTES:
                    raise DamagedFrameError(start, "the head of a frame does not agree with its checksum")
                return
            begin = start + HEAD_BYTES
            end = begin + length + len(END)
            if end > size:
                return
            payload = data[begin : end - len(END)]
            if crc32(payload) != check or data[end - 1] != END[0]:
                if self._written(start) >= end:
                    raise DamagedFrameError(start, "a frame does not agree with its checksum")
                return
            try:
                known = Kind(kind)
            except ValueError:
                raise DamagedFrameError(start, f"a frame of unknown kind {kind}") from None
            self.end = end
            yield Frame(known, sequence, count, payload, start)

    def _written(self, start: int) -> int:
        """Where the NUL bytes begin that end the data, if not before `start`."""
        step = 1 << 16
        end = len(self._data)
        while end > start:
            begin = max(start, end - step)
            left = bytes(self._data[begin:end]).rstrip(b"\0")
            if left:
                return begin + len(left)
            end = begin
        return start
