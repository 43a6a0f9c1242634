"""Bounds of rates are exact at every look and every size, for rare errors too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.experiments.rates import (
    Rate,
    bounds,
    difference_bounds,
    evidence_above,
    evidence_below,
    highest,
    lowest,
    p_more,
)

SIMULATIONS = 1_000
LOOKS = np.unique(np.geomspace(1, 50_000, 100).astype(int))
ENOUGH = math.log(1 / 0.05)


def runs(p: float, seed: int, share: float = 1.0) -> list[list[Rate]]:
    """Hits so far at every look."""
    rng = np.random.default_rng(seed)
    sizes = np.maximum(1, (LOOKS * share).astype(int))
    hits = np.cumsum(rng.binomial(np.diff(sizes, prepend=0), p, (SIMULATIONS, len(LOOKS))), axis=1)
    return [[Rate(int(n), int(h)) for n, h in zip(sizes, run, strict=True)] for run in hits]


@pytest.mark.parametrize("p", [0.0005, 0.01, 0.3])
def test_a_rate_is_ever_outside_in_at_most_one_run_of_twenty(p: float) -> None:
    """1,000 runs, about 80 looks from 1 to 50,000, either side at 5 %."""
    found = runs(p, 1)
    above = sum(any(evidence_above(rate, p) >= ENOUGH for rate in run) for run in found)
    below = sum(any(evidence_below(rate, p) >= ENOUGH for rate in run) for run in found)
    assert above / SIMULATIONS <= 0.05
    assert below / SIMULATIONS <= 0.05


def test_a_rate_that_is_just_allowed_is_told_to_be_more_in_at_most_one_run_of_twenty() -> None:
    """1,000 runs, about 80 looks; an arm of 1 + 1 % beside one of 1 % and twenty times the rows. The p-value takes
    the least evidence over what the other rate may be; here is that of what it is."""
    pairs = zip(runs(0.02, 2), runs(0.01, 3, share=20.0), strict=True)
    told = sum(
        any(evidence_above(a, 0.02) + evidence_below(b, 0.01) >= ENOUGH for a, b in zip(of, than, strict=True))
        for of, than in pairs
    )
    assert told / SIMULATIONS <= 0.05


@given(
    st.integers(0, 3_000), st.floats(0, 1), st.integers(0, 3_000), st.floats(0, 1), st.floats(0, 0.2), st.floats(0, 0.8)
)
def test_the_p_value_is_that_of_the_least_evidence(n: int, a: float, m: int, b: float, by: float, q: float) -> None:
    of, than = Rate(n, round(n * a)), Rate(m, round(m * b))
    if of.share > than.share + by:
        evidence = evidence_above(of, q + by) + evidence_below(than, q)
        assert p_more(of, than, by=by) >= min(1.0, math.exp(-max(evidence, 0.0))) * (1 - 1e-6)
    else:
        assert p_more(of, than, by=by) == 1.0


@given(st.integers(0, 100_000), st.floats(0, 1))
def test_bounds_hold_the_share_and_end_where_the_evidence_does(n: int, share: float) -> None:
    rate = Rate(n, round(n * share))
    low, high = bounds(rate)
    assert 0.0 <= low <= rate.share <= high <= 1.0 or n == 0
    assert low == 0.0 or evidence_above(rate, low) == pytest.approx(math.log(40), abs=0.01)
    assert high == 1.0 or evidence_below(rate, high) == pytest.approx(math.log(40), abs=0.01)


def test_bounds_come_nearer_with_more_rows() -> None:
    widths = [
        highest(Rate(n, n // 100), alpha=0.05) - lowest(Rate(n, n // 100), alpha=0.05) for n in (100, 10_000, 10**6)
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.001


def test_no_rows_tell_nothing() -> None:
    assert difference_bounds(Rate(0, 0), Rate(0, 0)) == (-1.0, 1.0)
    assert p_more(Rate(0, 0), Rate(100, 1)) == 1.0
    assert p_more(Rate(5, 5), Rate(0, 0)) == 1.0


def test_five_times_the_errors_are_told_within_few_hundred_rows() -> None:
    """5 % against 1 %, 1 % more allowed, the canary a twentieth of all: in 300 runs the median is below 600 rows."""
    rng = np.random.default_rng(4)
    needed = []
    for _ in range(300):
        a = b = 0
        for n in range(20, 5_001, 20):
            a, b = a + int(rng.binomial(20, 0.05)), b + int(rng.binomial(380, 0.01))
            if p_more(Rate(n, a), Rate(19 * n, b), by=0.01) <= 0.01:
                needed.append(n)
                break
    assert len(needed) == 300
    assert np.median(needed) < 600
