"""A covariate takes noise out and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headrace.serving.experiments.cohorts import together
from headrace.serving.experiments.compare import compare
from headrace.serving.experiments.confidence import difference, p_differs
from headrace.serving.experiments.cuped import Adjusted, adjust, apart, cost
from headrace.serving.experiments.model import Plan
from headrace.serving.model import Outcomes


def outcomes(y: np.ndarray, x: np.ndarray) -> Outcomes:
    return Outcomes(
        n=len(y),
        cost_sum=float(y.sum()),
        cost_squares=float((y * y).sum()),
        covariate_sum=float(x.sum()),
        covariate_squares=float((x * x).sum()),
        product_sum=float((x * y).sum()),
    )


def arm(rng: np.random.Generator, n: int, shift: float = 0.0, *, moved: float = 0.0) -> Outcomes:
    """Cost 2 x + noise + shift; the covariate explains 4/5 of it. `moved`: what the arm does to the covariate."""
    x = rng.exponential(1.0, n) + moved
    return outcomes(2.0 * x + rng.normal(0.0, 1.0, n) + shift, x)


def adjusted(*arms: Outcomes) -> Adjusted:
    found = adjust(arms)
    assert found is not None
    return found


def test_it_is_the_same_as_by_least_squares() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(5.0, 2.0, (2, 400)), rng.normal(0.0, 1.0, (2, 400))
    y = y + 1.5 * x + np.array([[0.0], [0.7]])
    design = np.column_stack([np.repeat([1.0, 0.0], 400), np.repeat([0.0, 1.0], 400), x.ravel()])
    by_hand = np.linalg.lstsq(design, y.ravel(), rcond=None)[0]
    found = adjusted(outcomes(y[0], x[0]), outcomes(y[1], x[1]))
    assert found.theta == pytest.approx(by_hand[2])
    assert found.means[1].value - found.means[0].value == pytest.approx(by_hand[1] - by_hand[0])


def test_it_needs_a_fifth_of_the_entities_where_it_explains_four_fifths() -> None:
    rng = np.random.default_rng(2)
    found = adjusted(arm(rng, 20_000), arm(rng, 20_000, 0.1))
    assert found.explained == pytest.approx(0.8, abs=0.02)
    plain = difference(cost(arm(rng, 20_000)), cost(arm(rng, 20_000)))
    assert plain is not None
    assert apart(found.means[1], found.means[0]).variance / plain.variance == pytest.approx(0.2, abs=0.02)


def test_the_spread_it_tells_is_the_spread_it_has() -> None:
    """2,000 runs of 300 and 100 entities."""
    rng = np.random.default_rng(3)
    found = [apart(*adjusted(arm(rng, 300, 0.5), arm(rng, 100)).means) for _ in range(2_000)]
    values = [each.value for each in found]
    assert np.mean(values) == pytest.approx(0.5, abs=0.01)
    assert np.std(values) == pytest.approx(math.sqrt(np.mean([each.variance for each in found])), rel=0.05)


def test_equal_arms_are_ever_told_apart_in_at_most_one_run_of_twenty() -> None:
    """1,000 runs, 50 looks of 100 more entities an arm."""
    rng = np.random.default_rng(4)
    told = 0
    for _ in range(1_000):
        so_far = [Outcomes(), Outcomes()]
        for _ in range(50):
            so_far = [together([known, arm(rng, 100)]) for known in so_far]
            found = adjusted(*so_far)
            if p_differs(apart(found.means[1], found.means[0])) <= 0.05:
                told += 1
                break
    assert told / 1_000 <= 0.05


def test_a_covariate_that_the_arm_moves_is_not_used() -> None:
    """The arm costs 1 more and makes the covariate say so: taken out, the difference would be gone."""
    rng = np.random.default_rng(5)
    arms = [arm(rng, 5_000), arm(rng, 5_000, moved=0.5)]
    found = adjusted(*arms)
    assert abs(found.means[1].value - found.means[0].value) < 0.1
    [compared], told = compare(arms, Plan())
    assert told is not None
    assert not told.used
    assert "the arm moves it" in told.words
    assert not compared.adjusted
    assert compared.bounds.low > 0.5


@pytest.mark.parametrize("value", [0.0, 3.7, 1e9])
def test_a_covariate_that_does_not_vary_is_none(value: float) -> None:
    rng = np.random.default_rng(6)
    arms = [outcomes(rng.normal(0.0, 1.0, 500), np.full(500, value)) for _ in range(2)]
    assert adjust(arms) is None
    [compared], told = compare(arms, Plan())
    assert told is None
    assert not compared.adjusted


def test_few_entities_are_not_adjusted() -> None:
    rng = np.random.default_rng(7)
    assert adjust([arm(rng, 99), arm(rng, 5_000)]) is None
    assert adjust([]) is None
