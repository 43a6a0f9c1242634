"""Windows over history: 10 M events, 3 widths × 5 aggregates strictly before each row, Parquet in, Parquet out.

Beside Polars' rolling aggregates and DuckDB's range frames, which slide where ours hop, and sum floats inexactly.

`python -m benchmarks.windows [ROWS] [--duckdb]`
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import in_turn, python, record, table
from headrace.definition.model import Aggregate

HOURS: Final = (1, 6, 24)
KEYS: Final = 1_000
TIMES: Final = 3
FEW: Final = 1_000_000
"""Of more rows DuckDB is measured once: it takes minutes."""
BATCH: Final = 1 << 18
BUDGET: Final = 100_000_000
"""What the indexes of one span of history may take: ours is computed as the frame is under a limit of memory."""
AGGREGATES: Final[tuple[Aggregate, ...]] = ("count", "sum", "mean", "min", "max")


def make(path: Path, rows: int, keys: int = KEYS) -> None:
    """A year of events, in order of time; times are whole minutes, so that many are equal."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(0)
    events = pl.DataFrame(
        {
            "key": pl.Series(draw.integers(0, keys, rows)).cast(pl.String),
            "at": pl.Series(draw.integers(0, 365 * 24 * 60, rows) * 60_000_000).cast(pl.Datetime("us", "UTC")),
            "value": draw.normal(10, 30, rows),
        }
    )
    events.sort("at", maintain_order=True).write_parquet(path)


def read(source: str) -> None:
    """The limit: the rows read and sorted by time, nothing computed."""
    import polars as pl

    print(pl.read_parquet(source).height)


def ours(
    source: str, target: str, take: tuple[Aggregate, ...] = AGGREGATES, hours: Sequence[int] = HOURS, half_life: int = 0
) -> None:
    """Our windows, batch by batch into a file, as the frame is written."""
    import polars as pl
    from polars.io.plugins import register_io_source

    from headrace.data.model import Field
    from headrace.features.columns import FeatureColumns
    from headrace.features.model import Program, WindowStep
    from headrace.features.naming import fields_of, hop_of
    from headrace.features.spans import SpannedHistory
    from headrace.language.types import Type
    from headrace.language.values import dtype

    def with_hops(spans: Sequence[int]) -> tuple[tuple[str, int, int], ...]:
        return tuple((f"{span}h", span * 3_600_000_000, hop_of(span * 3_600_000_000)) for span in spans)

    step = WindowStep(
        name="w",
        source="events",
        key=(("key", "key"),),
        value="value",
        value_type=Type.FLOAT,
        known_after=(("at", 0),),
        over=with_hops(hours),
        half_lives=with_hops([half_life] if half_life else []),
        take=take,
        scale=44,
    )
    program = Program(
        model="m",
        source="events",
        time="at",
        key=(),
        request=(Field(name="key", type=Type.STRING), Field(name="at", type=Type.TIMESTAMP)),
        steps=(step,),
        outputs=fields_of(step),
    )
    history = SpannedHistory(program, {"events": pl.scan_parquet(source)}, BUDGET)
    times = pl.read_parquet(source, columns=["at"]).to_series()
    spans = history.spans(times, len(times), BATCH)
    del times

    def batches(*_: object) -> Iterator[pl.DataFrame]:
        for span, indexes in history.during(spans):
            features = FeatureColumns(program, indexes)
            for begin in range(span.begin, span.stop, BATCH):
                rows = pl.scan_parquet(source).select("key", "at").slice(begin, min(BATCH, span.stop - begin))
                yield features.add(rows.collect())

    schema = {field.name: dtype(field.type) for field in program.outputs}
    register_io_source(batches, schema=schema).sink_parquet(target, row_group_size=BATCH)


def polars(source: str, target: str) -> None:
    """Polars' rolling aggregates, a group at a time."""
    import polars as pl

    columns = []
    for hours in HOURS:
        width = f"{hours}h"
        value, one = pl.col("value"), pl.col("value").is_not_null().cast(pl.Int64)
        columns += [
            value.rolling_mean_by("at", width, closed="left").over("key").alias(f"mean_{width}"),
            value.rolling_min_by("at", width, closed="left").over("key").alias(f"min_{width}"),
            value.rolling_max_by("at", width, closed="left").over("key").alias(f"max_{width}"),
            value.rolling_sum_by("at", width, closed="left").over("key").alias(f"sum_{width}"),
            one.rolling_sum_by("at", width, closed="left").over("key").alias(f"count_{width}"),
        ]
    pl.scan_parquet(source).select(columns).sink_parquet(target, row_group_size=1 << 19)


def duckdb(source: str, target: str) -> None:
    """DuckDB's window functions over range frames."""
    import duckdb as engine

    columns = ", ".join(
        f'{function}(value) OVER (PARTITION BY key ORDER BY "at" RANGE BETWEEN INTERVAL {hours} HOURS PRECEDING '
        f"AND INTERVAL 1 MICROSECOND PRECEDING) AS {name}_{hours}h"
        for hours in HOURS
        for function, name in (
            ("count", "count"),
            ("avg", "mean"),
            ("min", "min"),
            ("max", "max"),
            ("sum", "sum"),
        )
    )
    engine.sql(f"COPY (SELECT {columns} FROM '{source}') TO '{target}' (FORMAT parquet)")


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    rows = int(float(next((argument for argument in arguments if argument != "--duckdb"), "1e7")))
    contenders = ["ours", "polars", *(["duckdb"] if "--duckdb" in arguments else [])]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "events.parquet"
        make(source, rows)
        commands = {"read only": python("-m", "benchmarks.windows", "--as=read", str(source))}
        for name in contenders:
            target = str(Path(folder) / f"{name}.parquet")
            commands[name] = python("-m", "benchmarks.windows", f"--as={name}", str(source), target)
        slow = {name: command for name, command in commands.items() if name == "duckdb" and rows > FEW}
        found = in_turn({name: command for name, command in commands.items() if name not in slow}, times=TIMES)
        found |= in_turn(slow, times=1)
    base = found["polars"]
    body = table(
        ["contender", "wall s", "CPU s", "peak MB", "wall × Polars", "CPU × Polars", "MB × Polars"],
        [
            (name, m.wall_s, m.cpu_s, m.peak_mb, m.wall_s / base.wall_s, m.cpu_s / base.cpu_s, m.peak_mb / base.peak_mb)
            for name, m in found.items()
        ],
    )
    command = " ".join(["python -m benchmarks.windows", *arguments])
    record(f"Windows, {rows:,} events", command, body, libraries=["polars", "numpy", "duckdb"])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--as=read", source]:
            read(source)
        case ["--as=ours", source, target]:
            ours(source, target)
        case ["--as=polars", source, target]:
            polars(source, target)
        case ["--as=duckdb", source, target]:
            duckdb(source, target)
        case arguments:
            main(arguments)
