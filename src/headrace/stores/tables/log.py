"""Delta's transaction log as far as we write it: what an entry says, which files are alive, whether two commits clash.

An entry is one JSON object a line (Delta protocol, reader 1 and writer 2). We write no column statistics: they would
keep the values of rows that were deleted. The last line of our entries carries a digest, so that a
flipped byte in an entry is found even where it is still JSON.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

ENTRY_NAME = re.compile(r"(\d{20})\.json\Z")
READER, WRITER = 1, 2
"""The protocol that we write, and the newest that we understand."""

PARTITION_TYPES = frozenset({"string", "date"})
"""Types that a partition column may have."""

_DIGEST = "headraceSha256"


class DamagedEntryError(ValueError):
    """The bytes are not a log entry, or not the one that was written."""


class TornEntryError(DamagedEntryError):
    """The bytes are no log entry at all, as a power cut leaves one that nobody synced: empty, zeros, half a line."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file of a table."""

    path: str
    """Relative to the table's folder."""
    size: int
    rows: int | None
    """None where another writer did not say."""
    partition: str | None = None
    """The value that all its rows have in the partition column, as Delta writes it; None without one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one version changed."""

    adds: tuple[DataFile, ...] = ()
    removes: frozenset[str] = frozenset()
    schema: Mapping[str, str] | None = None
    """Column → Delta type, where the entry sets it."""
    at_ms: int = 0
    """When it was committed, by its writer's clock; 0 where another writer did not say."""
    partition: str | None = None
    """The partition column, where the entry sets the columns and there is one."""
    marks: Mapping[str, int] = field(default_factory=dict)
    """What Delta calls transactions: per application how far it has come."""
    needs: str | None = None
    """What another writer has made of the table that we do not understand, and must not touch."""


@dataclass(slots=True)
class State:
    """A table at one version, folded from the entries up to it."""

    version: int = -1
    schema: Mapping[str, str] = field(default_factory=dict)
    files: dict[str, DataFile] = field(default_factory=dict)
    removed_ms: dict[str, int] = field(default_factory=dict)
    """When a file that is alive no more was removed."""
    partition: str | None = None
    marks: dict[str, int] = field(default_factory=dict)

    def apply(self, entry: Entry) -> None:
        """Step to the next version."""
        self.version += 1
        if entry.schema is not None:
            self.schema, self.partition = entry.schema, entry.partition
        for path in entry.removes:
            self.files.pop(path, None)
            self.removed_ms[path] = entry.at_ms
        self.files.update((added.path, added) for added in entry.adds)
        self.marks.update(entry.marks)

    def copy(self) -> State:
        """Another, which changes by itself."""
        return State(
            self.version, self.schema, dict(self.files), dict(self.removed_ms), self.partition, dict(self.marks)
        )


def entry_key(table: str, version: int) -> str:
    return f"{table}/_delta_log/{version:020d}.json"


def encode_entry(
    *,
    operation: str,
    at_ms: int,
    create: tuple[str, Mapping[str, str]] | None = None,
    adds: Sequence[DataFile] = (),
    removes: Iterable[DataFile] = (),
    changes_data: bool = True,
    partition: str | None = None,
    marks: Mapping[str, int] | None = None,
) -> bytes:
    """One entry's bytes; `create` is the new table's id and columns, `partition` the table's partition column."""
    lines: list[dict[str, Any]] = []
    if create is not None:
        lines.append({"protocol": {"minReaderVersion": READER, "minWriterVersion": WRITER}})
        lines.append({"metaData": _metadata(*create, at_ms, partition)})
    lines += [
        {"txn": {"appId": name, "version": mark, "lastUpdated": at_ms}} for name, mark in sorted((marks or {}).items())
    ]
    lines += [
        {
            "add": {
                "path": added.path,
                "partitionValues": {partition: added.partition} if partition else {},
                "size": added.size,
                "modificationTime": at_ms,
                "dataChange": changes_data,
                "stats": msgspec.json.encode({"numRecords": added.rows}).decode(),
            }
        }
        for added in adds
    ]
    lines += [
        {
            "remove": {
                "path": removed.path,
                "deletionTimestamp": at_ms,
                "dataChange": changes_data,
                "extendedFileMetadata": True,
                "partitionValues": {partition: removed.partition} if partition else {},
                "size": removed.size,
            }
        }
        for removed in removes
    ]
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    info = {"timestamp": at_ms, "operation": operation, "engineInfo": "headrace"}
    return body + _last_line(body, info)


