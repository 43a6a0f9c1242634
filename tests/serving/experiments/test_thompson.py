"""Weights of a bandit: as likely as an arm is to be the cheapest, and never below the floor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.experiments.confidence import LEAST, Sample
from headrace.serving.experiments.thompson import FLOOR, chances_of_least, weights

SAMPLES = st.builds(
    lambda n, mean, sd: Sample(n, n * mean, (n - 1) * sd * sd + n * mean * mean),
    st.integers(LEAST, 100_000),
    st.floats(-10, 10),
    st.floats(0, 10),
)


@given(st.lists(SAMPLES, min_size=2, max_size=6))
def test_weights_are_shares_above_the_floor(costs: list[Sample]) -> None:
    found = weights(costs)
    assert sum(found) == pytest.approx(1.0, abs=1e-6)
    assert min(found) >= FLOOR - 1e-9
    assert found == weights(costs)


def test_chances_are_those_of_drawing_from_the_posteriors() -> None:
    """Against 400,000 draws."""
    costs = [Sample(400, 120.0, 300.0), Sample(900, 250.0, 800.0), Sample(200, 70.0, 90.0)]
    rng = np.random.default_rng(1)
    drawn = np.array([rng.normal(c.mean, np.sqrt(c.variance / c.n), 400_000) for c in costs])
    seen = np.bincount(drawn.argmin(axis=0), minlength=3) / 400_000
    assert chances_of_least(costs) == pytest.approx(seen, abs=0.004)


def test_posteriors_of_very_different_widths_are_weighed_alike() -> None:
    """A narrow one beside a wide one whose mean is the same: either is the cheapest as often."""
    narrow, wide = Sample(10**6, 10**6 * 0.3, 10**6 * 0.09 + 1.0), Sample(100, 30.0, 9.0 + 99 * 25.0)
    assert chances_of_least([narrow, wide]) == pytest.approx([0.5, 0.5], abs=0.01)


def test_more_arms_than_the_floor_has_room_for_share_alike() -> None:
    costs = [Sample(1_000, 100.0 + 50 * k, 400.0) for k in range(25)]
    assert weights(costs) == pytest.approx([1 / 25] * 25)


def test_a_bandit_finds_the_cheapest_arm_and_pays_less_than_equal_shares() -> None:
    """30 runs of three arms at 0.30, 0.30 and 0.25: after 40 rounds of 250 entities the third has most of them."""
    rng = np.random.default_rng(2)
    true = np.array([0.30, 0.30, 0.25])
    final, paid = [], []
    for _ in range(30):
        n, hits, share = np.zeros(3), np.zeros(3), np.full(3, 1 / 3)
        for _ in range(40):
            came = rng.multinomial(250, share)
            n, hits = n + came, hits + rng.binomial(came, true)
            found = weights([Sample(int(a), float(b), float(b)) for a, b in zip(n, hits, strict=True)])
            share = np.array(found) / sum(found)
        final.append(share[2])
        paid.append(float(hits.sum() / n.sum()))
    assert np.mean(final) > 0.8
    assert np.mean(paid) < 0.272 < true.mean()
