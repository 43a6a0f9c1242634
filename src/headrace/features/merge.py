"""States that grow: of one event, and of two runs that follow on each other. Plain Python, for tiles and streams.

`merge` is associative and commutative, and the states of a run are equal however it was cut: a test holds them to what
`headrace.features.aggregates` finds over sorted history. Nothing is ever subtracted.
"""

from __future__ import annotations

import math
from operator import add
from typing import Any, Final

from headrace.features.buckets import bucket_at, bucket_of
from headrace.features.finish import Component, components_of, percents_of, ranks_of, unit_of
from headrace.features.frequent import most_frequent
from headrace.features.limbs import LIMB, MASK
from headrace.features.model import WindowStep
from headrace.features.naming import TEXT
from headrace.features.samples import merged_samples, sample_of, size_of
from headrace.features.spread import square_digits
from headrace.language.types import Type

_LEAST: Final = -(2**63)

Parts = tuple[tuple[Any, ...], ...]
"""The state of each component, in the order of `components_of`."""


class Merger:
    """States of one step's runs, event by event."""

    def __init__(self, step: WindowStep) -> None:
        self._components = components_of(step)
        self._scale = step.scale
        self._percents = percents_of(step)
        self._ranks = ranks_of(step)
        self._nothing = "" if step.value_type in TEXT else 0.0 if step.value_type is Type.FLOAT else 0
        self._is_float = step.value_type is Type.FLOAT
        self._is_decimal, self._unit = step.value_type is Type.DECIMAL, unit_of(step.value_type)

    def one(self, value: Any, known_us: int, event_us: int | None = None, sequence: int = 0) -> Parts:
        """The state of a run of one event.

        Parameters
        ----------
        value
            In the row form; one that counts: neither null nor infinite, nor beyond the headroom of exact sums.
        known_us, event_us, sequence
            When it became known; what orders events known at one instant; their place in the source, each its own.
        """
        order = (known_us, _LEAST if event_us is None else event_us, sequence)
        return tuple(self._one(component, value, order) for component in self._components)

    def merge(self, a: Parts, b: Parts) -> Parts:
        """The state of two runs together."""
        return tuple(map(_merged, self._components, a, b))

    def columns(self, parts: Parts) -> tuple[Any, ...]:
        """The state's columns, as `finish` reads them."""
        return tuple(
            column
            for component, part in zip(self._components, parts, strict=True)
            for column in self._served(component, part)
        )

    def _served(self, component: Component, part: tuple[Any, ...]) -> tuple[Any, ...]:
        match component:
            case "first" | "last":
                return part[-1:]
            case "distinct":
                return (size_of((part[0], part[1])),)
            case "percentiles":
                return tuple(bucket_at(part[0], percent) for percent in self._percents)
            case "frequent":
                return most_frequent(part[0], self._ranks, self._nothing)
            case _:
                return part

    def _one(self, component: Component, value: Any, order: tuple[int, int, int]) -> tuple[Any, ...]:
        match component:
            case "count":
                return (1,)
            case "sum":
                whole = self._whole(value)
                return (whole >> LIMB, whole & MASK)
            case "squares":
                return square_digits(self._whole(value))
            case "distinct":
                return sample_of(self._plain(value))
            case "percentiles":
                return ({bucket_of(value / self._unit if self._is_decimal else value): 1},)
            case "frequent":
                return ({self._plain(value): 1},)
            case "newest":
                return order[:1]
            case "first" | "last":
                return (*order, self._plain(value))
            case "min" | "max":
                return (self._plain(value),)

    def _whole(self, value: Any) -> int:
        return round(math.ldexp(value, self._scale)) if self._is_float else int(value)

    def _plain(self, value: Any) -> Any:
        return value if isinstance(value, str) else value + 0.0 if self._is_float else int(value)


def _added(a: dict[Any, int], b: dict[Any, int]) -> dict[Any, int]:
    return a | {value: count + a.get(value, 0) for value, count in b.items()}


def _merged(component: Component, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    match component:
        case "count":
            return (a[0] + b[0],)
        case "sum":
            low = a[1] + b[1]
            return (a[0] + b[0] + (low >> LIMB), low & MASK)
        case "squares":
            return tuple(map(add, a, b))
        case "distinct":
            return merged_samples((a[0], a[1]), (b[0], b[1]))
        case "percentiles" | "frequent":
            return (_added(a[0], b[0]),)
        case "min" | "first":
            return min(a, b)
        case "max" | "last" | "newest":
            return max(a, b)
