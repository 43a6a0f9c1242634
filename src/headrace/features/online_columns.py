"""The online store asked for many rows: what a batch is scored with when it is to see what a request would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from headrace.features.keyed import physical
from headrace.features.model import LookupStep, Program, WindowStep
from headrace.features.naming import fields_of
from headrace.features.online import OnlineHistory
from headrace.features.program import ReadRow
from headrace.language.values import dtype

PHYSICAL: Final = {pl.Date: pl.Int32, pl.Datetime: pl.Int64, pl.Duration: pl.Int64}


class OnlineIndex:
    """One lookup or window; asked like an index over history."""

    def __init__(self, step: LookupStep | WindowStep, read: ReadRow) -> None:
        self._fields = fields_of(step)
        self._read = read

    def columns(self, keys: pl.DataFrame, instants: pl.Series) -> list[pl.Series]:
        """The step's features of many rows: `keys` in the step's order, prediction times in microseconds."""
        columns = [physical(column).to_list() for column in keys.get_columns()]
        rows: list[Sequence[object]] = [
            self._read([key], t_us) for key, t_us in zip(zip(*columns, strict=True), instants.to_list(), strict=True)
        ]
        found = []
        for place, field in enumerate(self._fields):
            wanted = dtype(field.type)
            held = PHYSICAL.get(wanted.base_type(), wanted)
            found.append(pl.Series(field.name, [row[place] for row in rows], dtype=held).cast(wanted))
        return found


def online_indexes(program: Program, history: OnlineHistory) -> dict[int, OnlineIndex]:
    """The program's lookups and windows, by the step's place."""
    return {
        number: OnlineIndex(step, history.reader([number]))
        for number, step in enumerate(program.steps)
        if isinstance(step, LookupStep | WindowStep)
    }
