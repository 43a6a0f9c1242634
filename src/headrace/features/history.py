"""The row form's lookups and windows, answered from history: indexed once, then microseconds a row.

The indexes are those of the columns form, asked for one row, so both forms give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from headrace.features.columns import build_indexes
from headrace.features.model import Program
from headrace.features.windows import key_of


class History:
    """What was known when, for one program."""

    def __init__(self, program: Program, tables: Mapping[str, pl.LazyFrame]) -> None:
        self._indexes = build_indexes(program, tables)

    def lookup_values(self, step_index: int, key: Sequence[object], t_us: int | None) -> tuple[object, ...]:
        """The features of the lookup or window `program.steps[step_index]`, in the order of `naming.fields_of`.

        `key` holds the values of the step's key in the row form; a null among them, or no prediction time where one is
        needed, gives nulls.
        """
        return self._indexes[step_index].row(key_of(key), t_us)
