"""Sawtooth windows over history: one index, asked for many rows at once or for one; the answers are equal to the bit.

A window of width W at prediction time t holds the values whose known instant k satisfies floor(t - W, hop) <= k < t.
Null values, values that are not finite and values that never become known do not count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.features.exact import PrefixSums, whole_numbers
from headrace.features.extremes import Extremes, Values
from headrace.features.keyed import NULL_KEY, Keys, Moments, known_at
from headrace.features.model import WindowStep
from headrace.features.naming import fields_of
from headrace.language.types import Type
from headrace.language.values import dtype

_CHUNK: Final = 1 << 18
"""Queries answered at a time: large enough that numpy's cost a call vanishes, small enough for the cache."""

_Answers = dict[str, tuple[Values, NDArray[np.bool_]]]


class WindowIndex:
    """The events of one window step, sorted by (key, known)."""

    def __init__(self, step: WindowStep, source: pl.LazyFrame) -> None:
        self.step = step
        self._fields = fields_of(step)
        events = _events(step, source)
        key_columns = events.drop("_known", "_value")
        self.keys = Keys(key_columns)
        self._moments = Moments(self.keys.numbers(key_columns), events["_known"].to_numpy(), len(self.keys))
        values = events["_value"].to_numpy()[self._moments.take_order()]
        del events, key_columns
        self._sums: PrefixSums | None = None
        if {"sum", "mean"} & set(step.take):
            whole = whole_numbers(values, step.scale) if step.value_type is Type.FLOAT else values
            self._sums = PrefixSums(whole, step.scale)
        self._extremes: dict[str, Extremes] = {}
        for kind in ("min", "max"):
            if kind in step.take:
                self._extremes[kind] = Extremes(values, kind, self._moments.longest())

    def columns(self, keys: pl.DataFrame, instants: pl.Series) -> list[pl.Series]:
        """The step's features of many rows: `keys` in the step's order, prediction times in microseconds."""
        numbers = np.where(instants.is_null().to_numpy(), NULL_KEY, self.keys.numbers(keys))
        times = instants.fill_null(0).to_numpy()
        answers = self._blank(numbers)
        asked = np.flatnonzero(numbers >= 0)
        codes = self._moments.codes(numbers[asked], times[asked])
        # in the order of the events, so that every read below walks forward through memory
        asked = asked[pl.Series(codes).arg_sort().to_numpy()]
        for begin in range(0, len(asked), _CHUNK):
            rows = asked[begin : begin + _CHUNK]
            self._answer(rows, numbers[rows], times[rows], answers)
        return [_series(name, *answers[name], dtype(type_)) for name, type_ in self._names()]

    def _names(self) -> list[tuple[str, Type]]:
        return [(field.name, field.type) for field in self._fields]

    def _blank(self, numbers: NDArray[np.int64]) -> _Answers:
        """Answers of rows whose key the source does not hold: no event; all null where the key is."""
        has_key = numbers != NULL_KEY
        blank: _Answers = {}
        for name, type_ in self._names():
            counted = name.startswith(f"{self.step.name}_count_")
            known = has_key.copy() if counted else np.zeros(len(numbers), np.bool_)
            floats = type_ is Type.FLOAT
            values: Values = np.zeros(len(numbers), np.float64) if floats else np.zeros(len(numbers), np.int64)
            blank[name] = (values, known)
        return blank

    def _answer(
        self, rows: NDArray[np.int64], numbers: NDArray[np.int64], times: NDArray[np.int64], answers: _Answers
    ) -> None:
        """Fill in the answers of some rows, given in the order of (key, time)."""
        codes = self._moments.sorted
        stop = np.searchsorted(codes, self._moments.codes(numbers, times))
        for written, width, hop in self.step.over:
            edge = times - width
            edge -= edge % hop
            start = np.searchsorted(codes, self._moments.codes(numbers, edge))
            count = stop - start
            full = np.flatnonzero(count)
            everyone = len(full) == len(count)
            at, first, last = (rows, start, stop) if everyone else (rows[full], start[full], stop[full])
            found: dict[str, Values] = {}
            if self._sums is not None:
                found["sum"] = self._sums.between(first, last)
                found["mean"] = found["sum"] / (last - first)
            for kind, extremes in self._extremes.items():
                found[kind] = extremes.between(first, last)
            for aggregate in self.step.take:
                values, known = answers[f"{self.step.name}_{aggregate}_{written}"]
                if aggregate == "count":
                    values[rows] = count
                else:
                    values[at] = found[aggregate]
                    known[at] = True

    def row(self, key: object, instant: int | None) -> tuple[object, ...]:
        """The step's features of one row: the key as `Keys.of` has it, None when a part of it is null."""
        step = self.step
        if key is None or instant is None:
            return (None,) * len(self._fields)
        number = self.keys.of.get(key)
        if number is None:
            nothing: list[object] = []
            for aggregate in step.take:
                nothing += [0 if aggregate == "count" else None] * len(step.over)
            return tuple(nothing)
        moments = self._moments
        stop = bisect_left(moments.view, moments.code(number, instant))
        starts = []
        for _, width, hop in step.over:
            edge = instant - width
            starts.append(bisect_left(moments.view, moments.code(number, edge - edge % hop), 0, stop))
        return tuple(self._one(aggregate, start, stop) for aggregate in step.take for start in starts)

    def _one(self, aggregate: str, start: int, stop: int) -> object:
        if aggregate == "count":
            return stop - start
        if start == stop:
            return None
        if aggregate in self._extremes:
            return self._extremes[aggregate].between_one(start, stop)
        assert self._sums is not None
        total = self._sums.between_one(start, stop)
        return total if aggregate == "sum" else total / (stop - start)


def largest_magnitude(step: WindowStep, source: pl.LazyFrame) -> float:
    """The largest finite magnitude in history: what a window's scale is fixed from."""
    value = pl.col(step.value)
    found = source.select(value.filter(value.is_finite()).abs().max()).collect().item()
    return 0.0 if found is None else float(found)


def _events(step: WindowStep, source: pl.LazyFrame) -> pl.DataFrame:
    keys = [pl.col(theirs).alias(f"_key_{i}") for i, (_, theirs) in enumerate(step.key)]
    value = pl.col(step.value)
    counts = [value.is_not_null(), pl.col("_known").is_not_null()]
    if step.value_type is Type.FLOAT:
        counts.append(value.is_finite())
        as_number = value + 0.0  # one zero: -0.0 and 0.0 would make the least of a run depend on their order
    elif step.value_type in (Type.STRING, Type.CATEGORY):
        as_number = pl.lit(0, pl.Int64)  # only counted
    else:
        as_number = value.to_physical().cast(pl.Int64)
    return (
        source.with_columns(known_at(step.known_after).alias("_known"))
        .filter(*counts, *(pl.col(theirs).is_not_null() for _, theirs in step.key))
        .select(*keys, "_known", as_number.alias("_value"))
        .collect()
    )


def _series(name: str, values: Values, known: NDArray[np.bool_], to: pl.DataType) -> pl.Series:
    series = pl.Series(name, values)
    if not known.all():
        series = pl.select(pl.when(pl.Series(known)).then(series).alias(name)).to_series()
    return series if series.dtype == to else series.cast(to)


def key_of(values: Sequence[object]) -> object:
    """A row's key as `Keys.of` has it: the value itself, or the tuple; None when a part is null."""
    if len(values) == 1:
        return values[0]
    return None if None in values else tuple(values)
