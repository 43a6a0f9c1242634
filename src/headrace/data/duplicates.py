"""Rows that share a key: exact over all rows, with a few bytes of memory a row and a second look at suspects only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.data.align import ROW

Hashes = NDArray[np.uint64]
REASON = "_hr_reason"
DUPLICATE, DUPLICATE_KEY = "duplicate", "duplicate-key"


def hash_of(key: Sequence[str]) -> pl.Expr:
    """What rows with equal keys have in common, and others but for chance do not; never kept."""
    return pl.struct(key).hash()


def find_duplicates(table: pl.LazyFrame, key: Sequence[str], content: Sequence[str], hashes: Hashes) -> pl.DataFrame:
    """Rows to set aside so that each key is there once: their positions (from 0, in order) and the reason.

    Of rows that are equal in `content` the first stays, the others are a `duplicate`. Of rows that share the key and
    differ, the newest content stays, which is that of the last row; the others are a `duplicate-key`.

    Parameters
    ----------
    table
        Rows in order; their key columns hold no null.
    hashes
        Of the keys (`hash_of`), one a row.
    """
    suspects = _repeated(hashes)
    if not len(suspects):
        return pl.DataFrame(schema={ROW: pl.UInt32, REASON: pl.String})
    at = pl.LazyFrame({ROW: suspects})
    columns = list(dict.fromkeys([*key, *content]))
    rows = table.select(columns).with_row_index(ROW).join(at, on=ROW, how="semi").collect().sort(ROW)
    first = pl.col(ROW).min().over(columns)
    judged = rows.with_columns(first.alias("_hr_first")).with_columns(
        pl.col("_hr_first").last().over(list(key)).alias("_hr_winner")
    )
    is_repeat = pl.col(ROW) != pl.col("_hr_first")
    reason = pl.when(is_repeat).then(pl.lit(DUPLICATE)).otherwise(pl.lit(DUPLICATE_KEY)).alias(REASON)
    return judged.filter(pl.col(ROW) != pl.col("_hr_winner")).select(ROW, reason)


def _repeated(hashes: Hashes) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Positions of the values that occur more than once, in order."""
    ordered = np.sort(hashes)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return np.empty(0, np.uint32)
    return np.flatnonzero(np.isin(hashes, repeated)).astype(np.uint32)
