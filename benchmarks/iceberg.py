"""Readers of an Iceberg table of 5 million rows in ten files, to one Parquet file; beside them its files read as plain
Parquet, which is the limit.

usage: python -m benchmarks.iceberg [ROWS]      default: 5e6
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import in_turn, python, record, table

READERS: Final = {"plain Parquet": "parquet", "Polars (ours)": "native", "pyiceberg": "pyiceberg"}
_FILES: Final = 10


def make(folder: Path, rows: int) -> None:
    """A table of two numbers, a text, a fraction and a key, in ten commits."""
    import numpy as np
    import polars as pl
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("lake", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/lake")
    catalog.create_namespace("n")
    draw, each = np.random.default_rng(1), rows // _FILES
    for n in range(_FILES):
        part = pl.DataFrame(
            {
                "k": np.arange(each) + n * each,
                "x": draw.integers(0, 1000, each).astype(str),
                "v": draw.random(each),
                "w": draw.random(each),
                "i": draw.integers(0, 10**6, each),
            }
        ).to_arrow()
        (catalog.create_table("n.t", schema=part.schema) if n == 0 else catalog.load_table("n.t")).append(part)


def read(reader: str, folder: Path) -> None:
    """All rows to one file, as a snapshot is written."""
    import polars as pl

    from headrace.data.blocks import row_count, sink

    place = folder / "lake" / "n" / "t"
    if reader == "parquet":
        scan = pl.scan_parquet(place / "data" / "*.parquet")
    else:
        from pyiceberg.table import StaticTable

        os.environ["POLARS_ICEBERG_PLANNER"] = "pyiceberg"
        metadata = f"file://{max((place / 'metadata').glob('*.metadata.json'))}"
        scan = pl.scan_iceberg(StaticTable.from_metadata(metadata), reader_override=reader)  # type: ignore[arg-type]
    sink(scan, folder / f"{reader}.parquet")
    print(row_count(folder / f"{reader}.parquet"))


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    if arguments[:1] == ["read"]:
        read(arguments[1], Path(arguments[2]))
        return
    rows = int(float(next(iter(arguments), "5e6")))
    with tempfile.TemporaryDirectory(prefix="iceberg-") as folder:
        make(Path(folder), rows)
        commands = {name: python("-m", "benchmarks.iceberg", "read", one, folder) for name, one in READERS.items()}
        found = in_turn(commands, times=3)
    if {int(one.output) for one in found.values()} != {rows}:
        raise SystemExit("the readers do not give the same rows")
    base = found["plain Parquet"]
    lines = [
        (
            name,
            m.wall_s,
            m.cpu_s,
            round(m.peak_mb),
            m.wall_s / base.wall_s,
            m.cpu_s / base.cpu_s,
            m.peak_mb / base.peak_mb,
        )
        for name, m in found.items()
    ]
    body = table(["reader", "wall s", "CPU s", "peak MB", "wall × Parquet", "CPU × Parquet", "MB × Parquet"], lines)
    record(f"Iceberg, {rows:,} rows", "python -m benchmarks.iceberg", body, libraries=["polars", "pyiceberg"])


if __name__ == "__main__":
    main(sys.argv[1:])
