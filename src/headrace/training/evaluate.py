"""The one look at the holdout, made with the compiled model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Costs, EvaluationPlan
from headrace.scoring.decision import Decider
from headrace.scoring.graph import Graph
from headrace.scoring.model import Decision
from headrace.training.curves import curves_of
from headrace.training.effects import sampled_effects
from headrace.training.errors import PackageDisagrees
from headrace.training.families.labels import quantile_of
from headrace.training.measure import agreement_limit, difference, estimated_us
from headrace.training.metrics import (
    Metric,
    Weighted,
    bootstrap_weights,
    intervals_of,
    mean_of,
    metric_of,
    metrics_of,
    prepare_all,
    spread_of,
)
from headrace.training.metrics.values import pinball
from headrace.training.model import Below, Coverage, Effects, Evaluation, Fairness, Importance, Interval, Segments
from headrace.training.pricing import Pricing, decisions, row_costs
from headrace.training.segments import by_segment, fairness_of

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Predict = Callable[[NDArray[np.float32]], Floats]

MOST_REPLICATES = 300
FEWEST_REPLICATES = 60
REPLICATED_ROWS = 15_000_000
"""Rows over all replicates: the intervals of a large holdout are narrow, and need not be exact."""
IMPORTANCE_REPLICATES = 100
IMPORTANCE_ROWS = 10_000
IMPORTANCE_CELLS = 50_000_000
"""Rows are further limited so that rows x columns x columns, what shuffling each column costs, stays below this."""
FEWEST_IMPORTANCE_ROWS = 200
MOST_SHUFFLED = 400
"""Columns that are shuffled one by one."""


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
    pricing: Pricing = field(default_factory=Pricing)
    """The rows' own amounts."""


