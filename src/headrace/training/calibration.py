"""From out-of-fold scores to a decision: the calibration map, the threshold and what errors cost with them.

Nothing here has seen the holdout, and no row is judged by a map that was fitted on it: the map is chosen, and costs are
counted, on probabilities that were calibrated with the other folds' rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Costs, Task
from headrace.scoring.decision import Decider
from headrace.scoring.model import Decision
from headrace.training.errors import UnknownClass
from headrace.training.maps import calibrate
from headrace.training.model import CalibrationGain

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision fitted out of fold."""

    decision: Decision
    error_cost: float | None
    """Mean cost of one prediction's error, out of fold; None without [costs]."""
    best_threshold: float | None = None
    """Binary with [costs]: the threshold of least cost on these very rows, for comparison; Elkan's is the one used."""
    best_cost: float | None = None
    calibration: CalibrationGain | None = None
    """Of classes: which map was chosen, and what it gains."""


def decide(
    y: NDArray[Any],
    scores: Floats,
    fold: NDArray[np.intp],
    *,
    task: Task,
    classes: tuple[str, ...],
    costs: Costs | None,
) -> Decided:
    """Fit calibration, threshold and cost matrix.

    Parameters
    ----------
    y, scores, fold : of the rows that were asked in some fold; `scores` as the graph gives them, `fold` says which fold
    """
    if task == "regression":
        decision = Decision(task=task)
        return Decided(decision, mean_cost(y, scores, decision, costs))
    if task == "multiclass":
        knots, calibrated, gain = calibrate(y, scores, fold)
        decision = Decision(task=task, classes=classes, knots=knots, cost_matrix=cost_matrix(classes, costs))
        return Decided(decision, mean_cost(y, calibrated, decision, costs), calibration=gain)
    knots, calibrated, gain = calibrate(y, scores, fold)
    if costs is None:
        threshold = f1_threshold(y, calibrated)
        decision = Decision(task=task, classes=classes, knots=knots, threshold=threshold)
        return Decided(decision, None, calibration=gain)
    fp, fn = costs.false_positive or 0.0, costs.false_negative or 0.0
    decision = Decision(task=task, classes=classes, knots=knots, threshold=elkan_threshold(fp, fn))
    best, best_cost = least_cost_threshold(y, calibrated, fp, fn)
    return Decided(decision, mean_cost(y, calibrated, decision, costs), best, best_cost, gain)


# Thresholds


def elkan_threshold(false_positive: float, false_negative: float) -> float:
    """Act from the probability at which acting costs no more than not acting: fp / (fp + fn).

    Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001.

    Examples
    --------
    >>> elkan_threshold(4.0, 60.0)
    0.0625
    """
    both = false_positive + false_negative
    return false_positive / both if both > 0 else 0.5


def f1_threshold(y: NDArray[Any], probability: Floats) -> float:
    """The threshold of the largest F1 on these rows, the highest of equals."""
    hits, acted, cuts = _cuts(y, probability)
    return float(cuts[np.argmax(2 * hits / np.maximum(acted + y.sum(), 1))])


def least_cost_threshold(
    y: NDArray[Any], probability: Floats, false_positive: float, false_negative: float
) -> tuple[float, float]:
    """The threshold of least cost on these rows, the highest of equals, and the mean cost with it."""
    hits, acted, cuts = _cuts(y, probability)
    cost = (false_positive * (acted - hits) + false_negative * (y.sum() - hits)) / len(y)
    best = int(np.argmin(cost))
    return float(cuts[best]), float(cost[best])


def _cuts(y: NDArray[Any], probability: Floats) -> tuple[Floats, Floats, Floats]:
    """For every place where a threshold can stand, from the highest: positives acted on, rows acted on, the threshold,
    halfway between two probabilities so that rounding moves no row across it."""
    order = np.argsort(-probability, kind="stable")
    ordered = probability[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    levels = ordered[ends]
    below = np.append(levels[1:], 0.0)
    hits = np.cumsum(y[order] == 1)[ends].astype(np.float64)
    return hits, (ends + 1).astype(np.float64), (levels + below) / 2


# Costs


def cost_matrix(classes: tuple[str, ...], costs: Costs | None) -> tuple[tuple[float, ...], ...]:
    """cost[truth][predicted]; pairs that are not listed cost nothing. Empty without costs."""
    if costs is None or not costs.matrix:
        return ()
    code = {name: place for place, name in enumerate(classes)}
    table = [[0.0] * len(classes) for _ in classes]
    for truth, predicted, cost in costs.matrix:
        for name in (truth, predicted):
            if name not in code:
                raise UnknownClass(name, classes=classes)
        table[code[truth]][code[predicted]] = cost
    return tuple(map(tuple, table))


def decisions(answer: Floats, decision: Decision) -> NDArray[np.int64]:
    """What is decided on calibrated probabilities: 0 and 1, or class codes."""
    decider = Decider(decision)
    if decision.task == "multiclass":
        return decider.choices(answer).astype(np.int64)
    acted = decider.positives(answer)
    return (answer >= 0.5 if acted is None else acted).astype(np.int64)


def row_costs(y: NDArray[Any], answer: Floats, decision: Decision, costs: Costs | None) -> Floats | None:
    """What each row's error costs; None when errors of this task are not priced."""
    if costs is None:
        return None
    if decision.task == "regression":
        if costs.over is None and costs.under is None:
            return None
        error = answer - y
        each: Floats = (costs.over or 0.0) * np.maximum(error, 0.0) + (costs.under or 0.0) * np.maximum(-error, 0.0)
        return each
    decided = decisions(answer, decision)
    if decision.task == "multiclass":
        if not decision.cost_matrix:
            return None
        table: Floats = np.array(decision.cost_matrix)[y, decided]
        return table
    fp, fn = costs.false_positive or 0.0, costs.false_negative or 0.0
    priced: Floats = fp * ((decided == 1) & (y == 0)) + fn * ((decided == 0) & (y == 1))
    return priced


def mean_cost(y: NDArray[Any], answer: Floats, decision: Decision, costs: Costs | None) -> float | None:
    """Mean cost of one prediction's error."""
    each = row_costs(y, answer, decision, costs)
    return None if each is None else float(each.mean())
