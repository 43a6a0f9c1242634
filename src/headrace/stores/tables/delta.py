"""Delta tables on an object store, durable on local disks too.

The deltalake library fsyncs nothing: simulated power cuts lost every commit, and its automatic checkpoints made whole
tables unreadable. So we write through the object store, which does: first the Parquet file, whole and durable, then
the log entry by `put_if_absent`. What a killed writer leaves is a file that no entry names; `vacuum` takes it away.
Any Delta reader reads the tables; ours is Polars through deltalake.

A data file's name holds its SHA-256. `scan` checks each file once in the life of this object, so that damaged bytes are
refused and named, not computed with. Log entries are read one by one: no checkpoint is written, the log is kept whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote

import structlog

from headrace.stores.durable import open_folder, translated
from headrace.stores.errors import (
    ObjectCorrupted,
    ObjectNotFound,
    TableCorrupted,
    TableMoved,
    TableSchemaMismatch,
    TableTooNew,
)
from headrace.stores.objects import ObjectStore
from headrace.stores.objects.keys import safe_key
from headrace.stores.tables.log import (
    ENTRY_NAME,
    PARTITION_TYPES,
    DamagedEntryError,
    DataFile,
    Entry,
    State,
    TornEntryError,
    clashes,
    decode_entry,
    encode_entry,
    entry_key,
)

if TYPE_CHECKING:
    import polars as pl

COMPACT_BELOW_BYTES = 32 << 20
"""`compact` joins files smaller than this."""
COMPACT_TO_BYTES = 128 << 20

_NAMED_BY_DIGEST = re.compile(r"(?:[^/]+/)?part-([0-9a-f]{64})-[0-9a-f]{32}\.parquet\Z")
_log = structlog.get_logger(__name__)


class DeltaTableStore:
    """The `TableStore` on an `ObjectStore`; a table's name is the key of its folder.

    One instance may serve many threads.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._states: dict[str, State] = {}
        self._verified: set[str] = set()
        self._guard = Lock()

    def append(
        self,
        table: str,
        rows: pl.DataFrame,
        *,
        partition: str | None = None,
        marks: Mapping[str, int] | None = None,
        after: int | None = None,
    ) -> int:
        columns = _delta_columns(table, rows)
        added: list[DataFile] | None = None
        while True:
            state = self._state(table)
            if after is not None and after != (-1 if state is None else state.version):
                raise TableMoved(table, after)
            if state is not None:
                _check_columns(table, expected=state.schema, found=columns)
                partition = state.partition
            elif partition is not None and columns.get(partition) not in PARTITION_TYPES:
                raise TableSchemaMismatch(
                    table, partition, expected=" or ".join(sorted(PARTITION_TYPES)), found=str(columns.get(partition))
                )
            if added is None:
                added = self._put_parts(table, rows, partition)
            if state is None:
                entry = encode_entry(
                    operation="CREATE TABLE",
                    at_ms=_now_ms(),
                    create=(str(uuid.uuid4()), columns),
                    adds=added,
                    partition=partition,
                    marks=marks,
                )
                if self._objects.put_if_absent(entry_key(table, 0), entry):
                    return 0
                added = None
                continue  # somebody else created it just now: look at theirs, which may be parted otherwise
            entry = encode_entry(operation="WRITE", at_ms=_now_ms(), adds=added, partition=state.partition, marks=marks)
            version = self._commit(table, entry, after=state.version, marks=marks or {}, only=after is not None)
            if version is not None:
                return version
            if marks or after is not None:
                raise TableMoved(table, after)

    def marks(self, table: str) -> Mapping[str, int]:
        state = self._state(table)
        return {} if state is None else state.marks

    def scan(self, table: str, *, version: int | None = None) -> pl.LazyFrame:
        import polars as pl

        state = self._existing(table) if version is None else self._at(table, version)
        self._verify(table, state.files.values())
        url, options = self._objects.scan_target(table)
        return pl.scan_delta(url, version=state.version, storage_options=options or None)

    def version(self, table: str) -> int | None:
        state = self._state(table)
        return None if state is None else state.version

    def delete_where(self, table: str, predicate: str) -> int:
        _without(self.scan(table).head(0).collect(), predicate)  # a wrong one is refused whatever the table holds
        while True:
            state = self._existing(table)
            removed, added, deleted = [], [], 0
            for file in state.files.values():
                rows = self._rows(table, file, state)
                kept = _without(rows, predicate)
                if kept.height < rows.height:
                    deleted += rows.height - kept.height
                    removed.append(file)
                    added += self._put_parts(table, kept, state.partition)
            if not removed or self._rewrite(table, state, "DELETE", removed, added) is not None:
                return deleted

    def compact(self, table: str) -> None:
        import polars as pl

        while True:
            state = self._existing(table)
            groups = [group for group in _small_files(state.files.values()) if len(group) > 1]
            joined = []
            for group in groups:
                rows = pl.concat([self._rows(table, one, state) for one in group], how="diagonal")
                joined += self._put_parts(table, rows, state.partition)
            removed = [file for group in groups for file in group]
            if not removed or self._rewrite(table, state, "OPTIMIZE", removed, joined, changes_data=False) is not None:
                return

    def vacuum(self, table: str, *, keep_hours: float) -> int:
        state = self._existing(table)
        oldest_ms = _now_ms() - int(keep_hours * 3_600_000)
        needed = {unquote(path) for path in state.files}
        needed |= {unquote(path) for path, removed_ms in state.removed_ms.items() if removed_ms > oldest_ms}
        unneeded = [
            entry.key
            for entry in self._objects.list(f"{table}/")
            if entry.key.endswith(".parquet")
            and not entry.key.startswith(f"{table}/_")
            and entry.key.removeprefix(f"{table}/") not in needed
            and entry.modified_us // 1000 <= oldest_ms  # a younger one may wait for its log entry
        ]
        for key in unneeded:
            self._objects.delete(key)
        with self._guard:
            self._verified.difference_update(unneeded)
        return len(unneeded)

    def _put_parts(self, table: str, rows: pl.DataFrame, partition: str | None) -> list[DataFile]:
        """The rows as data files: one, or one for each value of the partition column."""
        if not rows.height:
            return []
        if partition is None:
            return [self._put_rows(table, rows)]
        return [
            self._put_rows(table, part.drop(partition), f"{partition}={value}/", str(value))
            for (value,), part in rows.partition_by(partition, as_dict=True).items()
        ]

    def _put_rows(self, table: str, rows: pl.DataFrame, folder: str = "", value: str | None = None) -> DataFile:
        buffer = io.BytesIO()
        rows.write_parquet(buffer, statistics=False)
        data = buffer.getvalue()
        path = f"{folder}part-{hashlib.sha256(data).hexdigest()}-{uuid.uuid4().hex}.parquet"
        self._objects.put(f"{table}/{path}", data)
        return DataFile(path, len(data), rows.height, value)

    def _rows(self, table: str, file: DataFile, state: State) -> pl.DataFrame:
        import polars as pl

        self._verify(table, [file])
        rows = pl.read_parquet(io.BytesIO(self._objects.get(f"{table}/{unquote(file.path)}")))
        if state.partition is None:
            return rows
        value = pl.lit(file.partition, pl.String)
        if state.schema[state.partition] == "date":
            value = value.str.to_date("%Y-%m-%d")
        return rows.with_columns(value.alias(state.partition))

    def _rewrite(
        self,
        table: str,
        state: State,
        operation: str,
        removed: Sequence[DataFile],
        added: Sequence[DataFile],
        *,
        changes_data: bool = True,
    ) -> int | None:
        entry = encode_entry(
            operation=operation,
            at_ms=_now_ms(),
            adds=added,
            removes=removed,
            changes_data=changes_data,
            partition=state.partition,
        )
        return self._commit(table, entry, after=state.version, removes=[file.path for file in removed])

    def _commit(
        self,
        table: str,
        entry: bytes,
        *,
        after: int,
        removes: Sequence[str] = (),
        marks: Iterable[str] = (),
        only: bool = False,
    ) -> int | None:
        """Give the entry the first free version; None if another commit came first that makes it wrong, or, with
        `only`, if any came."""
        version = after + 1
        while not self._objects.put_if_absent(entry_key(table, version), entry):
            if only or clashes(self._entry(table, version), removes, marks):
                return None
            version += 1
        return version

    def _existing(self, table: str) -> State:
        state = self._state(table)
        if state is None:
            raise ObjectNotFound(table)
        return state

    def _state(self, table: str) -> State | None:
        """The table at its newest version; entries are read once in the life of this object."""
        safe_key(table)
        with self._guard:
            state = self._states.get(table) or State()
            if state.version < 0:
                with self._locked_log(table):
                    self._repair_tail(table)
                for version in self._versions(table):
                    state.apply(self._entry(table, version))
                if state.version < 0:
                    return None
            with suppress(ObjectNotFound):
                while True:
                    state.apply(self._entry(table, state.version + 1))
            self._states[table] = state
            return state.copy()

    def _at(self, table: str, version: int) -> State:
        newest = self._existing(table).version
        if not 0 <= version <= newest:
            raise ObjectNotFound(entry_key(table, version))
        state = State()
        for number in range(version + 1):
            state.apply(self._entry(table, number))
        return state

    def _entry(self, table: str, version: int) -> Entry:
        key = entry_key(table, version)
        try:
            entry = decode_entry(self._objects.get(key))
        except DamagedEntryError as damage:
            raise TableCorrupted(table, f"{key}: {damage}") from damage
        if entry.needs is not None:
            raise TableTooNew(table, entry.needs)
        return entry

    def _versions(self, table: str) -> list[int]:
        """The versions that the log holds; a gap is damage."""
        prefix = f"{table}/_delta_log/"
        names = (entry.key.removeprefix(prefix) for entry in self._objects.list(prefix))
        versions = [int(found[1]) for found in map(ENTRY_NAME.match, names) if found]
        for expected, found in enumerate(versions):
            if found != expected:
                raise TableCorrupted(table, f"{entry_key(table, expected)}: it is missing")
        return versions

    def _repair_tail(self, table: str) -> None:
        """Drop a last entry that is no entry: another writer's, torn by a power cut before anybody was told of it."""
        versions = self._versions(table)
        if not versions or not _is_local(self._objects.scan_target(table).url):
            return
        key = entry_key(table, versions[-1])
        with suppress(DamagedEntryError):  # told by whoever reads it next
            try:
                decode_entry(self._objects.get(key))
            except TornEntryError:
                self._objects.delete(key)
                _log.warning("table_tail_repaired", table=table, entry=key)

    @contextmanager
    def _locked_log(self, table: str) -> Iterator[None]:
        """Keep other processes from looking at the tail while we do: one that has repaired it may write there."""
        url = self._objects.scan_target(f"{table}/_delta_log").url
        if not _is_local(url) or not Path(url).is_dir():
            yield
            return
        with translated(url), open_folder(Path(url)) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def _verify(self, table: str, files: Iterable[DataFile]) -> None:
        """Check files that were not checked yet against the digest in their names."""
        for file in files:
            key = f"{table}/{unquote(file.path)}"
            named = _NAMED_BY_DIGEST.match(file.path)
            if key in self._verified or named is None:
                continue
            try:
                self._objects.verify(key, named[1])
            except ObjectNotFound as error:
                raise TableCorrupted(table, f"{key}: it is missing") from error
            except ObjectCorrupted as error:
                raise TableCorrupted(table, f"{key}: its digest differs") from error
            with self._guard:
                self._verified.add(key)


