"""Named, immutable or replaceable byte blobs: snapshots, frames, packages, reports.

Every adapter keeps these promises, and `headrace.testing.objects.ObjectStoreSuite` checks them: a put is atomic and
durable once it returns (a reader sees the whole old blob or the whole new one, also after a power cut);
`put_if_absent` and `replace` have exactly one winner among racing writers; an absent key raises `ObjectNotFound`; a
key that would leave the store raises `InvalidKey`; bytes that no longer match what was stored raise `ObjectCorrupted`
where a digest is asked for; one instance may serve many threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol


class ObjectInfo(NamedTuple):
    """One entry of a listing."""

    key: str
    size: int
    modified_us: int
    """Microseconds since 1970, by the store's clock."""


class ScanTarget(NamedTuple):
    """Where a reader of columns finds a blob: a path or URL, and the options that its object-store client takes."""

    url: str
    options: dict[str, str]


class ObjectStore(Protocol):
    """A place for blobs under keys like `snapshots/3f2a….parquet`: segments of `[A-Za-z0-9._-]` joined by `/`."""

    def put(self, key: str, data: bytes) -> None:
        """Write or overwrite."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write unless the key exists; True for the one writer that wrote it."""
        ...

    def put_file_if_absent(self, key: str, path: Path) -> bool:
        """Like `put_if_absent` with a file's content, never held whole in memory; the file may be moved away."""
        ...

    def replace(self, key: str, data: bytes, *, expected: str) -> bool:
        """Overwrite if the blob's tag is still `expected` (from `get_tagged`); False when somebody was faster."""
        ...

    def get(self, key: str) -> bytes: ...

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """The bytes and the tag that `replace` compares."""
        ...

    def get_verified(self, key: str, sha256: str) -> bytes:
        """The bytes, if their SHA-256 is the given one; else `ObjectCorrupted` names the key."""
        ...

    def verify(self, key: str, sha256: str) -> None:
        """Raise `ObjectCorrupted` or `ObjectNotFound` unless the blob is whole; never holds it whole in memory."""
        ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every blob whose key begins with `prefix`, in key order; unfinished writes are never listed."""
        ...

    def delete(self, key: str) -> None:
        """Remove; an absent key is no error."""
        ...

    def scan_target(self, key: str) -> ScanTarget:
        """Where Polars or Delta read the blob themselves."""
        ...
