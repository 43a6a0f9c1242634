"""Row features: the compiled row form of one row and the columns form of a million, each beside hand-written Polars.

The expressions are the flights example's kind. By hand they are native Polars expressions, nothing layered; for one row
that is the least that Polars can do, one call. And what it takes to read and compile 500 of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import cycle, groupby
from typing import Final

import numpy as np
import polars as pl

from benchmarks.harness import record
from headrace.language.columns import to_polars
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
MANY, FEATURES = 1_000_000, 500
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
    return compile_rows(list(COLUMNS.items()), list(trees().items()))


def one_row() -> pl.DataFrame:
    """The row as a frame."""
    frame = pl.DataFrame([ROW], schema=list(COLUMNS), orient="row")
    return frame.with_columns(pl.col("dep", "arr").cast(pl.Datetime("us", "UTC")))


def many_rows(count: int) -> pl.DataFrame:
    """Rows of a year of flights, drawn."""
    draw = np.random.default_rng(0)
    dep = pl.Series(draw.integers(1_356_998_400, 1_388_534_400, count) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "origin": draw.choice(["EWR", "JFK", "LGA"], count),
            "dest": draw.choice(["IAH", "ORD", "ATL", "LAX"], count),
            "distance": draw.uniform(80, 4000, count),
            "dep": dep,
            "arr": dep + timedelta(hours=2),
            "temp": draw.normal(50, 20, count),
            "visib": draw.uniform(0, 10, count),
            "built": draw.integers(1960, 2013, count),
            "delay": draw.normal(5, 30, count),
        }
    )


def columns_form(frame: pl.DataFrame) -> pl.DataFrame:
    """Our expressions in the order in which they rest on each other."""
    for _, steps in groupby(trees().items(), lambda step: step[0] == "night"):
        frame = frame.with_columns(to_polars(node).alias(name) for name, node in steps)
    return frame


def trees() -> dict[str, Node]:
    """The typed trees of the expressions."""
    types, found = dict(COLUMNS), dict[str, Node]()
    for name, text in EXPRESSIONS.items():
        found[name] = parse(text, types)
        types[name] = found[name].type
    return found


def compile_features(count: int) -> None:
    """Read that many features and compile them for rows and for columns; no two are alike."""
    types, steps = dict(COLUMNS), list[tuple[str, Node]]()
    for number, (name, text) in zip(range(count), cycle(EXPRESSIONS.items())):
        node = parse(f"CASE WHEN distance > {number} THEN {text} END", types | {"dep_hour": Type.INTEGER})
        types[f"{name}_{number}"] = node.type
        steps.append((f"{name}_{number}", node))
    inputs = [*COLUMNS.items(), ("dep_hour", Type.INTEGER)]
    compile_rows(inputs, steps)
    for _, node in steps:
        to_polars(node)


def median_us(
    call: Callable[[], object], *, calls: int, repeats: int = 15, clock: Callable[[], int] = time.thread_time_ns
) -> float:
    """Median microseconds a call, of this thread's CPU unless another clock is given."""
    times = []
    for _ in range(repeats):
        started = clock()
        for _ in range(calls):
            call()
        times.append((clock() - started) / 1000 / calls)
    return statistics.median(times)


def main() -> None:
    """Measure and record."""
    compute, frame, expressions = row_form(), one_row(), by_hand()
    ours = median_us(lambda: compute(ROW), calls=20_000)
    polars = median_us(lambda: frame.select(expressions), calls=50)
    rows = many_rows(MANY)
    in_columns = median_us(lambda: columns_form(rows), calls=1, repeats=9, clock=time.perf_counter_ns) / 1000
    native = median_us(lambda: rows.with_columns(expressions), calls=1, repeats=9, clock=time.perf_counter_ns) / 1000
    compiled = median_us(lambda: compile_features(FEATURES), calls=1, repeats=5) / 1e6
    body = (
        f"{len(EXPRESSIONS)} expressions of one row: {ours:.2f} µs in the row form, {polars:.0f} µs as one Polars "
        f"select (on the calling thread alone), {polars / ours:.0f} times as long.\n\n"
        f"Of {MANY:,} rows: {in_columns:.0f} ms of wall clock in the columns form, {native:.0f} ms as one hand-written "
        f"`with_columns`, {in_columns / native:.2f} of it.\n\n"
        f"{FEATURES} features read, typed and compiled for rows and columns in {compiled:.2f} s of CPU."
    )
    record("Expressions", "python -m benchmarks.expressions", body, libraries=["polars"])


if __name__ == "__main__":
    main()
