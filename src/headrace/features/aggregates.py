"""The components of window aggregates over sorted events: the state of any run, many runs at once or one.

Each kernel is built once over the events of a step, sorted by (key, known), and gives the state of every run
[start, stop) within one key as a function of these events alone. `finished` turns states into features by the
operations of `headrace.features.finish`, on arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.definition.model import Aggregate
from headrace.features.buckets import Percentiles, bucket_values
from headrace.features.decay import Decay
from headrace.features.distinct import DistinctCounts
from headrace.features.exact import PrefixSums, decimal_sums, unscaled_all, whole_numbers
from headrace.features.extremes import Extremes
from headrace.features.finish import (
    HOUR,
    PERCENTS,
    RANKS,
    SECOND,
    Component,
    components_of,
    percents_of,
    ranks_of,
    unit_of,
    window_kinds,
)
from headrace.features.frequent import Frequencies
from headrace.features.keyed import Moments
from headrace.features.model import WindowStep
from headrace.features.spread import PrefixSquares, stddevs, variances
from headrace.language.types import Type

Places = NDArray[np.int64]
"""Positions among the sorted events."""
Column = NDArray[np.int64] | NDArray[np.float64]


class Kernel(Protocol):
    """One component of the states of runs."""

    def state(self, start: Places, stop: Places) -> list[Any]:
        """The columns of the states of events[start:stop], every run non-empty and within one key."""
        ...

    def state_one(self, start: int, stop: int) -> tuple[Any, ...]:
        """`state` for one run, as Python numbers."""
        ...


class Kernels:
    """Everything that the aggregates of one step are finished from.

    Parameters
    ----------
    values
        Of the events, in the order of `moments`; a float neither infinite nor a negative zero, a text as its place in
        `texts`.
    texts
        The texts in order. States of many runs hold their places, that of one the text itself.
    """

    def __init__(self, step: WindowStep, values: Column, moments: Moments, texts: Sequence[str] = ()) -> None:
        self.texts = texts
        self.kinds = window_kinds(step)

        def kernel(component: Component) -> Kernel:
            return _kernel(component, step, values, moments, texts)

        components = components_of(step)
        with ThreadPoolExecutor(pl.thread_pool_size()) as pool:  # numpy leaves the lock
            self._parts = dict(zip(components, pool.map(kernel, components), strict=True))

    def states(self, start: Places, stop: Places) -> dict[Component, list[Any]]:
        """The columns of each component, for runs that are not empty."""
        return {component: kernel.state(start, stop) for component, kernel in self._parts.items()}

    def sums(self) -> PrefixSums | None:
        """The exact sums, where the step takes any."""
        found = self._parts.get("sum")
        return found if isinstance(found, PrefixSums) else None

    def no_states(self) -> list[Column]:
        """Columns of no runs."""
        return [np.empty(0, np.float64) if kind == "d" else np.empty(0, np.int64) for kind in self.kinds]

    def states_one(self, start: int, stop: int) -> list[Any] | None:
        """One run's columns, those of all components in order; None when it is empty."""
        if start == stop:
            return None
        columns: list[Any] = []
        for kernel in self._parts.values():
            columns += kernel.state_one(start, stop)
        return columns


def finished(
    step: WindowStep, states: Mapping[Component, Sequence[Any]], t_us: Places, edge_us: Places
) -> Iterator[tuple[Aggregate, Any, Any]]:
    """Each aggregate of the step, its values, one a run, and where it has any (None: wherever there are enough events);
    but for the count itself.

    Parameters
    ----------
    t_us, edge_us
        Of each run: the prediction time and the window's old edge.
    """
    [count] = states["count"]
    total: Any = None
    is_decimal, unit = step.value_type is Type.DECIMAL, unit_of(step.value_type)
    for aggregate in step.take:
        match aggregate:
            case "sum" if is_decimal:
                yield aggregate, *decimal_sums(*_limbs(states))
            case "mean" if is_decimal:
                yield aggregate, unscaled_all(*_limbs(states), 0) / (count * unit), None
            case "sum" | "mean":
                if total is None:
                    total = unscaled_all(*_limbs(states), step.scale)
                yield aggregate, total if aggregate == "sum" else total / count, None
            case "variance":
                yield aggregate, variances(count, *_limbs(states), states["squares"], step.scale) / (unit * unit), None
            case "stddev":
                yield aggregate, stddevs(count, *_limbs(states), states["squares"], step.scale) / unit, None
            case "rate":
                yield aggregate, count / ((t_us - edge_us) / HOUR), None
            case "n_unique":
                yield aggregate, states["distinct"][0], None
            case "median" | "p10" | "p90" | "p95" | "p99":
                place = percents_of(step).index(PERCENTS[aggregate])
                yield aggregate, bucket_values(states["percentiles"][place]), None
            case "top1" | "top2" | "top3":
                place = 2 * ranks_of(step).index(RANKS[aggregate])
                yield aggregate, states["frequent"][place + 1], states["frequent"][place] > 0
            case "seconds_since":
                yield aggregate, (t_us - states["newest"][0]) / SECOND, None
            case "min" | "max" | "first" | "last":
                yield aggregate, states[aggregate][0], None
            case "count" | "decayed_sum" | "decayed_mean" | "decayed_count":
                pass


