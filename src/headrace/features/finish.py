"""From the states of a window's runs to its features: plain Python, which loads no table engine.

A *run* is the events [start, stop) of one key, in order of their known instants. Its *state* is what an aggregate
needs of it: a few int64 and float64 columns, put together from *components* that aggregates share. The state of a run
is a function of its events alone, so it may be computed from history, kept in a store or merged from parts, and every
form finishes it by the same operations. `headrace.features.aggregates` has the same for arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from headrace.definition.model import DECAYED, Aggregate
from headrace.features.buckets import bucket_value
from headrace.features.limbs import decimal_mean, decimal_sum, unscaled
from headrace.features.model import WindowStep
from headrace.features.spread import SQUARE_LIMBS, stddev, variance
from headrace.features.weights import weight
from headrace.language.row_decimals import SCALE
from headrace.language.types import Type

State = Sequence[Any]
"""One run's columns, those of the components in order; see `kinds_of`."""
FinishOne = Callable[[State, int, int], object]
"""From a state, the prediction time and the window's old edge, both in microseconds, to the feature's value."""
Component = Literal[
    "count", "sum", "squares", "min", "max", "first", "last", "newest", "distinct", "percentiles", "frequent"
]

PERCENTS: Final[dict[Aggregate, int]] = {"median": 50, "p10": 10, "p90": 90, "p95": 95, "p99": 99}
RANKS: Final[dict[Aggregate, int]] = {"top1": 1, "top2": 2, "top3": 3}

ALWAYS: Final = 2**62
"""The edge beside which what decays is kept: after those of all windows."""

_NEEDS: Final[dict[Aggregate, tuple[Component, ...]]] = {
    "count": (),
    "sum": ("sum",),
    "mean": ("sum",),
    "min": ("min",),
    "max": ("max",),
    "variance": ("sum", "squares"),
    "stddev": ("sum", "squares"),
    "first": ("first",),
    "last": ("last",),
    "rate": (),
    "seconds_since": ("newest",),
    "n_unique": ("distinct",),
    **dict.fromkeys(PERCENTS, ("percentiles",)),
    **dict.fromkeys(RANKS, ("frequent",)),
    "decayed_sum": ("sum",),
    "decayed_mean": ("sum",),
    "decayed_count": (),
}
SECOND: Final = 1e6
HOUR: Final = 3.6e9
_AT_ZERO: Final[dict[Aggregate, object]] = {"count": 0, "rate": 0.0, "n_unique": 0, "decayed_count": 0.0}
"""What an empty window has; null in the others."""


def components_of(step: WindowStep) -> tuple[Component, ...]:
    """What the step's aggregates are finished from, in the order of the state's columns: first of all the count."""
    return tuple(dict.fromkeys(["count", *(part for aggregate in step.take for part in _NEEDS[aggregate])]))


def sums_of(step: WindowStep) -> bool:
    """Whether the step adds values, so that those of floats count as whole numbers at its scale."""
    return "sum" in components_of(step)


def unit_of(value: Type) -> float:
    """What one is of the numbers that states hold of values of a type: decimals are counted in millionths."""
    return float(SCALE) if value is Type.DECIMAL else 1.0


def percents_of(step: WindowStep) -> tuple[int, ...]:
    """The percentiles that the step takes, in order: the columns of their component."""
    return tuple(PERCENTS[aggregate] for aggregate in step.take if aggregate in PERCENTS)


def ranks_of(step: WindowStep) -> tuple[int, ...]:
    """The ranks of frequent values that the step takes: two columns each, how often and which value."""
    return tuple(RANKS[aggregate] for aggregate in step.take if aggregate in RANKS)


def component_kinds(component: Component, step: WindowStep) -> str:
    """A letter for each column of a component: see `kinds_of`."""
    value = {Type.FLOAT: "d", Type.STRING: "s", Type.CATEGORY: "s"}.get(step.value_type, "q")
    match component:
        case "count" | "newest" | "distinct":
            return "q"
        case "percentiles":
            return "q" * len(percents_of(step))
        case "frequent":
            return ("q" + value) * len(ranks_of(step))
        case "sum":
            return "qq"
        case "squares":
            return "q" * SQUARE_LIMBS
        case "min" | "max" | "first" | "last":
            return value


def kinds_of(step: WindowStep) -> str:
    """A letter for each column of the step's states: `q` for int64, `d` for float64, `s` for text.

    After the components of windows there are, for each half-life, the tile of the newest event, the decayed count and,
    where sums are taken, the decayed sum.
    """
    return window_kinds(step) + ("qdd" if sums_of(step) else "qd") * len(step.half_lives)


def window_kinds(step: WindowStep) -> str:
    """`kinds_of` without what decays."""
    return "".join(component_kinds(component, step) for component in components_of(step))


def empty_value(aggregate: Aggregate) -> object:
    """The aggregate of no events."""
    return _AT_ZERO.get(aggregate)


def least_count(aggregate: Aggregate) -> int:
    """How many events there must be for the aggregate not to be null."""
    return 0 if aggregate in _AT_ZERO else 2 if aggregate in ("variance", "stddev") else 1


def has_own_nulls(aggregate: Aggregate, value: Type) -> bool:
    """Whether it can be null however many events a window has: a sum of decimals, when it has too many digits."""
    if aggregate == "sum":
        return value is Type.DECIMAL
    return aggregate in RANKS or aggregate in ("decayed_sum", "decayed_mean")


