"""Percentiles, different values and frequent ones: how near they are, and that they merge beyond what is exact."""

from __future__ import annotations

import math
import random
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.features.small import MINUTE, T0
from tests.features.test_history_and_columns import EVENTS, assert_same, both_forms, plain_window, window

from headrace.features import frequent, windows
from headrace.features.buckets import bucket_of, bucket_value, bucket_values, buckets_of
from headrace.features.distinct import DistinctCounts, hashes_of
from headrace.features.samples import BOUND, merged_samples, sample_of, size_of, value_hash

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite)
@example(5e-324)
@example(1.7976931348623157e308)
@example(-1e-310)
def test_a_bucket_stands_for_its_numbers_within_four_tenths_of_a_percent(value: float) -> None:
    found = bucket_value(bucket_of(value))
    assert math.isclose(found, value, rel_tol=1 / 256, abs_tol=1e-310)
    assert abs(found) <= abs(value)
    [code] = buckets_of(np.array([value])).tolist()
    assert code == bucket_of(value)
    assert bucket_values(np.array([code])).tolist() == [found]


@given(finite, finite)
def test_buckets_are_in_the_order_of_the_numbers(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert bucket_of(low) <= bucket_of(high)


@pytest.mark.parametrize("value", [*range(-512, 513), -1024, 10_240])
def test_small_whole_numbers_are_their_own_buckets(value: int) -> None:
    assert bucket_value(bucket_of(value)) == value


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), finite.map(lambda v: v + 0.0)), min_size=1))
def test_hashes_are_the_same_one_by_one_and_in_an_array(values: list[Any]) -> None:
    wholes = [value for value in values if isinstance(value, int)]
    floats = [value for value in values if isinstance(value, float)]
    assert hashes_of(np.array(wholes, np.int64), []).tolist() == [value_hash(value) for value in wholes]
    assert hashes_of(np.array(floats, np.float64), []).tolist() == [value_hash(value) for value in floats]


def test_hashes_stay_what_they_were() -> None:
    """Stored samples and histories of other machines are compared with them."""
    assert [value_hash(value) for value in (0, -1, 1.5, "é")] == [
        16294208416658607535,
        16490336266968443936,
        15481881892811333770,
        3394012004367669963,
    ]


@pytest.mark.parametrize("different", [BOUND, BOUND + 1, 3_000, 20_000])
def test_many_different_values_are_counted_alike_over_history_and_from_parts(different: int) -> None:
    draw = random.Random(different)
    values = [draw.randrange(different) for _ in range(2 * different)] + list(range(different))
    counts = DistinctCounts(np.array(values), np.zeros(len(values), np.int64), [])
    cuts = sorted(draw.sample(range(1, len(values)), 5))
    bounds = [0, *cuts, len(values)]
    parts = [reduce(merged_samples, map(sample_of, set(values[a:b]))) for a, b in pairwise(bounds)]
    draw.shuffle(parts)
    whole = size_of(reduce(merged_samples, parts))
    assert counts.state_one(0, len(values)) == (whole,)
    assert whole == different if different <= BOUND else abs(whole - different) < 0.15 * different
    starts, stops = np.array(bounds[:-1]), np.array(bounds[1:])
    assert counts.state(starts, stops)[0].tolist() == [
        size_of(reduce(merged_samples, map(sample_of, set(values[a:b])))) for a, b in zip(starts, stops, strict=True)
    ]


def test_the_estimate_of_different_values_errs_by_about_four_percent() -> None:
    errors = []
    for begin in range(0, 200_000, 10_000):
        counts = DistinctCounts(np.arange(begin, begin + 10_000), np.zeros(10_000, np.int64), [])
        errors.append(counts.state_one(0, 10_000)[0] / 10_000 - 1)
    assert 0.01 < math.sqrt(sum(error**2 for error in errors) / len(errors)) < 0.06


@pytest.mark.parametrize("value", ["value", "whole", "text"])
def test_many_rows_equal_a_plain_loop(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(windows, "_BATCH", 300)  # so that rows come in several batches of several chunks
    monkeypatch.setattr(windows, "_CHUNK", 70)
    monkeypatch.setattr(frequent, "_PIECE", 500)
    draw = random.Random(3)
    events = [
        {
            "place": draw.choice("AB"),
            "gate": 1,
            "seen": T0 + draw.randrange(30 * 24 * 60) * MINUTE,
            "value": round(draw.gauss(10, 4), 1),
            "whole": draw.randrange(20),
            "text": draw.choice("abcdefgh"),
        }
        for _ in range(800)
    ]
    asked: list[dict[str, Any]] = [
        {"place": draw.choice("ABC"), "gate": 1, "due": T0 + draw.randrange(31 * 24 * 60) * MINUTE} for _ in range(400)
    ]
    quantiles = () if EVENTS[value] == "string" else ("median", "p10", "p99")
    step = window(value, take=("n_unique", "top1", "top2", "top3", *quantiles, "first", "last"))
    columns, rows = both_forms(step, events, asked)
    by_place = {place: [event for event in events if event["place"] == place] for place in "ABC"}
    plain = [plain_window(step, by_place[ask["place"]], ask) for ask in asked]
    assert_same(columns, rows, plain)