def decayed(step: WindowStep, decay: Decay, stop: Places, t_us: Places) -> Iterator[tuple[Aggregate, Any, Any]]:
    """`finished` for what decays: of the events of a key before each place, at least one."""
    tiles, count, *sums = decay.state(stop)
    weights, unit = decay.weights(t_us, tiles), unit_of(step.value_type)
    with np.errstate(all="ignore"):
        for aggregate in step.take:
            match aggregate:
                case "decayed_count":
                    yield aggregate, count * weights, None
                case "decayed_sum":
                    total = sums[0] * weights / unit
                    yield aggregate, total, total == total
                case "decayed_mean":
                    mean = sums[0] / count / unit
                    yield aggregate, mean, mean == mean
                case _:
                    pass


def _limbs(states: Mapping[Component, Sequence[Any]]) -> tuple[Places, Places]:
    high, low = states["sum"]
    return high, low


def _kernel(component: Component, step: WindowStep, values: Column, moments: Moments, texts: Sequence[str]) -> Kernel:
    match component:
        case "count":
            return _Count()
        case "sum":
            return PrefixSums(_whole(step, values))
        case "squares":
            return PrefixSquares(_whole(step, values))
        case "distinct":
            return DistinctCounts(values, moments.keys(), texts)
        case "percentiles":
            is_decimal = step.value_type is Type.DECIMAL
            return Percentiles(values / unit_of(Type.DECIMAL) if is_decimal else values, percents_of(step))
        case "frequent":
            return Frequencies(values, ranks_of(step), texts)
        case "newest":
            return _Newest(moments)
        case "first" | "last":
            return _Placed(values, texts, is_last=component == "last")
        case "min" | "max":
            return Extremes(values, component, moments.longest)


def _whole(step: WindowStep, values: Column) -> NDArray[np.int64]:
    """The values as exact sums add them."""
    return whole_numbers(values, step.scale) if step.value_type is Type.FLOAT else values  # type: ignore[arg-type, return-value]  # integers


class _Count:
    """How many events."""

    def state(self, start: Places, stop: Places) -> list[Any]:
        return [stop - start]

    def state_one(self, start: int, stop: int) -> tuple[Any, ...]:
        return (stop - start,)


class _Newest:
    """When the last event became known."""

    def __init__(self, moments: Moments) -> None:
        self._moments = moments

    def state(self, start: Places, stop: Places) -> list[Any]:  # noqa: ARG002  (of every kernel)
        return [self._moments.instants_at(stop - 1)]

    def state_one(self, start: int, stop: int) -> tuple[Any, ...]:  # noqa: ARG002
        return (self._moments.instant_at(stop - 1),)


class _Placed:
    """The value of the first or the last event."""

    def __init__(self, values: Column, texts: Sequence[str], *, is_last: bool) -> None:
        self._values = values
        self._view = values.data
        self._texts = texts
        self._is_last = is_last

    def state(self, start: Places, stop: Places) -> list[Any]:
        return [self._values[stop - 1 if self._is_last else start]]

    def state_one(self, start: int, stop: int) -> tuple[Any, ...]:
        value = self._view[stop - 1 if self._is_last else start]
        return (self._texts[value] if self._texts else value,)
