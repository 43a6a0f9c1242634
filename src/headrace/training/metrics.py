"""Metrics of probabilities, decisions and values, with weights and bootstrap intervals.

A metric is prepared once (sorting is the costly part) and then asked for many weightings of the same rows, so that 300
bootstrap replicates of a ranking metric on 60,000 rows take a second or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Task
from headrace.training.errors import UnknownMetric

Floats = NDArray[np.float64]
Weighted = Callable[[Floats], float]
"""Weights of the rows, >= 0, to the metric; NaN when it is undefined (no positive row, …)."""


Key = TypeVar("Key")


class Spread(NamedTuple):
    """A value and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    tasks: frozenset[Task]
    higher_is_better: bool
    of: Literal["score", "decision"]
    """What is measured: probabilities and values, or the decisions made from them."""
    prepare: Callable[[NDArray[Any], NDArray[Any]], Weighted]
    """(y, answer): y shape (n,); answer shape (n,) or (n, k) for scores, shape (n,) codes for decisions."""

    @property
    def sign(self) -> float:
        """Times the value: higher is better."""
        return 1.0 if self.higher_is_better else -1.0

    def value(self, y: NDArray[Any], answer: NDArray[Any]) -> float:
        """The metric with equal weights."""
        return self.prepare(y, answer)(np.ones(len(y)))


DEFAULT_METRIC: Mapping[Task, str] = {
    "binary": "average_precision",
    "multiclass": "log_loss",
    "regression": "rmse",
}


def metric_of(name: str | None, task: Task) -> Metric:
    """The metric of that name, or the task's default; raises `UnknownMetric`."""
    name = DEFAULT_METRIC[task] if name is None else name
    metric = METRICS.get(name)
    if metric is None or task not in metric.tasks:
        raise UnknownMetric(name, task=task, known=[m.name for m in metrics_of(task)])
    return metric


def metrics_of(task: Task) -> list[Metric]:
    """Every metric of a task."""
    return [metric for metric in METRICS.values() if task in metric.tasks]


def plain_decisions(scores: Floats, task: Task) -> NDArray[Any]:
    """Decisions before any threshold is fitted: P >= 0.5, or the most probable class."""
    if task == "binary":
        return (scores >= 0.5).astype(np.int64)
    return np.argmax(scores, axis=1) if task == "multiclass" else scores


def measure(metric: Metric, y: NDArray[Any], scores: Floats, task: Task) -> float:
    """The metric of scores without a fitted threshold, oriented so that higher is better; NaN when undefined."""
    answer = scores if metric.of == "score" else plain_decisions(scores, task)
    return metric.sign * metric.value(y, answer)


def bootstrap_weights(n: int, *, replicates: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn: n draws with replacement for each replicate."""
    rng = np.random.Generator(np.random.PCG64(seed))
    for _ in range(replicates):
        yield np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


def intervals_of(measured: Mapping[Key, Weighted], n: int, *, replicates: int, seed: int) -> dict[Key, Spread]:
    """Values on n rows with their 95 % percentile intervals (Efron, 1979), all over the same draws.

    A replicate in which a metric is undefined does not count for it."""
    draws: dict[Key, list[float]] = {name: [] for name in measured}
    for weights in bootstrap_weights(n, replicates=replicates, seed=seed):
        for name, of in measured.items():
            draws[name].append(of(weights))
    ones = np.ones(n)
    return {name: spread_of(of(ones), np.array(draws[name])) for name, of in measured.items()}


def spread_of(value: float, draws: Floats) -> Spread:
    """A value with the 2.5 and 97.5 percentiles of its replicates."""
    finite = draws[np.isfinite(draws)]
    low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (value, value)
    return Spread(value, float(low), float(high))


# Ranking


def _ranked(y: NDArray[Any], score: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.intp]]:
    """Rows by falling score, which of them are positive, and the last place of each run of equal scores."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return order, y[order] == 1, ends


def _average_precision(y: NDArray[Any], score: Floats) -> Weighted:
    order, positive, ends = _ranked(y, score)

    def value(weights: Floats) -> float:
        w = weights[order]
        hits, total = np.cumsum(w * positive)[ends], np.cumsum(w)[ends]
        if hits[-1] <= 0:
            return float("nan")
        precision = hits / np.maximum(total, 1e-300)
        return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])

    return value


def _roc_auc(y: NDArray[Any], score: Floats) -> Weighted:
    order, positive, ends = _ranked(y, score)

    def value(weights: Floats) -> float:
        w = weights[order]
        hits, total = np.cumsum(w * positive)[ends], np.cumsum(w)[ends]
        false = total - hits
        if hits[-1] <= 0 or false[-1] <= 0:
            return float("nan")
        area = np.sum(np.diff(false, prepend=0.0) * (hits + np.append(0.0, hits[:-1])) / 2)
        return float(area / (hits[-1] * false[-1]))

    return value


