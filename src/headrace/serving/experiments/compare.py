"""Arms beside the first one: differences of cost an entity, with the covariate taken out where that is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from headrace.serving.experiments import cuped
from headrace.serving.experiments.cohorts import together
from headrace.serving.experiments.confidence import Estimate, Interval, difference, interval, p_differs
from headrace.serving.experiments.model import Cohort, Covariate, Look, Plan
from headrace.serving.model import Arm, Outcomes

UNBALANCED = 0.01
"""p-value of "the covariate is the same in all arms" below which it is not used: then the arm has moved it."""


class Compared(NamedTuple):
    """An arm's difference from the first."""

    value: float
    estimate: Estimate | None
    bounds: Interval
    p: float
    adjusted: bool


def compare(known: Sequence[Outcomes], plan: Plan) -> tuple[list[Compared], Covariate | None]:
    """Every arm after the first against it, each at α / (arms − 1), so that all hold together."""
    if len(known) < 2:
        return [], None
    alpha = plan.alpha / (len(known) - 1)
    covariate, adjusted = _covariate(known, plan)
    first = cuped.cost(known[0])
    found = []
    for place, each in enumerate(known[1:], 1):
        estimate = difference(cuped.cost(each), first)
        value = cuped.cost(each).mean - first.mean
        if adjusted is not None:
            estimate = cuped.apart(adjusted.means[place], adjusted.means[0])
            value = estimate.value
        bounds = interval(estimate, alpha=alpha, best_at=plan.best_at)
        p = min(1.0, p_differs(estimate, alpha=alpha, best_at=plan.best_at) * (len(known) - 1))
        found.append(Compared(value, estimate, bounds, p, adjusted is not None))
    return found, covariate


def _covariate(known: Sequence[Outcomes], plan: Plan) -> tuple[Covariate | None, cuped.Adjusted | None]:
    adjusted = cuped.adjust(known)
    if adjusted is None:
        return None, None
    others = [cuped.covariate(each) for each in known[1:]]
    apart = [difference(each, cuped.covariate(known[0])) for each in others]
    balance = min(1.0, len(others) * min(p_differs(each, alpha=UNBALANCED, best_at=plan.best_at) for each in apart))
    used = plan.adjust and balance >= UNBALANCED
    if used:
        words = f"what the covariate tells is taken out: {100 * adjusted.explained:.0f} % of the variance"
    elif not plan.adjust:
        words = "there is a covariate, and the plan says not to use it"
    else:
        words = f"the covariate differs between arms (p = {balance:.2g}), so the arm moves it: it is not used"
    told = Covariate(used=used, explained=adjusted.explained, balance=balance, words=words)
    return told, adjusted if used else None


def looks_of(arms: Sequence[Arm], ready: Mapping[str, Sequence[Cohort]], plan: Plan) -> tuple[Look, ...]:
    """What the differences were as each further day was mature; days on which nothing could be said are left out."""
    days = sorted({c.day for each in ready.values() for c in each})
    so_far = {arm.name: Outcomes() for arm in arms}
    by_day = {arm.name: {c.day: c.known for c in ready.get(arm.name, ())} for arm in arms}
    looks = []
    for day in days:
        for name, known in so_far.items():
            so_far[name] = together([known, by_day[name].get(day, Outcomes())])
        found, _ = compare(list(so_far.values()), plan)
        for arm, each in zip(arms[1:], found, strict=True):
            if each.estimate is None:
                continue
            low, high = (value if isfinite(value) else None for value in each.bounds)
            looks.append(
                Look(
                    day=day,
                    arm=arm.name,
                    n=so_far[arms[0].name].n + so_far[arm.name].n,
                    value=each.value,
                    low=low,
                    high=high,
                )
            )
    return tuple(looks)
