"""Online values in LMDB: one file, read by memory map, for one machine.

An update is one write transaction, which a kill or a power cut undoes; readers go on with what was committed before. A
second writer waits for the first, in this process or another. LMDB allows an environment once a process, so instances
of one path share it, and it must not be carried over a fork: a child opens it anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from headrace.errors import MissingDependency
from headrace.stores.errors import OnlineCorrupted, OnlineMoved, StoreFull, StoreUnavailable
from headrace.stores.online import ANY, Item, Read, checked_key

try:
    import lmdb
except ImportError as error:
    raise MissingDependency("lmdb", extra="build", needed_for="keeping online values in files") from error

MAP_BYTES: Final = (64 << 30, 4 << 30, 256 << 20)
"""How much address space is asked for, and what is asked for when there is not so much. The file itself is as large as
what was written, and a map that is large from the beginning never has to grow while others read."""
PURGED: Final = 50_000
"""Keys removed in one transaction, so that other writers need not wait for long."""
_PREFIX: Final = 8
_SCARCE_BYTES: Final = 1 << 20
_STATE: Final = b""
"""The state's key: shorter than any key of a value."""


class _Environment:
    """The one LMDB environment of this process for a path, and how many stores use it."""

    def __init__(self, path: Path) -> None:
        self.users = 0
        self.pid = os.getpid()
        path.mkdir(parents=True, exist_ok=True)
        for size in MAP_BYTES:
            try:
                self.lmdb = lmdb.open(str(path), map_size=size, max_readers=1024, max_spare_txns=64)
            except lmdb.MemoryError:
                if size == MAP_BYTES[-1]:
                    raise
            else:
                self.lmdb.reader_check()  # slots of processes that were killed
                return


_environments: dict[Path, _Environment] = {}
_opening: Final = threading.Lock()


class LocalOnlineStore:
    """The `OnlineStore` as an LMDB file in a folder, which is made when it is not there."""

    waits = False

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._used: _Environment | None = None
        self._prefixes: dict[str, bytes] = {}
        self._environment()

    def read(self, space: str, keys: Sequence[bytes]) -> Read:
        prefix = self._prefix(space)
        try:
            with self._reading() as txn:
                get = txn.get
                return Read(get(prefix + _STATE), [get(prefix + key) for key in keys])
        except lmdb.Error as error:
            raise self._trouble(error) from error

    def update(self, space: str, items: Iterable[Item], state: bytes, *, expected: object = ANY) -> int:
        prefix = self._prefix(space)
        count = 0
        try:
            with self._environment().begin(write=True) as txn:
                if expected is not ANY and txn.get(prefix + _STATE) != expected:
                    raise OnlineMoved(str(self._root), space)
                for key, value in items:
                    count += 1
                    if value is None:
                        txn.delete(prefix + checked_key(key))
                    else:
                        txn.put(prefix + checked_key(key), value)
                txn.put(prefix + _STATE, state)
        except lmdb.Error as error:
            raise self._trouble(error) from error
        return count

    def purge(self, space: str, prefix: bytes) -> int:
        gone = 0
        try:
            while True:
                with self._environment().begin(write=True) as txn, txn.cursor() as cursor:
                    keys = list(islice(_keys(cursor, self._prefix(space), prefix), PURGED))
                    for key in keys:
                        txn.delete(key)
                gone += len(keys)
                if len(keys) < PURGED:
                    return gone
        except lmdb.Error as error:
            raise self._trouble(error) from error

    def size(self, space: str) -> int:
        with self._reading() as txn, txn.cursor() as cursor:
            return sum(1 for _ in _keys(cursor, self._prefix(space), b""))

    def close(self) -> None:
        with _opening:
            used, self._used = self._used, None
            if used is None or used.pid != os.getpid():
                return
            used.users -= 1
            if not used.users:
                used.lmdb.close()
                del _environments[self._root]

    def _reading(self) -> Any:
        """A read transaction."""
        environment = self._environment()
        try:
            return environment.begin()
        except lmdb.ReadersFullError:
            environment.reader_check()  # slots of processes that were killed
            return environment.begin()

    def _environment(self) -> Any:
        used = self._used
        if used is None or used.pid != os.getpid():
            used = self._open()
        return used.lmdb

    def _open(self) -> _Environment:
        with _opening:
            found = _environments.get(self._root)
            try:
                if found is not None and found.pid != os.getpid():
                    found.lmdb.close()  # the parent's: what it takes of this process is given back, no more
                    found = None
                if found is None:
                    found = _environments[self._root] = _Environment(self._root)
            except (lmdb.Error, OSError) as error:
                raise self._trouble(error) from error
            found.users += 1
            self._used = found
            return found

    def _prefix(self, space: str) -> bytes:
        prefix = self._prefixes.get(space)
        if prefix is None:
            prefix = self._prefixes[space] = hashlib.blake2b(space.encode(), digest_size=_PREFIX).digest()
        return prefix

    def _is_disk_full(self) -> bool:
        """LMDB takes a write that was cut short, as a full disk does, for an input/output error."""
        try:
            return shutil.disk_usage(self._root).free < _SCARCE_BYTES
        except OSError:
            return False

    def _trouble(self, error: Exception) -> Exception:
        """What an LMDB error means to who uses the store."""
        where = str(self._root)
        if isinstance(error, lmdb.MapFullError) or self._is_disk_full():
            return StoreFull(where)
        if isinstance(
            error, lmdb.CorruptedError | lmdb.InvalidError | lmdb.PageNotFoundError | lmdb.VersionMismatchError
        ):
            return OnlineCorrupted(where, str(error))
        return StoreUnavailable(where, str(error))


def _keys(cursor: Any, space: bytes, prefix: bytes) -> Iterator[bytes]:
    """The keys of a space's values that begin with a prefix, in order."""
    found = cursor.set_range(space + prefix)
    while found:
        key: bytes = cursor.key()
        if not key.startswith(space + prefix):
            return
        if len(key) > _PREFIX:  # not the state
            yield key
        found = cursor.next()
