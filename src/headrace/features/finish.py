"""From the states of a window's runs to its features: plain Python, which loads no table engine.

A *run* is the events [start, stop) of one key, in order of their known instants. Its *state* is what an aggregate
needs of it: a few int64 and float64 columns, put together from *components* that aggregates share. The state of a run
is a function of its events alone, so it may be computed from history, kept in a store or merged from parts, and every
form finishes it by the same operations. `headrace.features.aggregates` has the same for arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from headrace.definition.model import Aggregate
from headrace.features.model import WindowStep
from headrace.language.types import Type

State = Sequence[Any]
"""One run's columns, those of the components in order; see `kinds_of`."""
FinishOne = Callable[[State, int, int], object]
"""From a state, the prediction time and the window's old edge, both in microseconds, to the feature's value."""
Component = Literal["count", "sum", "min", "max"]

LIMB: Final = 32
MASK: Final = 2**32 - 1
BASE: Final = 2.0**32

_NEEDS: Final[dict[Aggregate, tuple[Component, ...]]] = {
    "count": (),
    "sum": ("sum",),
    "mean": ("sum",),
    "min": ("min",),
    "max": ("max",),
}
_AT_ZERO: Final[dict[Aggregate, object]] = {"count": 0}
"""What an empty window has; null in the others."""


def components_of(step: WindowStep) -> tuple[Component, ...]:
    """What the step's aggregates are finished from, in the order of the state's columns: first of all the count."""
    return tuple(dict.fromkeys(["count", *(part for aggregate in step.take for part in _NEEDS[aggregate])]))


def sums_of(step: WindowStep) -> bool:
    """Whether the step adds values, so that those of floats count as whole numbers at its scale."""
    return "sum" in components_of(step)


def component_kinds(component: Component, value: Type) -> str:
    """A letter for each column of a component: `q` for int64, `d` for float64."""
    match component:
        case "count":
            return "q"
        case "sum":
            return "qq"
        case "min" | "max":
            return "d" if value is Type.FLOAT else "q"


def kinds_of(step: WindowStep) -> str:
    """A letter for each column of the step's states: `q` for int64, `d` for float64."""
    return "".join(component_kinds(component, step.value_type) for component in components_of(step))


def empty_value(aggregate: Aggregate) -> object:
    """The aggregate of no events."""
    return _AT_ZERO.get(aggregate)


def has_empty_value(aggregate: Aggregate) -> bool:
    """Whether the aggregate of no events is a value, not null."""
    return aggregate in _AT_ZERO


class WindowFinish:
    """Finishes the states of one step, a row at a time."""

    def __init__(self, step: WindowStep) -> None:
        self._aggregates = [(_finish_one(aggregate, step), empty_value(aggregate)) for aggregate in step.take]
        self.null: tuple[object, ...] = (None,) * (len(step.take) * len(step.over))
        """The step's features when a part of the key or the time is null."""
        self.empty = tuple(empty for _, empty in self._aggregates for _ in step.over)
        """The step's features of a key without events."""

    def row(self, states: Sequence[State | None], t_us: int, edges_us: Sequence[int]) -> tuple[object, ...]:
        """The step's features, in the order of `naming.fields_of`.

        Parameters
        ----------
        states
            Of each width's run, None where it is empty.
        edges_us
            Where each width's window begins.
        """
        return tuple(
            [
                empty if state is None else finish(state, t_us, edge)
                for finish, empty in self._aggregates
                for state, edge in zip(states, edges_us, strict=True)
            ]
        )


def unscaled(high: int, low: int, scale: int) -> float:
    """(high · 2**32 + low) · 2**-scale: the two limbs of an exact sum as a float."""
    total = float(high) * BASE + float(low)
    try:
        return math.ldexp(total, -scale)
    except OverflowError:  # numpy's ldexp gives the infinity
        return math.copysign(math.inf, total)


def _finish_one(aggregate: Aggregate, step: WindowStep) -> FinishOne:
    places: dict[Component, int] = {}
    width = 0
    for component in components_of(step):
        places[component] = width
        width += len(component_kinds(component, step.value_type))
    scale = step.scale
    match aggregate:
        case "count":
            return lambda state, _t, _edge: state[0]
        case "sum" | "mean":
            at = places["sum"]
            if aggregate == "sum":
                return lambda state, _t, _edge: unscaled(state[at], state[at + 1], scale)
            return lambda state, _t, _edge: unscaled(state[at], state[at + 1], scale) / state[0]
        case "min" | "max":
            at = places[aggregate]
            return lambda state, _t, _edge: state[at]
