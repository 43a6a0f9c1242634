"""Objects in memory: for tests, and as the plain path that the conformance suite is true of by inspection."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from headrace.stores.errors import ObjectCorrupted, ObjectNotFound
from headrace.stores.objects import ObjectInfo, ScanTarget
from headrace.stores.objects.keys import safe_key, safe_prefix


class MemoryObjectStore:
    """The `ObjectStore` as a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[str, tuple[bytes, int]] = {}
        self._lock = Lock()
        self._scratch: Path | None = None

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._set(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self._lock:
            if safe_key(key) in self._blobs:
                return False
            self._set(key, data)
            return True

    def put_file_if_absent(self, key: str, path: Path) -> bool:
        return self.put_if_absent(key, path.read_bytes())

    def replace(self, key: str, data: bytes, *, expected: str) -> bool:
        with self._lock:
            found = self._blobs.get(safe_key(key))
            if found is None or _digest(found[0]) != expected:
                return False
            self._set(key, data)
            return True

    def get(self, key: str) -> bytes:
        try:
            return self._blobs[safe_key(key)][0]
        except KeyError:
            raise ObjectNotFound(key) from None

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        data = self.get(key)
        return data, _digest(data)

    def get_verified(self, key: str, sha256: str) -> bytes:
        data, found = self.get_tagged(key)
        if found != sha256:
            raise ObjectCorrupted(key, expected=sha256, found=found)
        return data

    def verify(self, key: str, sha256: str) -> None:
        self.get_verified(key, sha256)

    def exists(self, key: str) -> bool:
        return safe_key(key) in self._blobs

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        safe_prefix(prefix)
        with self._lock:
            found = sorted(ObjectInfo(key, len(data), at_us) for key, (data, at_us) in self._blobs.items())
        yield from (info for info in found if info.key.startswith(prefix))

    def delete(self, key: str) -> None:
        with self._lock:
            self._blobs.pop(safe_key(key), None)

    def scan_target(self, key: str) -> ScanTarget:
        """A copy in a temporary folder that lives as long as this store: what reads columns wants a path."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="headrace-memory-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        path = self._scratch / safe_key(key)
        if self.exists(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.get(key))
        return ScanTarget(str(path), {})

    def _set(self, key: str, data: bytes) -> None:
        self._blobs[safe_key(key)] = (bytes(data), time.time_ns() // 1000)  # a copy: the caller may reuse its buffer


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
