"""How sure an answer is: the interval of a value, the set of classes, by what errors out of fold were.

Each is written twice, for one answer and for a column, with the same IEEE operations, so that a row gets the same bits
alone and in a batch.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.scoring.errors import PackageUnreadable
from headrace.scoring.model import Decision

Column = NDArray[np.float64]


class Uncertainty:
    """Intervals and sets of a `Decision`, for one answer and for a column alike.

    Raises `PackageUnreadable` when its margins or least probabilities contradict themselves.
    """

    __slots__ = ("_above", "_below", "_classes", "_floor", "_least", "_starts", "intervals_known", "sets_known")

    def __init__(self, decision: Decision) -> None:
        _check(decision)
        margins = decision.margins
        self._starts = [m.start for m in margins]
        self._below, self._above = [m.below for m in margins], [m.above for m in margins]
        self._floor = -math.inf if decision.least_value is None else decision.least_value
        self._least = decision.set_least
        self._classes = decision.classes or ("false", "true")
        self.intervals_known: Final = bool(margins)
        self.sets_known: Final = bool(self._least)

    def interval(self, value: float) -> tuple[float, float]:
        """The ends for one value."""
        place = max(bisect_right(self._starts, value) - 1, 0)
        return max(value + self._below[place], self._floor), max(value + self._above[place], self._floor)

    def intervals(self, values: Column) -> tuple[Column, Column]:
        """The same for a column."""
        place = np.maximum(np.searchsorted(np.array(self._starts), values, side="right") - 1, 0)
        low, high = values + np.array(self._below)[place], values + np.array(self._above)[place]
        return np.maximum(low, self._floor), np.maximum(high, self._floor)

    def set_of(self, probability: float) -> tuple[str, ...]:
        """Binary: the classes that belong to the answer; the likelier one when none does."""
        least = self._least
        is_positive = probability >= least[1]
        if 1.0 - probability >= least[0]:
            return self._classes if is_positive else self._classes[:1]
        return self._classes[1:] if is_positive or probability >= 0.5 else self._classes[:1]

    def set_among(self, probabilities: list[float]) -> tuple[str, ...]:
        """Multiclass: the classes that belong to the answer; the likeliest one when none does, the first of equals."""
        rows = zip(self._classes, probabilities, self._least, strict=True)
        within = tuple(name for name, probability, least in rows if probability >= least)
        return within or (self._classes[max(range(len(probabilities)), key=probabilities.__getitem__)],)

    def members(self, probabilities: Column) -> NDArray[np.bool_]:
        """Which classes belong to each answer, shape (n, k); `probabilities` of shape (n,) or (n, k)."""
        if probabilities.ndim == 1:
            within: NDArray[np.bool_] = np.column_stack(
                [1.0 - probabilities >= self._least[0], probabilities >= self._least[1]]
            )
            neither = ~within.any(axis=1)
            within[neither, 0], within[neither, 1] = probabilities[neither] < 0.5, probabilities[neither] >= 0.5
            return within
        within = np.asarray(probabilities >= np.array(self._least))
        none = np.flatnonzero(~within.any(axis=1))
        within[none, np.argmax(probabilities[none], axis=1)] = True
        return within

    def sets(self, probabilities: Column) -> list[tuple[str, ...]]:
        """The names, row by row."""
        within = self.members(probabilities)
        return [tuple(name for name, inside in zip(self._classes, row, strict=True) if inside) for row in within]


def _check(decision: Decision) -> None:
    starts = [margin.start for margin in decision.margins]
    ends = [end for margin in decision.margins for end in (margin.below, margin.above)]
    if not all(map(math.isfinite, starts + ends)) or any(a >= b for a, b in pairwise(starts)):
        raise PackageUnreadable("decision.json", "its margins do not rise, or are no numbers")
    if any(margin.below > margin.above for margin in decision.margins):
        raise PackageUnreadable("decision.json", "a margin ends below its beginning")
    if decision.least_value is not None and not math.isfinite(decision.least_value):
        raise PackageUnreadable("decision.json", "its least value is no number")
    wanted = {"binary": 2, "multiclass": len(decision.classes), "regression": 0}[decision.task]
    if decision.set_least and (
        len(decision.set_least) != wanted or not all(0.0 <= least <= 1.0 for least in decision.set_least)
    ):
        raise PackageUnreadable("decision.json", "its least probabilities are not one within [0, 1] for each class")
