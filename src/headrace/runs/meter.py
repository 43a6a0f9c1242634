"""How much a piece of work uses: wall time, CPU time, memory."""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/self")
_RESET_PEAK = "5"  # proc(5): writing 5 to clear_refs sets the peak resident size back to the current one
_SAMPLE_S = 0.05


class _Beside:
    """What processes used that work for this one and are not its children. Each says so once, when it has ended."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.memory_bytes = 0
        self.lock = threading.Lock()


_BESIDE = _Beside()


def used_beside(cpu_s: float, memory_bytes: int) -> None:
    """Count what processes have used that worked for this one beside each other, and are not its children."""
    with _BESIDE.lock:
        _BESIDE.cpu_s += cpu_s
        _BESIDE.memory_bytes = max(_BESIDE.memory_bytes, memory_bytes)


class Consumption(NamedTuple):
    """What was used between two instants."""

    wall_s: float
    cpu_s: float
    peak_memory_bytes: int


class Meter:
    """Measures from its creation until `stop`.

    CPU seconds are user and system time of this process, of the children that ended meanwhile, and of what was said to
    `used_beside`. Peak memory is what was said there and the resident size of this process: on Linux the kernel's own
    high-water mark, reset at the start; where that is not allowed, the highest of samples taken every 50 ms; elsewhere
    the mark since the process began. The mark is the process's: only one meter at a time gives a true peak, and the
    `ru_maxrss` that a parent reads at the end covers the time since the last reset only.
    """

    def __init__(self) -> None:
        self._sampler = None if _reset_peak() else _Sampler.start_if_possible()
        with _BESIDE.lock:
            _BESIDE.memory_bytes = 0
        self._cpu_s = _cpu_s()
        self._started = time.perf_counter()

    def stop(self) -> Consumption:
        """What was used so far."""
        wall_s = time.perf_counter() - self._started
        cpu_s = _cpu_s() - self._cpu_s
        peak = self._sampler.stop() if self._sampler is not None else _peak_bytes()
        return Consumption(wall_s, cpu_s, peak + _BESIDE.memory_bytes)


def _cpu_s() -> float:
    return _BESIDE.cpu_s + sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _reset_peak() -> bool:
    """Set the kernel's high-water mark to the present; False where the system has none or forbids it."""
    try:
        (_PROC / "clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _peak_bytes() -> int:
    """The high-water mark of resident memory, bytes."""
    try:
        status = (_PROC / "status").read_text()
    except OSError:
        unit = 1 if os.uname().sysname == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024


class _Sampler:
    """Looks at the resident size now and then, from a thread of its own."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._peak = self._now()
        self._thread = threading.Thread(target=self._watch, name="headrace-memory", daemon=True)
        self._thread.start()

    @classmethod
    def start_if_possible(cls) -> _Sampler | None:
        """None where the system does not tell the resident size."""
        return cls() if (_PROC / "statm").exists() else None

    def stop(self) -> int:
        """The highest size seen, bytes."""
        self._ended.set()
        self._thread.join()
        return max(self._peak, self._now())

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self._peak = max(self._peak, self._now())

    @staticmethod
    def _now() -> int:
        return int((_PROC / "statm").read_text().split()[1]) * resource.getpagesize()
