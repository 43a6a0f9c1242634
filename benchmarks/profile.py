# ruff: noqa: A005 - it is run as benchmarks.profile
"""The profile of 3.3 million flights beside what people use for it: ydata-profiling, DataProfiler, skimpy, Polars.

Every contender reads one Parquet file of 19 columns and makes its summary; none writes a page. They do not find the
same: `describe()` of Polars counts, and gives extremes, mean and quartiles of each column, skimpy that and small
histograms; ours, ydata-profiling (its minimal mode) and DataProfiler also count levels and look at the shape; ours and
DataProfiler look for personal data (DataProfiler without its neural network, which is an extra). By default
DataProfiler looks at a sample of the rows. `read` is the limit: every column read and counted, no more.

The peers run in environments of their own, made from `benchmarks/peers/*.txt`.

usage: python -m benchmarks.profile
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.checks import peer, write_flights
from benchmarks.harness import Measured, in_turn, measure, python, record, table

TIMES: Final = 3
OWN: Final = ("read", "describe", "ours")
PEERS: Final = ("ydata_profiling",)
SLOW: Final = ("skimpy", "dataprofiler")
"""Peers that take minutes: run once, after the others."""
NAMES: Final = {
    "read": "Polars, nulls counted",
    "describe": "Polars, describe()",
    "ours": "ours",
    "skimpy": "skimpy",
    "dataprofiler": "DataProfiler",
    "ydata_profiling": "ydata-profiling, minimal",
}


def ours(path: Path) -> int:
    """What every check makes of its accepted rows."""
    from headrace.data.profile import profile
    from headrace.language.values import type_of_dtype

    schema = pl.scan_parquet(path).collect_schema()
    types = {name: type_ for name, dtype in schema.items() if (type_ := type_of_dtype(dtype)) is not None}
    return len(profile(path, types))


def run(contender: str, path: Path) -> None:
    """One contender in a process of its own: prints the seconds from file to summary, and how many columns it has."""
    started = time.perf_counter()
    if contender == "read":
        columns = pl.scan_parquet(path).null_count().collect().width
    elif contender == "describe":
        columns = pl.scan_parquet(path).describe().width - 1
    else:
        columns = ours(path)
    print(json.dumps({"profile_s": time.perf_counter() - started, "columns": columns}))


def report(measured: Mapping[str, Measured], rows: int) -> str:
    """The table: whole processes, ratios to ours."""
    base = measured["ours"]
    lines = [
        [
            NAMES[name], one.wall_s, one.cpu_s, one.peak_mb, json.loads(one.output.splitlines()[-1])["profile_s"],
            one.wall_s / base.wall_s, one.cpu_s / base.cpu_s, one.peak_mb / base.peak_mb,
        ]
        for name, one in measured.items()
    ]  # fmt: skip
    headings = ["contender", "wall s", "CPU s", "peak MB", "of it, profile s", "wall × ours", "CPU × ours", "MB × ours"]
    once = " and ".join(NAMES[name] for name in SLOW)
    return f"{rows:,} rows of 19 columns, medians of {TIMES} runs in turn; {once} ran once.\n\n" + table(
        headings, lines
    )


def main(arguments: Sequence[str]) -> None:
    """Measure and record; or be one of the contenders."""
    if arguments:
        run(arguments[0], Path(arguments[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flights = folder / "flights.parquet"
        rows = write_flights(flights)
        commands = {one: python("-m", "benchmarks.profile", one, str(flights)) for one in OWN}
        commands |= {one: [*peer(one, folder, "profile"), str(flights)] for one in PEERS}
        slow = {one: [*peer(one, folder, "profile"), str(flights)] for one in SLOW}
        measured = in_turn(commands, times=TIMES)
        measured |= {one: measure(command) for one, command in slow.items()}
    record("Profile", "python -m benchmarks.profile", report(measured, rows), libraries=["polars"])


if __name__ == "__main__":
    main(sys.argv[1:])
