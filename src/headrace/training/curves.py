"""Pictures of the holdout as points: few enough for a page, dense where the curve bends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Costs, Task
from headrace.training.model import Curve

Floats = NDArray[np.float64]

MOST_POINTS = 200
BINS = 20


def curves_of(task: Task, y: NDArray[Any], answer: Floats, costs: Costs | None) -> tuple[Curve, ...]:
    """The curves of a task; none for what these rows cannot show (one class only)."""
    if task == "regression":
        return (predicted_actual(y, answer), residuals(y, answer))
    if task == "multiclass":
        chosen = np.argmax(answer, axis=1)
        sure = answer[np.arange(len(y)), chosen]
        return (calibration((chosen == y).astype(np.int64), sure, of="largest probability", share="share correct"),)
    found = [calibration(y, answer)]
    if 0 < y.sum() < len(y):
        found = [roc(y, answer), precision_recall(y, answer), *found]
    if costs is not None:
        found.append(cost(y, answer, costs.false_positive or 0.0, costs.false_negative or 0.0))
    return tuple(found)


def roc(y: NDArray[Any], p: Floats) -> Curve:
    """True over false positive rate."""
    hits, acted = _counts(y, p)
    false = acted - hits
    return _curve("roc", false / false[-1], hits / hits[-1], "false positive rate", "true positive rate")


def precision_recall(y: NDArray[Any], p: Floats) -> Curve:
    """Precision over recall, from the first row acted on."""
    hits, acted = _counts(y, p)
    return _curve("precision_recall", hits[1:] / hits[-1], hits[1:] / acted[1:], "recall", "precision")


def calibration(
    y: NDArray[Any], p: Floats, *, of: str = "predicted probability", share: str = "observed share"
) -> Curve:
    """Observed share over mean probability in bins of equally many rows."""
    x, seen = _binned(p, y.astype(np.float64))
    return _curve("calibration", x, seen, of, share)


def cost(y: NDArray[Any], p: Floats, false_positive: float, false_negative: float) -> Curve:
    """Mean cost of errors over the threshold; denser at the low thresholds that rare positives need."""
    thresholds = np.linspace(0.0, 1.0, MOST_POINTS) ** 2
    ordered = np.sort(p)
    positive = np.sort(p[y == 1])
    missed = np.searchsorted(positive, thresholds, side="left")
    acted = len(p) - np.searchsorted(ordered, thresholds, side="left")
    false = acted - (len(positive) - missed)
    mean = (false_positive * false + false_negative * missed) / len(p)
    return _curve("cost", thresholds, mean, "threshold", "cost of one prediction")


def predicted_actual(y: Floats, value: Floats) -> Curve:
    """Mean label over mean prediction in bins of equally many rows."""
    x, seen = _binned(value, y)
    return _curve("predicted_actual", x, seen, "predicted", "actual")


def residuals(y: Floats, value: Floats) -> Curve:
    """Share of rows over prediction minus label; the outermost percents are in the outermost bins."""
    error = value - y
    low, high = np.quantile(error, [0.01, 0.99])
    edges = np.linspace(low, high, BINS + 1) if low < high else np.array([low - 0.5, low + 0.5])
    share = np.histogram(np.clip(error, edges[0], edges[-1]), edges)[0] / len(error)
    return _curve("residuals", (edges[:-1] + edges[1:]) / 2, share, "predicted minus actual", "share of rows")


def _counts(y: NDArray[Any], p: Floats) -> tuple[Floats, Floats]:
    """Positives and rows acted on, for every threshold from above all rows down, thinned."""
    order = np.argsort(-p, kind="stable")
    ordered = p[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    hits = np.append(0.0, np.cumsum(y[order] == 1)[ends])
    acted = np.append(0.0, ends + 1.0)
    if len(hits) > MOST_POINTS:
        # half the points evenly along the positives, half along the rows: both axes stay smooth
        along = [np.linspace(0.0, counts[-1], MOST_POINTS // 2) for counts in (hits, acted)]
        kept = np.unique(np.concatenate([np.searchsorted(hits, along[0]), np.searchsorted(acted, along[1])]))
        kept = np.union1d(kept, [0, 1, len(hits) - 1])
        hits, acted = hits[kept], acted[kept]
    return hits, acted


def _binned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, min(BINS, len(x)))
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def _curve(name: Any, x: Floats, y: Floats, x_label: str, y_label: str) -> Curve:
    return Curve(name=name, x=tuple(x.tolist()), y=tuple(y.tolist()), x_label=x_label, y_label=y_label)
