"""What a worker and the process that reads one batch say to each other: closed types, then bytes, over one socket.

The worker scores, the other side knows the formats. It says what columns there are, is told which to read and as what,
reads all of them, and only then gives rows, as many at a time as it is asked for: JSON, the very bytes that a client
without Arrow would have sent. Answers go back by column, and come out as one file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from headrace.language.types import Type

ARROW: Final = b"application/vnd.apache.arrow.stream"
PARQUET: Final = b"application/vnd.apache.parquet"
Format = Literal["arrow", "parquet"]
FORMATS: Final[dict[bytes, Format]] = {ARROW: "arrow", PARQUET: "parquet"}
"""By the media type."""
Who = tuple[str, str, str | None, int | None]
"""Deployment, arm, model and version of who answers; the constant is no model's."""
MEDIA_TYPES: Final[dict[Format, bytes]] = {name: kind for kind, name in FORMATS.items()}
PART_BYTES: Final = 256 * 1024
"""Of a body or an answer: what crosses the socket at a time."""


def format_of(content_type: bytes) -> Format | None:
    """The format that a content type says; None: another."""
    return FORMATS.get(content_type.partition(b";")[0].strip().lower())


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """Base."""


class Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A column of the answers."""

    name: str
    kind: Literal["number", "flag", "text", "texts"]


class Begin(Message, frozen=True, kw_only=True):
    """Read a batch: the parts of its body follow."""

    format: Format
    answer: Format
    size: int
    """Bytes of the body."""
    rows: int
    """The most rows."""
    decoded_bytes: int
    """The most bytes of what is read, as it lies in memory, every text at its length."""
    slice_bytes: int
    """The most bytes of rows in JSON that are given at a time."""


class Part(Message, frozen=True, kw_only=True):
    """Some bytes of a body, or of an answer."""

    data: bytes


class Want(Message, frozen=True, kw_only=True):
    """Read these columns, each as every one of its types; what is not named is passed over."""

    columns: dict[str, tuple[Type, ...]]


class More(Message, frozen=True, kw_only=True):
    """Give the next rows, so many at most."""

    rows: int


class Told(Message, frozen=True, kw_only=True):
    """The answers to the oldest rows that have none."""

    arms: tuple[Who, ...] = ()
    """Who answers for the first time in this batch."""
    by: list[int]
    """For each row the place of who answered, among all arms that were told."""
    values: list[list[Any]]
    """For each column of `Finish.columns` the rows' values."""


class Finish(Message, frozen=True, kw_only=True):
    """Every row is answered: write the answer."""

    id: str
    columns: tuple[Answers, ...]


class Begun(Message, frozen=True, kw_only=True):
    """It lives, and waits for the body."""


class Busy(Message, frozen=True, kw_only=True):
    """As many batches are read as may be."""


class Columns(Message, frozen=True, kw_only=True):
    """What there is, in order."""

    names: tuple[str, ...]


class Whole(Message, frozen=True, kw_only=True):
    """Everything is read, and every value is of its types."""

    rows: int


class Rows(Message, frozen=True, kw_only=True):
    """The next rows, as an array in JSON."""

    rows: int
    body: bytes


class Refused(Message, frozen=True, kw_only=True):
    """What was sent cannot be answered; nothing follows."""

    status: int
    code: str
    detail: str
    fix: str | None = None
    facts: dict[str, Any] = {}


class Written(Message, frozen=True, kw_only=True):
    """The answer's bytes have all been said."""


class Crashed(Message, frozen=True, kw_only=True):
    """The process that read the batch has ended by itself; said by the one that had begun it."""

    signal: int
    """0: it ended with an exit code."""


ToReader = Begin | Part | Want | More | Told | Finish
ToWorker = Begun | Busy | Columns | Whole | Rows | Refused | Part | Written | Crashed
_LENGTH: Final = struct.Struct("!I")
MOST_BYTES: Final = 256 * 1024 * 1024
_encode: Final = msgspec.msgpack.Encoder().encode
_to_reader: Final = msgspec.msgpack.Decoder(ToReader)
_to_worker: Final = msgspec.msgpack.Decoder(ToWorker)


def framed(message: Message) -> bytes:
    """As it crosses the socket."""
    data = _encode(message)
    return _LENGTH.pack(len(data)) + data


def for_worker(received: bytearray) -> Iterator[ToWorker]:
    """Take every whole message out of what was received; raises `msgspec.DecodeError` for what is none."""
    place = 0
    try:
        while len(received) - place >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received, place)
            if length > MOST_BYTES:
                raise msgspec.DecodeError(f"a message of {length} bytes")
            end = place + _LENGTH.size + length
            if len(received) < end:
                return
            message: ToWorker = _to_worker.decode(memoryview(received)[place + _LENGTH.size : end])
            place = end
            yield message
    finally:
        del received[:place]


def for_reader(read: Any) -> ToReader:
    """The next message from a file that reads; raises `EOFError` when the worker is gone."""
    head = read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = read(length)
    if len(data) < length:
        raise EOFError
    message: ToReader = _to_reader.decode(data)
    return message
