"""What comes late: answers to requests by a schedule, at shares of what the server answers at most.

The generator is that of `headrace bench`, on core 1: it asks when a request is due, whatever has been answered, and
counts from then on. Each request has an id of its own, as a front would give it, so that no head comes twice.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import table
from headrace.serving.loadtest.crew import Crew
from headrace.serving.loadtest.framing import Setup
from headrace.serving.loadtest.machine import Look, look
from headrace.serving.loadtest.stages import Closed, Open

SHARES: Final = (0.5, 0.8)
CLIENTS: Final = 64
PERCENTILES: Final = (50, 99, 99.9)


def crew(port: int, where: str, key: str, bodies: Path) -> Crew:
    """One generator, once the server is there."""
    authorization = f"authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST {where} HTTP/1.1\r\nhost: localhost\r\n{authorization}content-type: application/json\r\nx-request-id: t-"
    )
    return Crew(
        [
            Setup(
                host="127.0.0.1",
                port=port,
                tls=False,
                head=head.encode(),
                bodies=bodies.read_bytes().splitlines(),
                first=0,
                connections=1024,
                open_at_once=64,
                core=1,
                spins=True,
                grace_s=2.0,
            )
        ]
    )


def _see() -> Look:
    return look([], None)


def measure(
    asks: Crew, most: float | None, *, seconds: float, times: int
) -> tuple[float, dict[float, dict[str, float]]]:
    """What 64 clients get that wait, and latencies in microseconds by rate, at `SHARES` of `most`, or of that."""
    with closing(asks):
        asks.closed(Closed(clients=CLIENTS, seconds=1.0), _see)
        own = statistics.median(
            asks.closed(Closed(clients=CLIENTS, seconds=seconds), _see)[0].rate for _ in range(times)
        )
        rates = [share * (most or own) for share in SHARES]
        return own, {rate: _at(asks, rate, seconds=seconds, times=times) for rate in rates}


def _at(asks: Crew, rate: float, *, seconds: float, times: int) -> dict[str, float]:
    # as many connections are opened as are wanted at this rate: clients keep theirs
    asks.open(Open(pattern="poisson", rate=rate, seconds=1.0, seed=times), _see)
    stages = [
        asks.open(Open(pattern="poisson", rate=rate, seconds=seconds, seed=turn), _see)[0] for turn in range(times)
    ]
    assert not any(told.failed for told in stages), [told.failed for told in stages]
    found = {
        "late": statistics.median(told.late / told.sent for told in stages),
        "refused": statistics.median(sum(told.refused.values()) / told.sent for told in stages),
    }
    for percent in PERCENTILES:
        found[f"p{percent}"] = statistics.median(1e6 * (told.percentile(percent) or 0.0) for told in stages)
    return found


def report(found: Mapping[str, Mapping[float, Mapping[str, Any]]]) -> str:
    """The table; the first is what the others are held against, at the same rate."""
    limit = next(iter(found.values()))
    lines: Sequence[tuple[str, ...]] = [
        (
            name,
            f"{share:.0%}",
            f"{rate:,.0f}",
            *(f"{one[f'p{percent}']:,.0f}" for percent in PERCENTILES),
            f"{one['p99'] / limit[rate]['p99']:.1f}",
            f"{one['late']:.2%}",
            f"{one['refused']:.2%}",
        )
        for place, share in enumerate(SHARES)
        for name, rates in found.items()
        for rate, one in [list(rates.items())[place]]
    ]
    headings = ["server", "of the most", "offered/s", *(f"p{percent} µs" for percent in PERCENTILES)]
    return (
        f"By a schedule (Poisson), at shares of what headrace answers {CLIENTS} clients that wait, every request with "
        "an id of its own; the limit counting: a constant answer, each after counting for as long as ours takes more "
        "than the limit:\n\n" + table([*headings, "p99 ×", "sent late", "refused"], lines)
    )
