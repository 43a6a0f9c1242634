"""Logs to test with, and a process that writes one without end.

python samples.py FOLDER DURABILITY: writes batches and says `N` on stdout once all records below N are acknowledged.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ParamSpec

from headrace.serving.log.epochs import epochs
from headrace.serving.log.reader import EpochReader, Missing, Predictions, Truths, read_log
from headrace.serving.log.record import Record, Route
from headrace.serving.log.writer import Durability, LogHeader, LogWriter, OnFull

P = ParamSpec("P")
HEADER = LogHeader(project="p", worker="w1")
ROUTE = Route(
    deployment="d", revision=1, arm="v3", model="m", version=3, package="ab" * 32, sticky=("tailnum",), price_usd=1e-6
)


def awaited(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that is a coroutine as one that is a function."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def now_us() -> int:
    """By the system's clock."""
    return time.time_ns() // 1000


def writer(folder: Path, *, durability: Durability = "process", on_full: OnFull = "refuse", **more: Any) -> LogWriter:
    """A log writer with usual arguments."""
    given: dict[str, Any] = {"clock": now_us, **more}
    return LogWriter(folder, header=HEADER, durability=durability, on_full=on_full, **given)


def record(number: int, route: int = 1, **more: Any) -> Record:
    """A record that tells its number everywhere."""
    given: dict[str, Any] = {
        "request_id": f"r{number}",
        "row": 0,
        "route": route,
        "at_us": 1_700_000_000_000_000 + number,
        "entity": (f"N{number}",),
        "features": number.to_bytes(8, "little") * 14,
        "scores": (number / 7.0,),
        "decision": number % 2 == 0,
        **more,
    }
    return Record(**given)


def numbers(log: Path) -> list[int]:
    """The numbers of the records that lie in a log of one epoch; each is checked."""
    found = []
    for read in read_log(log):
        if isinstance(read, Predictions):
            for one in read.records:
                number = int(one.request_id[1:])
                assert one == record(number, one.route)
                found.append(number)
    return found


def reads(log: Path) -> list[Predictions | Truths | Missing]:
    """What lies in a log of one epoch."""
    (folder,) = epochs(log)
    return list(EpochReader(folder))


def say(number: int) -> None:
    """Tell the parent."""
    os.write(1, b"%d\n" % number)


def write_for_the_process(folder: Path) -> None:
    """Batches of 1 to 16 records, rotating often; acknowledged when `append` returns."""
    log = writer(folder, segment_bytes=200_000)
    route, done = log.introduce(ROUTE), 0
    say(0)
    for turn in itertools.count():
        size = turn % 16 + 1
        log.append([record(n, route) for n in range(done, done + size)])
        done += size
        say(done)


async def write_for_power(folder: Path) -> None:
    """The same, acknowledged when it is durable; several batches wait at a time."""
    loop = asyncio.get_running_loop()
    log = writer(folder, durability="power", loop=loop, segment_bytes=200_000)
    route, done = log.introduce(ROUTE), 0
    say(0)

    def tell(number: int) -> Callable[[Exception | None], None]:
        return lambda error: say(number) if error is None else None

    for turn in itertools.count():
        size = turn % 16 + 1
        ticket = log.append([record(n, route) for n in range(done, done + size)])
        done += size
        log.when_durable(ticket, tell(done))
        await asyncio.sleep(0.0005)


if __name__ == "__main__":
    if sys.argv[2] == "power":
        asyncio.run(write_for_power(Path(sys.argv[1])))
    else:
        write_for_the_process(Path(sys.argv[1]))
