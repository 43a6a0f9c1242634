"""What lists and comparisons show of a version, as it is kept in the catalog beside it."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.definition.model import Task
from headrace.training.model import Choice, Evaluation, Interval


class CostPerMillion(msgspec.Struct, frozen=True, kw_only=True):
    """What a million predictions cost, in one currency."""

    currency: str
    errors: float
    serving: float
    training: float
    total: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The choice and its quality, in a few numbers. Fields that a later release adds are passed over."""

    task: Task | None = None
    family: str | None = None
    trial: int | None = None
    rule: str | None = None
    holdout_rows: int | None = None
    threshold: float | None = None
    metrics: tuple[Interval, ...] = ()
    cost_per_million: CostPerMillion | None = None


def version_summary(evaluation: Evaluation, choice: Choice) -> dict[str, Any]:
    """The summary of the chosen candidate, as `Registry.register` takes it."""
    chosen = next(candidate for candidate in choice.candidates if candidate.trial == choice.trial)
    cost = None
    if chosen.money is not None:
        money = chosen.money
        cost = CostPerMillion(
            currency=choice.currency,
            errors=money.errors,
            serving=money.serving,
            training=money.training,
            total=money.total,
        )
    summary = Summary(
        task=evaluation.task,
        family=chosen.family,
        trial=choice.trial,
        rule=choice.rule,
        holdout_rows=evaluation.rows,
        threshold=evaluation.threshold,
        metrics=evaluation.metrics,
        cost_per_million=cost,
    )
    plain: dict[str, Any] = msgspec.to_builtins(summary)
    return plain
