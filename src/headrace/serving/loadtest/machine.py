"""What processes, cores and disks of this machine did between two looks, by the kernel's own counts (Linux)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

_PROC: Final = Path("/proc")
_LISTENS: Final = "0A"
_ADDRESS: Final = 1
_STATE: Final = 3
_INODE: Final = 9
"""Fields of a line of /proc/net/tcp."""
_CORE: Final = 36
"""Fields of /proc/PID/stat after the name: the core it ran on last, and its parent."""
_PARENT: Final = 1
_IDLE: Final = (3, 4)
"""idle, iowait among the counts of a core"""


class ProcessUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a process did."""

    pid: int
    core: int
    """That it ran on last."""
    busy: float
    """Cores that its busiest thread had, 0 to 1."""
    waited: float
    """Share of the time in which that thread could have run and had no core."""
    all_threads: float
    """Cores that all of its threads had together."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine did in some time."""

    seconds: float
    workers: tuple[ProcessUse, ...] = ()
    generators: tuple[ProcessUse, ...] = ()
    cores: dict[int, float] = {}
    """Busy share of each core."""
    disk: float | None = None
    """Share of the time in which the disk under the log of predictions had work; None: not known."""


class Look(NamedTuple):
    """Counts at one instant."""

    at: float
    threads: dict[int, dict[int, tuple[int, int]]]
    """By process and thread: nanoseconds run, and waited for a core."""
    cores: dict[int, tuple[int, int]]
    """Busy, and all."""
    disk_ms: int | None


def look(pids: Sequence[int], disk: Path | None) -> Look:
    """The counts now. `disk` is a folder on the disk of interest."""
    return Look(time.monotonic(), {pid: _threads(pid) for pid in pids}, _cores(), disk_ms(disk))


def between(before: Look, after: Look, *, workers: Sequence[int], generators: Sequence[int]) -> Use:
    """What was done from one look to the other."""
    seconds = after.at - before.at
    shares = {core: _share(before.cores.get(core, (0, 0)), counts) for core, counts in after.cores.items()}
    disk = None
    if before.disk_ms is not None and after.disk_ms is not None:
        disk = min(1.0, (after.disk_ms - before.disk_ms) / 1e3 / seconds)
    return Use(
        seconds=seconds,
        workers=_uses(before, after, workers, seconds),
        generators=_uses(before, after, generators, seconds),
        cores=shares,
        disk=disk,
    )


def _uses(before: Look, after: Look, pids: Sequence[int], seconds: float) -> tuple[ProcessUse, ...]:
    found = []
    for pid in pids:
        threads = after.threads.get(pid)
        if not threads:  # it has ended
            continue
        was = before.threads.get(pid, {})
        did = [(now[0] - was.get(tid, (0, 0))[0], now[1] - was.get(tid, (0, 0))[1]) for tid, now in threads.items()]
        ran, waited = max(did)
        use = ProcessUse(
            pid=pid,
            core=core_of(pid),
            busy=min(1.0, ran / 1e9 / seconds),
            waited=min(1.0, waited / 1e9 / seconds),
            all_threads=sum(each for each, _ in did) / 1e9 / seconds,
        )
        found.append(use)
    return tuple(found)


def _share(before: tuple[int, int], after: tuple[int, int]) -> float:
    passed = after[1] - before[1]
    return (after[0] - before[0]) / passed if passed > 0 else 0.0


def listeners(port: int) -> list[int]:
    """The processes that answer on a port of this machine, as far as this user may see: of those that hold its socket,
    those that have no child that does."""
    inodes = {f"socket:[{inode}]" for name in ("tcp", "tcp6") for inode in _listening(_PROC / "net" / name, port)}
    if not inodes:
        return []
    holders = [pid for pid in _pids() if _holds(pid, inodes)]
    above: set[int] = set()
    for pid in holders:
        parent = _parent(pid)
        while parent > 1 and parent not in above:
            above.add(parent)
            parent = _parent(parent)
    return [pid for pid in holders if pid not in above]


def allowed_cores(pids: Sequence[int]) -> set[int]:
    """The cores on which any of these processes may run."""
    found: set[int] = set()
    for pid in pids:
        with suppress(OSError):
            found |= os.sched_getaffinity(pid)
    return found


def core_of(pid: int) -> int:
    """The core that a process ran on last; -1: it has ended."""
    fields = _stat(pid)
    return int(fields[_CORE]) if fields else -1


def disk_ms(folder: Path | None) -> int | None:
    """Milliseconds for which the disk of a folder had work since the start; None where the kernel does not say."""
    if folder is None:
        return None
    with suppress(OSError, ValueError):
        device = folder.stat().st_dev
        wanted = [str(os.major(device)), str(os.minor(device))]
        for line in (_PROC / "diskstats").read_text().splitlines():
            fields = line.split()
            if fields[:2] == wanted:
                return int(fields[12])
    return None


def _listening(table: Path, port: int) -> list[str]:
    with suppress(OSError):
        lines = [line.split() for line in table.read_text().splitlines()[1:]]
        return [
            line[_INODE]
            for line in lines
            if line[_STATE] == _LISTENS and int(line[_ADDRESS].rpartition(":")[2], 16) == port
        ]
    return []


def _pids() -> list[int]:
    with suppress(OSError):
        return sorted(int(each.name) for each in _PROC.iterdir() if each.name.isdigit())
    return []


def _holds(pid: int, sockets: set[str]) -> bool:
    try:
        for each in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                if str(each.readlink()) in sockets:
                    return True
    except OSError:  # another user's, or ended
        pass
    return False


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[_PARENT]) if fields else 0


def _stat(pid: int) -> list[str]:
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def _threads(pid: int) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError, ValueError):
                ran, waited, *_ = (task / "schedstat").read_text().split()
                found[int(task.name)] = int(ran), int(waited)
    return found


def _cores() -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    with suppress(OSError):
        for line in (_PROC / "stat").read_text().splitlines():
            if match := re.match(r"cpu(\d+) ", line):
                counts = [int(each) for each in line.split()[1:9]]
                found[int(match[1])] = sum(counts) - sum(counts[place] for place in _IDLE), sum(counts)
    return found
