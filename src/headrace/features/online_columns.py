"""The online store asked for many rows: what a batch is scored with when it is to see what a request would."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.features.model import LookupStep, Program, WindowStep
from headrace.features.naming import fields_of
from headrace.features.online import OnlineHistory
from headrace.features.program import ReadRow
from headrace.language.values import column_of, physical


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
            found.append(column_of(field.name, [row[place] for row in rows], field.type))
        return found


def online_indexes(program: Program, history: OnlineHistory) -> dict[int, OnlineIndex]:
    """The program's lookups and windows, by the step's place."""
    return {
        number: OnlineIndex(step, history.reader([number]))
        for number, step in enumerate(program.steps)
        if isinstance(step, LookupStep | WindowStep)
    }
