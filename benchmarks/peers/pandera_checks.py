"""The twelve checks by pandera on Polars."""

from __future__ import annotations

import sys
import time

import pandera.polars as pa  # type: ignore[import-not-found]  # in an environment of its own
import polars as pl
from twelve import CARRIER, KEY, NOT_NULL, ORIGINS, RANGES, tell  # type: ignore[import-not-found]  # beside this file


def main(path: str) -> None:
    """Check the file."""
    started = time.perf_counter()
    rows = pl.read_parquet(path)
    columns = {}
    for name in rows.columns:
        checks = [pa.Check.in_range(*RANGES[name])] if name in RANGES else []
        checks += [pa.Check.isin(ORIGINS)] if name == "origin" else []
        checks += [pa.Check.str_matches(CARRIER)] if name == "carrier" else []
        columns[name] = pa.Column(checks=checks, nullable=name not in NOT_NULL)
    failed = 0
    try:
        pa.DataFrameSchema(columns, unique=KEY).validate(rows, lazy=True)
    except pa.errors.SchemaErrors as error:
        failed = len(error.failure_cases)
    tell(started, failed)


if __name__ == "__main__":
    main(sys.argv[1])
