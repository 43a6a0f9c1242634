"""Whether windows hold what was known and nothing else: plain loops recompute them for random rows of the frame.

The loops share nothing with the features station: windows, known instants and hops are written out here, the accepted
table is read row by row, and every aggregate must be equal to the bit. Reads the last run of the flights example.

usage: python -m benchmarks.leaks [PROJECT]
"""

from __future__ import annotations

import math
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.harness import FLIGHTS, newest, record
from benchmarks.history_path.polars_by_hand import WINDOWS
from headrace.app import Project
from headrace.features.model import Frame

ROWS: Final = 1_000
HOUR: Final = 3_600_000_000
MICROSECONDS: Final = pl.Int64
Event = tuple[int, float]
"""When it was known, in microseconds, and the value."""


def hop_of(width: int) -> int:
    """Windows of 12 hours and more begin at a whole hour, shorter ones at five minutes."""
    return HOUR if width >= 12 * HOUR else HOUR // 12


def events_of(table: pl.DataFrame, key: Sequence[str], value: str, known: str) -> dict[tuple[object, ...], list[Event]]:
    """Every value that was ever known, by key."""
    found: dict[tuple[object, ...], list[Event]] = defaultdict(list)
    for *keys, number, at in table.select(*key, value, pl.col(known).cast(MICROSECONDS)).iter_rows():
        if number is not None and math.isfinite(number) and at is not None:
            found[tuple(keys)].append((at, number))
    return found


def aggregate(name: str, values: Sequence[float]) -> float | None:
    """One aggregate of the values in a window."""
    if name == "count":
        return len(values)
    if not values:
        return None
    return max(values) if name == "max" else math.fsum(values) / len(values)


def differences(frame: pl.DataFrame, table: pl.DataFrame, *, rows: int, seed: int) -> tuple[int, list[str]]:
    """How many values were compared, and the columns of those that differ.

    Parameters
    ----------
    frame, table
        The flights' frame, and the accepted table that its `_row` counts in.
    """
    chosen = sorted(random.Random(seed).sample(range(frame.height), min(rows, frame.height)))
    sampled = frame[chosen]
    compared, differing = 0, []
    for name, key, value, known, over, take in WINDOWS:
        events = events_of(table, key, value, known)
        asked = table[sampled["_row"].to_list()].select(*key, pl.col("sched_dep_at").cast(MICROSECONDS))
        columns = [f"{name}_{what}_{width}" for width in over for what in take]
        found = sampled.select(columns).rows()
        spans = [int(width.removesuffix("h")) * HOUR for width in over]
        for (*keys, t), values in zip(asked.iter_rows(), found, strict=True):
            begins = [t - span - (t - span) % hop_of(span) for span in spans]
            first = min(begins)
            near = [(at, number) for at, number in events.get(tuple(keys), []) if first <= at < t]
            expected: list[float | None] = []
            for begin in begins:
                held = [number for at, number in near if at >= begin]
                expected += [None if None in keys else aggregate(what, held) for what in take]
            compared += len(expected)
            differing += [c for c, want, have in zip(columns, expected, values, strict=True) if want != have]
    return compared, differing


def main(project: Path = FLIGHTS) -> None:
    """Compare and record."""
    opened = Project.open(project)
    frame = newest(opened, "assemble", Frame)
    table = opened.tables()[frame.program.source].collect()
    rows = pl.read_parquet(opened.objects.scan_target(frame.ref.key).url)
    compared, differing = differences(rows, table, rows=ROWS, seed=0)
    if differing:
        raise SystemExit(f"{len(differing)} of {compared} aggregates differ, in {', '.join(sorted(set(differing)))}")
    body = (
        f"{compared:,} aggregates of {min(ROWS, rows.height):,} random rows of {rows.height:,}, over "
        f"{table.height:,} flights: all equal to what plain loops over the accepted table give."
    )
    record("Windows by plain loops", "python -m benchmarks.leaks", body, libraries=["polars"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
