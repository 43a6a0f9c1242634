"""The page of a run: what was chosen, why, how good it is, and what every candidate would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from headrace.definition.model import Task
from headrace.pages.render import render
from headrace.training.automatic_model import Automatic
from headrace.training.metrics import metric_of
from headrace.training.model import Candidate, Choice, Evaluation, Interval, Trial
from headrace.training.page_charts import (
    curve_charts,
    effects_chart,
    frontier_chart,
    importance_chart,
    learning_curves,
    money_chart,
)

MAIN: Final[Mapping[Task, tuple[str, ...]]] = {
    "binary": ("average_precision", "roc_auc", "log_loss", "brier", "precision", "recall", "f1"),
    "multiclass": ("log_loss", "accuracy", "balanced_accuracy", "macro_f1", "macro_roc_auc", "kappa"),
    "regression": ("rmse", "mae", "r2", "median_absolute_error"),
}


def run_page(
    *,
    project: str,
    version: str,
    trials: Sequence[Trial],
    choice: Choice,
    evaluation: Evaluation,
    counts: Sequence[tuple[str, int]],
    classes: Sequence[str],
    automatic: Automatic | None = None,
    split: str = "",
) -> str:
    """One HTML page for a finished run.

    Parameters
    ----------
    version
        `MODEL@NUMBER`.
    counts
        Pairs (what, rows) of the frame, in the order shown.
    classes
        Names of the classes by code; empty for a regression.
    automatic
        What was tried of proposed features, if any were asked for.
    split
        How rows were divided and why, where that was looked at.
    """
    by_number = {t.number: t for t in trials}
    name = by_number[choice.trial].metric
    sign = metric_of(name, evaluation.task).sign
    words = name.replace("_", " ")
    return render(
        "training/run.html.j2",
        project=project,
        version=version,
        trials=by_number,
        others=[t for t in trials if t.state != "done"],
        choice=choice,
        chosen=next(c for c in choice.candidates if c.trial == choice.trial),
        evaluation=evaluation,
        counts=counts,
        classes=classes,
        automatic=automatic,
        split=split,
        metric=words,
        main=main_metrics(evaluation, name),
        rest=[m for m in evaluation.metrics if m not in main_metrics(evaluation, name)],
        sign=sign,
        beside=compared(choice),
        raced=[t for t in trials if t.imbalance != "none"],
        frontier=frontier_chart(choice, words, sign),
        money=money_chart(choice, words, sign),
        curves=curve_charts((*evaluation.curves, *learning_curves(evaluation))),
        importances=importance_chart(evaluation),
        effects=effects_chart(evaluation.effects),
    )


def main_metrics(evaluation: Evaluation, metric: str) -> list[Interval]:
    """The few that are looked at first: the metric that was searched by, then the task's own."""
    by_name = {m.name: m for m in evaluation.metrics}
    return [by_name[name] for name in dict.fromkeys([metric, *MAIN[evaluation.task]]) if name in by_name]


def compared(choice: Choice) -> list[tuple[str, Candidate]]:
    """The choice, and beside it the candidates that it gave up: the best, the cheapest and the quickest, each once,
    with what it is known for."""

    def total(c: Candidate) -> float:
        return 0.0 if c.money is None else c.money.total

    def serving(c: Candidate) -> float:
        return 0.0 if c.money is None else c.money.serving

    chosen = next(c for c in choice.candidates if c.trial == choice.trial)
    known = [
        ("chosen", chosen),
        ("best", min(choice.candidates, key=lambda c: (c.loss, c.trial))),
        ("cheapest", min(choice.candidates, key=lambda c: (total(c), c.trial))),
        ("quickest", min(choice.candidates, key=lambda c: (serving(c), c.trial))),
    ]
    found: dict[int, list[str]] = {}
    for what, candidate in known:
        found.setdefault(candidate.trial, []).append(what)
    by_number = {c.trial: c for c in choice.candidates}
    return [(", ".join(words), by_number[trial]) for trial, words in found.items()]
