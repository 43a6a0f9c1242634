"""What clients see of a server that is killed, and killed again, behind the front that `headrace front` writes.

Two servers of two workers and HAProxy on this machine, 64 clients who wait for each answer: first calm, then one server
after the other is killed with all its workers by kill -9 and started again. Clients, front and servers share the
processors, so the latencies are the machine's; what is to be read is how calm and kills compare, and what failed.

usage: python -m benchmarks.front [KILLS [SECONDS]]      SECONDS calm before the first kill
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.packaging.balanced import Balancer, Load, Server, make_place
from tests.servers import free_ports

from benchmarks.harness import record, table

KILLS = 5
CALM_S = 5.0
CLIENTS = 64
BETWEEN_S = 1.5


class TimedLoad(Load):
    """Remembers when each answer came, and how long it took."""

    def __init__(self, port: int, key: str) -> None:
        super().__init__(port, key)
        self.took: list[tuple[float, float]] = []

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, dict[str, Any]]:
        began = time.perf_counter()
        answer = await super()._ask(reader, writer)
        ended = time.perf_counter()
        self.took.append((ended, ended - began))
        return answer


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    kills = int(arguments[0]) if arguments else KILLS
    calm_s = float(arguments[1]) if len(arguments) > 1 else CALM_S
    with tempfile.TemporaryDirectory(prefix="headrace-front-") as folder:
        root = Path(folder)
        place = make_place(root)
        servers = [Server(root / name, root / "objects", port) for name, port in zip("ab", free_ports(2), strict=True)]
        for server in servers:
            server.start()
        for server in servers:
            server.wait_until_ready()
        balancer = Balancer(root / "front", servers, free_ports(1)[0])
        balancer.wait_until("UP", "UP")
        load = TimedLoad(balancer.port, place.key)
        back: list[float] = []
        first = [0.0]

        def meanwhile() -> None:
            time.sleep(calm_s)
            first[0] = time.perf_counter()
            for turn in range(kills):
                server, began = servers[turn % 2], time.perf_counter()
                server.kill()
                server.start()
                server.wait_until_ready()
                balancer.wait_until("UP", "UP")
                back.append(time.perf_counter() - began)
                time.sleep(BETWEEN_S)

        try:
            asyncio.run(load.run(CLIENTS, meanwhile))
        finally:
            for server in servers:
                server.end()
            balancer.end()
    calm = [took for ended, took in load.took if ended < first[0]]
    rest = [took for ended, took in load.took if ended >= first[0]]
    heads = ["", "requests", "failed", "p50 ms", "p99 ms", "longest ms"]
    rows = [_row("calm", calm, 0), _row(f"{kills} kills", rest, load.failed.total())]
    body = f"{table(heads, rows)}\n\nBoth servers asked again {max(back):.1f} s after a kill at the latest."
    record("A front and servers that are killed", "python -m benchmarks.front", body)


def _row(name: str, took: Sequence[float], failed: int) -> tuple[object, ...]:
    p = statistics.quantiles(took, n=100)
    return name, f"{len(took):,}", failed, f"{p[49] * 1e3:.1f}", f"{p[98] * 1e3:.1f}", f"{max(took) * 1e3:,.0f}"


if __name__ == "__main__":
    main(sys.argv[1:])
