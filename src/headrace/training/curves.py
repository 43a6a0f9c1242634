"""Pictures of the holdout as points: few enough for a page, dense where the curve bends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from headrace.definition.model import Costs, Task
from headrace.training.model import Curve

Floats = NDArray[np.float64]

MOST_POINTS = 200
BINS = 20
MOST_CLASSES = 8
"""Of several classes, the most frequent have curves of their own."""


def curves_of(
    task: Task,
    y: NDArray[Any],
    answer: Floats,
    costs: Costs | None,
    *,
    threshold: float | None = None,
    classes: Sequence[str] = (),
) -> tuple[Curve, ...]:
    """The curves of a task; none for what these rows cannot show (one class only).

    Parameters
    ----------
    threshold : binary: what the package acts from; marked on the curves
    classes : names, of several classes
    """
    if task == "regression":
        return (predicted_actual(y, answer), residuals(y, answer))
    if task == "multiclass":
        chosen = np.argmax(answer, axis=1)
        sure = answer[np.arange(len(y)), chosen]
        return (
            *class_rocs(y, answer, classes),
            calibration((chosen == y).astype(np.int64), sure, of="largest probability", share="share correct"),
        )
    found = [calibration(y, answer)]
    if 0 < y.sum() < len(y):
        found = [roc(y, answer), precision_recall(y, answer), gain(y, answer), lift(y, answer), *found]
    if costs is not None:
        found.append(cost(y, answer, costs.false_positive or 0.0, costs.false_negative or 0.0))
    if threshold is None:
        return tuple(found)
    marks = _marks(y, answer, threshold, costs)
    return tuple(replace(curve, mark=marks.get(curve.name)) for curve in found)


def _marks(y: NDArray[Any], p: Floats, threshold: float, costs: Costs | None) -> dict[str, tuple[float, float]]:
    """Where the threshold stands on each curve."""
    acted = p >= threshold
    positive, rows = float(y.sum()), float(len(y))
    hits, chosen = float(np.sum(acted & (y == 1))), float(acted.sum())
    marks: dict[str, tuple[float, float]] = {}
    if 0 < positive < rows:
        recall = hits / positive
        marks["roc"] = ((chosen - hits) / (rows - positive), recall)
        marks["gain"] = (chosen / rows, recall)
        if chosen:
            marks["precision_recall"] = (recall, hits / chosen)
            marks["lift"] = (chosen / rows, recall / (chosen / rows))
    if costs is not None:
        wrong = (costs.false_positive or 0.0) * (chosen - hits) + (costs.false_negative or 0.0) * (positive - hits)
        marks["cost"] = (threshold, wrong / rows)
    return marks


def class_rocs(y: NDArray[Any], p: Floats, classes: Sequence[str]) -> list[Curve]:
    """ROC of each class against the rest, of the `MOST_CLASSES` most frequent that some rows are of and some not."""
    counts = np.bincount(y, minlength=p.shape[1])
    asked = [code for code in np.argsort(-counts, kind="stable")[:MOST_CLASSES] if 0 < counts[code] < len(y)]
    found = []
    for code in sorted(asked):
        one = roc((y == code).astype(np.int64), p[:, code])
        found.append(replace(one, name="class_roc", of=classes[code] if classes else str(code)))
    return found


def roc(y: NDArray[Any], p: Floats) -> Curve:
    """True over false positive rate."""
    hits, acted = _counts(y, p)
    false = acted - hits
    return _curve("roc", false / false[-1], hits / hits[-1], "false positive rate", "true positive rate")


def gain(y: NDArray[Any], p: Floats) -> Curve:
    """Share of the positives found over the share of rows looked at, likeliest first."""
    hits, acted = _counts(y, p)
    return _curve("gain", acted / acted[-1], hits / hits[-1], "share of rows looked at", "share of positives found")


def lift(y: NDArray[Any], p: Floats) -> Curve:
    """How many times more positives are found than by chance, over the share of rows looked at."""
    hits, acted = _counts(y, p)
    share = acted[1:] / acted[-1]
    return _curve("lift", share, hits[1:] / hits[-1] / share, "share of rows looked at", "times what chance finds")


def precision_recall(y: NDArray[Any], p: Floats) -> Curve:
    """Precision over recall, from the first row acted on."""
    hits, acted = _counts(y, p)
    return _curve("precision_recall", hits[1:] / hits[-1], hits[1:] / acted[1:], "recall", "precision")


def calibration(
    y: NDArray[Any], p: Floats, *, of: str = "predicted probability", share: str = "observed share"
) -> Curve:
    """Observed share over mean probability in bins of equally many rows, with Wilson's intervals (JASA 1927)."""
    x, seen = _binned(p, y.astype(np.float64))
    rows = len(p) / len(x)
    square = 1.96**2
    middle = (seen + square / (2 * rows)) / (1 + square / rows)
    half = 1.96 * np.sqrt(seen * (1 - seen) / rows + square / (4 * rows**2)) / (1 + square / rows)
    curve = _curve("calibration", x, seen, of, share)
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return replace(curve, low=tuple(low.tolist()), high=tuple(high.tolist()))


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
