"""Whether the labels are such as the objective is for."""

from __future__ import annotations

from headrace.definition.model import Objective
from headrace.training.data import Examples
from headrace.training.errors import TargetUnusable


def check_objective(examples: Examples, objective: Objective) -> None:
    """Raise `TargetUnusable` for an objective of values and a label of classes, and for counts below 0."""
    if objective.kind != "mean" and examples.task != "regression":
        raise TargetUnusable(
            f"{examples.task}, and {objective.kind} is an objective of values",
            expected="numbers",
            fix="take `objective` and `quantile` out of [training], or write a label that is a number",
        )
    if objective.kind == "poisson" and (below := int((examples.y < 0).sum())):
        raise TargetUnusable(
            f"below 0 in {below} of {len(examples)} rows",
            expected='counts, which are 0 or more: [training] objective = "poisson"',
            fix="correct [project] label, or take `objective` out",
            rows=below,
        )
