"""Row features of one row: the compiled row form beside one hand-written Polars select of the same expressions.

The expressions are the flights example's kind. The select is the least that Polars can do for one row: one call, native
expressions, nothing layered.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

import polars as pl

from benchmarks.harness import record
from headrace.language.parse import parse
from headrace.language.rows import compile_rows
from headrace.language.tree import Node
from headrace.language.types import Type

COLUMNS: Final = {
    "origin": Type.CATEGORY,
    "dest": Type.CATEGORY,
    "distance": Type.FLOAT,
    "dep": Type.TIMESTAMP,
    "arr": Type.TIMESTAMP,
    "temp": Type.FLOAT,
    "visib": Type.FLOAT,
    "built": Type.INTEGER,
    "delay": Type.FLOAT,
}
ROW: Final = ("EWR", "IAH", 1400.0, 1_357_034_100_000_000, 1_357_047_600_000_000, 39.02, 10.0, 1999, 4.5)
EXPRESSIONS: Final = {
    "dep_hour": "hour(dep, 'America/New_York')",
    "night": "dep_hour < 6 OR dep_hour >= 22",
    "dep_weekday": "weekday(dep, 'America/New_York')",
    "season": "day_of_year(dep, 'America/New_York')",
    "route": "origin || '-' || dest",
    "log_mile": "ln(distance + 1)",
    "dep_minutes": "to_minutes(arr - dep)",
    "speed": "distance / NULLIF(to_minutes(arr - dep), 0.0)",
    "plane_age": "year(dep, 'America/New_York') - built",
    "rough": "visib < 3 OR temp < 25 OR COALESCE(delay, 0.0) > 20",
}


def by_hand() -> list[pl.Expr]:
    """The same, as one would write it in Polars."""
    local = pl.col("dep").dt.convert_time_zone("America/New_York")
    hour, minutes = local.dt.hour(), (pl.col("arr") - pl.col("dep")).dt.total_minutes(fractional=True)
    return [
        hour.alias("dep_hour"),
        ((hour < 6) | (hour >= 22)).alias("night"),
        local.dt.weekday().alias("dep_weekday"),
        local.dt.ordinal_day().alias("season"),
        (pl.col("origin") + "-" + pl.col("dest")).alias("route"),
        (pl.col("distance") + 1).log().alias("log_mile"),
        minutes.alias("dep_minutes"),
        (pl.col("distance") / minutes).alias("speed"),
        (local.dt.year() - pl.col("built")).alias("plane_age"),
        ((pl.col("visib") < 3) | (pl.col("temp") < 25) | (pl.col("delay").fill_null(0.0) > 20)).alias("rough"),
    ]


def row_form() -> Callable[[tuple[object, ...]], tuple[object, ...]]:
    """The compiled row form of the expressions."""
    types, steps = dict(COLUMNS), list[tuple[str, Node]]()
    for name, text in EXPRESSIONS.items():
        node = parse(text, types)
        types[name] = node.type
        steps.append((name, node))
    return compile_rows(list(COLUMNS.items()), steps)


def one_row() -> pl.DataFrame:
    """The row as a frame."""
    frame = pl.DataFrame([ROW], schema=list(COLUMNS), orient="row")
    return frame.with_columns(pl.col("dep", "arr").cast(pl.Datetime("us", "UTC")))


def median_us(call: Callable[[], object], *, calls: int, repeats: int = 15) -> float:
    """Median microseconds of this thread's CPU a call."""
    times = []
    for _ in range(repeats):
        started = time.thread_time_ns()
        for _ in range(calls):
            call()
        times.append((time.thread_time_ns() - started) / 1000 / calls)
    return statistics.median(times)


def main() -> None:
    """Measure and record."""
    compute, frame, expressions = row_form(), one_row(), by_hand()
    ours = median_us(lambda: compute(ROW), calls=20_000)
    polars = median_us(lambda: frame.select(expressions), calls=50)
    body = (
        f"{len(EXPRESSIONS)} expressions of one row: {ours:.2f} µs in the row form, {polars:.0f} µs as one Polars "
        f"select (on the calling thread alone), {polars / ours:.0f} times as long."
    )
    record("Expressions, one row", "python -m benchmarks.expressions", body, libraries=["polars"])


if __name__ == "__main__":
    main()