class WindowFinish:
    """Finishes the states of one step, a row at a time."""

    def __init__(self, step: WindowStep) -> None:
        self._over = [(width, hop) for _, width, hop in step.over]
        self._finishes: list[tuple[int, bool, FinishOne, object]] = []
        """Where the state of each feature is, whether it decays, what finishes it and what it is without one."""
        for aggregate in step.take:
            empty = empty_value(aggregate)
            if aggregate in DECAYED:
                for place in range(len(step.half_lives)):
                    self._finishes.append((len(self._over), True, _finish_decayed(aggregate, step, place), empty))
            else:
                finish = _finish_one(aggregate, step)
                self._finishes += [(place, False, finish, empty) for place in range(len(self._over))]
        self._decays = bool(step.half_lives)
        self.null: tuple[object, ...] = (None,) * len(self._finishes)
        """The step's features when a part of the key or the time is null."""
        self.empty = tuple(empty for _, _, _, empty in self._finishes)
        """The step's features of a key without events."""

    def edges(self, t_us: int) -> list[int]:
        """Where each width's window begins at a prediction time; then, if anything decays, `ALWAYS`."""
        edges = [(t_us - width) // hop * hop for width, hop in self._over]
        return [*edges, ALWAYS] if self._decays else edges

    def row(self, states: Sequence[State | None], t_us: int, edges_us: Sequence[int]) -> tuple[object, ...]:
        """The step's features, in the order of `naming.fields_of`.

        Parameters
        ----------
        states
            Of the run that begins at each of `edges`, None (or with a count of 0) where it is empty.
        edges_us
            As `edges` gives them.
        """
        return tuple(
            [
                finish(state, t_us, edges_us[place])
                if (state := states[place]) is not None and (decays or state[0])
                else empty
                for place, decays, finish, empty in self._finishes
            ]
        )


def _finish_one(aggregate: Aggregate, step: WindowStep) -> FinishOne:
    places: dict[Component, int] = {}
    width = 0
    for component in components_of(step):
        places[component] = width
        width += len(component_kinds(component, step))
    scale, is_decimal = step.scale, step.value_type is Type.DECIMAL
    unit = unit_of(step.value_type)
    match aggregate:
        case "count":
            return lambda state, _t, _edge: state[0]
        case "rate":
            return lambda state, t_us, edge_us: state[0] / ((t_us - edge_us) / HOUR)
        case "seconds_since":
            at = places["newest"]
            return lambda state, t_us, _edge: (t_us - state[at]) / SECOND
        case "variance" | "stddev":
            at, squares = places["sum"], places["squares"]
            finish = variance if aggregate == "variance" else stddev
            one = unit * unit if aggregate == "variance" else unit

            def spread(state: State, _t: int, _edge: int) -> float | None:
                found = finish(state[0], state[at], state[at + 1], state[squares : squares + SQUARE_LIMBS], scale)
                return None if found is None else found / one

            return spread
        case "n_unique":
            at = places["distinct"]
            return lambda state, _t, _edge: state[at]
        case "median" | "p10" | "p90" | "p95" | "p99":
            at = places["percentiles"] + percents_of(step).index(PERCENTS[aggregate])
            return lambda state, _t, _edge: bucket_value(state[at])
        case "top1" | "top2" | "top3":
            at = places["frequent"] + 2 * ranks_of(step).index(RANKS[aggregate])
            plain = bool if step.value_type is Type.BOOLEAN else _itself
            return lambda state, _t, _edge: plain(state[at + 1]) if state[at] else None
        case "first" | "last" if step.value_type is Type.BOOLEAN:
            at = places[aggregate]
            return lambda state, _t, _edge: bool(state[at])
        case "sum" | "mean" if is_decimal:
            at = places["sum"]
            if aggregate == "sum":
                return lambda state, _t, _edge: decimal_sum(state[at], state[at + 1])
            return lambda state, _t, _edge: decimal_mean(state[at], state[at + 1], state[0])
        case "sum" | "mean":
            at = places["sum"]
            if aggregate == "sum":
                return lambda state, _t, _edge: unscaled(state[at], state[at + 1], scale)
            return lambda state, _t, _edge: unscaled(state[at], state[at + 1], scale) / state[0]
        case "min" | "max" | "first" | "last":
            at = places[aggregate]
            return lambda state, _t, _edge: state[at]
        case "decayed_sum" | "decayed_mean" | "decayed_count":
            raise ValueError(f"{aggregate} has half-lives")


def _finish_decayed(aggregate: Aggregate, step: WindowStep, place: int) -> FinishOne:
    _, half_life, hop = step.half_lives[place]
    tiles = half_life // hop
    unit = unit_of(step.value_type)
    at = len(window_kinds(step)) + place * (3 if sums_of(step) else 2)
    match aggregate:
        case "decayed_count":
            return lambda state, t_us, _edge: state[at + 1] * weight(t_us // hop - state[at], tiles)
        case "decayed_sum":
            return lambda state, t_us, _edge: _number(state[at + 2] * weight(t_us // hop - state[at], tiles) / unit)
        case _:
            return lambda state, _t, _edge: _number(state[at + 2] / state[at + 1] / unit)


def _number(value: float) -> float | None:
    return value if value == value else None  # NaN is not itself: of infinite sums nothing is left


def _itself(value: object) -> object:
    return value
