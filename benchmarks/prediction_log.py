"""What logging a prediction costs before its answer may leave, beside the limit: a bare write of the same bytes.

Records as a server writes them: 28 float32 inputs, one sticky column. Durability `process`: CPU of `append` by records
a call, in turn with `os.write`. Durability `power`: how long answers wait and how many syncs they share, by how many
come a second, beside an fdatasync for each; the load is open: it does not wait for the disk. Shipping: records a second
from two workers' logs into the table, a hundredth of them retried on the other worker, and again beside what is there.

usage: python -m benchmarks.prediction_log [SECONDS [FOLDER [SHIPPED]]]    FOLDER: on the disk that is measured
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import ROOT, record, table
from headrace.serving.log.epochs import epochs, segments
from headrace.serving.log.record import Record, Route
from headrace.serving.log.ship import ship
from headrace.serving.log.writer import Durability, LogHeader, LogWriter

INPUTS: Final = 28
BATCHES: Final = (1, 4, 16, 64)
RATES: Final = (100, 1_000, 5_000, 20_000)
REPEATS: Final = 21
RECORDS: Final = 3_200
"""A repeat writes so many."""
ROUTE: Final = Route(
    deployment="flight-delays",
    revision=12,
    arm="v3",
    model="flight-delays",
    version=3,
    package="ab" * 32,
    sticky=("tailnum",),
    price_usd=2e-7,
)


def made(number: int, route: int) -> Record:
    """A record as the server makes it."""
    return Record(
        f"{number:032x}",
        0,
        route,
        1_796_000_000_000_000 + number,
        ("N14228",),
        number.to_bytes(4, "little") * INPUTS,
        (0.25 + number / 1e9,),
        False,
        None,
        (),
        180,
        1_795_999_000_000_000,
    )


def opened(folder: Path, durability: Durability, loop: asyncio.AbstractEventLoop | None = None) -> LogWriter:
    """A writer of one worker."""
    return LogWriter(
        folder,
        header=LogHeader(project="flight-delays", worker="w1"),
        durability=durability,
        on_full="refuse",
        clock=lambda: time.time_ns() // 1000,
        loop=loop,
    )


def each_us(work: Callable[[int], object], calls: int, records: int) -> float:
    """CPU microseconds of this thread, user and kernel, a record."""
    started = time.thread_time_ns()
    for number in range(calls):
        work(number)
    return (time.thread_time_ns() - started) / 1000 / records


def _whole(writer: LogWriter, route: int, size: int) -> Callable[[int], object]:
    return lambda number: writer.append([made(number, route) for _ in range(size)])


def _alone(writer: LogWriter, batch: Sequence[Record]) -> Callable[[int], object]:
    return lambda _: writer.append(batch)


def _bare(descriptor: int, data: bytes) -> Callable[[int], object]:
    return lambda _: os.write(descriptor, data)


def process_costs(folder: Path) -> list[tuple[int, float, float, float, float]]:
    """By records a call: bytes a record, µs of `append` with the records made, of `append`, of `os.write`."""
    found = []
    for size in BATCHES:
        writer = opened(folder / f"process-{size}", "process")
        route = writer.introduce(ROUTE)
        batch = [made(n, route) for n in range(size)]
        writer.append(batch)
        (epoch,) = epochs(folder / f"process-{size}")
        before = segments(epoch)[0][1].stat().st_size
        writer.append(batch)
        data = bytes(segments(epoch)[0][1].stat().st_size - before)
        bare = os.open(folder / f"bare-{size}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        calls = RECORDS // size
        works = (_whole(writer, route, size), _alone(writer, batch), _bare(bare, data))
        times = [[each_us(work, calls, calls * size) for work in works] for _ in range(REPEATS + 1)]
        writer.close()
        os.close(bare)
        whole, alone, limit = (statistics.median(one) for one in zip(*times[1:], strict=True))
        found.append((size, len(data) / size, whole, alone, limit))
    return found


async def power_waits(folder: Path, rate: int, seconds: float) -> tuple[float, float, float, int, float]:
    """Answers a second that were acknowledged, their median and 99th percentile wait in ms, syncs, records a sync."""
    loop = asyncio.get_running_loop()
    real, syncs = os.fdatasync, 0

    def counted(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        real(descriptor)

    setattr(os, "fdatasync", counted)  # noqa: B010 - the type checker knows another name of its argument
    try:
        writer = opened(folder / f"power-{rate}", "power", loop)
        route, waits, sent, ended = writer.introduce(ROUTE), [0.0], 0, 0.0
        waits.clear()

        def tell(n: int, at: float) -> Callable[[Exception | None], None]:
            def told(error: Exception | None) -> None:
                nonlocal ended
                if error is not None:
                    raise SystemExit(str(error))
                ended = time.perf_counter()
                waits.extend([ended - at] * n)

            return told

        started = time.perf_counter()
        while (now := time.perf_counter()) - started < seconds:
            due = int((now - started) * rate) - sent
            if due:
                ticket = writer.append([made(sent + k, route) for k in range(due)])
                writer.when_durable(ticket, tell(due, now))
                sent += due
            await asyncio.sleep(0.001)
        while len(waits) < sent:
            await asyncio.sleep(0.001)
        writer.close()
    finally:
        os.fdatasync = real
    ms = statistics.quantiles(waits, n=100)
    return sent / (ended - started), ms[49] * 1e3, ms[98] * 1e3, syncs, sent / max(1, syncs)


def one_by_one(folder: Path, seconds: float) -> float:
    """Records a second that are written and synced one after the other: what no group commit can do better than."""
    bare = os.open(folder / "one-by-one", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    started, n = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        os.write(bare, bytes(220))
        os.fdatasync(bare)
        n += 1
    os.close(bare)
    return n / seconds


def shipping(folder: Path, records: int) -> list[tuple[str, int, float, float]]:
    """Two times: what was shipped, how many, seconds, records a second."""
    from headrace.stores.objects.local import LocalObjectStore
    from headrace.stores.tables.delta import DeltaTableStore

    tables, log, found = DeltaTableStore(LocalObjectStore(folder / "objects")), folder / "shipped", []
    for turn, name in enumerate(("into an empty table", "beside as many of the same day")):
        for worker in range(2):
            writer = opened(log, "process")
            route, start = writer.introduce(ROUTE), turn * records + worker * (records // 2)
            numbers = [*range(start, start + records // 2)] + [
                turn * records + n for n in range(records // 100)
            ] * worker
            for at in range(0, len(numbers), 16):
                writer.append([made(number, route) for number in numbers[at : at + 16]])
            writer.close()
        started = time.perf_counter()
        done = ship(log, tables, "bench")
        took = time.perf_counter() - started
        if (done.predictions, done.repeats) != (records, records // 100):
            raise SystemExit(f"shipped {done}")
        found.append((name, records, took, records / took))
    return found


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    seconds = float(arguments[0]) if arguments else 4.0
    with tempfile.TemporaryDirectory(dir=arguments[1] if len(arguments) > 1 else ROOT / "benchmarks") as name:
        folder = Path(name)
        costs = process_costs(folder)
        alone = one_by_one(folder, seconds)
        shipped = shipping(folder, int(float(arguments[2])) if len(arguments) > 2 else 200_000)
        power = [(rate, *asyncio.run(power_waits(folder, rate, seconds))) for rate in RATES]
    rows = [
        (f"{size} records a call", f"{held:.0f}", f"{whole:.2f}", f"{each:.2f}", f"{bare:.2f}", f"{each / bare:.1f}")
        for size, held, whole, each, bare in costs
    ]
    headings = ["", "bytes a record", "made and appended, µs", "append, µs", "bare write, µs", "append ÷ bare"]
    waits = [
        (f"{rate:,} a second", f"{done:,.0f}", f"{p50:.1f}", f"{p99:.1f}", f"{syncs:,}", f"{shared:.1f}")
        for rate, done, p50, p99, syncs, shared in power
    ]
    body = (
        f"Durability process, CPU a record, median of {REPEATS} runs of {RECORDS:,} records:\n\n"
        + table(headings, rows)
        + f"\n\nDurability power, {seconds:g} s each; one record and one fdatasync after the other: {alone:,.0f} "
        "records a second:\n\n"
        + table(["asked", "acknowledged a second", "p50 wait, ms", "p99 wait, ms", "syncs", "records a sync"], waits)
    )
    moved = [(name, f"{n:,}", f"{took:.1f}", f"{each:,.0f}") for name, n, took, each in shipped]
    body += "\n\nShipping:\n\n" + table(["", "predictions", "seconds", "predictions a second"], moved)
    record("Prediction log", "python -m benchmarks.prediction_log", body, libraries=["msgspec", "polars"])


if __name__ == "__main__":
    main(sys.argv[1:])
