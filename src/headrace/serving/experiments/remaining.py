"""How long an experiment will still take, if arms differ as they seem to now and entities come as they have."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.serving.experiments.compare import Compared
from headrace.serving.experiments.confidence import Estimate, interval
from headrace.serving.experiments.model import Plan

MOST_TIMES = 1e6
"""Times the entities so far, beyond which no answer is given."""


def days_left(found: Sequence[Compared], plan: Plan, days: int) -> float | None:
    """Until the first arm is told apart, or all are known to be the same; at most until the plan's end.

    Parameters
    ----------
    days : of outcomes so far, which the pace is taken from

    Returns
    -------
    None where nothing is known yet, or the arms seem equal and every difference matters.
    """
    if days == 0:
        return None if plan.most_days is None else float(plan.most_days)
    alpha = plan.alpha / max(1, len(found))
    estimates = [one.estimate for one in found if one.estimate is not None]
    left = [(_entities_left(estimate, alpha, plan), estimate.n / days) for estimate in estimates]
    soonest = min((entities / a_day for entities, a_day in left if entities is not None), default=None)
    if plan.most_days is None:
        return soonest
    end = float(max(0, plan.most_days - days))
    return end if soonest is None else min(soonest, end)


def _entities_left(estimate: Estimate, alpha: float, plan: Plan) -> float | None:
    """Further entities until the sequence is as narrow as the difference is large."""
    if estimate.variance <= 0.0:
        return None
    wanted = max(abs(estimate.value), plan.worth - abs(estimate.value))
    if wanted <= 0.0:
        return None

    def half(times: float) -> float:
        later = Estimate(0.0, estimate.variance / times, estimate.n * times)
        return interval(later, alpha=alpha, best_at=plan.best_at).high

    low, high = 1.0, MOST_TIMES
    if half(high) > wanted:
        return None
    for _ in range(60):
        middle = (low * high) ** 0.5
        if half(middle) > wanted:
            low = middle
        else:
            high = middle
    return estimate.n * (high - 1.0)
