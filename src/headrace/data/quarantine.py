"""The quarantine: rows that broke the contract, as they were read, with every reason and their place."""

from __future__ import annotations

import numpy as np
import polars as pl

from headrace.data.align import ROW
from headrace.data.blocks import sink
from headrace.data.corrections import Rows
from headrace.data.ledger import REASONS, Ledger
from headrace.data.model import Snapshot
from headrace.runs.model import ObjectRef, StageContext


def write_quarantine(found: Rows, snapshot: Snapshot, ledger: Ledger, ctx: StageContext) -> ObjectRef | None:
    """Write what is set aside, in the source's order; None when nothing is.

    The columns are `_row` (from 1, in the source), `_reasons`, `_file` and, of what was no row, `_line` and `_text`;
    then the cells as text."""
    rows = ledger.quarantined()
    if rows.is_empty() and found.malformed is None:
        return None
    numbers = rows[ROW].to_numpy().astype(np.int64) + 1
    names = pl.Series([name for name, _ in snapshot.files], dtype=pl.String)
    files = (
        names.gather(ledger.places.file_indexes(numbers)) if len(names) else pl.repeat(None, rows.height, eager=True)
    )
    marked = rows.with_columns(_row=pl.Series(numbers, dtype=pl.Int64), _file=files.cast(pl.String))
    cells = [pl.col(name).cast(pl.String) for name in snapshot.columns]
    aside = found.frame.join(marked.lazy(), on=ROW, how="inner", maintain_order="left").select(
        "_row",
        REASONS,
        "_file",
        pl.lit(None, dtype=pl.Int64).alias("_line"),
        pl.lit(None, dtype=pl.String).alias("_text"),
        *cells,
    )
    if found.malformed is not None:
        aside = aside.merge_sorted(_without_cells(found.malformed, snapshot), key="_row")
    target = ctx.workdir / "quarantine.parquet"
    sink(aside, target)
    return ctx.keep(target, "quarantine", ".parquet")


def _without_cells(malformed: pl.LazyFrame, snapshot: Snapshot) -> pl.LazyFrame:
    return malformed.select(
        pl.col("row").alias("_row"),
        pl.concat_list(pl.format("shape:{}", "reason")).alias(REASONS),
        pl.col("file").alias("_file"),
        pl.col("line").alias("_line"),
        pl.col("text").alias("_text"),
        *(pl.lit(None, dtype=pl.String).alias(name) for name in snapshot.columns),
    )
