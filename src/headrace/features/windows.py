"""Sawtooth windows over history: one index, asked for many rows at once or for one; the answers are equal to the bit.

A window of width W at prediction time t holds the values whose known instant k satisfies floor(t - W, hop) <= k < t.
Null values, values that are not finite and values that never become known do not count; where there are sums, nor do
values a thousand times larger than any in history when the program was made.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.features.aggregates import Column, Kernels, decayed, finished
from headrace.features.answers import Answers
from headrace.features.decay import Decay
from headrace.features.exact import headroom
from headrace.features.finish import ALWAYS, WindowFinish, components_of, kinds_of, sums_of
from headrace.features.keyed import Keys, Moments, asked, known_at, known_within
from headrace.features.model import WindowStep
from headrace.features.naming import TEXT, columns_in
from headrace.features.records import window_record
from headrace.language.columns import to_polars
from headrace.language.types import Type

_BATCH: Final = 1 << 19
"""Rows put in the order of the events at a time: few enough to scatter their answers within the cache."""
_CHUNK: Final = 1 << 15
"""Rows answered at a time: enough that numpy's cost a call vanishes."""


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
        self._finish = WindowFinish(step)
        self._finest_hop = min((hop for _, _, hop in step.over), default=1)
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
        self._decays = [
            Decay(half_life, hop, self._moments, self._kernels.sums(), step.scale)
            for _, half_life, hop in step.half_lives
        ]

    def columns(self, keys: pl.DataFrame, instants: pl.Series) -> list[pl.Series]:
        """The step's features of many rows: `keys` in the step's order, prediction times in microseconds."""
        numbers, times = asked(self.keys.numbers(keys), instants)
        answers = Answers(self.step, numbers)

        def answer(rows: NDArray[np.intp]) -> None:
            self._answer(rows, numbers[rows], times[rows], answers)

        with ThreadPoolExecutor(pl.thread_pool_size()) as pool:  # numpy leaves the lock, and chunks share no row
            for begin in range(0, len(numbers), _BATCH):
                order = self._in_order(numbers, times, begin)
                list(pool.map(answer, (order[at : at + _CHUNK] for at in range(0, len(order), _CHUNK))))
        return answers.series(self._kernels.texts)

    def _in_order(self, numbers: NDArray[np.int64], times: NDArray[np.int64], begin: int) -> NDArray[np.intp]:
        """The rows of one batch whose key is known, in the order of the events: what they read lies close together."""
        part = slice(begin, begin + _BATCH)
        codes = self._moments.codes(numbers[part], times[part])
        order = np.argsort(codes)
        if len(order) and codes[order[0]] < 0:
            order = order[np.searchsorted(codes[order], 0) :]
        return order + begin

    def _answer(
        self, rows: NDArray[np.intp], numbers: NDArray[np.int64], times: NDArray[np.int64], answers: Answers
    ) -> None:
        """Fill in the answers of some rows, given in the order of (key, time)."""
        stop = self._moments.places(self._moments.codes(numbers, times))
        for written, width, hop in self.step.over:
            edge = times - width
            edge -= edge % hop
            start = self._moments.places(self._moments.codes(numbers, edge))
            count = stop - start
            answers.count(written, rows, count)
            full = np.flatnonzero(count)
            if len(full) == len(count):
                at, first, last, t = rows, start, stop, times
            else:
                at, first, last, t, edge = rows[full], start[full], stop[full], times[full], edge[full]
            for aggregate, found, has_value in finished(self.step, self._kernels.states(first, last), t, edge):
                answers.put(aggregate, written, at, found, has_value)
        if self._decays:
            past = np.flatnonzero(stop)
            past = past[self._moments.keys_at(stop[past] - 1) == numbers[past]]
            for (written, _, _), decay in zip(self.step.half_lives, self._decays, strict=True):
                for aggregate, found, has_value in decayed(self.step, decay, stop[past], times[past]):
                    answers.put(aggregate, written, rows[past], found, has_value)

    def row(self, key: object, instant: int | None) -> tuple[object, ...]:
        """The step's features of one row: the key as `Keys.of` has it, None when a part of it is null."""
        if key is None or instant is None:
            return self._finish.null
        number = self.keys.of.get(key)
        if number is None:
            return self._finish.empty
        moments = self._moments
        stop = bisect_left(moments.view, moments.code(number, instant))
        edges = self._finish.edges(instant)
        states = [
            self._kernels.states_one(bisect_left(moments.view, moments.code(number, edge), 0, stop), stop)
            for edge in edges[: len(self.step.over)]
        ]
        if self._decays:
            has_past = stop > 0 and moments.key_at(stop - 1) == number
            states.append(self._decayed_one(stop) if has_past else None)
        return self._finish.row(states, instant, edges)

    def record(self, key: object, watermark_us: int) -> bytes | None:
        """What the online store holds of a key at a watermark; None: nothing."""
        number = None if key is None else self.keys.of.get(key)
        if number is None:
            return None
        moments = self._moments
        stop = bisect_left(moments.view, moments.code(number, watermark_us))
        start = bisect_left(moments.view, moments.code(number, self._runs_since(watermark_us)), 0, stop)
        has_past = bool(self._decays) and stop > 0 and moments.key_at(stop - 1) == number
        if start == stop and not has_past:
            return None
        instants = moments.instants_at(np.arange(start, stop))
        edges = instants - instants % self._finest_hop
        first = np.flatnonzero(np.append(True, edges[1:] != edges[:-1])) if start < stop else np.empty(0, np.int64)
        parts = self._kernels.states(first + start, np.full(len(first), stop)) if len(first) else {}
        states = [column for part in parts.values() for column in part] or self._kernels.no_states()
        runs = Suffixes(np.full(len(first), number), edges[first], states)
        if has_past:
            runs = self._with_decays(runs, np.array([number]), np.array([stop]))
        return window_record([runs.edges, *runs.states], kinds_of(self.step), self._kernels.texts)

    def same_since(self, key: object, instant_us: int) -> int:
        """The earliest watermark at which a key's events are those before an instant."""
        number = None if key is None else self.keys.of.get(key)
        return instant_us if number is None else self._moments.same_since(number, instant_us)

    def _runs_since(self, watermark_us: int) -> int:
        """Where the longest window begins that can be asked for at a watermark or later; then if there is none."""
        edges = [(watermark_us - width) // hop * hop for _, width, hop in self.step.over]
        return min(edges, default=watermark_us)

    def _decayed_one(self, stop: int) -> list[Any]:
        """The state beside `ALWAYS`."""
        return [0] * len(self._kernels.kinds) + [column for decay in self._decays for column in decay.state_one(stop)]

    def suffixes(self, watermark_us: int) -> Suffixes:
        """The states of all runs that end at a watermark.

        Every event known before it, and since the reach of a window asked for at it, must be held: see `reach_back`.
        """
        numbers, instants = self._moments.keys(), self._moments.instants()
        held = np.flatnonzero(instants < watermark_us)
        numbers, instants = numbers[held], instants[held]
        last = np.flatnonzero(np.append(numbers[1:] != numbers[:-1], True)) if len(held) else np.empty(0, np.intp)
        edges = instants - instants % self._finest_hop
        begins = instants >= self._runs_since(watermark_us)
        begins[1:] &= (numbers[1:] != numbers[:-1]) | (edges[1:] != edges[:-1])
        first = np.flatnonzero(begins)
        # what is not held of a key comes after all that is: a run goes from an event to the last one held
        stop = held[last][np.searchsorted(numbers[last], numbers[first])] + 1
        parts = self._kernels.states(held[first], stop) if len(first) else None
        states: list[Any] = [] if parts is None else [column for part in parts.values() for column in part]
        found = Suffixes(numbers[first], edges[first], states or self._kernels.no_states(), self._kernels.texts)
        return self._with_decays(found, numbers[last], held[last] + 1) if self._decays else found

    def _with_decays(self, runs: Suffixes, numbers: NDArray[np.int64], stop: NDArray[np.int64]) -> Suffixes:
        """One more row for each key, beside `ALWAYS`: no run, and what has decayed up to its last event."""
        decays: list[Any] = [column for decay in self._decays for column in decay.state(stop)]
        nothing = [np.zeros(len(numbers), column.dtype) for column in runs.states]
        added = [np.zeros(len(runs.numbers), column.dtype) for column in decays]
        all_numbers = np.concatenate([runs.numbers, numbers])
        edges = np.concatenate([runs.edges, np.full(len(numbers), ALWAYS)])
        order = np.lexsort((edges, all_numbers))
        columns = [
            np.concatenate(pair)[order] for pair in zip([*runs.states, *added], [*nothing, *decays], strict=True)
        ]
        return Suffixes(all_numbers[order], edges[order], columns, runs.texts)


def reach_back(step: WindowStep, instant_us: int) -> int:
    """The earliest instant that a window at a prediction time reads."""
    if step.half_lives:
        return -ALWAYS
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
