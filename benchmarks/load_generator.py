"""How much the generator of `headrace bench` can ask, and how late it is: against a constant answer, and beside wrk.

The server is a bare protocol on uvloop and httptools that answers everything alike (core 0): nothing that answers
predictions is as fast. The generator, and in turn wrk, run on core 1 with 1,000 bodies of 300 bytes. By a schedule the
rate rises; `late` is the share of requests that were sent more than a millisecond after they were due, `busy` the share
of the time in which the generator had something to do.

usage: python -m benchmarks.load_generator [SECONDS [TIMES]]
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import ROOT, record, table
from headrace.serving.loadtest.crew import Crew
from headrace.serving.loadtest.framing import Setup
from headrace.serving.loadtest.machine import Look, look
from headrace.serving.loadtest.stages import Closed, Open, Told

PORT: Final = 18_300
CLIENTS: Final = (16, 64)
RATES: Final = (1_000, 5_000, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000)
BODIES: Final = [json.dumps({"row": number, "of": "x" * 280}).encode() for number in range(1_000)]
ECHO: Final = ROOT / "benchmarks" / "peers" / "serving_echo.py"
POST: Final = ROOT / "benchmarks" / "serving" / "post.lua"


@contextmanager
def echo() -> Iterator[None]:
    """The constant answer, on core 0."""
    process = subprocess.Popen(["taskset", "-c", "0", sys.executable, str(ECHO), str(PORT)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def crew() -> Crew:
    """One generator on core 1, once the server is there."""
    setup = Setup(
        host="127.0.0.1",
        port=PORT,
        tls=False,
        head=b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-request-id: bench-",
        bodies=BODIES,
        first=0,
        connections=1024,
        open_at_once=64,
        core=1 if 1 in os.sched_getaffinity(0) else None,
        spins=len(os.sched_getaffinity(0)) > 1,
        grace_s=2.0,
    )
    until = time.monotonic() + 20
    while True:
        try:
            return Crew([setup])
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def see() -> Look:
    """Nothing: the generator tells of itself."""
    return look([], None)


def wrk(clients: int, seconds: float) -> float:
    """Its requests a second."""
    with tempfile.TemporaryDirectory() as folder:
        bodies = Path(folder) / "bodies.txt"
        bodies.write_bytes(b"\n".join(BODIES))
        found = subprocess.run(
            [
                "taskset", "-c", "1", "wrk", "-t", "1", "-c", str(clients), "-d", f"{max(1, round(seconds))}s",
                "--latency", "-s", str(POST), f"http://localhost:{PORT}",
            ],
            env=os.environ | {"BODIES": str(bodies), "WHERE": "/predict", "KEY": ""},
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
    told: dict[str, Any] = json.loads(re.findall(r"^JSON (.*)$", found.stdout, re.MULTILINE)[0])
    return float(told["requests"] / told["duration_us"] * 1e6)


def main(arguments: Sequence[str]) -> None:
    """Ask, and record."""
    seconds = float(arguments[0]) if arguments else 3.0
    times = int(arguments[1]) if len(arguments) > 1 else 5
    has_wrk = shutil.which("wrk") is not None
    closed: dict[int, list[Told]] = {clients: [] for clients in CLIENTS}
    theirs: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    opened: dict[int, list[Told]] = {rate: [] for rate in RATES}
    with echo(), crew() as asks:
        asks.closed(Closed(clients=CLIENTS[0], seconds=0.5), see)
        for turn in range(times):
            for clients in CLIENTS:
                closed[clients].append(asks.closed(Closed(clients=clients, seconds=seconds), see)[0])
                if has_wrk:
                    theirs[clients].append(wrk(clients, seconds))
            for rate in RATES:
                order = Open(pattern="poisson", rate=float(rate), seconds=seconds, seed=turn)
                opened[rate].append(asks.open(order, see)[0])
    body = "\n\n".join([_closed(closed, theirs), _opened(opened)])
    record("Load generator", "python -m benchmarks.load_generator", body, libraries=["uvloop", "httptools"])


def _closed(ours: dict[int, list[Told]], theirs: dict[int, list[float]]) -> str:
    lines = []
    for clients, stages in ours.items():
        other = f"{statistics.median(theirs[clients]):,.0f}" if theirs[clients] else "–"
        rate = statistics.median(told.rate for told in stages)
        lines.append((clients, f"{rate:,.0f}", f"{statistics.median(told.busy for told in stages):.0%}", other))
    return table(["clients that wait", "answers/s", "busy", "wrk's"], lines)


def _opened(opened: dict[int, list[Told]]) -> str:
    lines = []
    for rate, stages in opened.items():
        p50, p99 = (statistics.median(1e6 * (told.percentile(p) or 0.0) for told in stages) for p in (50, 99))
        late = statistics.median(told.late / max(told.sent, 1) for told in stages)
        busy = statistics.median(told.busy for told in stages)
        got = statistics.median(told.rate for told in stages)
        lines.append((f"{rate:,}", f"{got:,.0f}", f"{p50:,.0f} / {p99:,.0f}", f"{late:.2%}", f"{busy:.0%}"))
    return table(["offered/s", "answers/s", "p50 / p99 µs", "late", "busy"], lines)


if __name__ == "__main__":
    main(sys.argv[1:])
