"""[training] as read → what is learnt, what it is measured by, and how candidates are searched."""

from __future__ import annotations

import re

import msgspec

from headrace.definition.document import At, shown
from headrace.definition.grammar_metrics import METRICS, PINBALL
from headrace.definition.kinds import Fields
from headrace.definition.model import Costs, Objective, Project, Training


def build_training(fields: Fields, project: Project, costs: Costs | None) -> Training:
    """[training]; `costs` may say which quantile is wanted."""
    objective = _objective(fields, costs)
    task = project.task
    if objective.kind != "mean" and task in ("binary", "multiclass"):
        fields.at.key("objective").wrong(
            f"the task is {task}, and {objective.kind} is an objective of values",
            expected='[project] task = "regression"',
            found=f'"{task}"',
            fix="take `objective` and `quantile` out, or correct the task",
        )
    metric = fields.get("metric")
    if metric is not None:
        _check_metric(metric, "regression" if objective.kind != "mean" else task, fields.at)
    return Training(
        objective=objective,
        **fields.only("families", "search", "budget", "imbalance", "metric", "refit", "seed", "threads"),
    )


def asked_for(project: Project, training: Training) -> Project:
    """The project, whose label is a number where the objective is one of values."""
    if training.objective.kind == "mean" or project.task is not None:
        return project
    return msgspec.structs.replace(project, task="regression")


def _objective(fields: Fields, costs: Costs | None) -> Objective:
    kind, quantile, at = fields.get("objective"), fields.get("quantile"), fields.at
    if quantile is not None and kind is None:
        kind = "quantile"
    if quantile is not None and kind != "quantile":
        at.key("quantile").wrong(
            "`quantile` is for that objective",
            expected='objective = "quantile"',
            found=f'objective = "{kind}"',
            fix="take one of the two out",
        )
    if kind == "quantile" and quantile is None and not at.key("quantile").is_broken:
        if costs is not None and costs.over and costs.under:
            quantile = costs.under / (costs.over + costs.under)
        else:
            at.missing(
                "quantile",
                expected="the share of labels that is to lie below the answer, such as 0.9",
                fix="write quantile = 0.9, or say in [costs] what a unit `over` and a unit `under` cost",
            )
    return Objective(kind=kind or "mean", quantile=quantile if kind == "quantile" else None)


def _check_metric(metric: str, task: str | None, at: At) -> None:
    if task is None or metric in METRICS[task] or (task == "regression" and re.fullmatch(PINBALL, metric)):
        return
    at.key("metric").wrong(
        f"the metric does not fit the task {task}",
        expected=", ".join(f'"{name}"' for name in METRICS[task]),
        found=shown(metric),
        fix="use one of these",
    )
