"""From logged answers to cohorts: entities by the day they first came, their answers as one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import fsum
from typing import NamedTuple

from headrace.serving.experiments.model import DAY_US, Cohort
from headrace.serving.model import Outcomes


class Answered(NamedTuple):
    """One logged answer."""

    arm: str
    entity: Hashable
    at_us: int
    cost: float | None
    """What its decision cost in the end; None: not known yet."""
    covariate: float | None = None
    """Known before the arm was drawn."""


class Gathered(NamedTuple):
    """Cohorts of every arm, and who is in none."""

    cohorts: dict[str, list[Cohort]]
    crossed: int
    """Entities that more than one arm answered: left out, as their outcome belongs to none."""


def gather(answers: Iterable[Answered]) -> Gathered:
    """Each entity counts once, by the mean of its known costs, in the cohort of the day of its first answer.

    An entity is known when the outcome of its first answer is; later ones that are known by then count too. A missing
    covariate is taken as the mean of those that are there, so that it moves nothing.

    Examples
    --------
    >>> day = DAY_US
    >>> found = gather([Answered("a", 1, 0, 2.0), Answered("a", 1, day, 4.0), Answered("b", 2, 5, None)])
    >>> found.cohorts["a"][0].known.cost_sum, found.cohorts["b"][0].entities, found.cohorts["b"][0].known.n
    (3.0, 1, 0)
    >>> gather([Answered("a", 1, 0, 2.0), Answered("b", 1, 1, 2.0)]).crossed
    1
    """
    entities: dict[Hashable, list[Answered]] = {}
    for answer in answers:
        entities.setdefault(answer.entity, []).append(answer)
    groups: dict[tuple[str, int], list[tuple[float, float | None] | None]] = {}
    crossed = 0
    for rows in entities.values():
        if len({row.arm for row in rows}) > 1:
            crossed += 1
            continue
        first = min(rows, key=lambda row: row.at_us)
        known = [row.cost for row in rows if row.cost is not None]
        value = (fsum(known) / len(known), first.covariate) if first.cost is not None else None
        groups.setdefault((first.arm, first.at_us // DAY_US), []).append(value)
    seen = [pair[1] for group in groups.values() for pair in group if pair is not None and pair[1] is not None]
    middle = fsum(seen) / len(seen) if seen else 0.0
    cohorts: dict[str, list[Cohort]] = {}
    for (arm, day), group in sorted(groups.items()):
        pairs = [(pair[0], middle if pair[1] is None else pair[1]) for pair in group if pair is not None]
        cohorts.setdefault(arm, []).append(Cohort(day=day, entities=len(group), known=outcomes_of(pairs)))
    return Gathered(cohorts, crossed)


def outcomes_of(pairs: Sequence[tuple[float, float]]) -> Outcomes:
    """The sums of (cost, covariate) of entities."""
    return Outcomes(
        n=len(pairs),
        cost_sum=fsum(cost for cost, _ in pairs),
        cost_squares=fsum(cost * cost for cost, _ in pairs),
        covariate_sum=fsum(x for _, x in pairs),
        covariate_squares=fsum(x * x for _, x in pairs),
        product_sum=fsum(cost * x for cost, x in pairs),
    )


def together(parts: Iterable[Outcomes]) -> Outcomes:
    """The sums of several cohorts."""
    each = list(parts)
    return Outcomes(
        n=sum(part.n for part in each),
        cost_sum=fsum(part.cost_sum for part in each),
        cost_squares=fsum(part.cost_squares for part in each),
        covariate_sum=fsum(part.covariate_sum for part in each),
        covariate_squares=fsum(part.covariate_squares for part in each),
        product_sum=fsum(part.product_sum for part in each),
    )


def mature(
    cohorts: Mapping[str, Sequence[Cohort]], maturity_s: float, now_us: int
) -> tuple[dict[str, list[Cohort]], dict[str, int]]:
    """The cohorts of days whose outcomes have come, and how many entities of each arm are waiting for it."""
    ready: dict[str, list[Cohort]] = {}
    waiting: dict[str, int] = {}
    for arm, each in cohorts.items():
        ripe = [c for c in each if (c.day + 1) * DAY_US + maturity_s * 1e6 <= now_us]
        ready[arm] = sorted(ripe, key=lambda c: c.day)
        waiting[arm] = sum(c.entities for c in each) - sum(c.entities for c in ripe)
    return ready, waiting
