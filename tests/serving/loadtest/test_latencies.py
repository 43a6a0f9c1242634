"""Latencies in buckets tell what the latencies themselves tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.loadtest.latencies import Latencies

nanoseconds = st.lists(st.integers(1, 10**13), min_size=1)


@given(nanoseconds, st.sampled_from([0.1, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_at_most_one_bucket_above_the_sorted_list_s(ns: list[int], p: float) -> None:
    exact = sorted(ns)[max(0, math.ceil(len(ns) * p / 100 - 1e-9) - 1)] / 1e9
    found = Latencies.of(ns).percentile(p)
    assert found is not None
    assert exact <= found * (1 + 1e-12)
    assert found <= exact * (1 + 1 / 127)


@given(st.lists(nanoseconds, min_size=1, max_size=4))
def test_parts_add_up_to_the_whole(parts: list[list[int]]) -> None:
    whole = Latencies.of([each for part in parts for each in part])
    summed = sum((Latencies.of(part) for part in parts[1:]), Latencies.of(parts[0]))
    assert summed == whole
    assert whole.n == sum(map(len, parts))


def test_none_have_no_percentile() -> None:
    assert Latencies.of([]).percentile(50) is None
    assert Latencies.of(np.array([], np.int64)).n == 0


def test_a_stall_that_held_others_back_shows_in_the_upper_percentiles() -> None:
    """A server that stops for a second while a thousand are due: each waits its own part of the second."""
    waited = Latencies.of([max(0, 10**9 - due) + 10**6 for due in range(0, 10**10, 10**6)])
    assert waited.percentile(50) == pytest.approx(0.001, rel=0.01)
    assert waited.percentile(99) == pytest.approx(0.9, rel=0.02)
