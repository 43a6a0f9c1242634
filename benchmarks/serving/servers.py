"""A server on core 0: started, seen to answer, ended with everything it has started; its processor time and memory."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

PORT: Final = 18_200
APART: Final = 10
"""A server may use some ports after its own, for what it measures of itself."""
READY_S: Final = 240.0
END_S: Final = 30.0
LEFT_S = 2.0
"""What a server has started may take so long to end by itself."""
SET_CHILD_SUBREAPER: Final = 36


class Trouble(Exception):
    """A contender cannot be measured; the message says why in a few words."""


def next_port() -> int:
    """One at which nothing listens or lingers."""
    ports = range(PORT, PORT + 100 * APART, APART)
    return next(port for port in ports if all(_is_free(each) for each in range(port, port + 4)))


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def gets(port: int, path: str) -> bool:
    """Whether a GET is answered, and not with trouble of the server's own."""
    with contextlib.closing(http.client.HTTPConnection("localhost", port, timeout=2)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False


@contextmanager
def running(
    command: Sequence[str], folder: Path, ready: Callable[[], bool], *, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, float]]:
    """Its process, and seconds until it was ready; what it says is in server.log."""
    log = folder / "server.log"
    before = set(psutil.Process().children(recursive=True))
    with _heir(), log.open("wb") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "-c", "0", *command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            while not ready():
                if process.poll() is not None:
                    raise Trouble(f"ended with {process.returncode} before it was ready")
                if time.perf_counter() - began > READY_S:
                    raise Trouble(f"not ready in {READY_S:.0f} s")
                time.sleep(0.01)
            yield process.pid, time.perf_counter() - began
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            _end(set(psutil.Process().children(recursive=True)) - before)


@contextmanager
def _heir() -> Iterator[None]:
    """Processes whose parent has ended become children of this one: some servers leave theirs behind."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _end(left: set[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(left, timeout=LEFT_S)
    for each in alive:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(alive, timeout=END_S)


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    with suppress(FileNotFoundError):  # it has ended since
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError):
                for child in (task / "children").read_text().split():
                    found += tree(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Of all of them."""
    tick, total = os.sysconf("SC_CLK_TCK"), 0
    for each in tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / tick


def pss_mb(pid: int) -> float:
    """Memory of all of them, what they share counted once."""
    total = 0
    for each in tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += sum(map(int, re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)))
    return total / 1024