def decode_entry(data: bytes) -> Entry:
    """Read an entry, ours or another writer's; `DamagedEntryError` says why not."""
    lines = data.splitlines(keepends=True)
    if not lines:
        raise TornEntryError("it is empty")
    try:
        actions = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TornEntryError("it is not JSON") from error
    try:
        entry = _entry(actions)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedEntryError("it is not a Delta log entry") from error
    info = actions[-1].get("commitInfo") if actions else None
    if isinstance(info, dict) and info.pop(_DIGEST, None) is not None:
        body = b"".join(lines[:-1])
        if lines[-1] != _last_line(body, info):
            raise DamagedEntryError("its digest differs")
    return entry


def clashes(theirs: Entry, our_removes: Iterable[str], our_marks: Iterable[str] = ()) -> bool:
    """Whether an entry that came first makes ours wrong: it set the columns, removed a file that ours removes, or set
    a mark that ours sets."""
    return (
        theirs.schema is not None
        or not theirs.removes.isdisjoint(our_removes)
        or not theirs.marks.keys().isdisjoint(our_marks)
    )


def _entry(actions: Sequence[Mapping[str, Any]]) -> Entry:
    adds, removes, marks = [], set(), {}
    schema, partition, at_ms, needs = None, None, 0, None
    for action in actions:
        if (added := action.get("add")) is not None:
            stats = msgspec.json.decode(added.get("stats") or "{}", type=dict[str, Any])
            values = list(added.get("partitionValues", {}).values())
            value = None if not values or values[0] is None else str(values[0])
            adds.append(DataFile(str(added["path"]), int(added["size"]), stats.get("numRecords"), value))
        elif (removed := action.get("remove")) is not None:
            removes.add(str(removed["path"]))
        elif (metadata := action.get("metaData")) is not None:
            columns = msgspec.json.decode(metadata["schemaString"], type=dict[str, Any])["fields"]
            schema = {str(column["name"]): str(column["type"]) for column in columns}
            by = [str(column) for column in metadata.get("partitionColumns", [])]
            partition = by[0] if by else None
            if len(by) > 1 or any(schema.get(column) not in PARTITION_TYPES for column in by):
                needs = f"partitions by {', '.join(by)}"
        elif (transaction := action.get("txn")) is not None:
            marks[str(transaction["appId"])] = int(transaction["version"])
        elif (protocol := action.get("protocol")) is not None:
            reader, writer = int(protocol["minReaderVersion"]), int(protocol["minWriterVersion"])
            if reader > READER or writer > WRITER:
                needs = f"Delta reader {reader} and writer {writer}"
        elif (info := action.get("commitInfo")) is not None:
            at_ms = int(info.get("timestamp", 0))
    return Entry(tuple(adds), frozenset(removes), schema, at_ms, partition, marks, needs)


def _metadata(table_id: str, columns: Mapping[str, str], at_ms: int, partition: str | None) -> dict[str, Any]:
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in columns.items()]
    return {
        "id": table_id,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": msgspec.json.encode({"type": "struct", "fields": fields}).decode(),
        "partitionColumns": [partition] if partition else [],
        "configuration": {},
        "createdTime": at_ms,
    }


def _last_line(body: bytes, info: Mapping[str, Any]) -> bytes:
    """The line that ends our entries, with the digest of all the others and of itself."""
    digest = hashlib.sha256(body + msgspec.json.encode(info)).hexdigest()
    return msgspec.json.encode({"commitInfo": {**info, _DIGEST: digest}}) + b"\n"
