"""Sawtooth windows over history: one index, asked for many rows at once or for one; the answers are equal to the bit.

A window of width W at prediction time t holds the values whose known instant k satisfies floor(t - W, hop) <= k < t.
Null values, values that are not finite and values that never become known do not count; where there are sums, nor do
values a thousand times larger than any in history when the program was made.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.features.exact import PrefixSums, headroom, whole_numbers
from headrace.features.extremes import Extremes, Values
from headrace.features.keyed import NULL_KEY, Keys, Moments, asked, known_at, known_within
from headrace.features.model import WindowStep
from headrace.features.naming import aggregate_type, fields_of
from headrace.language.types import Type
from headrace.language.values import dtype

_BATCH: Final = 1 << 19
"""Rows put in the order of the events at a time: few enough to scatter their answers within the cache."""
_CHUNK: Final = 1 << 15
"""Rows answered at a time: enough that numpy's cost a call vanishes."""

_Values = dict[tuple[str, str], Values]
"""(aggregate, width as written) → a value a row; 0 where there is none."""


class WindowIndex:
    """The events of one window step, sorted by (key, known).

    Parameters
    ----------
    source
        The rows of the step's source.
    since_us, until_us
        Only events known in [since, until) are held: enough for prediction times up to `until` whose windows do not
        reach back beyond `since`.
    """

    def __init__(
        self, step: WindowStep, source: pl.LazyFrame, since_us: int | None = None, until_us: int | None = None
    ) -> None:
        self.step = step
        self._fields = fields_of(step)
        events = _events(step, known_within(source, step.known_after, since_us, until_us))
        key_columns = events.drop("_known", "_value")
        self.keys = Keys(key_columns)
        self._moments = Moments(self.keys.numbers(key_columns), events["_known"].to_numpy(), len(self.keys))
        values = events["_value"].to_numpy()[self._moments.take_order()]
        if step.value_type is Type.FLOAT:
            values = values + 0.0  # one zero: -0.0 beside 0.0 would make the least of a window depend on their order
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
        numbers, times = asked(self.keys.numbers(keys), instants)
        counts = {written: np.zeros(len(numbers), np.int64) for written, _, _ in self.step.over}
        values: _Values = {}
        for aggregate in self.step.take:
            if aggregate != "count":
                floats = aggregate_type(aggregate, self.step.value_type) is Type.FLOAT
                for written in counts:
                    blank: Values = np.zeros(len(numbers), np.float64) if floats else np.zeros(len(numbers), np.int64)
                    values[aggregate, written] = blank

        def answer(rows: NDArray[np.intp]) -> None:
            self._answer(rows, numbers[rows], times[rows], counts, values)

        with ThreadPoolExecutor(pl.thread_pool_size()) as pool:  # numpy leaves the lock, and chunks share no row
            for begin in range(0, len(numbers), _BATCH):
                order = self._in_order(numbers, times, begin)
                list(pool.map(answer, (order[at : at + _CHUNK] for at in range(0, len(order), _CHUNK))))
        return self._series(numbers, counts, values)

    def _in_order(self, numbers: NDArray[np.int64], times: NDArray[np.int64], begin: int) -> NDArray[np.intp]:
        """The rows of one batch whose key is known, in the order of the events: what they read lies close together."""
        part = slice(begin, begin + _BATCH)
        codes = self._moments.codes(numbers[part], times[part])
        order = pl.Series(codes).arg_sort().to_numpy().astype(np.intp)  # numpy is three times slower by uint32
        if len(order) and codes[order[0]] < 0:
            order = order[np.searchsorted(codes[order], 0) :]
        return order + begin

    def _answer(
        self,
        rows: NDArray[np.intp],
        numbers: NDArray[np.int64],
        times: NDArray[np.int64],
        counts: Mapping[str, NDArray[np.int64]],
        values: _Values,
    ) -> None:
        """Fill in the answers of some rows, given in the order of (key, time)."""
        stop = self._moments.places(self._moments.codes(numbers, times))
        for written, width, hop in self.step.over:
            edge = times - width
            edge -= edge % hop
            start = self._moments.places(self._moments.codes(numbers, edge))
            count = stop - start
            counts[written][rows] = count
            full = np.flatnonzero(count)
            if len(full) == len(count):
                at, first, last = rows, start, stop
            else:
                at, first, last, count = rows[full], start[full], stop[full], count[full]
            if self._sums is not None:
                sums = self._sums.between(first, last)
                if "sum" in self.step.take:
                    values["sum", written][at] = sums
                if "mean" in self.step.take:
                    values["mean", written][at] = sums / count
            for kind, extremes in self._extremes.items():
                values[kind, written][at] = extremes.between(first, last)

    def _series(
        self, numbers: NDArray[np.int64], counts: Mapping[str, NDArray[np.int64]], values: _Values
    ) -> list[pl.Series]:
        """A null key has no count, an empty window nothing but its count."""
        found = []
        names = iter(self._fields)
        for aggregate in self.step.take:
            for written, count in counts.items():
                field = next(names)
                known = numbers != NULL_KEY if aggregate == "count" else count > 0
                held = count if aggregate == "count" else values.pop((aggregate, written))
                series = pl.Series(field.name, held)
                if not known.all():
                    series = pl.select(pl.when(pl.Series(known)).then(series).alias(field.name)).to_series()
                found.append(series if series.dtype == dtype(field.type) else series.cast(dtype(field.type)))
        return found

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


def reach_back(step: WindowStep, instant_us: int) -> int:
    """The earliest instant that a window at a prediction time reads."""
    edges = [instant_us - width for _, width, _ in step.over]
    return min(edge - edge % hop for edge, (_, _, hop) in zip(edges, step.over, strict=True))


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
        if {"sum", "mean"} & set(step.take):
            counts.append(value.abs() <= headroom(step.scale))
        as_number = value
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


def key_of(values: Sequence[object]) -> object:
    """A row's key as `Keys.of` has it: the value itself, or the tuple; None when a part is null."""
    if len(values) == 1:
        return values[0]
    return None if None in values else tuple(values)
