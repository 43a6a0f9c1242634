"""Experiments to judge: a deployment split among arms, and cohorts of simulated entities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.serving.experiments.model import DAY_US, Cohort
from headrace.serving.model import Counts, Deployment, Outcomes, Served
from headrace.serving.revisions import Change, begin, deploy_split

START = 20_000
"""The first day."""


def version(number: int) -> Served:
    return Served(model="delays", version=number, package=f"{number:064x}")


def split(weights: Sequence[float] = (0.5, 0.5)) -> Deployment:
    """Arms v3, v4, …"""
    names = [f"v{3 + place}" for place in range(len(weights))]
    change = Change(at_us=START * DAY_US, by="ada", salt="salt")
    first = begin(version(3), change, project="p", name="delays")
    arms = dict(zip(names, weights, strict=True))
    return deploy_split(first, arms, change, serves={name: version(int(name[1:])) for name in names})


def cohorts(
    rng: np.random.Generator, days: int, n: int, rate: float, *, known: float = 1.0, from_day: int = START
) -> list[Cohort]:
    """Of each day n entities, of whom a share `rate` costs 1 and the rest nothing."""
    made = []
    for day in range(days):
        told = int(rng.binomial(n, known)) if known < 1.0 else n
        hits = float(rng.binomial(told, rate))
        made.append(Cohort(day=from_day + day, entities=n, known=Outcomes(n=told, cost_sum=hits, cost_squares=hits)))
    return made


def counts(rows: int = 5_000, failed: int = 10, ms: float = 2.0) -> Counts:
    us = ms * 1_000
    return Counts(
        rows=rows,
        failed=failed,
        row_sum_us=rows * us,
        row_squares_us=rows * us * us * 2,
        scores=(rows // 4,) * 4,
    )


def at_day(day: float) -> int:
    """So many days after the first."""
    return round((START + day) * DAY_US)
