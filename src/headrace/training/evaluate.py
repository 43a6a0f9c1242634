"""The one look at the holdout, made with the compiled model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Costs, Task
from headrace.scoring.decision import Decider
from headrace.scoring.graph import Graph
from headrace.scoring.model import Decision
from headrace.training.calibration import decisions, row_costs
from headrace.training.curves import curves_of
from headrace.training.errors import PackageDisagrees
from headrace.training.measure import agreement_limit
from headrace.training.metrics import (
    Metric,
    Weighted,
    bootstrap_weights,
    interval_of,
    mean_of,
    metric_of,
    metrics_of,
)
from headrace.training.model import Evaluation, Importance, Interval

Floats = NDArray[np.float64]

REPLICATES = 300
IMPORTANCE_REPLICATES = 100
IMPORTANCE_ROWS = 20_000
IMPORTANCE_CELLS = 50_000_000
"""Rows are further limited so that rows x columns x columns, what shuffling each column costs, stays below this."""
FEWEST_IMPORTANCE_ROWS = 200


@dataclass(frozen=True, slots=True)
class Holdout:
    """The holdout as the compiled model sees it."""

    X: NDArray[np.float32]
    """Encoded rows."""
    y: NDArray[Any]
    library: Floats
    """The library's answers to X, before calibration."""
    features: Sequence[str]
    """Names of the columns of X."""


def evaluate(
    holdout: Holdout,
    onnx: bytes,
    decision: Decision,
    *,
    metric: str | None,
    costs: Costs | None,
    label_spread: float,
    seed: int = 0,
) -> Evaluation:
    """Measure the compiled model on the holdout.

    Parameters
    ----------
    metric : what importances are measured by; None: the task's default
    label_spread : standard deviation of the training label; values must agree to 1e-5 of it
    seed : of the bootstrap and the shuffling

    Raises
    ------
    PackageDisagrees : the graph differs from the library beyond the limit: it must not be registered.
    """
    task = decision.task
    graph, decider = Graph(onnx), Decider(decision)
    raw = graph.raw(holdout.X)
    difference = float(np.max(np.abs(raw.astype(np.float64) - holdout.library), initial=0.0))
    limit = agreement_limit(task, label_spread)
    if not difference <= limit:  # also when either has a NaN
        raise PackageDisagrees(difference=difference, limit=limit, rows=len(raw))
    answer = decider.probabilities(raw)
    y = holdout.y
    decided = answer if task == "regression" else decisions(answer, decision)
    weights = bootstrap_weights(len(y), replicates=REPLICATES, seed=seed)
    costs_each = row_costs(y, answer, decision, costs)
    return Evaluation(
        task=task,
        rows=len(y),
        prevalence=float(np.mean(y)) if task == "binary" else None,
        metrics=_metrics(task, y, answer, decided, weights),
        threshold=decision.threshold,
        error_cost=None
        if costs_each is None
        else interval_of("error_cost", mean_of(costs_each), weights, higher_is_better=False),
        confusion=() if task == "regression" else confusion(y, decided, max(len(decision.classes), 2)),
        curves=curves_of(task, y, answer, costs),
        importances=_importances(
            holdout, lambda X: decider.probabilities(graph.raw(X)), decision, metric_of(metric, task), seed=seed
        ),
        agreement=difference,
        agreement_limit=limit,
    )


def confusion(y: NDArray[Any], decided: NDArray[Any], n_classes: int) -> tuple[tuple[int, ...], ...]:
    """Rows by (truth, decision)."""
    table = np.bincount(y * n_classes + decided, minlength=n_classes * n_classes).reshape(n_classes, n_classes)
    return tuple(tuple(row) for row in table.tolist())


def _metrics(
    task: Task, y: NDArray[Any], answer: Floats, decided: NDArray[Any], weights: NDArray[np.uint16]
) -> tuple[Interval, ...]:
    """Every metric of the task that is defined on these rows."""
    found = (
        interval_of(
            metric.name,
            metric.prepare(y, answer if metric.of == "score" else decided),
            weights,
            higher_is_better=metric.higher_is_better,
        )
        for metric in metrics_of(task)
    )
    return tuple(interval for interval in found if np.isfinite(interval.value))


def _importances(
    holdout: Holdout, predict: Callable[[NDArray[np.float32]], Floats], decision: Decision, metric: Metric, *, seed: int
) -> tuple[Importance, ...]:
    """How much the metric falls when one column is shuffled, greatest first, with 95 % bootstrap intervals.

    Breiman, "Random Forests", Machine Learning 45, 2001. A column that another one repeats looks unimportant here.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    n, width = holdout.X.shape
    most = min(IMPORTANCE_ROWS, max(FEWEST_IMPORTANCE_ROWS, IMPORTANCE_CELLS // width**2))
    rows = np.sort(rng.permutation(n)[:most])
    X, y = holdout.X[rows], holdout.y[rows]
    weights = bootstrap_weights(len(rows), replicates=IMPORTANCE_REPLICATES, seed=seed).astype(np.float64)

    def prepared(answer: Floats) -> Weighted:
        return metric.prepare(
            y, answer if metric.of == "score" or decision.task == "regression" else decisions(answer, decision)
        )

    whole = prepared(predict(X))
    ones = np.ones(len(rows))
    level = whole(ones)
    if not np.isfinite(level):
        return ()
    base = np.array([whole(row) for row in weights])
    found = []
    for place, name in enumerate(holdout.features):
        column = X[:, place].copy()
        X[:, place] = column[rng.permutation(len(rows))]
        shuffled = prepared(predict(X))
        X[:, place] = column
        drops = metric.sign * (base - np.array([shuffled(row) for row in weights]))
        drops = drops[np.isfinite(drops)]
        drop = metric.sign * (level - shuffled(ones))
        low, high = np.quantile(drops, [0.025, 0.975]) if len(drops) else (drop, drop)
        found.append(Importance(feature=name, drop=drop, low=float(low), high=float(high)))
    return tuple(sorted(found, key=lambda importance: (-importance.drop, importance.feature)))
