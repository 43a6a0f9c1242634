"""What a run records: typed values that cross from the runner to the stations and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NewType, Protocol

import msgspec

RunId = NewType("RunId", str)
Fingerprint = NewType("Fingerprint", str)

RunState = Literal["running", "done", "failed", "interrupted"]
StageState = Literal["running", "done", "cached", "failed"]

BASE_BYTES: Final = 350_000_000
"""What a process holds with its libraries loaded and a query's buffers; it was seen at 170 to 300 MB."""


class ObjectRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A blob in the object store, named by its content. A stage's outcome refers to its data by these, and the garbage
    collector finds what is alive by them."""

    key: str
    sha256: str
    size: int


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one stage consumed."""

    wall_s: float
    cpu_s: float
    """User and system time of this process and of children that ended."""
    peak_memory_bytes: int
    bytes_in: int = 0
    bytes_out: int = 0
    rows_in: int = 0
    rows_out: int = 0
    cost_usd: float = 0.0
    price_id: str = ""
    """The row of the price book that `cost_usd` was computed with."""


class StageRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stage of one run, as `headrace show RUN` prints it."""

    name: str
    state: StageState
    fingerprint: str
    started_us: int
    ended_us: int | None = None
    usage: Usage | None = None
    """Of the execution that made the outcome; a cached stage repeats it."""
    error: str | None = None


class RunRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run."""

    id: str
    state: RunState
    started_us: int
    ended_us: int | None = None
    definition_sha256: str
    stages: tuple[StageRecord, ...] = ()
    result: dict[str, Any] = {}
    """What `run --json` prints of the outcome: model, version, package, cost."""
    error: str | None = None


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most that the process of a run may hold, in bytes."""

    limit_bytes: int
    is_given: bool = False
    """By a person, who is told at once when it does not suffice; else it is what the machine has left."""

    @property
    def free_bytes(self) -> int:
        """For the work itself, beside what the process holds anyway."""
        return self.limit_bytes - BASE_BYTES


class StageContext(Protocol):
    """What a stage may use of the world; everything else comes in as typed arguments."""

    @property
    def memory(self) -> Memory:
        """What the stage may hold."""
        ...

    @property
    def workdir(self) -> Path:
        """An empty folder of this stage's own, deleted when it ends."""
        ...

    def keep(self, path: Path, kind: str, suffix: str) -> ObjectRef:
        """Store a file under `KIND/SHA256SUFFIX` (for example `snapshots/3f….parquet`) durably; counts bytes out."""
        ...

    def keep_bytes(self, data: bytes, kind: str, suffix: str) -> ObjectRef: ...

    def put_aside(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        """As `keep_bytes`, of what nothing needs that comes after the stage: the garbage collector may have it then."""
        ...

    def fetch(self, ref: ObjectRef) -> bytes:
        """The blob, its digest checked; counts bytes in."""
        ...

    def scan(self, ref: ObjectRef) -> tuple[str, dict[str, str]]:
        """URL and options for Polars to scan the blob itself; the digest is checked once per run; counts bytes in."""
        ...

    def progress(self, done: float, total: float | None = None, *, unit: str = "rows", note: str = "") -> None:
        """Say how far the stage is; cheap enough to call for every batch."""
        ...

    def count(self, *, rows_in: int = 0, rows_out: int = 0, bytes_in: int = 0) -> None:
        """Add to the stage's usage."""
        ...

    def recorded(self) -> Mapping[str, bytes]:
        """Parts of this stage (same fingerprint) that an earlier, killed execution recorded, in the order they were."""
        ...

    def record(self, part: str, data: bytes) -> None:
        """Commit a part of the stage's work (a trial) so that a killed stage does not do it twice."""
        ...


class Progress(Protocol):
    """Where a run says how far it is: a terminal's live lines, plain lines, or nothing (`--json`)."""

    def stage_started(self, name: str) -> None: ...
    def stage_moved(self, name: str, done: float, total: float | None, unit: str, note: str) -> None: ...
    def stage_ended(self, name: str, state: StageState, usage: Usage | None) -> None: ...
    def say(self, text: str) -> None: ...
