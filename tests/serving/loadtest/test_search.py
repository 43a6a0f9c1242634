"""The search for a server's limits, on servers that never were."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.loadtest.search import NARROW, Found, Tried, bracket, next_rate, saturated

capacities = st.floats(5, 200_000)


def search(answer: Callable[[float], Found], first: float, *, stages: int = 40, most: float = 1e9) -> list[Tried]:
    tried: list[Tried] = []
    while (rate := next_rate(tried, first=first, most=most, stages=stages)) is not None:
        tried.append(Tried(rate, answer(rate)))
    return tried


def server(capacity: float, slow_from: float) -> Callable[[float], Found]:
    """Answers up to its capacity, in time up to a share of it."""

    def answer(rate: float) -> Found:
        if rate > capacity:
            return "far too much" if rate > capacity / 0.8 else "much"
        return "slow" if rate > slow_from * capacity else "within"

    return answer


@given(capacities, st.floats(0.3, 1.0), st.floats(1 / 32, 10))
def test_the_greatest_rate_within_the_bounds_is_found_wherever_it_begins(
    capacity: float, slow_from: float, begin: float
) -> None:
    tried = search(server(capacity, slow_from), capacity * begin)
    within, beyond = bracket(tried)
    assert within is not None
    assert beyond is not None
    assert within <= slow_from * capacity <= beyond
    assert beyond / within <= NARROW * 1.02
    assert min(saturated(tried)) > capacity


@given(capacities, st.integers(1, 30), st.randoms(use_true_random=False))
def test_it_ends_whatever_the_stages_say(first: float, stages: int, random: Random) -> None:
    kinds: list[Found] = ["within", "slow", "much", "far too much"]
    tried = search(lambda _: random.choice(kinds), first, stages=stages)
    assert 1 <= len(tried) <= stages
    within, beyond = bracket(tried)
    assert within is None or beyond is None or within < beyond


@given(capacities, st.integers(0, 30))
def test_one_stall_does_not_move_the_limit(capacity: float, stalled: int) -> None:
    undisturbed = bracket(search(server(capacity, 0.9), capacity / 8))
    count = iter(range(1000))

    def answer(rate: float) -> Found:
        found = server(capacity, 0.9)(rate)
        return "slow" if next(count) == stalled and found == "within" else found

    assert bracket(search(answer, capacity / 8)) == undisturbed


def test_a_server_that_is_never_full_is_asked_up_to_the_greatest_rate() -> None:
    tried = search(lambda _: "within", 100, most=5_000)
    assert [each.rate for each in tried] == [100, 200, 400, 800, 1600, 3200, 5000]
    assert saturated(tried) == []


def test_a_server_that_is_slow_at_every_rate_is_within_at_none() -> None:
    tried = search(lambda rate: "slow" if rate < 500 else "far too much", 100)
    assert bracket(tried)[0] is None
    assert min(each.rate for each in tried) < 100 / 32
