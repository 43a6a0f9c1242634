"""The row form's lookups and windows, answered from history: indexed once, then microseconds a row.

The indexes are those of the columns form, asked for one row, so both forms give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from headrace.features.columns import build_indexes
from headrace.features.model import Program
from headrace.features.program import ReadRow
from headrace.features.windows import key_of


class History:
    """What was known when, for one program."""

    def __init__(self, program: Program, tables: Mapping[str, pl.LazyFrame]) -> None:
        self._indexes = build_indexes(program, tables)

    def reader(self, steps: Sequence[int]) -> ReadRow:
        """See `headrace.features.program.HistoryLike`."""
        indexes = [self._indexes[number] for number in steps]
        if len(indexes) == 1:
            row = indexes[0].row
            return lambda keys, t_us: row(key_of(keys[0]), t_us)

        def read(keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
            found: list[object] = []
            for index, key in zip(indexes, keys, strict=True):
                found += index.row(key_of(key), t_us)
            return found

        return read
