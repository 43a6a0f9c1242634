"""From the graph's answer to a decision: calibration, threshold and costs, in float64.

Each step is written twice, for one value and for a column, with the same IEEE operations in the same order, so that a
row gets the same bits alone and in a batch; a property test holds the two together.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.scoring.errors import PackageUnreadable, ScoreNotFinite
from headrace.scoring.model import Decision
from headrace.scoring.uncertainty import Uncertainty

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

    __slots__ = ("_amounts", "_calibration", "_costs", "_places", "columns", "decision", "uncertainty")

    def __init__(self, decision: Decision) -> None:
        self.decision: Final = decision
        self._calibration = Calibration(decision.knots)
        self._costs = decision.cost_matrix
        _check(decision)
        self.uncertainty: Final = Uncertainty(decision)
        self.columns: Final = tuple(dict.fromkeys(amount.column for amount in decision.amounts))
        """The columns of the rows' own amounts, in the order in which the methods below take them: values for one row,
        arrays of float64 (NaN for null) for many; with none, rows count for the mean of the training rows."""
        self._places = {(amount.truth, amount.predicted): place for place, amount in enumerate(decision.amounts)}
        self._amounts = tuple((self.columns.index(a.column), a.otherwise, a.factor) for a in decision.amounts)

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

    def shares(self, raw: list[float]) -> list[float]:
        """Multiclass: the calibrated probabilities of one row: each mapped, then divided by their sum."""
        if not self.decision.knots:
            return raw
        mapped = [self._calibration.one(each) for each in raw]
        total = 0.0
        for each in mapped:
            total += each
        return [each / total for each in mapped]

    def _shares(self, raw: NDArray[np.float32]) -> Column:
        """The same for many, added class by class as for one."""
        mapped = self._calibration.column(raw)
        total = np.zeros(len(mapped))
        for code in range(mapped.shape[1]):
            total += mapped[:, code]
        shares: Column = mapped / total[:, None]
        return shares

    def positive(self, probability: float, amounts: Sequence[object] = ()) -> bool | None:
        """Binary: whether to act; None when there is no threshold, or when it is left to people."""
        if self._costs:
            return None if self.review(probability, amounts) else self.benefit(probability, amounts) >= self._least
        threshold = self.decision.threshold
        return None if threshold is None else probability >= threshold

    def positives(self, probability: Column, amounts: Sequence[Column] = ()) -> NDArray[np.bool_] | None:
        """The same for a column, as if nothing were left to people; `reviews` says which rows are."""
        if self._costs:
            return self.benefits(probability, amounts) >= self._least
        threshold = self.decision.threshold
        return None if threshold is None else probability >= threshold

    def benefit(self, probability: float, amounts: Sequence[object] = ()) -> float:
        """Binary with a matrix: what acting is expected to save over not acting. Acting pays from the probability at
        which it is 0 on, which differs from row to row: Elkan, "The Foundations of Cost-Sensitive Learning", 2001."""
        return probability * self._price(1, 0, amounts) - (1.0 - probability) * self._price(0, 1, amounts)

    def benefits(self, probability: Column, amounts: Sequence[Column] = ()) -> Column:
        """The same for a column."""
        saved: Column = probability * self._prices(1, 0, amounts) - (1.0 - probability) * self._prices(0, 1, amounts)
        return saved

    def review(self, answer: float | list[float], amounts: Sequence[object] = ()) -> bool:
        """Whether the best decision is expected to cost more than leaving the row to people: Chow, "On Optimum
        Recognition Error and Reject Tradeoff", 1970. `answer`: the probability, or those of the classes."""
        reject = self.decision.reject
        if reject is None:
            return False
        if isinstance(answer, list):
            return min(self._expected(answer, amounts)) > reject
        missed, needless = answer * self._price(1, 0, amounts), (1.0 - answer) * self._price(0, 1, amounts)
        return min(missed, needless) > reject

    def reviews(self, answer: Column, amounts: Sequence[Column] = ()) -> NDArray[np.bool_]:
        """The same for the rows of a column or a matrix."""
        reject = self.decision.reject
        if reject is None:
            return np.zeros(len(answer), np.bool_)
        if answer.ndim == 2:
            left: NDArray[np.bool_] = self._expecteds(answer, amounts).min(axis=1) > reject
            return left
        missed, needless = answer * self._prices(1, 0, amounts), (1.0 - answer) * self._prices(0, 1, amounts)
        lost: Column = np.minimum(missed, needless)
        return lost > reject

    def choice(self, probabilities: list[float], amounts: Sequence[object] = ()) -> int:
        """Multiclass: the class of least expected cost, or the most probable one without costs; the first of equals."""
        if not self._costs:
            return max(range(len(probabilities)), key=probabilities.__getitem__)
        expected = self._expected(probabilities, amounts)
        return min(range(len(expected)), key=expected.__getitem__)

    def choices(self, probabilities: Column, amounts: Sequence[Column] = ()) -> NDArray[np.intp]:
        """The same for the rows of a matrix."""
        if not self._costs:
            likeliest: NDArray[np.intp] = np.argmax(probabilities, axis=1)
            return likeliest
        cheapest: NDArray[np.intp] = np.argmin(self._expecteds(probabilities, amounts), axis=1)
        return cheapest

    def costs(self, y: NDArray[np.integer], decided: NDArray[np.integer], amounts: Sequence[Column] = ()) -> Column:
        """What each row costs that is of class `y` and taken for `decided`."""
        cost: Column = np.array(self._costs)[y, decided]
        for truth, predicted in self._places:
            cost = np.where((y == truth) & (decided == predicted), self._prices(truth, predicted, amounts), cost)
        return cost

    @property
    def _least(self) -> float:
        return self.decision.least_benefit or 0.0

    def _expected(self, probabilities: list[float], amounts: Sequence[object]) -> list[float]:
        expected = []
        for predicted in range(len(probabilities)):
            total = 0.0
            for truth, probability in enumerate(probabilities):
                total += probability * self._price(truth, predicted, amounts)
            expected.append(total)
        return expected

    def _expecteds(self, probabilities: Column, amounts: Sequence[Column]) -> Column:
        n, k = probabilities.shape
        expected = np.zeros((n, k))
        for predicted in range(k):
            for truth in range(k):  # summed class by class, as for one row: a matrix product may add in any order
                expected[:, predicted] += probabilities[:, truth] * self._prices(truth, predicted, amounts)
        return expected

    def _price(self, truth: int, predicted: int, amounts: Sequence[object]) -> float:
        place = self._places.get((truth, predicted))
        if place is None:
            return self._costs[truth][predicted]
        column, otherwise, factor = self._amounts[place]
        value = amounts[column] if amounts else None
        if not isinstance(value, int | float):
            return otherwise
        amount = float(value)
        price = amount * factor
        return price if amount >= 0.0 and price < math.inf else otherwise

    def _prices(self, truth: int, predicted: int, amounts: Sequence[Column]) -> Column | float:
        place = self._places.get((truth, predicted))
        if place is None:
            return self._costs[truth][predicted]
        column, otherwise, factor = self._amounts[place]
        if not amounts:
            return otherwise
        values = amounts[column]
        with np.errstate(invalid="ignore", over="ignore"):
            price = values * factor
            return np.where((values >= 0.0) & (price < math.inf), price, otherwise)


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
    classes = 2 if decision.task == "binary" else classes
    if costs and (len(costs) != classes or any(len(row) != classes for row in costs)):
        raise PackageUnreadable("decision.json", f"its cost matrix is not {classes} by {classes}")
    if not all(math.isfinite(cost) for row in costs for cost in row):
        raise PackageUnreadable("decision.json", "its cost matrix holds a cost that is no number")
    prices = [price for amount in decision.amounts for price in (amount.otherwise, amount.factor)]
    prices += [price for price in (decision.reject, decision.least_benefit) if price is not None]
    inside = all(0 <= a.truth < classes and 0 <= a.predicted < classes for a in decision.amounts)
    if not all(0.0 <= price < math.inf for price in prices) or not inside or (prices and not costs):
        raise PackageUnreadable("decision.json", "its amounts do not fit its cost matrix")
