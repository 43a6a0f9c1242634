"""Logged answers become cohorts: an entity counts once, on the day it first came."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.serving.experiments.cohorts import Answered, gather, mature, outcomes_of, together
from headrace.serving.experiments.model import DAY_US, Cohort


def test_an_entity_counts_once_by_its_mean_cost_on_its_first_day() -> None:
    rows = [
        Answered("v3", "a", 3 * DAY_US, 4.0, 10.0),
        Answered("v3", "a", 1 * DAY_US + 5, 2.0, 20.0),
        Answered("v3", "b", 1 * DAY_US + 9, 6.0, 30.0),
    ]
    [cohort] = gather(rows).cohorts["v3"]
    assert (cohort.day, cohort.entities) == (1, 2)
    assert (cohort.known.n, cohort.known.cost_sum, cohort.known.cost_squares) == (2, 9.0, 45.0)
    assert (cohort.known.covariate_sum, cohort.known.product_sum) == (50.0, 3 * 20.0 + 6 * 30.0)


def test_an_entity_whose_first_outcome_has_not_come_waits() -> None:
    """A later one that came sooner would else make quick outcomes count for more."""
    rows = [Answered("v3", "a", 0, None), Answered("v3", "a", DAY_US, 1.0)]
    assert gather(rows).cohorts == {"v3": [Cohort(day=0, entities=1)]}


def test_an_entity_that_two_arms_answered_is_in_none() -> None:
    rows = [Answered("v3", "a", 0, 1.0), Answered("v4", "a", 1, 1.0), Answered("v4", "b", 1, 1.0)]
    found = gather(rows)
    assert found.crossed == 1
    assert list(found.cohorts) == ["v4"]


def test_a_missing_covariate_moves_nothing() -> None:
    rows = [Answered("v3", n, 0, float(n), float(n) if n % 2 else None) for n in range(10)]
    [cohort] = gather(rows).cohorts["v3"]
    assert cohort.known.covariate_sum / 10 == pytest.approx(5.0)


def test_cohorts_together_are_as_if_they_were_one() -> None:
    pairs = [(float(a), float(b)) for a, b in np.random.default_rng(1).normal(size=(100, 2))]
    both = together([outcomes_of(pairs[:30]), outcomes_of(pairs[30:])])
    one = outcomes_of(pairs)
    assert both.n == one.n
    for name in ("cost_sum", "cost_squares", "covariate_sum", "covariate_squares", "product_sum"):
        assert getattr(both, name) == pytest.approx(getattr(one, name))


def test_a_day_is_mature_when_its_last_entity_is() -> None:
    cohorts = {"v3": [Cohort(day=1, entities=5), Cohort(day=0, entities=7)]}
    ends = 2 * DAY_US + 3_600_000_000
    ready, waiting = mature(cohorts, 3_600.0, ends - 1)
    assert ([c.day for c in ready["v3"]], waiting) == ([0], {"v3": 5})
    ready, waiting = mature(cohorts, 3_600.0, ends)
    assert ([c.day for c in ready["v3"]], waiting) == ([0, 1], {"v3": 0})
