"""One stage at work: what it may use of the world, and what of it is counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.runs.model import Fingerprint, Memory, ObjectRef, Progress
from headrace.stores.catalog import Catalog, Row
from headrace.stores.errors import ObjectCorrupted, ObjectNotFound
from headrace.stores.objects import ObjectStore

_KIND = re.compile(r"[a-z][a-z0-9_-]*")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9]+)*")


class WorkingStage:
    """The `StageContext` of one execution. For one thread: the one that runs the stage."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        objects: ObjectStore,
        project: str,
        name: str,
        fingerprint: Fingerprint,
        workdir: Path,
        clock: Callable[[], int],
        progress: Progress,
        verified: set[str],
        memory: Memory,
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._project = project
        self._name = name
        self._fingerprint = fingerprint
        self._workdir = workdir
        self._clock = clock
        self._progress = progress
        self._verified = verified
        self._memory = memory
        self.kept: set[str] = set()
        self.rows_in = self.rows_out = self.bytes_in = self.bytes_out = 0

    @property
    def workdir(self) -> Path:
        """An empty folder of this stage's own, deleted when it ends."""
        return self._workdir

    @property
    def memory(self) -> Memory:
        """What the stage may hold."""
        return self._memory

    def keep(self, path: Path, kind: str, suffix: str) -> ObjectRef:
        """Store a file under `KIND/SHA256SUFFIX` durably; the file may be moved away."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, 2)
        ref = ObjectRef(key=_key(kind, sha256, suffix), sha256=sha256, size=size)
        if not self._objects.put_file_if_absent(ref.key, path) and not self._is_whole(ref):
            self._objects.delete(ref.key)
            self._objects.put_file_if_absent(ref.key, path)
        return self._account(ref)

    def keep_bytes(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        """Store bytes under `KIND/SHA256SUFFIX` durably."""
        sha256 = hashlib.sha256(data).hexdigest()
        ref = ObjectRef(key=_key(kind, sha256, suffix), sha256=sha256, size=len(data))
        if not self._objects.put_if_absent(ref.key, data) and not self._is_whole(ref):
            self._objects.put(ref.key, data)
        return self._account(ref)

    def put_aside(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        """See `StageContext.put_aside`."""
        before = set(self.kept)
        ref = self.keep_bytes(data, kind, suffix)
        self.kept = before
        return ref

    def fetch(self, ref: ObjectRef) -> bytes:
        """The blob, its digest checked."""
        data = self._objects.get_verified(ref.key, ref.sha256)
        self.bytes_in += len(data)
        return data

    def scan(self, ref: ObjectRef) -> tuple[str, dict[str, str]]:
        """URL and options for Polars to scan the blob itself; the digest is checked once per run."""
        if ref.key not in self._verified:
            self._objects.verify(ref.key, ref.sha256)
            self._verified.add(ref.key)
        self.bytes_in += ref.size
        target = self._objects.scan_target(ref.key)
        return target.url, target.options

    def progress(self, done: float, total: float | None = None, *, unit: str = "rows", note: str = "") -> None:
        """Say how far the stage is."""
        self._progress.stage_moved(self._name, done, total, unit, note)

    def count(self, *, rows_in: int = 0, rows_out: int = 0, bytes_in: int = 0) -> None:
        """Add to the stage's usage."""
        self.rows_in += rows_in
        self.rows_out += rows_out
        self.bytes_in += bytes_in

    def recorded(self) -> Mapping[str, bytes]:
        """Parts of this stage (same fingerprint) that an earlier, killed execution recorded, in the order they were."""
        where = {"project": self._project, "fingerprint": self._fingerprint}
        with self._catalog.read() as reader:
            rows = reader.select("parts", where, order_by=("seq",))
        return {str(row["part"]): row["data"] for row in rows if isinstance(row["data"], bytes)}

    def record(self, part: str, data: bytes) -> None:
        """Commit a part of the stage's work, so that a killed stage does not do it twice.

        The bytes hold all of it: an object kept by an unfinished stage is not protected from the garbage collector.
        """
        owner: Row = {"project": self._project, "fingerprint": self._fingerprint}
        with self._catalog.write() as writer:
            newest = writer.select("parts", owner, order_by=("-seq",), limit=1)
            seq = int(newest[0]["seq"] or 0) + 1 if newest else 0  # the order in which they were recorded
            row: Row = {**owner, "part": part, "seq": seq, "data": data, "made_us": self._clock()}
            writer.insert_if_absent("parts", row)

    def _is_whole(self, ref: ObjectRef) -> bool:
        """Whether the blob that is already under this key has its digest: a damaged one is stored anew."""
        try:
            self._objects.verify(ref.key, ref.sha256)
        except ObjectNotFound:  # collected meanwhile
            return False
        except ObjectCorrupted:
            self._progress.say(f"object {ref.key} was damaged in the store and is written again")
            return False
        return True

    def _account(self, ref: ObjectRef) -> ObjectRef:
        self.kept.add(ref.key)
        self._verified.add(ref.key)
        self.bytes_out += ref.size
        return ref


def _key(kind: str, sha256: str, suffix: str) -> str:
    if not _KIND.fullmatch(kind) or not _SUFFIX.fullmatch(suffix):
        raise ValueError(f"{kind!r} and {suffix!r} do not make a key like snapshots/3f2a.parquet")
    return f"{kind}/{sha256}{suffix}"


def object_refs(value: Any) -> Iterator[ObjectRef]:
    """Every object that an outcome refers to, however deep."""
    if isinstance(value, ObjectRef):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from object_refs(getattr(value, name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from object_refs(part)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from object_refs(part)
