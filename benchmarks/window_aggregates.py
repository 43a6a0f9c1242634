"""Each aggregate of a window alone: events of 100 keys over a year, the 24 hours strictly before each of them.

Beside Polars' rolling aggregates and DuckDB's range frames, where they have it. CPU seconds of whole processes; what
reading and writing takes is in `count`.

`python -m benchmarks.window_aggregates [ROWS]`
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import in_turn, python, record, table
from benchmarks.windows import make, ours
from headrace.definition.model import DECAYED, Aggregate

KEYS: Final = 100
HOURS: Final = 24
IN_POLARS: Final[dict[Aggregate, tuple[str, dict[str, float]]]] = {
    "count": ("rolling_sum_by", {}),
    "mean": ("rolling_mean_by", {}),
    "max": ("rolling_max_by", {}),
    "stddev": ("rolling_std_by", {}),
    "median": ("rolling_median_by", {}),
    "p90": ("rolling_quantile_by", {"quantile": 0.9}),
}
IN_DUCKDB: Final[dict[Aggregate, str]] = {
    "count": "count(value)",
    "mean": "avg(value)",
    "max": "max(value)",
    "stddev": "stddev_samp(value)",
    "first": "first_value(value)",
    "last": "last_value(value)",
    "median": "median(value)",
    "p90": "quantile_disc(value, 0.9)",
    "n_unique": "count(DISTINCT round(value))",
    "top1": "mode(round(value))",
}
TAKEN: Final[tuple[Aggregate, ...]] = (*IN_DUCKDB, "rate", "seconds_since", "decayed_mean")
TIMES: Final = 1


def ours_alone(source: str, target: str, aggregate: Aggregate) -> None:
    """Ours, of values rounded to whole numbers where it is about which there are."""
    if aggregate in DECAYED:
        ours(source, target, (aggregate,), (), HOURS)
    else:
        ours(source, target, (aggregate,), (HOURS,))


def polars_alone(source: str, target: str, aggregate: Aggregate) -> None:
    """Polars' rolling aggregate, a group at a time."""
    import polars as pl

    function, options = IN_POLARS[aggregate]
    value = pl.col("value").is_not_null().cast(pl.Int64) if aggregate == "count" else pl.col("value")
    rolled = getattr(value, function)("at", f"{HOURS}h", closed="left", **options).over("key")
    pl.scan_parquet(source).select(rolled).sink_parquet(target)


def duckdb_alone(source: str, target: str, aggregate: Aggregate) -> None:
    """DuckDB's window function over a range frame."""
    import duckdb

    frame = f"RANGE BETWEEN INTERVAL {HOURS} HOURS PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING"
    window = f'{IN_DUCKDB[aggregate]} OVER (PARTITION BY key ORDER BY "at" {frame})'
    duckdb.sql(f"COPY (SELECT {window} AS x FROM '{source}') TO '{target}' (FORMAT parquet)")


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    rows = int(float(arguments[0] if arguments else "1e6"))
    commands = {}
    theirs = {*(("polars", one) for one in IN_POLARS), *(("duckdb", one) for one in IN_DUCKDB)}
    with tempfile.TemporaryDirectory() as folder:
        source, whole = Path(folder) / "events.parquet", Path(folder) / "whole.parquet"
        make(source, rows, KEYS)
        _rounded(source, whole)
        for aggregate in TAKEN:
            for name in ("ours", "polars", "duckdb"):
                if name == "ours" or (name, aggregate) in theirs:
                    read = whole if name == "ours" and aggregate in ("n_unique", "top1") else source
                    target = str(Path(folder) / f"{name}.parquet")
                    run = python("-m", "benchmarks.window_aggregates", f"--as={name}", str(read), target, aggregate)
                    commands[f"{name} {aggregate}"] = run
        found = in_turn(commands, times=TIMES)

    def seconds(name: str, aggregate: Aggregate) -> object:
        measured = found.get(f"{name} {aggregate}")
        return "" if measured is None else measured.cpu_s

    body = table(
        ["aggregate", "ours, CPU s", "Polars", "DuckDB", "ours, peak MB"],
        [
            (one, *(seconds(name, one) for name in ("ours", "polars", "duckdb")), found[f"ours {one}"].peak_mb)
            for one in TAKEN
        ],
    )
    command = " ".join(["python -m benchmarks.window_aggregates", *arguments])
    record(f"Aggregates of windows, {rows:,} events", command, body, libraries=["polars", "numpy", "duckdb"])


def _rounded(source: Path, target: Path) -> None:
    import polars as pl

    pl.scan_parquet(source).with_columns(pl.col("value").round()).sink_parquet(target)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--as=ours", source, target, aggregate]:
            ours_alone(source, target, aggregate)  # type: ignore[arg-type]  # one of TAKEN
        case ["--as=polars", source, target, aggregate]:
            polars_alone(source, target, aggregate)  # type: ignore[arg-type]
        case ["--as=duckdb", source, target, aggregate]:
            duckdb_alone(source, target, aggregate)  # type: ignore[arg-type]
        case arguments:
            main(arguments)
