"""Scores that differ for certain, and no alarm of small samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.serving.experiments.drift import p_beyond, psi

BINS = 10


def histogram(rng: np.random.Generator, shares: list[float], n: int) -> list[int]:
    return [int(x) for x in rng.multinomial(n, shares)]


def index(p: list[float], q: list[float]) -> float:
    return sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_arms_that_score_alike_raise_no_alarm_at_any_size() -> None:
    """1,000 runs, 20 looks from 5 to 2,000 answers of the canary. A fixed limit of 0.25 alone fires in most."""
    rng = np.random.default_rng(1)
    even = [1 / BINS] * BINS
    sizes = np.unique(np.geomspace(5, 2_000, 20).astype(int))
    alarms = naive = 0
    for _ in range(1_000):
        other = np.zeros(BINS, dtype=int)
        canary = np.zeros(BINS, dtype=int)
        alarmed = plain = False
        for more in np.diff(sizes, prepend=0):
            canary += histogram(rng, even, int(more))
            other += histogram(rng, even, int(more) * 19)
            p, q = (canary + 0.5) / (canary.sum() + 5), (other + 0.5) / (other.sum() + 5)
            plain = plain or index(p.tolist(), q.tolist()) > 0.25
            alarmed = alarmed or p_beyond(canary.tolist(), other.tolist(), 0.25) <= 0.01
        alarms, naive = alarms + alarmed, naive + plain
    assert alarms == 0
    assert naive > 500


def test_a_drift_just_within_the_limit_raises_an_alarm_in_at_most_one_run_of_twenty() -> None:
    """200 runs, 10 looks to 4,000 answers, of two shares that are an index of 0.25 apart: all of it in one question."""
    q = 0.3
    p = next(x / 10_000 for x in range(3_000, 10_000) if index([x / 10_000, 1 - x / 10_000], [q, 1 - q]) > 0.25) - 1e-4
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(200):
        canary, other = np.zeros(2, dtype=int), np.zeros(2, dtype=int)
        for _ in range(10):
            canary += histogram(rng, [p, 1 - p], 400)
            other += histogram(rng, [q, 1 - q], 4_000)
            if p_beyond(canary.tolist(), other.tolist(), 0.25) <= 0.05:
                alarms += 1
                break
    assert alarms <= 10


def test_a_canary_that_scores_everything_alike_is_found_within_thirty_answers() -> None:
    assert p_beyond([0] * 9 + [30], [1_000] * BINS, 0.25) < 0.001
    assert p_beyond([30] + [0] * 9, [1_000] * BINS, 0.25) < 0.001
    assert p_beyond([0] * 4 + [30] + [0] * 5, [1_000] * BINS, 0.25) < 0.001


def test_a_shift_of_scores_is_found() -> None:
    """100 runs: normal scores moved by one deviation, an index of about 1, within 700 answers of the canary."""
    rng = np.random.default_rng(3)
    edges = [-1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28]
    other = np.bincount(np.digitize(rng.normal(0, 1, 20_000), edges), minlength=BINS).tolist()
    found = 0
    for _ in range(100):
        canary = np.bincount(np.digitize(rng.normal(1, 1, 700), edges), minlength=BINS).tolist()
        found += p_beyond(canary, other, 0.25) <= 0.01
    assert found >= 95


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=2, max_size=8), st.floats(0.01, 2.0))
@settings(deadline=None, max_examples=60)
def test_it_is_a_p_value_and_alike_in_both_directions(bins: list[tuple[int, int]], limit: float) -> None:
    of, to = [a for a, _ in bins], [b for _, b in bins]
    found = p_beyond(of, to, limit)
    assert 0.0 <= found <= 1.0
    assert p_beyond(of[::-1], to[::-1], limit) == pytest.approx(found, rel=1e-3, abs=1e-9)
    assert p_beyond(of, to, limit * 2) >= found * (1 - 1e-3)
    assert psi(of, to) >= 0.0


def test_nothing_seen_is_no_drift() -> None:
    assert (psi([0, 0], [5, 5]), p_beyond([0, 0], [5, 5], 0.1), p_beyond([], [], 0.1)) == (0.0, 1.0, 1.0)
