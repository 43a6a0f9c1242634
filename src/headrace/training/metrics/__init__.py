"""Metrics of probabilities, decisions and values, with weights and bootstrap intervals.

A metric is prepared once (sorting is the costly part) and then asked for many weightings of the same rows, so that 200
bootstrap replicates of all metrics on 100,000 rows take a few seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from headrace.definition.grammar_metrics import PINBALL
from headrace.definition.model import Task, Training
from headrace.training.errors import UnknownMetric
from headrace.training.metrics import decisions, probabilities, ranking, values
from headrace.training.metrics.basis import Floats, Weighted, class_rankings, mean_of, table
from headrace.training.metrics.basis import ranking as ranked

__all__ = [
    "DEFAULT_METRIC",
    "METRICS",
    "Floats",
    "Metric",
    "Spread",
    "Weighted",
    "asked_metric",
    "bootstrap_weights",
    "intervals_of",
    "mean_of",
    "measure",
    "metric_of",
    "metrics_of",
    "plain_decisions",
    "prepare_all",
    "spread_of",
]

Kind = Literal["ranking", "probabilities", "decisions", "values"]
Key = TypeVar("Key", bound=Hashable)


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
    kind: Kind
    says: str
    """In a few words, for people."""
    basis: Callable[[NDArray[Any], NDArray[Any]], Callable[[Floats], Any]]
    """(y, answer) to what the metric is computed from, by the rows' weights; metrics of one basis share it."""
    of_basis: Callable[[Any], float]

    @property
    def of(self) -> Literal["score", "decision"]:
        """What is measured: probabilities and values, or the decisions made from them."""
        return "decision" if self.kind == "decisions" else "score"

    @property
    def sign(self) -> float:
        """Times the value: higher is better."""
        return 1.0 if self.higher_is_better else -1.0

    def prepare(self, y: NDArray[Any], answer: NDArray[Any]) -> Weighted:
        """`y` has the shape (n,); `answer` (n,) or (n, k) for scores, (n,) codes for decisions."""
        return self.on(self.basis(y, answer))

    def on(self, basis: Callable[[Floats], Any]) -> Weighted:
        """The metric on a basis that is there already."""
        return lambda weights: self.of_basis(basis(weights))

    def value(self, y: NDArray[Any], answer: NDArray[Any]) -> float:
        """The metric with equal weights."""
        return self.prepare(y, answer)(np.ones(len(y)))


DEFAULT_METRIC: Mapping[Task, str] = {
    "binary": "average_precision",
    "multiclass": "log_loss",
    "regression": "rmse",
}


def metric_of(name: str | None, task: Task) -> Metric:
    """The metric of that name, or the task's default; raises `UnknownMetric`.

    Examples
    --------
    >>> metric_of("pinball_97.5", "regression").says
    'pinball loss of the 97.5 % quantile'
    """
    name = DEFAULT_METRIC[task] if name is None else name
    metric = METRICS.get(name)
    if metric is None and re.fullmatch(PINBALL, name) and 0 < float(name.removeprefix("pinball_")) < 100:
        metric = _pinball(name.removeprefix("pinball_"))
    if metric is None or task not in metric.tasks:
        raise UnknownMetric(name, task=task, known=[m.name for m in metrics_of(task)])
    return metric


def asked_metric(training: Training, task: Task) -> Metric:
    """What candidates are measured by: as said, else what the objective is, else the task's default."""
    return metric_of(training.metric or training.objective.metric, task)


def metrics_of(task: Task) -> list[Metric]:
    """Every metric of a task."""
    return [metric for metric in METRICS.values() if task in metric.tasks]


def prepare_all(
    metrics: Sequence[Metric], y: NDArray[Any], score: NDArray[Any], decided: NDArray[Any]
) -> dict[str, Weighted]:
    """Every metric on the same rows, by name; those of one basis share it."""
    bases: dict[Any, Callable[[Floats], Any]] = {}
    prepared: dict[str, Weighted] = {}
    for metric in metrics:
        if metric.basis not in bases:
            bases[metric.basis] = metric.basis(y, score if metric.of == "score" else decided)
        prepared[metric.name] = metric.on(bases[metric.basis])
    return prepared


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


_BINARY: frozenset[Task] = frozenset({"binary"})
_SEVERAL: frozenset[Task] = frozenset({"multiclass"})
_CLASSES: frozenset[Task] = _BINARY | _SEVERAL
_VALUES: frozenset[Task] = frozenset({"regression"})


def _itself(value: float) -> float:
    return value


def _order(name: str, says: str, of: Callable[[Any], float]) -> Metric:
    return Metric(name, _BINARY, True, "ranking", says, ranked, of)


def _choice(name: str, says: str, of: Callable[[Any], float], tasks: frozenset[Task] = _BINARY) -> Metric:
    return Metric(name, tasks, True, "decisions", says, table, of)


