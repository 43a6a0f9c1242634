"""A strategy against imbalance beside the same model without it: adopted only where it wins beyond chance.

Both are judged as they would be used: calibrated out of fold, with the threshold that the costs ask for (or, without
costs, by the metric). Sampling and weighting rarely win then; at a threshold of 0.5 without calibration they seem to.
van den Goorbergh et al., "The harm of class imbalance corrections for risk prediction models", JAMIA 29(9), 2022;
Elor and Averbuch-Elor, "To SMOTE, or not to SMOTE?", arXiv:2201.08528.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Costs
from headrace.scoring.model import Decision
from headrace.training.answers import Answers
from headrace.training.data import Examples
from headrace.training.maps import calibrate
from headrace.training.metrics import Metric, Spread, bootstrap_weights, plain_decisions, spread_of
from headrace.training.model import Race
from headrace.training.pricing import pricing_of, row_costs

REPLICATES: Final = 200
MOST_ROWS: Final = 20_000
"""Rows, evenly spaced, that the interval of a metric is drawn from; of costs all rows count."""


def race(
    examples: Examples,
    metric: Metric,
    costs: Costs | None,
    *,
    against: int,
    plain: tuple[Answers, Decision],
    other: tuple[Answers, Decision],
    seed: int,
) -> Race:
    """What `other` saves or gains beside `plain`, on the same rows out of fold.

    Parameters
    ----------
    against : the number of the plain trial
    plain, other : out-of-fold answers, and the decision fitted on them
    """
    y = examples.y[plain[0].rows]
    before, after = (_calibrated(examples, y, answers) for answers, _ in (plain, other))
    pricing = pricing_of(examples, costs).at(plain[0].rows)
    spent = row_costs(y, before, plain[1], costs, pricing)
    spends = row_costs(y, after, other[1], costs, pricing)
    if spent is not None and spends is not None:
        saved = spent - spends
        error = float(saved.std(ddof=1) / np.sqrt(len(saved)))
        mean = float(saved.mean())
        spread, measure = Spread(mean, mean - 1.96 * error, mean + 1.96 * error), "cost"
    else:
        spread, measure = _gain(metric, y, before, after, examples, seed), metric.name
    return Race(
        against=against, measure=measure, won=spread.value, low=spread.low, high=spread.high, adopted=spread.low > 0
    )


def _calibrated(examples: Examples, y: NDArray[Any], answers: Answers) -> NDArray[np.float64]:
    if examples.task == "regression":
        return answers.scores
    return calibrate(y, answers.scores, answers.fold.astype(np.intp))[1]


def _gain(
    metric: Metric, y: NDArray[Any], before: NDArray[Any], after: NDArray[Any], examples: Examples, seed: int
) -> Spread:
    rows = np.linspace(0, len(y) - 1, min(len(y), MOST_ROWS)).astype(np.intp)
    judged = [
        metric.prepare(y[rows], each[rows] if metric.of == "score" else plain_decisions(each[rows], examples.task))
        for each in (before, after)
    ]

    def gain(weights: NDArray[np.float64]) -> float:
        return metric.sign * (judged[1](weights) - judged[0](weights))

    draws = np.array([gain(row) for row in bootstrap_weights(len(rows), replicates=REPLICATES, seed=seed)])
    return spread_of(gain(np.ones(len(rows))), draws)