def evaluate(
    holdout: Holdout,
    onnx: bytes,
    decision: Decision,
    *,
    metric: str | None,
    costs: Costs | None,
    label_spread: float,
    quantile: float | None = None,
    seed: int = 0,
    beside: pl.DataFrame | None = None,
    plan: EvaluationPlan | None = None,
    effects: Effects | None = None,
) -> Evaluation:
    """Measure the compiled model on the holdout.

    Parameters
    ----------
    metric : what importances are measured by; None: the task's default
    label_spread : standard deviation of the training label; values must agree to 1e-5 of it
    quantile : which one the model answers; None: a mean
    seed : of the bootstrap and the shuffling
    beside, plan : the columns that the plan names, by the holdout's rows
    effects : those that the model's library gives; None: they are estimated

    Raises
    ------
    PackageDisagrees : the graph differs from the library beyond the limit: it must not be registered.
    """
    task = decision.task
    graph, decider = Graph(onnx), Decider(decision)
    raw = graph.raw(holdout.X)
    off, limit = difference(raw, holdout.library), agreement_limit(task, label_spread)
    if not off <= limit:  # also when either has a NaN
        raise PackageDisagrees(difference=off, limit=limit, rows=len(raw))
    answer = decider.probabilities(raw)
    y = holdout.y
    decided = answer if task == "regression" else decisions(answer, decision, holdout.pricing.of(decision))
    asked = metric_of(metric, task)
    metrics, error_cost, coverage = _measured(y, answer, decided, decision, asked, costs, holdout.pricing, seed=seed)
    segments: tuple[Segments, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    if plan is not None and beside is not None:
        segments = tuple(by_segment(beside[name], task, y, answer, decided, seed=seed) for name in plan.segments)
        if task == "binary":
            fairness = tuple(fairness_of(beside[name], y, answer, decided, seed=seed) for name in plan.fairness)

    def predict(X: NDArray[np.float32]) -> Floats:
        return decider.probabilities(graph.raw(X))

    importances = _importances(holdout, answer, predict, decision, asked, seed=seed)
    if effects is None:
        named = [importance.feature for importance in importances] or holdout.features
        effects = sampled_effects(
            predict,
            holdout.X,
            holdout.features,
            task,
            named,
            row_us=estimated_us(onnx),
            seed=seed,
        )
    return Evaluation(
        task=task,
        rows=len(y),
        prevalence=float(np.mean(y)) if task == "binary" else None,
        positive=positive_of(decision),
        metrics=metrics,
        threshold=None if decision.cost_matrix else decision.threshold,
        error_cost=error_cost,
        reviewed=_reviewed(answer, decision, holdout.pricing),
        confusion=() if task == "regression" else confusion(y, decided, max(len(decision.classes), 2)),
        curves=curves_of(
            task,
            y,
            answer,
            None if decision.cost_matrix else costs,
            threshold=None if decision.cost_matrix else decision.threshold,
            classes=decision.classes,
        ),
        importances=importances,
        effects=effects,
        agreement=off,
        agreement_limit=limit,
        coverage=coverage,
        below=None if quantile is None else _below(y, answer, quantile, seed=seed),
        segments=segments,
        fairness=fairness,
    )


def positive_of(decision: Decision) -> str | None:
    """The class that a probability is of, where it has a name: a text or a number, not simply true."""
    named = decision.task == "binary" and decision.classes[1:] not in ((), ("true",))
    return decision.classes[1] if named else None


def _reviewed(answer: Floats, decision: Decision, pricing: Pricing) -> float | None:
    if decision.reject is None:
        return None
    return float(Decider(decision).reviews(answer, pricing.of(decision)).mean())


def confusion(y: NDArray[Any], decided: NDArray[Any], n_classes: int) -> tuple[tuple[int, ...], ...]:
    """Rows by (truth, decision)."""
    table = np.bincount(y * n_classes + decided, minlength=n_classes * n_classes).reshape(n_classes, n_classes)
    return tuple(tuple(row) for row in table.tolist())


def _measured(
    y: NDArray[Any],
    answer: Floats,
    decided: NDArray[Any],
    decision: Decision,
    asked: Metric,
    costs: Costs | None,
    pricing: Pricing,
    *,
    seed: int,
) -> tuple[tuple[Interval, ...], Interval | None, Coverage | None]:
    """Every metric of the task that is defined on these rows, the one that was searched by first; what errors cost; and
    how often the truth was held."""
    metrics = [asked, *(metric for metric in metrics_of(decision.task) if metric.name != asked.name)]
    measured = prepare_all(metrics, y, answer, decided)
    priced = row_costs(y, answer, decision, costs, pricing)
    if priced is not None:
        measured["error_cost"] = mean_of(priced)
    uncertain = _uncertain(y, answer, decision)
    measured |= {name: mean_of(each) for name, each in uncertain.items()}
    replicates = min(max(REPLICATED_ROWS // len(y), FEWEST_REPLICATES), MOST_REPLICATES)
    spreads = intervals_of(measured, len(y), replicates=replicates, seed=seed)
    higher = {m.name: m.higher_is_better for m in metrics}
    found = {
        name: Interval(name=name, **spread._asdict(), higher_is_better=higher.get(name, False))
        for name, spread in spreads.items()
        if np.isfinite(spread.value)
    }
    error_cost = found.pop("error_cost", None)
    share, size = found.pop("coverage", None), found.pop("size", None)
    coverage = None
    if share is not None and size is not None:
        coverage = Coverage(wanted=decision.coverage or 0.0, share=share, size=size)
    return tuple(found.values()), error_cost, coverage


def _below(y: Floats, answer: Floats, quantile: float, *, seed: int) -> Below | None:
    """None when one value is right for all rows: nothing can be gained on it."""
    loss = pinball(quantile)
    own, flat = loss(y, answer), loss(y, np.full(len(y), quantile_of(y, quantile)))
    if not flat(np.ones(len(y))) > 0:
        return None
    asked = {
        "below": mean_of((y <= answer).astype(np.float64)),
        "gain": lambda w: 1.0 - own(w) / flat(w) if flat(w) > 0 else float("nan"),
    }
    share, gain = intervals_of(asked, len(y), replicates=FEWEST_REPLICATES, seed=seed).values()
    return Below(
        wanted=quantile,
        share=Interval(name="below", **share._asdict(), higher_is_better=False),
        gain=Interval(name="gain", **gain._asdict(), higher_is_better=True),
    )


def _uncertain(y: NDArray[Any], answer: Floats, decision: Decision) -> dict[str, Floats]:
    """By row whether interval or set holds the truth, and how large it is; nothing when the package gives neither."""
    uncertainty = Decider(decision).uncertainty
    if uncertainty.intervals_known:
        low, high = uncertainty.intervals(answer)
        return {"coverage": ((low <= y) & (y <= high)).astype(np.float64), "size": high - low}
    if uncertainty.sets_known:
        within = uncertainty.members(answer)
        held = within[np.arange(len(y)), y]
        return {"coverage": held.astype(np.float64), "size": within.sum(axis=1).astype(np.float64)}
    return {}


def _importances(
    holdout: Holdout, answer: Floats, predict: Predict, decision: Decision, metric: Metric, *, seed: int
) -> tuple[Importance, ...]:
    """How much the metric falls when one column is shuffled, greatest first, with 95 % bootstrap intervals.

    Breiman, "Random Forests", Machine Learning 45, 2001. A column that another one repeats looks unimportant here. Of
    more than `MOST_SHUFFLED` columns only those are asked that stand in the blocks whose shuffling moves answers most.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    n, width = holdout.X.shape
    most = min(IMPORTANCE_ROWS, max(FEWEST_IMPORTANCE_ROWS, IMPORTANCE_CELLS // width**2))
    rows = np.sort(rng.permutation(n)[:most])
    X, y, answers = holdout.X[rows], holdout.y[rows], answer[rows]
    weights = list(bootstrap_weights(len(rows), replicates=IMPORTANCE_REPLICATES, seed=seed))

    own = holdout.pricing.at(rows).of(decision)

    def prepared(answer: Floats) -> Weighted:
        return metric.prepare(
            y, answer if metric.of == "score" or decision.task == "regression" else decisions(answer, decision, own)
        )

    whole = prepared(answers)
    ones = np.ones(len(rows))
    level = whole(ones)
    if not np.isfinite(level):
        return ()
    base = np.array([whole(row) for row in weights])
    asked = _asked(X, answers, predict, rng)
    found = []
    for place in asked.tolist():
        shuffled = prepared(_shuffled(X, np.array([place]), answers, predict, rng))
        drops = metric.sign * (base - np.array([shuffled(row) for row in weights]))
        drop, low, high = spread_of(metric.sign * (level - shuffled(ones)), drops)
        found.append(Importance(feature=holdout.features[place], drop=drop, low=low, high=high))
    return tuple(sorted(found, key=lambda importance: (-importance.drop, importance.feature)))


def _shuffled(
    X: NDArray[np.float32], columns: NDArray[np.intp], answers: Floats, predict: Predict, rng: np.random.Generator
) -> Floats:
    """The answers when these columns hold other rows' values. Rows that are given what they have, as most are of a
    column of few values, keep theirs: the model, which answers a row alike in any batch, is not asked again."""
    before = X[:, columns]
    after = before[rng.permutation(len(X))]
    changed = np.flatnonzero((before.view(np.uint32) != after.view(np.uint32)).any(axis=1))
    found = answers.copy()
    if len(changed):
        rows = X[changed]
        rows[:, columns] = after[changed]
        found[changed] = predict(rows)
    return found


def _asked(X: NDArray[np.float32], answers: Floats, predict: Predict, rng: np.random.Generator) -> NDArray[np.intp]:
    """The columns whose importance is measured."""
    width = X.shape[1]
    if width <= MOST_SHUFFLED:
        return np.arange(width)
    blocks = np.array_split(np.arange(width), MOST_SHUFFLED // 2)
    moved = [float(np.abs(_shuffled(X, block, answers, predict, rng) - answers).mean()) for block in blocks]
    size = max(map(len, blocks))
    best = np.argsort(-np.array(moved), kind="stable")[: max(MOST_SHUFFLED // size, 1)]
    return np.concatenate([blocks[i] for i in np.sort(best)])
