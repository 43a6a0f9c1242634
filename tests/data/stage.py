"""A stage that keeps its files in a folder: what the runner hands to the data station, without the runner."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from headrace.data.check import check
from headrace.data.model import CheckedSource, Snapshot, SourceState, Table
from headrace.data.snapshot import take_snapshot, until_still
from headrace.data.state import source_state
from headrace.definition.model import Check, ColumnRule, Source
from headrace.language.types import Type
from headrace.runs.model import Memory, ObjectRef


class FolderStage:
    """A `StageContext` over one folder."""

    memory = Memory(2**40)

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self.workdir = root / "work"
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.rows_in = self.rows_out = self.bytes_in = 0

    def fresh(self) -> FolderStage:
        """The same folder as the next stage finds it: with nothing in the work folder."""
        shutil.rmtree(self.workdir)
        self.workdir.mkdir()
        return self

    def keep(self, path: Path, kind: str, suffix: str) -> ObjectRef:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        target = self._objects / kind / f"{digest}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
        return ObjectRef(f"{kind}/{digest}{suffix}", digest, size)

    def keep_bytes(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        path = self.workdir / "bytes"
        path.write_bytes(data)
        return self.keep(path, kind, suffix)

    def put_aside(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        return self.keep_bytes(data, kind, suffix)

    def fetch(self, ref: ObjectRef) -> bytes:
        return (self._objects / ref.key).read_bytes()

    def scan(self, ref: ObjectRef) -> tuple[str, dict[str, str]]:
        return str(self._objects / ref.key), {}

    def progress(self, done: float, total: float | None = None, *, unit: str = "rows", note: str = "") -> None:
        pass

    def count(self, *, rows_in: int = 0, rows_out: int = 0, bytes_in: int = 0) -> None:
        self.rows_in += rows_in
        self.rows_out += rows_out
        self.bytes_in += bytes_in

    def recorded(self) -> Mapping[str, bytes]:
        return {}

    def record(self, part: str, data: bytes) -> None:
        pass


def packed(data: bytes, suffix: str) -> bytes:
    """The bytes as a file of that suffix holds them."""
    if suffix == ".gz":
        return gzip.compress(data)
    if suffix == ".zst":
        import pyarrow as pa

        compressed: bytes = pa.compress(data, "zstd", asbytes=True)
        return compressed
    return data


class Bench:
    """A folder with files, and one call from them to what the station makes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env: dict[str, str] = {}
        self.stage = FolderStage(root / ".stage")

    def write(self, name: str, data: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def snapshot(self, source: Source, types: Mapping[str, Type]) -> Snapshot:
        def read(state: SourceState) -> Snapshot:
            return take_snapshot(source, self.root, self.env, types, state, self.stage.fresh())

        return until_still(lambda: source_state(source, self.root, self.env), read)

    def check(
        self, source: Source, types: Mapping[str, Type], statics: Mapping[str, Table] | None = None
    ) -> CheckedSource:
        snapshot = self.snapshot(source, types)
        return check(snapshot, source, types, statics or {}, self.stage.fresh())

    def read(self, ref: ObjectRef | None) -> pl.DataFrame:
        assert ref is not None
        return pl.read_parquet(self.stage.scan(ref)[0])

    def accepted(self, checked: CheckedSource) -> dict[str, list[Any]]:
        return self.read(checked.table.ref).to_dict(as_series=False)

    def reasons(self, checked: CheckedSource) -> dict[int, list[str]]:
        """Row in the source → why it is in the quarantine."""
        if checked.quarantine is None:
            return {}
        rows = self.read(checked.quarantine)
        return dict(zip(rows["_row"].to_list(), rows["_reasons"].to_list(), strict=True))


def source_of(
    *read: str,
    columns: Mapping[str, ColumnRule] | None = None,
    checks: Mapping[str, tuple[str, str]] | None = None,
    **more: Any,
) -> Source:
    """A source called `s`; `checks`: name → (where, on_fail)."""
    suffix = read[0].removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
    return Source(
        name="s",
        read=read,
        columns=tuple((columns or {}).items()),
        checks=tuple(Check(name=k, where=w, on_fail=f) for k, (w, f) in (checks or {}).items()),  # type: ignore[arg-type]
        **{"format": suffix if suffix in ("csv", "parquet", "ndjson") else "sqlite", **more},
    )
