"""Where a row of a snapshot came from: its number in the source and the file that holds it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Places:
    """Numbers count from 1 over the whole source, malformed rows included."""

    malformed: NDArray[np.int64]
    """Numbers of the malformed rows, ascending; the snapshot does not hold these."""
    files: tuple[tuple[str, int], ...]

    def numbers(self, rows: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Numbers in the source of rows of the snapshot (from 0)."""
        good_before = self.malformed - 1 - np.arange(len(self.malformed))
        return rows.astype(np.int64) + 1 + np.searchsorted(good_before, rows, side="right")

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
