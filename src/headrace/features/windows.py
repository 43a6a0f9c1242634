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
from headrace.features.finish import RANKS, WindowFinish, components_of, least_count, sums_of
from headrace.features.keyed import NULL_KEY, Keys, Moments, asked, known_at, known_within
from headrace.features.model import WindowStep
from headrace.features.naming import TEXT, aggregate_type, columns_in, fields_of
from headrace.language.columns import to_polars
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
    """The columns of `finish.kinds_of`: the state of the events known in [edge, watermark); a text is its place in
    `texts`."""
    texts: Sequence[str] = ()


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
        key_columns = events.select(pl.col("^_key_[0-9]+$"))
        self.keys = Keys(key_columns)
        ties = events["_tie"] if "_tie" in events.columns else None
        self._moments = Moments(self.keys.numbers(key_columns), events["_known"].to_numpy(), len(self.keys), ties)
        order = self._moments.take_order()
        values, texts = _numbers(events["_value"]) if "_value" in events.columns else (np.empty(0, np.int64), [])
        values = values[order] if len(values) else values
        if values.dtype == np.float64:  # one zero: -0.0 beside 0.0 would make the least depend on their order
            values = values.astype(np.float64, copy=False) + 0.0
        del events, key_columns, order, ties
        self._kernels = Kernels(step, values, self._moments, texts)

    def columns(self, keys: pl.DataFrame, instants: pl.Series) -> list[pl.Series]:
        """The step's features of many rows: `keys` in the step's order, prediction times in microseconds."""
        numbers, times = asked(self.keys.numbers(keys), instants)
        counts = {written: np.zeros(len(numbers), np.int64) for written, _, _ in self.step.over}
        has_value: dict[tuple[str, str], NDArray[np.bool_]] = {
            (aggregate, written): np.zeros(len(numbers), np.bool_)
            for aggregate in self.step.take
            if aggregate in RANKS
            for written in counts
        }
        values: _Values = {}
        for aggregate in self.step.take:
            if aggregate != "count":
                floats = aggregate_type(aggregate, self.step.value_type) is Type.FLOAT
                for written in counts:
                    blank: Column = np.zeros(len(numbers), np.float64) if floats else np.zeros(len(numbers), np.int64)
                    values[aggregate, written] = blank

        def answer(rows: NDArray[np.intp]) -> None:
            self._answer(rows, numbers[rows], times[rows], counts, values, has_value)

        with ThreadPoolExecutor(pl.thread_pool_size()) as pool:  # numpy leaves the lock, and chunks share no row
            for begin in range(0, len(numbers), _BATCH):
                order = self._in_order(numbers, times, begin)
                list(pool.map(answer, (order[at : at + _CHUNK] for at in range(0, len(order), _CHUNK))))
        return self._series(numbers, counts, values, has_value)

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
        has_value: Mapping[tuple[str, str], NDArray[np.bool_]],
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
                at, first, last, t = rows, start, stop, times
            else:
                at, first, last, t, edge = rows[full], start[full], stop[full], times[full], edge[full]
            for aggregate, found, is_there in finished(self.step, self._kernels.states(first, last), t, edge):
                values[aggregate, written][at] = found
                if is_there is not None:
                    has_value[aggregate, written][at] = is_there

    def _series(
        self,
        numbers: NDArray[np.int64],
        counts: Mapping[str, NDArray[np.int64]],
        values: _Values,
        has_value: Mapping[tuple[str, str], NDArray[np.bool_]],
    ) -> list[pl.Series]:
        """A null key has no features, an empty window nothing but its count and the like."""
        found = []
        names = iter(self._fields)
        for aggregate in self.step.take:
            for written, count in counts.items():
                field = next(names)
                least = least_count(aggregate)
                known = has_value.get((aggregate, written))
                if known is None:
                    known = count >= least if least else numbers != NULL_KEY
                held = count if aggregate == "count" else values.pop((aggregate, written))
                series = pl.Series(field.name, held)
                if field.type in TEXT:
                    texts = pl.Series(field.name, self._kernels.texts, pl.String)
                    series = texts.gather(series) if len(texts) else texts.extend_constant(None, len(series))
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
        return Suffixes(numbers[first], edges[first], states or self._kernels.no_states(), self._kernels.texts)


def reach_back(step: WindowStep, instant_us: int) -> int:
    """The earliest instant that a window at a prediction time reads."""
    edges = [instant_us - width for _, width, _ in step.over]
    return min(edge - edge % hop for edge, (_, _, hop) in zip(edges, step.over, strict=True))


def window_columns(step: WindowStep) -> tuple[str, ...]:
    """The columns of its source that a window reads, beside the key and the instants at which a row is known."""
    used = {} if step.value is None else {step.value: None}
    used |= dict.fromkeys([] if step.where is None else sorted(columns_in(step.where)))
    used |= dict.fromkeys([] if step.event_time is None else [step.event_time])
    return tuple(used)


def counts_in(step: WindowStep) -> list[pl.Expr]:
    """What is true of the rows of the source that can count, whenever they are known."""
    held = [] if step.value is None else [pl.col(step.value).is_not_null()]
    return held if step.where is None else [*held, to_polars(step.where)]


def largest_magnitude(step: WindowStep, source: pl.LazyFrame) -> float:
    """The largest finite magnitude in history: what a window's scale is fixed from."""
    assert step.value is not None, "sums are of values"
    value = pl.col(step.value)
    found = source.filter(*counts_in(step)).select(value.filter(value.is_finite()).abs().max()).collect().item()
    return 0.0 if found is None else float(found)


def _events(step: WindowStep, source: pl.LazyFrame) -> pl.DataFrame:
    """The events that count, in the source's order: key, `_known`, then `_value` and `_tie` if they are needed."""
    wanted = [pl.col(theirs).alias(f"_key_{i}") for i, (_, theirs) in enumerate(step.key)]
    wanted.append(pl.col("_known"))
    counts = [*counts_in(step), pl.col("_known").is_not_null()]
    counts += [pl.col(theirs).is_not_null() for _, theirs in step.key]
    if step.value is not None:
        value = pl.col(step.value)
        if step.value_type is Type.FLOAT:
            counts.append(value.is_finite())
            if sums_of(step):
                counts.append(value.abs() <= headroom(step.scale))
        if set(components_of(step)) - {"count", "newest"}:
            is_plain = step.value_type is Type.FLOAT or step.value_type in TEXT
            wanted.append((value if is_plain else value.to_physical().cast(pl.Int64)).alias("_value"))
    if {"first", "last"} & set(step.take):
        tie = pl.lit(0, pl.Int64) if step.event_time is None else pl.col(step.event_time).to_physical()
        wanted.append(tie.cast(pl.Int64).alias("_tie"))
    return source.with_columns(known_at(step.known_after).alias("_known")).filter(*counts).select(wanted).collect()


def _numbers(values: pl.Series) -> tuple[Column, list[str]]:
    """The values as numbers; texts as their places among the texts in order, which come second."""
    if values.dtype != pl.String:
        return values.to_numpy(), []
    texts = values.unique().sort()
    return values.cast(pl.Enum(texts)).to_physical().cast(pl.Int64).to_numpy(), texts.to_list()


def key_of(values: Sequence[object]) -> object:
    """A row's key as `Keys.of` has it: the value itself, or the tuple; None when a part is null."""
    if len(values) == 1:
        return values[0]
    return None if None in values else tuple(values)
