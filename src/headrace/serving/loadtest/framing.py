"""What a load test and its generators say to each other, over pipes: a length, then MessagePack of a closed type."""

from __future__ import annotations

import struct
from typing import IO, Final, TypeVar

import msgspec

_LENGTH: Final = struct.Struct("!I")
T = TypeVar("T")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a generator begins with."""

    host: str
    port: int
    tls: bool
    head: bytes
    """Of every request, up to and with the beginning of its id, which a number ends."""
    bodies: list[bytes]
    """JSON, asked in turn."""
    first: int
    """The body that is asked first."""
    connections: int
    """Open at a time, at most."""
    open_at_once: int
    """Connections before the first stage."""
    core: int | None
    """To run on; None: any."""
    spins: bool
    """Whether it may take a whole core to be on time; else its clock ticks in milliseconds."""
    grace_s: float
    """How long answers are waited for after a stage."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A generator is connected, or why not."""

    error: str | None


def send(pipe: IO[bytes], message: object) -> None:
    """Raises `OSError` when the other end is gone."""
    data = msgspec.msgpack.encode(message)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: IO[bytes], kind: type[T]) -> T | None:
    """The next message; None when the other end is gone."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    [length] = _LENGTH.unpack(head)
    data = pipe.read(length)
    if len(data) < length:  # it was killed while it said so
        return None
    return msgspec.msgpack.decode(data, type=kind)
