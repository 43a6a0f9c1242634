"""What a supervisor and its workers say to each other: closed types over a pipe."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Final, Literal

import msgspec

from headrace.serving.keys import ApiKey
from headrace.serving.limits import Limits
from headrace.serving.model import Counts, Deployment, Served


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
    limits: Limits
    online: str | None
    """Address of the online store; None: no version needs it."""
    max_staleness_us: int | None
    on_stale: Literal["refuse", "null"]
    log: str
    """Folder of the prediction log."""
    durability: Literal["process", "power"]
    on_full: Literal["refuse", "gap"]


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


class Install(Message, frozen=True, kw_only=True):
    """Load what these deployments need, and wait."""

    number: int
    deployments: tuple[Deployment, ...]
    keys: tuple[ApiKey, ...]


class Commit(Message, frozen=True, kw_only=True):
    """From the next request on answer by what was loaded under that number."""

    number: int


class Ping(Message, frozen=True, kw_only=True):
    """Say that you live."""

    totals: tuple[ArmCounts, ...] = ()
    """Over all workers, those that have ended included."""
    statuses: dict[int, int] = {}
    workers: int = 0
    stale: str | None = None
    """Why predictions are refused; None: they are not."""


class Drain(Message, frozen=True, kw_only=True):
    """Take no new connections, answer what was asked, end."""

    delay_s: float
    """Before that: not ready, but still taking connections, while a balancer learns of it."""


class Prepared(Message, frozen=True, kw_only=True):
    """Everything is loaded, or why not."""

    number: int
    failed: dict[str, str] = {}
    """By content id."""


class Committed(Message, frozen=True, kw_only=True):
    """Requests are answered by it."""

    number: int


class ArmCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of one arm."""

    deployment: str
    arm: str
    counts: Counts


class Pong(Message, frozen=True, kw_only=True):
    """It lives; what it counted since it last said so."""

    counts: tuple[ArmCounts, ...] = ()
    statuses: dict[int, int] = {}
    connections: int = 0


ToWorker = Install | Commit | Ping | Drain
FromWorker = Prepared | Committed | Pong | Probed
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


def from_worker(pipe: Connection) -> FromWorker:
    """The next message; raises `EOFError` or `OSError` when the worker is gone."""
    message: FromWorker = _from_worker.decode(pipe.recv_bytes())
    return message
