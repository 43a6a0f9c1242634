"""Order statistics of runs, beside sorting each of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.features.wavelet import WaveletMatrix

numbers = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**40)), min_size=1, max_size=200)


@given(numbers, st.integers(0, 199), st.integers(0, 199), st.integers(0, 2**41))
def test_runs_are_counted_and_ordered_as_by_sorting(values: list[int], a: int, b: int, bound: int) -> None:
    start, stop = sorted((a % len(values), b % len(values)))
    matrix = WaveletMatrix(np.array(values))
    run = sorted(values[start : stop + 1])
    starts, stops = np.full(len(run), start), np.full(len(run), stop + 1)
    assert matrix.kth(starts, stops, np.arange(len(run))).tolist() == run
    assert [matrix.kth_one(start, stop + 1, k) for k in range(len(run))] == run
    for limit in (bound, bound % 12, run[0], run[-1] + 1):
        found = matrix.count_less(np.array([start]), np.array([stop + 1]), np.array([limit]))
        assert found.tolist() == [sum(value < limit for value in run)]
        assert matrix.count_less_one(start, stop + 1, limit) == found[0]
    assert matrix.count_less(np.array([start]), np.array([start]), np.array([bound])).tolist() == [0]
