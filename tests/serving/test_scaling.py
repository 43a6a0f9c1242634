"""How many workers: as many as the work keeps busy, soon more and late less, never beyond the bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.scaling import AIM, BUSY, DOWN_TURNS, Load, Scaling, p99_of


def follow(scaling: Scaling, work: list[float], workers: int = 1) -> list[int]:
    """The number of workers turn by turn, where each takes what it can of so many seconds of work a second."""
    found = []
    for asked in work:
        busy = min(asked, float(workers))
        workers = scaling.turn(Load(workers=workers, busy=busy, refused=int(asked > workers)))
        found.append(workers)
    return found


def test_more_work_has_more_workers_within_seconds_and_less_has_fewer_after_a_while() -> None:
    scaling = Scaling(1, 8, p99_us=20_000)
    rising = follow(scaling, [0.3] * 5 + [2.4] * 12)
    assert rising[:5] == [1] * 5
    assert rising[-1] == 4  # 2.4 at six tenths each
    assert rising.index(2) <= 7
    falling = follow(scaling, [0.3] * (4 * DOWN_TURNS), workers=4)
    assert falling[DOWN_TURNS - 2] == 4
    assert falling[-1] == 1


def test_a_moment_of_much_work_changes_nothing() -> None:
    scaling = Scaling(1, 8, p99_us=20_000)
    assert follow(scaling, [0.2, 5.0, 0.2] * 30) == [1] * 90


def test_work_that_stays_as_it_is_settles() -> None:
    for work in (0.1, 0.5, 0.9, 1.7, 3.3, 4.4):
        found = follow(Scaling(1, 8, p99_us=20_000), [work] * 600)
        assert len(set(found[100:])) == 1, work
        assert work / found[-1] <= BUSY


def test_slow_answers_call_for_more_where_workers_are_busy_and_not_where_they_wait() -> None:
    slow = (0,) * 9 + (100,)
    busy, waiting = Scaling(1, 4, p99_us=20_000), Scaling(1, 4, p99_us=20_000)
    more = [busy.turn(Load(workers=1, busy=AIM + 0.05, refused=0, latency_us=slow)) for _ in range(3)]
    same = [waiting.turn(Load(workers=1, busy=0.1, refused=0, latency_us=slow)) for _ in range(9)]
    assert (max(more), max(same)) == (2, 1)
    assert p99_of(slow) == 100_000.0
    assert p99_of((0,) * 15 + (1,)) == float("inf")
    assert p99_of(()) == 0.0


@given(
    st.lists(
        st.builds(
            Load,
            workers=st.integers(0, 20),
            busy=st.floats(0, 20),
            refused=st.integers(0, 5),
            latency_us=st.lists(st.integers(0, 50), max_size=16).map(tuple),
        ),
        max_size=50,
    ),
    st.integers(1, 5),
    st.integers(0, 5),
)
def test_the_bounds_hold(loads: list[Load], least: int, more: int) -> None:
    scaling = Scaling(least, least + more, p99_us=1)
    assert all(least <= scaling.turn(load) <= least + more for load in loads)


def test_workers_that_are_still_beginning_are_not_taken_back_when_there_is_a_little_less_to_do() -> None:
    scaling = Scaling(1, 8, p99_us=20_000)
    busy = [2.0, 2.0, 1.65, 1.65, 1.0, 1.7, 1.7, 1.65, 1.65]  # of two that are open, while two more begin
    wanted = [scaling.turn(Load(workers=2, busy=each, refused=0)) for each in busy]
    assert wanted == [2, *[4] * (len(busy) - 1)]
    easy = [scaling.turn(Load(workers=4, busy=1.0, refused=0)) for _ in range(DOWN_TURNS)]
    assert (set(easy[:-1]), easy[-1]) == ({4}, 3)
