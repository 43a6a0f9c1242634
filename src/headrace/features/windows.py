"""Sawtooth windows over history: one index, asked for many rows at once or for one; the answers are equal to the bit.

A window of width W at prediction time t holds the values whose known instant k satisfies floor(t - W, hop) <= k < t.
Null values, values that are not finite and values that never become known do not count; where there are sums, nor do
values a thousand times larger than any in history when the program was made.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.features.aggregates import Column, Kernels, finished
from headrace.features.exact import headroom
from headrace.features.finish import WindowFinish, has_empty_value, sums_of
from headrace.features.keyed import NULL_KEY, Keys, Moments, asked, known_at, known_within
from headrace.features.model import WindowStep
from headrace.features.naming import aggregate_type, fields_of
from headrace.language.types import Type
from headrace.language.values import dtype

_BATCH: Final = 1 << 19
"""Rows put in the order of the events at a time: few enough to scatter their answers within the cache."""
_CHUNK: Final = 1 << 15
"""Rows answered at a time: enough that numpy's cost a call vanishes."""

_Values = dict[tuple[str, str], Column]
"""(aggregate, width as written) → a value a row; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Suffixes:
    """The states of all runs that end at a watermark, of which a window asked for at the watermark or later is one.

    Sorted by (number, edge). A window whose old edge is e has the state beside its key's first edge that is e or later;
    where there is none, it is empty.
    """

    numbers: NDArray[np.int64]
    """The key's place among the index's `keys`."""
    edges: NDArray[np.int64]
    """Where runs begin that differ, in microseconds, floored to the finest hop of the step's widths."""
    states: list[Column]
    """The columns of `finish.kinds_of`: the state of the events known in [edge, watermark)."""


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
        self._finish = WindowFinish(step)
        events = _events(step, known_within(source, step.known_after, since_us, until_us))
        key_columns = events.drop("_known", "_value")
        self.keys = Keys(key_columns)
        self._moments = Moments(self.keys.numbers(key_columns), events["_known"].to_numpy(), len(self.keys))
        values = events["_value"].to_numpy()[self._moments.take_order()]
        if step.value_type is Type.FLOAT:
            values = values + 0.0  # one zero: -0.0 beside 0.0 would make the least of a window depend on their order
        del events, key_columns
        self._kernels = Kernels(step, values, self._moments)

    def columns(self, keys: pl.DataFrame, instants: pl.Series) -> list[pl.Series]:
        """The step's features of many rows: `keys` in the step's order, prediction times in microseconds."""
        numbers, times = asked(self.keys.numbers(keys), instants)
        counts = {written: np.zeros(len(numbers), np.int64) for written, _, _ in self.step.over}
        values: _Values = {}
        for aggregate in self.step.take:
            if aggregate != "count":
                floats = aggregate_type(aggregate, self.step.value_type) is Type.FLOAT
                for written in counts:
                    blank: Column = np.zeros(len(numbers), np.float64) if floats else np.zeros(len(numbers), np.int64)
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
                at, first, last = rows[full], start[full], stop[full]
            for aggregate, found in finished(self.step, self._kernels.states(first, last)):
                values[aggregate, written][at] = found

    def _series(
        self, numbers: NDArray[np.int64], counts: Mapping[str, NDArray[np.int64]], values: _Values
    ) -> list[pl.Series]:
        """A null key has no features, an empty window nothing but its count and the like."""
        found = []
        names = iter(self._fields)
        for aggregate in self.step.take:
            for written, count in counts.items():
                field = next(names)
                known = numbers != NULL_KEY if has_empty_value(aggregate) else count > 0
                held = count if aggregate == "count" else values.pop((aggregate, written))
                series = pl.Series(field.name, held)
                if not known.all():
                    series = pl.select(pl.when(pl.Series(known)).then(series).alias(field.name)).to_series()
                found.append(series if series.dtype == dtype(field.type) else series.cast(dtype(field.type)))
        return found

    def row(self, key: object, instant: int | None) -> tuple[object, ...]:
        """The step's features of one row: the key as `Keys.of` has it, None when a part of it is null."""
        if key is None or instant is None:
            return self._finish.null
        number = self.keys.of.get(key)
        if number is None:
            return self._finish.empty
        moments = self._moments
        stop = bisect_left(moments.view, moments.code(number, instant))
        states, edges = [], []
        for _, width, hop in self.step.over:
            edge = instant - width
            edge -= edge % hop
            edges.append(edge)
            states.append(
                self._kernels.states_one(bisect_left(moments.view, moments.code(number, edge), 0, stop), stop)
            )
        return self._finish.row(states, instant, edges)

    def suffixes(self, watermark_us: int) -> Suffixes:
        """The states of all runs that end at a watermark.

        Every event known before it, and since the reach of a window asked for at it, must be held: see `reach_back`.
        """
        numbers, instants = self._moments.keys(), self._moments.instants()
        held = np.flatnonzero(instants < watermark_us)
        numbers, instants = numbers[held], instants[held]
        edges = instants - instants % min(hop for _, _, hop in self.step.over)
        begins = np.empty(len(held), np.bool_)
        begins[:1] = True
        begins[1:] = (numbers[1:] != numbers[:-1]) | (edges[1:] != edges[:-1])
        first = np.flatnonzero(begins)
        # what is not held of a key comes after all that is: a run goes from an event to the last one held
        last = np.searchsorted(numbers, numbers[first], side="right") - 1
        parts = self._kernels.states(held[first], held[last] + 1) if len(first) else None
        states: list[Any] = [] if parts is None else [column for part in parts.values() for column in part]
        return Suffixes(numbers[first], edges[first], states or self._kernels.no_states())


def reach_back(step: WindowStep, instant_us: int) -> int:
    """The earliest instant that a window at a prediction time reads."""
    edges = [instant_us - width for _, width, _ in step.over]
    return min(edge - edge % hop for edge, (_, _, hop) in zip(edges, step.over, strict=True))


def window_columns(step: WindowStep) -> tuple[str, ...]:
    """The columns of its source that a window reads, beside the key and the instants at which a row is known."""
    return (step.value,)


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
        if sums_of(step):
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
