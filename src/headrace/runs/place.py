"""Where a run works, and whether the process of a run still lives.

The working folder `<project>/.headrace/work` is held by one process at a time: the kernel drops the lock when the
process dies, however it dies. So whoever holds it knows that every other run that worked here has ended, also after a
reboot or from inside another container, where process ids say nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from headrace.runs.errors import RunInProgress
from headrace.stores import durable

_LOCK = "lock"
_FOOTER_BROKE_OFF = "Invalid thrift: transport error"
_NEARLY_FULL_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who executes a run; kept in the run's row while it is running."""

    place: str
    """Token of the working folder."""
    boot: str
    """The kernel's id of this boot; empty where there is none."""
    pid_namespace: str
    pid: int
    started: int
    """Start of the process in clock ticks since boot: tells it from a later one with the same pid."""


class _Note(msgspec.Struct, frozen=True):
    """Content of the lock file."""

    place: str
    pid: int = 0


def this_process(place: str) -> Owner:
    """This process as the owner of a run."""
    pid = os.getpid()
    return Owner(place=place, boot=_boot(), pid_namespace=_pid_namespace(), pid=pid, started=_started(pid) or 0)


def is_gone(owner: Owner) -> bool:
    """True when the owner has certainly ended; False also when this machine cannot tell."""
    if not owner.boot or owner.boot != _boot() or owner.pid_namespace != _pid_namespace():
        return False
    return _started(owner.pid) != owner.started


def encode_owner(owner: Owner) -> str:
    """What a running run's `result` holds until it has one."""
    return msgspec.json.encode({"owner": owner}, order="sorted").decode()


def decode_owner(result: object) -> Owner | None:
    """The owner that a running run's `result` names; None when it names none."""
    try:
        return msgspec.json.decode(str(result), type=dict[str, Owner]).get("owner")
    except msgspec.DecodeError:
        return None


@contextmanager
def hold(folder: Path, project: str, token: str) -> Iterator[str]:
    """Hold the working folder alone, emptied of what dead runs left.

    Gives the folder's token: the one it has had since it was first held, when `token` became it.

    Raises
    ------
    RunInProgress : another process holds it.
    """
    with durable.translated(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        note = _take(lock, folder, project, token)
        for left in folder.iterdir():
            if left.name != _LOCK:
                discard(left)
        yield note.place
    finally:
        os.close(lock)


def discard(path: Path) -> None:
    """Remove a working folder, or what else lies there; what cannot be removed now is removed by the next run."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_disk_full(error: Exception, folder: Path) -> bool:
    """Whether the error of a stage that works in `folder` is that the disk, or the quota, is full.

    Polars and other Rust libraries give no error number, only its text; of a Parquet file's footer not even that.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    if _FOOTER_BROKE_OFF in str(error) and shutil.disk_usage(folder).free < _NEARLY_FULL_BYTES:
        return True
    return any(f"(os error {number})" in str(error) for number in _FULL)


def _take(lock: int, folder: Path, project: str, token: str) -> _Note:
    """Lock the file, and write who holds it."""
    with durable.translated(str(folder)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = _read(lock)
            raise RunInProgress(project, pid=held.pid if held else None) from None
        before = _read(lock)
        note = _Note(before.place if before else token, os.getpid())
        os.ftruncate(lock, 0)
        os.pwrite(lock, msgspec.json.encode(note), 0)
    return note


def _read(lock: int) -> _Note | None:
    """The lock file's note; None when it is empty or torn."""
    try:
        return msgspec.json.decode(os.pread(lock, 4096, 0), type=_Note)
    except msgspec.DecodeError:
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None when there is no such process or it has only not been waited for yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    return None if state in "ZX" else int(fields[18])
