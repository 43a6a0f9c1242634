"""Faults on request: stores that fail at the k-th call, system calls that fail or kill, a disk that is small.

A test that sweeps k from 1 until a run ends undisturbed has failed at every step there is.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from headrace.stores.catalog import Catalog, Reader, Row, Value, Where, Writer
from headrace.stores.errors import StoreUnavailable
from headrace.stores.objects import ObjectInfo, ObjectStore, ScanTarget

T = TypeVar("T")

WRITING_CALLS = ("open", "write", "fchmod", "fsync", "link", "replace", "mkdir", "chmod", "unlink")
"""The functions of `os` that durable writing is made of."""


class Fault:
    """Counts calls and fails the chosen ones.

    Parameters
    ----------
    fail_calls
        Which calls fail, counted from 0.
    after
        Fail after the call has done its work, as when an answer is lost.
    """

    def __init__(self, name: str, fail_calls: Container[int], *, after: bool = False) -> None:
        self._name = name
        self._fail_calls = fail_calls
        self._after = after
        self.calls: list[str] = []
        """What was called, in order."""

    def call(self, what: str, work: Callable[[], T]) -> T:
        number = len(self.calls)
        self.calls.append(what)
        fails = number in self._fail_calls
        if fails and not self._after:
            raise StoreUnavailable(self._name, f"injected before call {number}, {what}")
        result = work()
        if fails:
            raise StoreUnavailable(self._name, f"injected after call {number}, {what}")
        return result


class FlakyObjectStore:
    """An `ObjectStore` whose chosen calls raise `StoreUnavailable`; `fault.calls` tells what was called."""

    def __init__(self, inner: ObjectStore, fail_calls: Container[int] = (), *, after: bool = False) -> None:
        self._inner = inner
        self.fault = Fault("flaky objects", fail_calls, after=after)

    def put(self, key: str, data: bytes) -> None:
        self.fault.call(f"put {key}", lambda: self._inner.put(key, data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self.fault.call(f"put_if_absent {key}", lambda: self._inner.put_if_absent(key, data))

    def put_file_if_absent(self, key: str, path: Path) -> bool:
        return self.fault.call(f"put_file_if_absent {key}", lambda: self._inner.put_file_if_absent(key, path))

    def replace(self, key: str, data: bytes, *, expected: str) -> bool:
        return self.fault.call(f"replace {key}", lambda: self._inner.replace(key, data, expected=expected))

    def get(self, key: str) -> bytes:
        return self.fault.call(f"get {key}", lambda: self._inner.get(key))

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        return self.fault.call(f"get_tagged {key}", lambda: self._inner.get_tagged(key))

    def get_verified(self, key: str, sha256: str) -> bytes:
        return self.fault.call(f"get_verified {key}", lambda: self._inner.get_verified(key, sha256))

    def verify(self, key: str, sha256: str) -> None:
        self.fault.call(f"verify {key}", lambda: self._inner.verify(key, sha256))

    def exists(self, key: str) -> bool:
        return self.fault.call(f"exists {key}", lambda: self._inner.exists(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self.fault.call(f"list {prefix}", lambda: self._inner.list(prefix))

    def delete(self, key: str) -> None:
        self.fault.call(f"delete {key}", lambda: self._inner.delete(key))

    def scan_target(self, key: str) -> ScanTarget:
        return self._inner.scan_target(key)


class FlakyCatalog:
    """A `Catalog` that raises `StoreUnavailable` at chosen steps: begin, each statement, commit."""

    def __init__(self, inner: Catalog, fail_calls: Container[int] = ()) -> None:
        self._inner = inner
        self.fault = Fault("flaky catalog", fail_calls)

    @contextmanager
    def read(self) -> Iterator[Reader]:
        self.fault.call("begin", lambda: None)
        with self._inner.read() as reader:
            yield _FlakyReader(reader, self.fault)

    @contextmanager
    def write(self) -> Iterator[Writer]:
        self.fault.call("begin", lambda: None)
        with self._inner.write() as writer:
            yield _FlakyWriter(writer, self.fault)
            self.fault.call("commit", lambda: None)

    def migrate(self) -> None:
        self.fault.call("migrate", self._inner.migrate)

    def close(self) -> None:
        self._inner.close()


class _FlakyReader:
    def __init__(self, inner: Reader, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault

    def select(
        self, table: str, where: Where | None = None, *, order_by: Sequence[str] = (), limit: int | None = None
    ) -> list[Row]:
        return self._fault.call(
            f"select {table}", lambda: self._inner.select(table, where, order_by=order_by, limit=limit)
        )

    def get(self, table: str, where: Where) -> Row | None:
        return self._fault.call(f"get {table}", lambda: self._inner.get(table, where))


class _FlakyWriter(_FlakyReader):
    def __init__(self, inner: Writer, fault: Fault) -> None:
        super().__init__(inner, fault)
        self._writer = inner

    def insert(self, table: str, row: Mapping[str, Value]) -> None:
        self._fault.call(f"insert {table}", lambda: self._writer.insert(table, row))

    def insert_if_absent(self, table: str, row: Mapping[str, Value]) -> bool:
        return self._fault.call(f"insert_if_absent {table}", lambda: self._writer.insert_if_absent(table, row))

    def update(self, table: str, where: Where, values: Mapping[str, Value]) -> int:
        return self._fault.call(f"update {table}", lambda: self._writer.update(table, where, values))

    def delete(self, table: str, where: Where) -> int:
        return self._fault.call(f"delete {table}", lambda: self._writer.delete(table, where))


@contextmanager
def system_calls(at: Callable[[int, str], None]) -> Iterator[list[str]]:
    """Run `at(number, name)` before each call of `WRITING_CALLS` in this process; yields the names called so far.

    `at` raises an `OSError` to fail the call, or kills the process (`kill_at`).
    """
    called: list[str] = []
    originals = {name: getattr(os, name) for name in WRITING_CALLS}

    def watched(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            called.append(name)
            at(len(called) - 1, name)
            return originals[name](*args, **kwargs)

        return call

    for name in WRITING_CALLS:
        setattr(os, name, watched(name))
    try:
        yield called
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


def kill_at(k: int) -> Callable[[int, str], None]:
    """Kill this process, as kill -9 does, before call `k`."""

    def at(number: int, _name: str) -> None:
        if number == k:
            os.kill(os.getpid(), signal.SIGKILL)

    return at


def fail_at(k: int, error: int = errno.EIO, *, for_good: bool = False) -> Callable[[int, str], None]:
    """Fail call `k` with an errno; with `for_good`, all later ones too."""

    def at(number: int, name: str) -> None:
        if number == k or (for_good and number > k):
            raise OSError(error, f"injected into {name}, call {number}")

    return at


@contextmanager
def small_disk(folder: Path, *, size_bytes: int = 8 << 20) -> Iterator[Path]:
    """A folder that holds little: a tmpfs where we may mount one, else this process's limit on a file's size."""
    folder.mkdir()
    mounted = subprocess.run(  # noqa: S603
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if mounted.returncode == 0:
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes // 2, hard))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