# Means over rows


def mean_of(per_row: Floats, *, root: bool = False) -> Weighted:
    """The weighted mean of something that every row has, or its root."""

    def value(weights: Floats) -> float:
        mean = float(weights @ per_row / weights.sum())
        return float(np.sqrt(mean)) if root else mean

    return value


def _log_loss(y: NDArray[Any], p: Floats) -> Weighted:
    own = np.where(y == 1, p, 1.0 - p) if p.ndim == 1 else p[np.arange(len(y)), y]
    return mean_of(-np.log(np.clip(own, 1e-15, 1.0)))


def _brier(y: NDArray[Any], p: Floats) -> Weighted:
    return mean_of((p - y) ** 2)


def _rmse(y: Floats, value: Floats) -> Weighted:
    return mean_of((value - y) ** 2, root=True)


def _mae(y: Floats, value: Floats) -> Weighted:
    return mean_of(np.abs(value - y))


def _r2(y: Floats, value: Floats) -> Weighted:
    error = (value - y) ** 2

    def r2(weights: Floats) -> float:
        spread = float(weights @ (y - weights @ y / weights.sum()) ** 2)
        return 1.0 - float(weights @ error) / spread if spread > 0 else float("nan")

    return r2


# Decisions


def _by_class(y: NDArray[Any], decided: NDArray[Any], of: Callable[[Floats, Floats, Floats], float]) -> Weighted:
    """From weights of each class in (hits, truth, decided)."""
    k = int(max(y.max(initial=1), decided.max(initial=1))) + 1
    hit = y == decided

    def value(weights: Floats) -> float:
        hits, truth, chosen = (
            np.bincount(codes, w, k).astype(np.float64)
            for codes, w in ((y[hit], weights[hit]), (y, weights), (decided, weights))
        )
        return of(hits, truth, chosen)

    return value


def _macro_f1(y: NDArray[Any], decided: NDArray[Any]) -> Weighted:
    def f1(hits: Floats, truth: Floats, chosen: Floats) -> float:
        seen = truth + chosen > 0
        return float(np.mean(2 * hits[seen] / (truth + chosen)[seen]))

    return _by_class(y, decided, f1)


def _balanced_accuracy(y: NDArray[Any], decided: NDArray[Any]) -> Weighted:
    return _by_class(y, decided, lambda hits, truth, _: float(np.mean(hits[truth > 0] / truth[truth > 0])))


def _accuracy(y: NDArray[Any], decided: NDArray[Any]) -> Weighted:
    return mean_of((y == decided).astype(np.float64))


def _precision(y: NDArray[Any], decided: NDArray[Any]) -> Weighted:
    # nothing chosen: 0, so that a model that never acts is not left out of a comparison
    return _by_class(y, decided, lambda hits, _, chosen: float(hits[1] / chosen[1]) if chosen[1] > 0 else 0.0)


def _recall(y: NDArray[Any], decided: NDArray[Any]) -> Weighted:
    return _by_class(y, decided, lambda hits, truth, _: float(hits[1] / truth[1]) if truth[1] > 0 else float("nan"))


def _f1(y: NDArray[Any], decided: NDArray[Any]) -> Weighted:
    def f1(hits: Floats, truth: Floats, chosen: Floats) -> float:
        return float(2 * hits[1] / (truth[1] + chosen[1])) if truth[1] > 0 else float("nan")

    return _by_class(y, decided, f1)


def _table(rows: Sequence[Metric]) -> Mapping[str, Metric]:
    return {metric.name: metric for metric in rows}


_BINARY: frozenset[Task] = frozenset({"binary"})
_CLASSES: frozenset[Task] = frozenset({"binary", "multiclass"})
_VALUES: frozenset[Task] = frozenset({"regression"})

METRICS: Mapping[str, Metric] = _table(
    [
        Metric("average_precision", _BINARY, True, "score", _average_precision),
        Metric("roc_auc", _BINARY, True, "score", _roc_auc),
        Metric("log_loss", _CLASSES, False, "score", _log_loss),
        Metric("brier", _BINARY, False, "score", _brier),
        Metric("accuracy", _CLASSES, True, "decision", _accuracy),
        Metric("balanced_accuracy", _CLASSES, True, "decision", _balanced_accuracy),
        Metric("macro_f1", _CLASSES, True, "decision", _macro_f1),
        Metric("precision", _BINARY, True, "decision", _precision),
        Metric("recall", _BINARY, True, "decision", _recall),
        Metric("f1", _BINARY, True, "decision", _f1),
        Metric("rmse", _VALUES, False, "score", _rmse),
        Metric("mae", _VALUES, False, "score", _mae),
        Metric("r2", _VALUES, True, "score", _r2),
    ]
)
