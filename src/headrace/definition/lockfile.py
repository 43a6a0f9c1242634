"""`headrace.lock` on disk: sorted JSON, so that a change of types is a readable diff."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from headrace.definition.errors import LockUnreadable
from headrace.definition.lock import Lock

FILE_NAME = "headrace.lock"
_FORMAT = 1


def read_lock(path: Path) -> Lock:
    """The lock at `path`; the empty one when there is no file.

    Raises
    ------
    LockUnreadable : the file is of another format, or not what `write_lock` wrote; names the line and the place.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        reason = error.strerror or "an error"
        raise LockUnreadable(
            path.name, where="", expected="a readable file", found=reason, fix="let it be read"
        ) from None
    try:
        raw: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(path, data, error) from None
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != _FORMAT:
        raise LockUnreadable(
            path.name,
            where="",
            expected=f'"format": {_FORMAT}',
            found="none" if found is None else str(found)[:40],
            fix="upgrade headrace if a newer version wrote it; else delete it, and the next run infers the types anew",
        )
    try:
        return msgspec.convert(raw, Lock)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        raise LockUnreadable(
            path.name,
            where=f" at {place.strip('`')}" if place else "",
            expected="what headrace writes",
            found=message,
            fix="undo the edit, or delete the file, and the next run infers the types anew",
        ) from None


def _malformed(path: Path, data: bytes, error: Exception) -> LockUnreadable:
    offset = str(error).rpartition("byte ")[2].rstrip(")")
    line = data[: int(offset)].count(b"\n") + 1 if offset.isdigit() else data.count(b"\n") + 1
    conflict = b"<<<<<<<" in data
    fix = (
        "keep one side of the merge conflict" if conflict else "restore it, or delete it, and the next run infers anew"
    )
    return LockUnreadable(path.name, where=f":{line}", expected="JSON", found="a mistake in it", fix=fix)


def write_lock(path: Path, lock: Lock) -> None:
    """Write `lock`, whole or not at all; the same lock is always the same bytes."""
    data = msgspec.json.format(msgspec.json.encode(lock, order="deterministic"), indent=2) + b"\n"
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
