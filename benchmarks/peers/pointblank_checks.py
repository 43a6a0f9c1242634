"""The twelve checks by pointblank on Polars."""

from __future__ import annotations

import sys
import time

import pointblank as pb  # type: ignore[import-not-found]  # in an environment of its own
import polars as pl
from twelve import CARRIER, KEY, NOT_NULL, ORIGINS, RANGES, tell  # type: ignore[import-not-found]  # beside this file


def main(path: str) -> None:
    """Check the file."""
    started = time.perf_counter()
    plan = pb.Validate(pl.read_parquet(path)).col_vals_not_null(columns=NOT_NULL)
    for name, (low, high) in RANGES.items():
        plan = plan.col_vals_between(columns=name, left=low, right=high, na_pass=name == "dep_delay")
    plan = plan.col_vals_in_set(columns="origin", set=ORIGINS).col_vals_regex(columns="carrier", pattern=CARRIER)
    done = plan.rows_distinct(columns_subset=KEY).interrogate(collect_extracts=False)
    tell(started, sum(done.n_failed().values()))


if __name__ == "__main__":
    main(sys.argv[1])