def _chance(name: str, says: str, of: Any, tasks: frozenset[Task], *, higher: bool = False) -> Metric:
    return Metric(name, tasks, higher, "probabilities", says, of, _itself)


def _size(name: str, says: str, of: Any, *, higher: bool = False) -> Metric:
    return Metric(name, _VALUES, higher, "values", says, of, _itself)


def _pinball(percent: str) -> Metric:
    return _size(
        f"pinball_{percent}", f"pinball loss of the {percent} % quantile", values.pinball(float(percent) / 100)
    )


_FIRST = (1, 5, 10)
"""Percents of the rows, of highest score, that are looked at."""
_TABLE = (
    _order("average_precision", "mean precision over the positives, each at its place", ranking.average_precision),
    _order("roc_auc", "how often a positive is ranked before a negative", ranking.roc_auc),
    _chance(
        "log_loss",
        "minus the mean logarithm of the probability given to what happened",
        probabilities.log_loss,
        _CLASSES,
    ),
    _chance("brier", "mean squared distance of the probabilities from what happened", probabilities.brier, _CLASSES),
    _chance(
        "brier_skill",
        "by how much the Brier score is below that of the prevalence alone",
        probabilities.brier_skill,
        _BINARY,
        higher=True,
    ),
    _order("gini", "2 AUC − 1", ranking.gini),
    _order("ks", "largest gap between the shares of positives and of negatives found", ranking.ks),
    *(
        _order(f"precision_at_{k}", f"share of positives among the first {k} %", ranking.precision_at(k / 100))
        for k in _FIRST
    ),
    *(
        _order(f"recall_at_{k}", f"share of the positives that the first {k} % hold", ranking.recall_at(k / 100))
        for k in _FIRST
    ),
    _order("lift_at_10", "positives in the first 10 %, times what chance gives", ranking.lift_at(0.1)),
    *(
        _order(
            f"recall_at_precision_{p}",
            f"largest recall of a threshold with precision {p} % or more",
            ranking.recall_at_precision(p / 100),
        )
        for p in (50, 80, 90)
    ),
    Metric(
        "macro_roc_auc",
        _SEVERAL,
        True,
        "ranking",
        "mean AUC of each class against the rest",
        class_rankings,
        ranking.macro_roc_auc,
    ),
    _choice("accuracy", "share of right decisions", decisions.accuracy, _CLASSES),
    _choice("balanced_accuracy", "mean recall over the classes", decisions.balanced_accuracy, _CLASSES),
    _choice("macro_f1", "mean F1 over the classes", decisions.macro_f1, _CLASSES),
    _choice("weighted_f1", "mean F1 over the classes, by how frequent each is", decisions.weighted_f1, _SEVERAL),
    _choice("macro_precision", "mean precision over the classes", decisions.macro_precision, _SEVERAL),
    _choice("mcc", "Matthews' correlation of truth and decision", decisions.mcc, _CLASSES),
    _choice("kappa", "Cohen's: agreement beyond chance", decisions.kappa, _CLASSES),
    *(
        _chance(
            f"top_{k}_accuracy",
            f"share of rows whose class is among the {k} most probable",
            probabilities.top(k),
            _SEVERAL,
            higher=True,
        )
        for k in (2, 3, 5)
    ),
    _choice("precision", "share of positives among the rows acted on", decisions.precision),
    _choice("recall", "share of the positives that are acted on", decisions.recall),
    _choice("specificity", "share of the negatives that are let pass", decisions.specificity),
    _choice("npv", "share of negatives among the rows let pass", decisions.npv),
    _choice("f1", "harmonic mean of precision and recall", decisions.f_beta(1.0)),
    _choice("f2", "the same, recall counting twice", decisions.f_beta(2.0)),
    _size("rmse", "root of the mean squared error", values.rmse),
    _size("mae", "mean absolute error", values.mae),
    _size("r2", "share of the label's variance that is explained", values.r2, higher=True),
    _size("median_absolute_error", "half of the errors are smaller", values.median_absolute_error),
    _size("mape", "mean absolute error as a share of the label; undefined when a label is 0", values.mape),
    _size("smape", "mean absolute error as a share of the mean of label and prediction", values.smape),
    _size("wape", "sum of absolute errors as a share of the sum of the labels' sizes", values.wape),
    _size("rmsle", "root of the mean squared difference of ln(1 + x); of labels from 0 on", values.rmsle),
    *(_pinball(percent) for percent in ("10", "50", "90")),
    _size("poisson_deviance", "for counts: labels from 0 on, predictions above 0", values.poisson_deviance),
    _size("tweedie_deviance", "of power 1.5, for amounts that are often 0", values.tweedie_deviance),
    _size("gamma_deviance", "for amounts above 0", values.gamma_deviance),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _TABLE}
