"""From out-of-fold scores to a decision: the calibration map, the threshold and what errors cost with them.

Nothing here has seen the holdout, and no row is judged by a map that was fitted on it: the map is chosen, and costs are
counted, on probabilities that were calibrated with the other folds' rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Costs, Task
from headrace.scoring.decision import Calibration, Decider
from headrace.scoring.model import Decision
from headrace.training.maps import Knots, calibrate
from headrace.training.model import CalibrationGain, CostIf
from headrace.training.pricing import Pricing, capped, cost_keys, cost_matrix, mean_cost, row_amounts, scaled

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
    ifs: tuple[CostIf, ...] = ()
    """What the errors cost where a cost is in truth twice, or half, what it is said to be."""


def decide(
    y: NDArray[Any],
    scores: Floats,
    fold: NDArray[np.intp],
    *,
    task: Task,
    classes: tuple[str, ...],
    costs: Costs | None,
    pricing: Pricing | None = None,
) -> Decided:
    """Fit calibration, threshold and cost matrix.

    Parameters
    ----------
    y, scores, fold : of the rows that were asked in some fold; `scores` as the graph gives them, `fold` says which fold
    pricing : of these rows
    """
    pricing = pricing or Pricing()
    knots, answer, gain = ((), scores, None) if task == "regression" else calibrate(y, scores, fold)
    if costs is None:
        threshold = f1_threshold(y, answer) if task == "binary" else None
        named = () if task == "regression" else classes
        return Decided(Decision(task=task, classes=named, knots=knots, threshold=threshold), None, calibration=gain)
    # a capacity is counted on what the package will say: rows that tie there may differ by what other folds taught
    said = answer if pricing.share is None else Calibration(knots).column(scores)
    decision = _decision(said, task, classes, knots, costs, pricing)
    best, best_cost = None, None
    if task == "binary" and not decision.cost_matrix and pricing.share is None:
        best, best_cost = least_cost_threshold(y, answer, costs.false_positive or 0.0, costs.false_negative or 0.0)
    ifs = []
    for key in cost_keys(task, costs):
        for factor in (0.5, 2.0):
            true, truth = scaled(costs, key, factor), {key: factor}
            moved = _decision(said, task, classes, knots, true, pricing, truth)
            kept_cost = mean_cost(y, answer, decision, true, pricing, actual=moved)
            moved_cost = mean_cost(y, answer, moved, true, pricing)
            if kept_cost is not None and moved_cost is not None:
                ifs.append(CostIf(key=key, factor=factor, kept=kept_cost, moved=moved_cost))
    return Decided(decision, mean_cost(y, answer, decision, costs, pricing), best, best_cost, gain, tuple(ifs))


def _decision(
    said: Floats,
    task: Task,
    classes: tuple[str, ...],
    knots: Knots,
    costs: Costs,
    pricing: Pricing,
    factors: Mapping[str, float] | None = None,
) -> Decision:
    """What to decide by, if these are the costs.

    Parameters
    ----------
    said : what the package says of the rows, by which a capacity is shared out
    factors : of the costs that rows say themselves
    """
    if task == "regression":
        return Decision(task=task)
    of_rows = factors if factors and any(key in factors for key, _ in costs.amounts) else None
    matrix = cost_matrix(task, classes, costs)
    amounts = row_amounts(task, classes, costs, pricing, of_rows)
    if task == "multiclass":
        reject = costs.reject if matrix else None
        return Decision(task=task, classes=classes, knots=knots, cost_matrix=matrix, amounts=amounts, reject=reject)
    typical = {(amount.truth, amount.predicted): amount.otherwise for amount in amounts}
    threshold = elkan_threshold(typical.get((0, 1), matrix[0][1]), typical.get((1, 0), matrix[1][0]))
    if not amounts and costs.reject is None:
        least = threshold if pricing.share is None else capped(said, pricing.share, threshold)
        if least <= 1.0:  # else too many are sure: no threshold leaves them out, but a least benefit does
            return Decision(task=task, classes=classes, knots=knots, threshold=least)
    decision = Decision(
        task=task,
        classes=classes,
        knots=knots,
        threshold=threshold,
        cost_matrix=matrix,
        amounts=amounts,
        reject=costs.reject,
    )
    if pricing.share is None:
        return decision
    decider, own = Decider(decision), pricing.of(decision)
    benefit = np.where(decider.reviews(said, own), -1.0, decider.benefits(said, own))
    return msgspec.structs.replace(decision, least_benefit=capped(benefit, pricing.share, 0.0))


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
    highest = float(probability.max())
    if highest < 1.0:  # a threshold that no row reaches
        hits, acted, cuts = np.append(0.0, hits), np.append(0.0, acted), np.append((1.0 + highest) / 2.0, cuts)
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
