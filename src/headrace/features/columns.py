"""The columns form: a program applied to many rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import polars as pl

from headrace.features.lookups import LookupIndex, lookup_rows
from headrace.features.model import ExpressionStep, LookupStep, Program, Step, WindowStep
from headrace.features.windows import WindowIndex
from headrace.language.columns import to_polars

Index = LookupIndex | WindowIndex


class AskedByColumns(Protocol):
    """What answers for one lookup or window: an index over history, or the online store."""

    def columns(self, keys: pl.DataFrame, instants: pl.Series) -> list[pl.Series]:
        """The step's features of many rows: `keys` in the step's order, prediction times in microseconds."""
        ...


class FeatureColumns:
    """A program with its history indexed, ready for rows by the batch.

    Parameters
    ----------
    indexes
        The history of every lookup and window, as `build_indexes` gives it.
    """

    def __init__(self, program: Program, indexes: Mapping[int, AskedByColumns]) -> None:
        self._program = program
        self._indexes = indexes

    @classmethod
    def of(cls, program: Program, tables: Mapping[str, pl.LazyFrame]) -> FeatureColumns:
        """Over all of history."""
        return cls(program, build_indexes(program, tables))

    def add(self, rows: pl.DataFrame, now_us: int | None = None) -> pl.DataFrame:
        """The program's outputs for `rows`, in their order.

        Parameters
        ----------
        rows
            The request columns and, if it is there, the time column, in the program's types.
        now_us
            The instant of asking; the prediction time is the earlier of it and the row's own time, if it has one. A row
            with neither finds nothing in lookups as of a time, nor in windows.
        """
        program = self._program
        instants = _instants(rows, program.time, now_us)
        needed = [field.name for field in program.request]
        known = rows.select(needed)
        expressions: list[ExpressionStep] = []
        for number, step in enumerate(program.steps):
            if isinstance(step, ExpressionStep):
                expressions.append(step)
                continue
            known, expressions = _compute(known, expressions), []
            keys = known.select(pl.col(ours).alias(f"_key_{place}") for place, (ours, _) in enumerate(step.key))
            known = known.with_columns(self._indexes[number].columns(keys, instants))
        return _compute(known, expressions).select(field.name for field in program.outputs)


def add_features(rows: pl.DataFrame, program: Program, tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """The program's outputs for `rows`, in their order; see `FeatureColumns.add`."""
    return FeatureColumns.of(program, tables).add(rows)


def build_indexes(program: Program, tables: Mapping[str, pl.LazyFrame]) -> dict[int, Index]:
    """The history of every lookup and window, by the step's place in the program."""
    return {number: index for number, step in enumerate(program.steps) if (index := _index(step, tables)) is not None}


def _index(step: Step, tables: Mapping[str, pl.LazyFrame]) -> Index | None:
    match step:
        case LookupStep():
            return LookupIndex(step, lookup_rows(step, tables[step.source]))
        case WindowStep():
            return WindowIndex(step, tables[step.source])
        case ExpressionStep():
            return None


def _instants(rows: pl.DataFrame, time: str | None, now_us: int | None) -> pl.Series:
    now = pl.lit(now_us, pl.Int64)
    if time not in rows.columns:
        return rows.select(pl.repeat(now, pl.len(), dtype=pl.Int64)).to_series()
    return rows.select(pl.min_horizontal(pl.col(time).to_physical().cast(pl.Int64), now)).to_series()


def _compute(rows: pl.DataFrame, steps: Sequence[ExpressionStep]) -> pl.DataFrame:
    """Add expressions, each of which may use those before it."""
    frame = rows.lazy()
    for step in steps:
        frame = frame.with_columns(to_polars(step.node).alias(step.name))
    return frame.collect() if steps else rows
