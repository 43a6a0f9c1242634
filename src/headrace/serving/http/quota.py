"""What a key may ask a second and at a time, over all workers of a host: a small file that they share in memory.

A key has a slot: a bucket of tokens (as many as a second brings, one at least) and, for each worker, how many of its
requests are under way. The bucket is changed under a lock of the kernel on that slot, which ends with the process that
holds it; a worker writes its own number alone. What a worker leaves behind that was killed counts no longer.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from struct import Struct
from typing import Final

from headrace.serving.http.responses import Problem
from headrace.serving.keys import ApiKey

WORKERS: Final = 320
"""That may share a file: the 256 that a server may have, and some that are still ending or are another server's."""
NAME: Final = f"quota-{WORKERS}"
"""Of the file: another number of places is another layout."""
_BUCKET: Final = Struct("<dd")
"""Tokens, and when there were as many."""
_OWNER: Final = Struct("<qq")
"""A process, and when it began: its number may be another's later."""
_COUNT: Final = Struct("<I")
_ALL_COUNTS: Final = Struct(f"<{WORKERS}I")
_HEAD_BYTES: Final = WORKERS * _OWNER.size
_COUNTS: Final = _BUCKET.size
_SLOT_BYTES: Final = _COUNTS + WORKERS * _COUNT.size
_MOST_WAIT_S: Final = 3_600


class Quota:
    """One worker's part.

    Parameters
    ----------
    clock : seconds by a clock that all processes of the host share and that never goes back
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._clock = clock
        self._slots: dict[str, int] = {}
        """Key id → where its slot begins."""
        self._map = self._sized(0)
        self._own = self._claim()

    def install(self, keys: Sequence[ApiKey]) -> None:
        """These keys are known from now on. The list of keys only grows, so that a key's slot stays its own."""
        self._map = self._sized(len(keys))
        self._slots = {key.id: _HEAD_BYTES + place * _SLOT_BYTES for place, key in enumerate(keys)}

    def take(self, key: ApiKey) -> Callable[[], None] | None:
        """One request of a key; what is to be called when it is answered, if its number at a time is bounded.

        Raises
        ------
        Problem : 429, with when to come again.
        """
        slot = self._slots[key.id]
        if slot + _SLOT_BYTES > len(self._map):
            raise Problem(
                503, "key-limits-unavailable", "the limits of this API key cannot be kept", headers=(b"retry-after: 1",)
            )
        with _Locked(self._file, slot):
            if key.concurrency is not None and self._under_way(slot) >= key.concurrency:
                raise _refused(
                    "key-too-many", f"this API key may have {key.concurrency:,} requests under way at a time", 1.0
                )
            if key.rate is not None:
                self._spend(slot, key.rate)
            if key.concurrency is None:
                return None
            self._add(slot, 1)
        return lambda: self._release(slot)

    def _release(self, slot: int) -> None:
        with _Locked(self._file, slot):
            self._add(slot, -1)

    def close(self) -> None:
        """Let others have its place."""
        with suppress(ValueError):
            _OWNER.pack_into(self._map, self._own * _OWNER.size, 0, 0)
            self._map.close()
        os.close(self._file)

    def _spend(self, slot: int, rate: float) -> None:
        now, most = self._clock(), max(1.0, rate)
        tokens, at = _BUCKET.unpack_from(self._map, slot)
        if not 0.0 < at <= now:  # nobody has asked yet, or not since the machine was started
            tokens, at = most, now
        tokens = min(most, tokens + (now - at) * rate)
        if tokens < 1.0:
            raise _refused("key-too-fast", f"this API key may ask {rate:g} times a second", (1.0 - tokens) / rate)
        _BUCKET.pack_into(self._map, slot, tokens - 1.0, now)

    def _under_way(self, slot: int) -> int:
        counts = _ALL_COUNTS.unpack_from(self._map, slot + _COUNTS)
        total: int = sum(counts)
        if total == counts[self._own]:
            return total
        for place, count in enumerate(counts):
            if count and place != self._own and not self._lives(place):
                _COUNT.pack_into(self._map, slot + _COUNTS + place * _COUNT.size, 0)
                total -= count
        return total

    def _add(self, slot: int, change: int) -> None:
        at = slot + _COUNTS + self._own * _COUNT.size
        (count,) = _COUNT.unpack_from(self._map, at)
        _COUNT.pack_into(self._map, at, max(0, count + change))

    def _lives(self, place: int) -> bool:
        pid, began = _OWNER.unpack_from(self._map, place * _OWNER.size)
        return bool(pid) and _began(pid) == began

    def _claim(self) -> int:
        """A place that nobody has, or whose owner is gone."""
        with _Locked(self._file, 0):
            for place in range(WORKERS):
                if not self._lives(place):
                    _OWNER.pack_into(self._map, place * _OWNER.size, os.getpid(), _began(os.getpid()))
                    size = len(self._map)
                    for slot in range(_HEAD_BYTES, size - _SLOT_BYTES + 1, _SLOT_BYTES):
                        _COUNT.pack_into(self._map, slot + _COUNTS + place * _COUNT.size, 0)
                    return place
        raise RuntimeError(f"more than {WORKERS} workers share one file of limits")

    def _sized(self, keys: int) -> mmap.mmap:
        wanted = _HEAD_BYTES + keys * _SLOT_BYTES
        with _Locked(self._file, 0):
            size = os.fstat(self._file).st_size
            if size < wanted:
                try:  # room that is there for certain: a page that finds none when it is written ends the process
                    os.posix_fallocate(self._file, 0, wanted)
                except OSError:
                    if size < _HEAD_BYTES:
                        raise
                else:
                    size = wanted
        return mmap.mmap(self._file, size)


class _Locked:
    """The kernel's lock on one slot."""

    __slots__ = ("_file", "_slot")

    def __init__(self, file: int, slot: int) -> None:
        self._file, self._slot = file, slot

    def __enter__(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._slot)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._slot)


def _began(pid: int) -> int:
    """When a process began, in ticks since the machine did; -1: there is none of that number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    return int(text.rpartition(")")[2].split()[19])


def _refused(code: str, what: str, wait_s: float) -> Problem:
    return Problem(429, code, what, headers=(b"retry-after: %d" % min(max(1, ceil(wait_s)), _MOST_WAIT_S),))
