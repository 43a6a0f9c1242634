"""How figures are measured and kept.

A figure is a ratio of commands measured in turn in one run (A B A B …), whole processes by the operating system's own
accounting, quoted as the median. `record` writes a section of RESULTS.md with date, machine, load and versions.

Peak memory is the kernel's own mark, read every 10 ms. The `ru_maxrss` at a process's end would not do: our meter sets
the mark back at every stage, and a child's begins at what this process held when it started it.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from headrace.app import Project

T = TypeVar("T", bound=msgspec.Struct)

ROOT = Path(__file__).resolve().parent.parent
FLIGHTS = ROOT / "examples" / "flights"
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
SAMPLE_S = 0.01
_MARK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
LOAD = os.getloadavg()[0]
"""Of the minute before this process began; above 1 the times say little."""
HEAD = """# Results

Each section is written by the command it names, and holds the figures of its last run. Medians of whole processes on
the machine named; compare within a section only: machines drift, ratios hold.
"""


@dataclass(frozen=True)
class Measured:
    """One finished process."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


class _PeakMemory(threading.Thread):
    """Reads the kernel's mark of one process's greatest resident size, again and again until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self.mb = 0.0

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                found = _MARK.search(self._status.read_text())
            except OSError:  # it is gone
                return
            if found is None:  # it has ended and is waited for
                return
            self.mb = max(self.mb, int(found[1]) / 1024)
            self._ended.wait(SAMPLE_S)

    def stop(self) -> float:
        """The greatest mark seen, in MB."""
        self._ended.set()
        self.join()
        return self.mb


def measure(command: Sequence[str], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end; wall time, and the CPU time of it and of the children it waited for."""
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=out)
        peak = _PeakMemory(process.pid)
        peak.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        peak_mb = peak.stop()
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}\n{text}")
    return Measured(wall_s, usage.ru_utime + usage.ru_stime, peak_mb, text)


def median(runs: Sequence[Measured]) -> Measured:
    """The median of each figure; the output of the last run."""
    return Measured(
        statistics.median(r.wall_s for r in runs),
        statistics.median(r.cpu_s for r in runs),
        statistics.median(r.peak_mb for r in runs),
        runs[-1].output,
    )


def in_turn(commands: Mapping[str, Sequence[str]], *, times: int, cwd: Path = ROOT) -> dict[str, Measured]:
    """A B C A B C …; the median of each. Where there are several, each command runs once uncounted first."""
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for turn in range(times == 1, times + 1):
        for name, command in commands.items():
            measured = measure(command, cwd=cwd)
            if turn:
                runs[name].append(measured)
    return {name: median(kept) for name, kept in runs.items()}


def newest(project: Project, stage: str, kind: type[T]) -> T:
    """The outcome of a stage's last execution in a project that has been run."""
    from headrace.runs.outcomes import newest_outcomes

    with project.catalog.read() as reader:
        return newest_outcomes(reader, project.name, [stage], kind)[stage]


def python(*arguments: str) -> list[str]:
    """A command of this environment's Python."""
    return [sys.executable, *arguments]


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the rest are figures."""
    lines = ["| " + " | ".join(headings) + " |", "| --- |" + " --: |" * (len(headings) - 1)]
    lines += ["| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def record(title: str, command: str, body: str, *, libraries: Sequence[str] = ()) -> None:
    """Write or replace the section `title` of RESULTS.md, and print it."""
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    machine += f", load {LOAD:.1f} at the start"
    section = (
        f"## {title}\n\n`{command}` · {date} · {machine}{' · ' + versions if versions else ''}\n\n{body.strip()}\n"
    )
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else HEAD
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: section + "\n", text)
    else:
        text = text.rstrip() + "\n\n" + section
    RESULTS.write_text(text.rstrip() + "\n", encoding="utf-8")
    print(section)
