"""Where a row of a source came from: its number in the source and the file that holds it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.data.align import ROW


def numbered(raw: pl.LazyFrame, malformed: NDArray[np.int64]) -> pl.LazyFrame:
    """A snapshot's rows with their place in the source, from 0, malformed rows counted too.

    Parameters
    ----------
    malformed
        Numbers (from 1) of the malformed rows, ascending; the snapshot does not hold these.
    """
    rows = raw.with_row_index(ROW)
    if not len(malformed):
        return rows
    good_before = malformed - 1 - np.arange(len(malformed))

    def shifted(index: pl.Series) -> pl.Series:
        at = index.to_numpy().astype(np.int64)
        return pl.Series(at + np.searchsorted(good_before, at, side="right"), dtype=pl.UInt32)

    return rows.with_columns(pl.col(ROW).map_batches(shifted, return_dtype=pl.UInt32(), is_elementwise=True))


@dataclass(frozen=True, slots=True)
class Places:
    """Numbers count from 1 over the whole source, malformed rows included."""

    files: tuple[tuple[str, int], ...]

    def file_indexes(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of `files` holds each row."""
        ends = np.fromiter(accumulate(rows for _, rows in self.files), np.int64, len(self.files))
        return np.searchsorted(ends, numbers, side="left")

    def describe(self, number: int) -> str:
        """For people: row and file."""
        if not self.files:
            return f"row {number}"
        index = int(self.file_indexes(np.array([number]))[0])
        before = sum(rows for _, rows in self.files[:index])
        return f"row {number - before} of {self.files[index][0]}"
