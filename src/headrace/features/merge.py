"""States that grow: of one event, and of two runs that follow on each other. Plain Python, for tiles and streams.

`merge` is associative and commutative, and the states of a run are equal however it was cut: a test holds them to what
`headrace.features.aggregates` finds over sorted history. Nothing is ever subtracted.
"""

from __future__ import annotations

import math
from typing import Any

from headrace.features.finish import LIMB, MASK, Component, components_of
from headrace.features.model import WindowStep
from headrace.language.types import Type

Parts = tuple[tuple[Any, ...], ...]
"""The state of each component, in the order of `components_of`."""


class Merger:
    """States of one step's runs, event by event."""

    def __init__(self, step: WindowStep) -> None:
        self._components = components_of(step)
        self._scale = step.scale
        self._is_float = step.value_type is Type.FLOAT

    def one(self, value: Any) -> Parts:
        """The state of a run of one event.

        Parameters
        ----------
        value
            In the row form; one that counts: neither null nor infinite, nor beyond the headroom of exact sums.
        """
        return tuple(self._one(component, value) for component in self._components)

    def merge(self, a: Parts, b: Parts) -> Parts:
        """The state of two runs together."""
        return tuple(map(_merged, self._components, a, b))

    def columns(self, parts: Parts) -> tuple[Any, ...]:
        """The state's columns, as `finish` reads them."""
        return tuple(column for part in parts for column in part)

    def _one(self, component: Component, value: Any) -> tuple[Any, ...]:
        match component:
            case "count":
                return (1,)
            case "sum":
                whole = round(math.ldexp(value, self._scale)) if self._is_float else int(value)
                return (whole >> LIMB, whole & MASK)
            case "min" | "max":
                return (value + 0.0 if self._is_float else int(value),)


def _merged(component: Component, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    match component:
        case "count":
            return (a[0] + b[0],)
        case "sum":
            low = a[1] + b[1]
            return (a[0] + b[0] + (low >> LIMB), low & MASK)
        case "min":
            return (min(a[0], b[0]),)
        case "max":
            return (max(a[0], b[0]),)