def _small_files(files: Iterable[DataFile]) -> Iterator[list[DataFile]]:
    """Small files of one partition in groups that make one large file each."""
    groups: dict[str | None, list[DataFile]] = {}
    for file in files:
        if file.size < COMPACT_BELOW_BYTES:
            group = groups.setdefault(file.partition, [])
            if sum(one.size for one in group) + file.size > COMPACT_TO_BYTES:
                yield groups.pop(file.partition)
                group = groups.setdefault(file.partition, [])
            group.append(file)
    yield from groups.values()


def _without(rows: pl.DataFrame, predicate: str) -> pl.DataFrame:
    """The rows for which the predicate is not true; where it is null, a row stays."""
    import polars as pl

    try:
        return rows.filter(~pl.sql_expr(predicate).fill_null(value=False))
    except pl.exceptions.PolarsError as error:  # not quoted: a predicate that erases somebody holds who
        columns = ", ".join(rows.columns)
        raise ValueError(f"the predicate is not a true-or-false SQL expression over the columns {columns}") from error


def _delta_columns(table: str, rows: pl.DataFrame) -> dict[str, str]:
    import polars as pl

    delta = {
        pl.Int8(): "byte",
        pl.Int16(): "short",
        pl.Int32(): "integer",
        pl.Int64(): "long",
        pl.Float32(): "float",
        pl.Float64(): "double",
        pl.Boolean(): "boolean",
        pl.String(): "string",
        pl.Binary(): "binary",
        pl.Date(): "date",
        pl.Datetime("us", "UTC"): "timestamp",
    }
    for name, dtype in rows.schema.items():
        if dtype not in delta:
            raise TableSchemaMismatch(table, name, expected=", ".join(map(str, delta)), found=str(dtype))
    return {name: delta[dtype] for name, dtype in rows.schema.items()}


def _check_columns(table: str, *, expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    nothing = "no such column"
    for column in [*expected, *found]:
        if expected.get(column) != found.get(column):
            raise TableSchemaMismatch(
                table, column, expected=expected.get(column, nothing), found=found.get(column, nothing)
            )


def _is_local(url: str) -> bool:
    return "://" not in url


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
