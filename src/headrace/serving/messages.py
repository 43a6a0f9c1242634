"""What a supervisor and its workers say to each other: closed types over a pipe."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Final, Literal

import msgspec

from headrace.serving.batch.counts import BatchCounts, BatchProcess
from headrace.serving.keys import ApiKey
from headrace.serving.limits import Limits
from headrace.serving.model import Counts, Deployment, Served
from headrace.serving.tls import Handshake, Tls


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """Base."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a worker is forked with."""

    project: str
    root: str
    """Folder that relative paths are relative to."""
    packages: str
    """Folder of packages by content id."""
    signers: tuple[str, ...]
    hosts: tuple[str, ...]
    tls: Tls | None = None
    grpc: tuple[str, int] | None = None
    """Where gRPC is spoken; None: nowhere."""
    batch: bool = False
    """Whether batches in Arrow and Parquet are answered."""
    limits: Limits
    online: str | None
    """Address of the online store; None: no version needs it."""
    max_staleness_us: int | None
    on_stale: Literal["refuse", "null"]
    log: str
    """Folder of the prediction log."""
    durability: Literal["process", "power"]
    on_full: Literal["refuse", "gap"]
    memory_bytes: int | None = None
    """The most that a worker may take beyond what it begins with; None: what there is."""


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a process is forked with that tries one version, away from every request."""

    settings: Settings
    served: Served
    memory_bytes: int
    """The most that it may take beyond what it begins with."""
    cpu_s: int


class Probed(Message, frozen=True, kw_only=True):
    """What came of it."""

    error: str | None
    row_us: float = 0.0
    """What one row took, the median of some."""


class Accept(Message, frozen=True, kw_only=True):
    """From the next request on these are the keys that hold."""

    number: int
    keys: tuple[ApiKey, ...]


class Install(Message, frozen=True, kw_only=True):
    """Load what this deployment needs, and wait."""

    number: int
    deployment: Deployment


class Commit(Message, frozen=True, kw_only=True):
    """From the next request on answer by what was loaded under that number."""

    number: int


class Cancel(Message, frozen=True, kw_only=True):
    """Let go of what was loaded under that number."""

    number: int


class Remove(Message, frozen=True, kw_only=True):
    """There is no deployment of that name any longer."""

    deployment: str


class Open(Message, frozen=True, kw_only=True):
    """Take connections: everything is there."""


class Ping(Message, frozen=True, kw_only=True):
    """Say that you live."""

    totals: tuple[ArmCounts, ...] = ()
    """Over all workers, those that have ended included."""
    statuses: dict[int, int] = {}
    workers: int = 0
    batches: BatchCounts = BatchCounts()
    batch_process: BatchProcess | None = None
    """None: batches are not answered."""
    handshakes: dict[Handshake, int] | None = None
    """None: there is no TLS."""
    stale: str | None = None
    """Why predictions are refused; None: they are not."""


class Drain(Message, frozen=True, kw_only=True):
    """Take no new connections, answer what was asked, end."""

    delay_s: float
    """Before that: not ready, but still taking connections, while a balancer learns of it."""


class Accepted(Message, frozen=True, kw_only=True):
    """No other key is taken any more."""

    number: int


class Prepared(Message, frozen=True, kw_only=True):
    """Everything is loaded, or why not."""

    number: int
    failed: dict[str, str] = {}
    """`MODEL@VERSION` → why it cannot be."""


class Committed(Message, frozen=True, kw_only=True):
    """Requests are answered by it."""

    number: int


class Opened(Message, frozen=True, kw_only=True):
    """It takes connections."""


class ArmCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of one arm."""

    deployment: str
    arm: str
    counts: Counts


class Pong(Message, frozen=True, kw_only=True):
    """It lives; what it counted since it last said so."""

    counts: tuple[ArmCounts, ...] = ()
    statuses: dict[int, int] = {}
    batches: BatchCounts | None = None
    """None: there was none."""
    handshakes: dict[Handshake, int] = {}
    connections: int = 0
    refused: int = 0
    """Requests that were told to come again, as there was too much to do."""
    cpu_s: float = 0.0
    """What the process has computed for in its life."""


ToWorker = Accept | Install | Commit | Cancel | Remove | Open | Ping | Drain
FromWorker = Accepted | Prepared | Committed | Opened | Pong | Probed
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of a worker's message."""
_LENGTH: Final = struct.Struct("!i")
"""What `multiprocessing.connection.Connection` puts before a message of less than 2 GiB."""
_encode: Final = msgspec.msgpack.Encoder().encode
_to_worker: Final = msgspec.msgpack.Decoder(ToWorker)
_from_worker: Final = msgspec.msgpack.Decoder(FromWorker)


def send(pipe: Connection, message: Message) -> None:
    """Raises `OSError` when the other end is gone."""
    pipe.send_bytes(_encode(message))


def for_worker(pipe: Connection) -> ToWorker:
    """The next message; raises `EOFError` or `OSError` when the supervisor is gone."""
    message: ToWorker = _to_worker.decode(pipe.recv_bytes())
    return message


def framed(message: Message) -> bytes:
    """As `send` would put it on the pipe."""
    data = _encode(message)
    return _LENGTH.pack(len(data)) + data


def unframed(received: bytearray) -> Iterator[FromWorker]:
    """Take every whole message out of what was received; raises `msgspec.DecodeError` for what is none."""
    while len(received) >= _LENGTH.size:
        [length] = _LENGTH.unpack_from(received)
        if not 0 <= length <= MOST_BYTES:
            raise msgspec.DecodeError(f"a message of {length} bytes")
        end = _LENGTH.size + length
        if len(received) < end:
            return
        message: FromWorker = _from_worker.decode(received[_LENGTH.size : end])
        del received[:end]
        yield message
