"""The answers of one window step for many rows, filled in piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.definition.model import Aggregate
from headrace.features.finish import has_own_nulls, least_count
from headrace.features.keyed import NULL_KEY
from headrace.features.model import WindowStep
from headrace.features.naming import TEXT, aggregate_type, fields_of, widths_of
from headrace.language.types import Type
from headrace.language.values import from_physical

Column = NDArray[np.int64] | NDArray[np.float64]
_Place = tuple[Aggregate, str]
"""An aggregate and a width, or half-life, as written."""


class Answers:
    """Columns of answers; pieces that share no row may be put by several threads.

    Parameters
    ----------
    numbers
        The number of each row's key, as `keyed.Keys` has it.
    """

    def __init__(self, step: WindowStep, numbers: NDArray[np.int64]) -> None:
        self._step = step
        self._numbers = numbers
        self._counts = {written: np.zeros(len(numbers), np.int64) for written, _, _ in step.over}
        self._values: dict[_Place, Column] = {}
        self._has_value: dict[_Place, NDArray[np.bool_]] = {}
        for aggregate in step.take:
            for written in widths_of(step, aggregate):
                if aggregate != "count":
                    self._values[aggregate, written] = _blank(aggregate, step.value_type, len(numbers))
                if has_own_nulls(aggregate, step.value_type):
                    self._has_value[aggregate, written] = np.zeros(len(numbers), np.bool_)

    def count(self, written: str, rows: NDArray[np.intp], counts: NDArray[np.int64]) -> None:
        """How many events the windows of some rows hold."""
        self._counts[written][rows] = counts

    def put(
        self,
        aggregate: Aggregate,
        written: str,
        rows: NDArray[np.intp],
        values: Column,
        has_value: NDArray[np.bool_] | None,
    ) -> None:
        """The answers of some rows; `has_value` is None where the count of events says it."""
        self._values[aggregate, written][rows] = values
        if has_value is not None:
            self._has_value[aggregate, written][rows] = has_value

    def series(self, texts: Sequence[str]) -> list[pl.Series]:
        """The step's features; what was put is handed out once.

        A null key has none, an empty window nothing but its count and the like.

        Parameters
        ----------
        texts
            What the values are places in, where they are texts.
        """
        found = []
        names = iter(fields_of(self._step))
        for aggregate in self._step.take:
            for written in widths_of(self._step, aggregate):
                field = next(names)
                values = self._counts[written] if aggregate == "count" else self._values.pop((aggregate, written))
                series = pl.Series(field.name, values)
                if field.type in TEXT:
                    held = pl.Series(field.name, texts, pl.String)
                    series = held.gather(series) if len(held) else held.extend_constant(None, len(series))
                known = self._known(aggregate, written)
                if not known.all():
                    series = pl.select(pl.when(pl.Series(known)).then(series).alias(field.name)).to_series()
                found.append(from_physical(series, field.type))
        return found

    def _known(self, aggregate: Aggregate, written: str) -> NDArray[np.bool_]:
        if has_own_nulls(aggregate, self._step.value_type):
            return self._has_value[aggregate, written]
        least = least_count(aggregate)
        return self._counts[written] >= least if least else self._numbers != NULL_KEY


def _blank(aggregate: Aggregate, value: Type, rows: int) -> Column:
    return np.zeros(rows, np.float64) if aggregate_type(aggregate, value) is Type.FLOAT else np.zeros(rows, np.int64)
