"""SQLite's errors as ours; light, for the reader on stdlib sqlite3 as for the catalog on SQLAlchemy."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from headrace.stores.errors import CatalogCorrupted, StoreFull, StoreUnavailable

BUSY_TIMEOUT_S = 30.0
_NEARLY_FULL_BYTES = 1 << 20
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def from_sqlite(error: BaseException, path: Path) -> Exception:
    """Our error for what SQLite said about the catalog at `path`."""
    where = f"catalog {path}"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest of the bits say the detail
    if isinstance(error, sqlite3.IntegrityError):
        return ValueError(f"the catalog refuses the row: {error}")
    if code in _DAMAGED:
        return CatalogCorrupted(str(path), str(error))
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StoreFull(where)
    if code == sqlite3.SQLITE_BUSY:
        return StoreUnavailable(where, f"another process has been writing for more than {BUSY_TIMEOUT_S:g} s")
    return StoreUnavailable(where, str(error))


def _is_full(path: Path) -> bool:
    """SQLite reports a full disk as an I/O error where it cannot extend the memory that its readers share."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _NEARLY_FULL_BYTES
