"""Sequences of means hold at every look at once; the numbers of simulations stand beside what they find."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.serving.experiments.confidence import (
    LEAST,
    Estimate,
    Sample,
    difference,
    interval,
    lower_bound,
    mean,
    p_above,
    p_differs,
    ratio,
)

SIMULATIONS = 1_000
LOOKS = np.unique(np.geomspace(LEAST, 10_000, 100).astype(int))
Floats = NDArray[np.float64]


def costs(rng: np.random.Generator, runs: int, n: int) -> Floats:
    """Most entities cost nothing, some a skewed amount; mean 0.3."""
    return np.where(rng.random((runs, n)) < 0.3, rng.exponential(1.0, (runs, n)), 0.0)


def samples(values: Floats, looks: NDArray[np.int64] = LOOKS) -> list[list[Sample]]:
    """Of each run its sums at every look."""
    sums, squares = np.cumsum(values, axis=1), np.cumsum(values * values, axis=1)
    at = [sums[:, n - 1].tolist() for n in looks], [squares[:, n - 1].tolist() for n in looks]
    return [
        [Sample(int(n), at[0][place][run], at[1][place][run]) for place, n in enumerate(looks)]
        for run in range(len(values))
    ]


def ever(fails: Callable[[Sample], bool], seed: int) -> float:
    """The share of runs in which it fails at one look or more."""
    rng = np.random.default_rng(seed)
    found = [any(map(fails, run)) for _ in range(4) for run in samples(costs(rng, SIMULATIONS // 4, 10_000))]
    return sum(found) / len(found)


def test_a_mean_is_ever_outside_in_at_most_one_run_of_twenty() -> None:
    """1,000 runs, 100 looks from 100 to 10,000 values; a plain interval of 95 % fails in more than every fourth."""

    def outside(sample: Sample) -> bool:
        low, high = interval(mean(sample))
        return not low <= 0.3 <= high

    def outside_plain(sample: Sample) -> bool:
        return abs(sample.mean - 0.3) > 1.96 * math.sqrt(sample.variance / sample.n)

    assert ever(outside, 1) <= 0.05
    assert ever(outside_plain, 1) > 0.25


def test_a_mean_is_ever_below_its_lower_bound_in_at_most_one_run_of_twenty() -> None:
    """1,000 runs, 100 looks."""
    assert ever(lambda sample: lower_bound(mean(sample), best_at=1_000) > 0.3, 2) <= 0.05


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_equal_arms_are_ever_told_apart_in_at_most_one_run_of_twenty(share: float) -> None:
    """1,000 runs, 100 looks at up to 10,000 entities of the larger arm."""
    rng = np.random.default_rng(3)
    told = 0
    for _ in range(4):
        larger = samples(costs(rng, SIMULATIONS // 4, 10_000))
        fewer = np.maximum(2, (LOOKS * share / (1 - share)).astype(int))
        smaller = samples(costs(rng, SIMULATIONS // 4, int(fewer[-1])), fewer)
        for a, b in zip(smaller, larger, strict=True):
            told += any(p_differs(difference(x, y)) <= 0.05 for x, y in zip(a, b, strict=True))
    assert told / SIMULATIONS <= 0.05


def test_a_real_difference_is_told() -> None:
    """0.3 against 0.33 in 200 runs: by 60,000 entities an arm all of them are told."""
    rng = np.random.default_rng(4)
    n = 60_000
    told = 0
    for _ in range(200):
        a, b = costs(rng, 1, n)[0], 1.1 * costs(rng, 1, n)[0]
        of, less = (Sample(n, float(x.sum()), float((x * x).sum())) for x in (b, a))
        told += interval(difference(of, less)).low > 0.0
    assert told >= 198


def test_the_p_value_is_the_level_at_which_the_sequence_excludes_nothing() -> None:
    rng = np.random.default_rng(5)
    for value, n in zip(rng.normal(0.0, 0.05, 500), rng.integers(100, 100_000, 500), strict=True):
        estimate = Estimate(float(value), 1.0 / int(n), int(n))
        low, high = interval(estimate)
        assert (p_differs(estimate) <= 0.05) == (low > 0.0 or high < 0.0)
        assert (p_above(estimate) <= 0.05) == (lower_bound(estimate) > 0.0)


def test_nothing_is_said_of_few_values_or_of_values_without_spread() -> None:
    few = Sample(LEAST - 1, 50.0, 90.0)
    many = Sample(1_000, 500.0, 900.0)
    alike = Sample(1_000, 500.0, 250.0)
    assert mean(few) is None
    assert difference(few, many) is None
    assert ratio(many, few) is None
    assert ratio(many, Sample(1_000, 0.0, 900.0)) is None
    for silent in (None, mean(alike)):
        assert interval(silent) == (-math.inf, math.inf)
        assert lower_bound(silent) == -math.inf
        assert (p_differs(silent), p_above(silent)) == (1.0, 1.0)


def test_the_sequence_is_narrowest_where_it_is_tuned_to_be() -> None:
    def width(n: int, best_at: float) -> float:
        low, high = interval(Estimate(0.0, 1.0 / n, n), best_at=best_at)
        return high - low

    for n in (1_000, 10_000, 100_000):
        assert width(n, n) < width(n, n / 10)
        assert width(n, n) < width(n, n * 10)


def test_a_ratio_of_means_has_the_spread_that_the_delta_method_gives() -> None:
    """Against the spread of 2,000 simulated ratios of 400 values each."""
    rng = np.random.default_rng(6)
    a, b = rng.gamma(4.0, 2.0, (2_000, 400)), rng.gamma(4.0, 1.0, (2_000, 400))
    found = ratio(*(Sample(400, float(x[0].sum()), float((x[0] ** 2).sum())) for x in (a, b)))
    assert found is not None
    seen = float(np.std(a.mean(axis=1) / b.mean(axis=1)))
    assert math.sqrt(found.variance) == pytest.approx(seen, rel=0.15)


def test_a_difference_of_large_values_that_are_alike_is_not_told_by_rounding() -> None:
    values = 1e8 + np.random.default_rng(7).normal(0.0, 1.0, (2, 1_000))
    of, less = (Sample(1_000, float(x.sum()), float((x * x).sum())) for x in values)
    assert p_differs(difference(of, less)) > 0.05
