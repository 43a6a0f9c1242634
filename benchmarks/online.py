"""What a row's lookup and windows cost from the online store: one read, three windows of three widths, one lookup.

The flights example's own lookup of weather and windows by airport, by carrier and by plane, materialised from the
tables of its last run at a watermark in July; rows are drawn among those keys, at the watermark and up to an hour
later. LMDB in a temporary folder, Redis on this machine, in a process of its own.

usage: python -m benchmarks.online [PROJECT]
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
import redis
from tests.servers import RedisServer

from benchmarks.harness import FLIGHTS, record, table
from headrace.app import Project
from headrace.features.frame import with_scales
from headrace.features.history import History
from headrace.features.materialize import materialize
from headrace.features.model import LookupStep, Program, WindowStep
from headrace.features.naming import fields_of
from headrace.features.online import OnlineHistory
from headrace.features.program import ReadRow
from headrace.stores.online import OnlineStore
from headrace.stores.online.local import LocalOnlineStore
from headrace.stores.online.redis import RedisOnlineStore

ROWS: Final = 5_000
WATERMARK_US: Final = 1_373_889_600_000_000
"""2013-07-15T12:00:00Z."""
STEPS: Final = ("weather", "origin_delay", "carrier_delay", "plane_delay")
LIMIT_US: Final = 60.0
Asked = tuple[list[tuple[object, ...]], int]


def program_of(project: Project, tables: dict[str, pl.LazyFrame]) -> Program:
    """The steps that are measured, alone."""
    whole = with_scales(project.program(), tables)
    steps = tuple(step for step in whole.steps if step.name in STEPS)
    outputs = tuple(field for step in steps for field in fields_of(step))
    return msgspec.structs.replace(whole, steps=steps, outputs=outputs)


def asked_of(program: Program, tables: dict[str, pl.LazyFrame], rows: int) -> list[Asked]:
    """Keys of flights around the watermark, and times from there on."""
    draw = random.Random(0)
    near = tables["flights"].filter(
        pl.col("sched_dep_at").to_physical().is_between(WATERMARK_US - 86_400_000_000, WATERMARK_US)
    )
    joins = [step for step in program.steps if isinstance(step, LookupStep | WindowStep)]
    names = sorted({ours for step in joins for ours, _ in step.key})
    flights = near.select(names).drop_nulls().collect().to_dicts()
    found = []
    for _ in range(rows):
        flight = draw.choice(flights)
        keys: list[tuple[object, ...]] = [tuple(flight[ours] for ours, _ in step.key) for step in joins]
        found.append((keys, WATERMARK_US + draw.randrange(3_600_000_000)))
    return found


def each_us(work: Callable[[Sequence[Sequence[object]], int], object], asked: Sequence[Asked]) -> tuple[float, float]:
    """Median and 99th percentile of wall microseconds a row, after one pass that is not counted."""
    for keys, t_us in asked:
        work(keys, t_us)
    times = []
    for keys, t_us in asked:
        begin = time.perf_counter_ns()
        work(keys, t_us)
        times.append((time.perf_counter_ns() - begin) / 1000)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def known_then(program: Program, tables: Mapping[str, pl.LazyFrame]) -> ReadRow:
    """Reads from history what was known before the watermark."""
    readers = []
    for step in program.steps:
        assert isinstance(step, LookupStep | WindowStep)
        known = pl.max_horizontal(pl.col(name).to_physical() + delay for name, delay in step.known_after)
        seen = {step.source: tables[step.source].filter(known < WATERMARK_US)}
        readers.append(History(msgspec.structs.replace(program, steps=(step,)), seen).reader([0]))

    def read(keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
        return [value for one, key in zip(readers, keys, strict=True) for value in one([key], t_us)]

    return read


def calls(url: str) -> int:
    """Commands that the server was asked by its clients, those of scripts not counted."""
    with redis.Redis.from_url(url) as client:
        told: dict[str, Any] = client.info("commandstats")
    return int(told.get("cmdstat_evalsha", {}).get("calls", 0))


def main(folder: Path = FLIGHTS) -> None:
    """Measure and record."""
    with Project.open(folder) as project, tempfile.TemporaryDirectory() as scratch:
        tables = project.tables()
        program = program_of(project, tables)
        asked = asked_of(program, tables, ROWS)
        with RedisServer(Path(scratch) / "redis") as server:
            stores: dict[str, OnlineStore] = {
                "LMDB": LocalOnlineStore(Path(scratch) / "lmdb"),
                "Redis": RedisOnlineStore(server.url),
            }
            lines: list[tuple[object, ...]] = []
            answers: dict[str, list[object]] = {}
            places = range(len(program.steps))
            for name, store in stores.items():
                begin = time.perf_counter()
                made = materialize(program, tables, store, "flights", now_us=WATERMARK_US, until_us=WATERMARK_US)
                filled_s = time.perf_counter() - begin
                read = OnlineHistory(program, store, "flights").reader(places)
                before = calls(server.url)
                median, high = each_us(read, asked)
                trips = (calls(server.url) - before) / (2 * len(asked))
                answers[name] = [list(read(keys, t_us)) for keys, t_us in asked]
                lines.append((name, median, high, trips, made.keys, filled_s))
                store.close()
        history = known_then(program, tables)
        median, high = each_us(history, asked)
        lines.append(("history in memory", median, high, 0, "", ""))
        for name, found in answers.items():
            if found != [list(history(keys, t_us)) for keys, t_us in asked]:
                raise SystemExit(f"{name} and history differ")
    widths = sum(len(fields_of(step)) for step in program.steps)
    body = (
        f"{len(program.steps)} keys a row give {widths} features; {len(asked):,} rows, answers equal to history's.\n\n"
        + table(["where", "median µs", "p99 µs", "round trips a row", "keys", "filled in s"], lines)
        + f"\n\nLMDB: {float(str(lines[0][1])) / LIMIT_US:.2f} of the limit of {LIMIT_US:g} µs."
    )
    record("Online values", "python -m benchmarks.online", body, libraries=["lmdb", "redis", "polars"])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FLIGHTS)
