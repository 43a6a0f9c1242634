"""A wrong ratio of arms is found, and a right one is let be, however often one looks."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.serving.experiments.sample_ratio import evidence, p_value

SIMULATIONS = 1_000


def looks(shares: list[float], seed: int, n: int = 500) -> list[list[list[int]]]:
    """Of each run the entities of every arm at 100 looks, so many more at each."""
    drawn = np.random.default_rng(seed).multinomial(n, shares, (SIMULATIONS, 100))
    return [[list(map(int, at)) for at in run] for run in np.cumsum(drawn, axis=1)]


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.05, 0.95], [0.2, 0.3, 0.5]])
def test_a_right_ratio_is_ever_doubted_in_at_most_one_run_of_twenty(weights: list[float]) -> None:
    """1,000 runs, 100 looks."""
    doubted = sum(any(p_value(at, weights) <= 0.05 for at in run) for run in looks(weights, 1))
    assert doubted / SIMULATIONS <= 0.05


def test_an_arm_that_loses_one_entity_in_twenty_is_found() -> None:
    """1,000 runs: 95 of 195 instead of 100 of 200, p < 0.001 within 50,000 entities in 19 of 20."""
    shares = [100 / 195, 95 / 195]
    found = sum(any(p_value(at, [0.5, 0.5]) < 0.001 for at in run) for run in looks(shares, 2))
    assert found >= 0.95 * SIMULATIONS


def test_no_entities_are_no_evidence() -> None:
    assert evidence([0, 0], [0.3, 0.7]) == pytest.approx(0.0, abs=1e-9)
    assert p_value([0, 0], [0.3, 0.7]) == 1.0


def test_times_with_different_weights_are_judged_each_by_its_own() -> None:
    """Half and half, then a twentieth: right both times, and wrong by either weights alone."""
    first, then = [5_000, 5_000], [500, 9_500]
    assert evidence(first, [0.5, 0.5]) + evidence(then, [0.05, 0.95]) < 0.0
    both = [a + b for a, b in zip(first, then, strict=True)]
    assert max(p_value(both, [0.5, 0.5]), p_value(both, [0.05, 0.95])) < 1e-6


def test_the_bayes_factor_is_that_of_counting_by_hand() -> None:
    """Prior Dirichlet(1, 1), three entities of one arm: the alternative gives 1/4, the weights 1/8."""
    assert np.exp(evidence([3, 0], [0.5, 0.5], concentration=2.0)) == pytest.approx(2.0)
