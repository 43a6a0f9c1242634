"""What lists and comparisons show of a version, as it is kept in the catalog beside it."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.definition.model import Task
from headrace.registry.model import Version
from headrace.training.model import Choice, Evaluation, Interval


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The choice and its quality, in a few numbers. Fields that a later release adds are passed over."""

    task: Task | None = None
    family: str | None = None
    trial: int | None = None
    rule: str | None = None
    holdout_rows: int | None = None
    threshold: float | None = None
    positive: str | None = None
    """The class that a probability is of, where it has a name."""
    metric: str | None = None
    """The evaluation's first metric, with its value and 95 % interval on the holdout."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    metrics: tuple[Interval, ...] = ()
    """All of them."""
    currency: str = "USD"
    cost_per_million: float | None = None
    """Of a million predictions: errors, serving and training together."""
    costs: dict[str, float] = {}
    """The same by kind."""


def version_summary(evaluation: Evaluation, choice: Choice) -> dict[str, Any]:
    """The summary of the chosen candidate, as `Registry.register` takes it."""
    chosen = next(candidate for candidate in choice.candidates if candidate.trial == choice.trial)
    first = evaluation.metrics[0] if evaluation.metrics else None
    money = chosen.money
    summary = Summary(
        task=evaluation.task,
        family=chosen.family,
        trial=choice.trial,
        rule=choice.rule,
        holdout_rows=evaluation.rows,
        threshold=evaluation.threshold,
        positive=evaluation.positive,
        metric=None if first is None else first.name,
        value=None if first is None else first.value,
        low=None if first is None else first.low,
        high=None if first is None else first.high,
        metrics=evaluation.metrics,
        currency=choice.currency,
        cost_per_million=None if money is None else money.total,
        costs={} if money is None else msgspec.to_builtins(money),
    )
    plain: dict[str, Any] = msgspec.to_builtins(summary)
    return plain


def read_summary(version: Version) -> Summary:
    """The summary of a registered version; what an older release did not write is missing."""
    return msgspec.convert(version.summary, Summary)
