"""From the graph's answer to a decision: calibration, threshold and costs, in float64.

Each step is written twice, for one value and for a column, with the same IEEE operations in the same order, so that a
row gets the same bits alone and in a batch; a property test holds the two together.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.scoring.errors import PackageUnreadable, ScoreNotFinite
from headrace.scoring.model import Decision

Column = NDArray[np.float64]


class Calibration:
    """A map from raw score to probability: linear between knots, constant outside; without knots, what it was given.

    Raises `PackageUnreadable` unless the knots' scores increase and their probabilities do not fall within [0, 1].

    Examples
    --------
    >>> calibration = Calibration(((0.0, 0.25), (1.0, 0.75)))
    >>> calibration.one(0.5), calibration.one(-3.0), calibration.one(7.0)
    (0.5, 0.25, 0.75)
    """

    __slots__ = ("_scores", "_x", "_y")

    def __init__(self, knots: tuple[tuple[float, float], ...]) -> None:
        self._x = [float(x) for x, _ in knots]
        self._y = [float(y) + 0.0 for _, y in knots]  # + 0.0: no -0.0, whose maximum with 0.0 is either
        rising = all(a < b for a, b in zip(self._x, self._x[1:], strict=False))
        ordered = all(a <= b for a, b in zip(self._y, self._y[1:], strict=False))
        finite = all(map(math.isfinite, self._x + self._y))
        # A span beyond float64 would make every step between two knots an infinity divided by an infinity.
        spanned = not self._x or math.isfinite(self._x[-1] - self._x[0])
        if not (rising and ordered and finite and spanned and all(0.0 <= y <= 1.0 for y in self._y)):
            raise PackageUnreadable("decision.json", "its knots do not increase, or leave [0, 1]")
        self._scores = np.array(self._x)

    def one(self, raw: float) -> float:
        """The probability of one finite raw score."""
        x, y = self._x, self._y
        if not x:
            return raw
        place = bisect_right(x, raw)
        if place == 0:
            return y[0]
        if place == len(x):
            return y[-1]
        share = (raw - x[place - 1]) / (x[place] - x[place - 1])
        value = y[place - 1] + share * (y[place] - y[place - 1])
        return min(max(value, y[place - 1]), y[place])  # rounding never leaves the segment

    def column(self, raw: NDArray[np.float32] | Column) -> Column:
        """The same for a column."""
        scores = raw.astype(np.float64)
        x, y = self._scores, np.array(self._y)
        if not len(x):
            return scores
        place = np.searchsorted(x, scores, side="right")
        right = np.clip(place, 1, len(x) - 1)
        left = np.maximum(right - 1, 0)
        inside = np.clip(scores, x[0], x[-1])  # what lies outside is replaced below, and must not overflow here
        with np.errstate(invalid="ignore"):  # a single knot
            share = (inside - x[left]) / (x[right] - x[left])
        value = y[left] + share * (y[right] - y[left])
        value = np.minimum(np.maximum(value, y[left]), y[right])
        within: Column = np.where(place == 0, y[0], np.where(place == len(x), y[-1], value))
        return within


class Decider:
    """Applies a `Decision` to what the graph answers."""

    __slots__ = ("_calibration", "_costs", "decision")

    def __init__(self, decision: Decision) -> None:
        self.decision: Final = decision
        self._calibration = Calibration(decision.knots)
        self._costs = decision.cost_matrix
        _check(decision)

    def probability(self, raw: float) -> float:
        """Binary: the calibrated P(positive) of one raw score."""
        return self._calibration.one(raw)

    def probabilities(self, raw: NDArray[np.float32]) -> Column:
        """Binary: shape (n,). Multiclass: shape (n, k), one column a class. Regression: the values, shape (n,).

        Raises `ScoreNotFinite` for the first row with a NaN or an infinity.
        """
        finite = np.isfinite(raw) if raw.ndim == 1 else np.isfinite(raw).all(axis=1)
        if not finite.all():
            raise ScoreNotFinite(int(np.argmin(finite)))
        if self.decision.task == "binary":
            return self._calibration.column(raw)
        if self.decision.task == "multiclass" and self.decision.knots:
            return self._shares(raw)
        return raw.astype(np.float64)

    def _shares(self, raw: NDArray[np.float32]) -> Column:
        """Multiclass: each probability mapped, then divided by their sum, added class by class in either form."""
        mapped = self._calibration.column(raw)
        total = np.zeros(len(mapped))
        for code in range(mapped.shape[1]):
            total += mapped[:, code]
        shares: Column = mapped / total[:, None]
        return shares

    def positive(self, probability: float) -> bool | None:
        """Binary: whether to act; None when there is no threshold."""
        threshold = self.decision.threshold
        return None if threshold is None else probability >= threshold

    def positives(self, probability: Column) -> NDArray[np.bool_] | None:
        """The same for a column."""
        threshold = self.decision.threshold
        return None if threshold is None else probability >= threshold

    def choice(self, probabilities: list[float]) -> int:
        """Multiclass: the class of least expected cost, or the most probable one without costs; the first of equals."""
        if not self._costs:
            return max(range(len(probabilities)), key=probabilities.__getitem__)
        expected = []
        for predicted in range(len(probabilities)):
            total = 0.0
            for truth, probability in enumerate(probabilities):
                total += probability * self._costs[truth][predicted]
            expected.append(total)
        return min(range(len(expected)), key=expected.__getitem__)

    def choices(self, probabilities: Column) -> NDArray[np.intp]:
        """The same for the rows of a matrix."""
        if not self._costs:
            likeliest: NDArray[np.intp] = np.argmax(probabilities, axis=1)
            return likeliest
        n, k = probabilities.shape
        expected = np.zeros((n, k))
        for predicted in range(k):
            for truth in range(k):  # summed class by class, as `choice` does: a matrix product may add in any order
                expected[:, predicted] += probabilities[:, truth] * self._costs[truth][predicted]
        cheapest: NDArray[np.intp] = np.argmin(expected, axis=1)
        return cheapest


def _check(decision: Decision) -> None:
    """Refuse a decision that contradicts itself."""
    classes, costs = len(decision.classes), decision.cost_matrix
    if decision.format != 1:
        raise PackageUnreadable("decision.json", f"it has format {decision.format}, this release reads format 1")
    if decision.task == "multiclass" and (classes < 2 or len(set(decision.classes)) < classes):
        raise PackageUnreadable("decision.json", "a multiclass decision names two classes at least, each once")
    if decision.task == "multiclass" and decision.knots and decision.knots[0][1] <= 0.0:
        raise PackageUnreadable("decision.json", "its knots map a probability of several to 0")
    if decision.threshold is not None and not 0.0 <= decision.threshold <= 1.0:
        raise PackageUnreadable("decision.json", "its threshold is not within [0, 1]")
    if costs and (len(costs) != classes or any(len(row) != classes for row in costs)):
        raise PackageUnreadable("decision.json", f"its cost matrix is not {classes} by {classes}")
    if not all(math.isfinite(cost) for row in costs for cost in row):
        raise PackageUnreadable("decision.json", "its cost matrix holds a cost that is no number")
