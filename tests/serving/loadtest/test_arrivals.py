"""When requests are due."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.loadtest.arrivals import Pattern, arrivals

rates = st.floats(0.1, 20_000)
seconds = st.floats(0.1, 3)
patterns: st.SearchStrategy[Pattern] = st.sampled_from(["poisson", "constant"])


@given(patterns, rates, seconds, st.integers(0, 2**31))
def test_a_schedule_rises_within_its_stage_and_its_seed_tells_it_whole(
    pattern: Pattern, rate: float, seconds: float, seed: int
) -> None:
    due = arrivals(pattern, rate, seconds, seed)
    assert (np.diff(due) >= 0).all()
    assert not len(due) or (due[0] >= 0 and due[-1] <= seconds * 1e9)
    assert due.tolist() == arrivals(pattern, rate, seconds, seed).tolist()


@given(rates, seconds)
def test_constant_arrivals_are_as_many_as_the_rate_says(rate: float, seconds: float) -> None:
    assert abs(len(arrivals("constant", rate, seconds, 0)) - rate * seconds) < 1 + 1e-6


@given(st.integers(1, 64), rates, seconds)
def test_generators_that_share_a_constant_rate_are_evenly_spaced_together(n: int, rate: float, seconds: float) -> None:
    parts = [arrivals("constant", rate / n, seconds, seed=0, phase=number / n) for number in range(n)]
    together = np.sort(np.concatenate(parts))
    assert abs(len(together) - rate * seconds) < 1 + 1e-6
    assert np.diff(together) == pytest.approx(1e9 / rate, rel=1e-6, abs=2)


def test_poisson_arrivals_are_as_independent_users_come() -> None:
    """Gaps of an exponential distribution: mean and standard deviation are alike, one in e is longer than the mean."""
    gaps = np.diff(arrivals("poisson", 50_000, 4, seed=7)) / 1e9
    assert gaps.mean() == pytest.approx(1 / 50_000, rel=0.02)
    assert gaps.std() == pytest.approx(1 / 50_000, rel=0.02)
    assert (gaps > gaps.mean()).mean() == pytest.approx(np.exp(-1), abs=0.01)


def test_two_generators_share_a_rate() -> None:
    one, two = (arrivals("poisson", 500, 10, seed) for seed in (0, 1))
    assert one.tolist() != two.tolist()
    assert len(one) + len(two) == pytest.approx(10_000, rel=0.05)
