"""When a schedule is due, and what becomes of times that passed: pure functions of instants.

Daylight saving, as cron on Debian has it: a fixed time that is skipped runs right after the gap, one that comes twice
runs the first time only; with `*` in minute or hour every real minute or hour counts.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from headrace.definition.model import Schedule

ON_TIME_US = 60_000_000
"""A time seen within a minute is not late."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Missed(NamedTuple):
    """Times in a row that are not run."""

    first_us: int
    last_us: int
    times: int


class Decision(NamedTuple):
    """What becomes of times that have passed: each is in one of the two."""

    run: tuple[int, ...]
    missed: Missed | None


def times_after(schedule: Schedule, after_us: int) -> Iterator[int]:
    """Due times after an instant, in order, each once however many lines of cron name it; microseconds since 1970.

    Examples
    --------
    >>> from itertools import islice
    >>> paris = Schedule(cron=("30 2 * * *",), zone="Europe/Paris")
    >>> day = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
    >>> first, second = islice(times_after(paris, round(day.timestamp() * 1e6)), 2)
    >>> (second - first) / 3.6e9  # half past two does not exist on the 29th: it ran at three
    23.5
    """
    from cronsim import CronSim

    start = (_EPOCH + dt.timedelta(microseconds=after_us)).astimezone(ZoneInfo(schedule.zone))
    last = after_us
    for due in heapq.merge(*(map(_us, CronSim(line, start)) for line in schedule.cron)):
        if due > last:
            last = due
            yield due


def passed(schedule: Schedule, after_us: int, now_us: int) -> list[int]:
    """The due times after `after_us` up to now."""
    found = []
    for due in times_after(schedule, after_us):
        if due > now_us:
            break
        found.append(due)
    return found


def next_time(schedule: Schedule, after_us: int) -> int | None:
    """The next due time; None without cron."""
    return next(times_after(schedule, after_us), None)


def decide(schedule: Schedule, times: Sequence[int], now_us: int) -> Decision:
    """Which of the passed times run, by `catch_up`; the others, always the older ones, are missed.

    Examples
    --------
    >>> hours = [3_600_000_000 * n for n in (1, 2, 3)]
    >>> decide(Schedule(catch_up="latest"), hours, hours[-1] + 7_000_000_000)
    Decision(run=(10800000000,), missed=Missed(first_us=3600000000, last_us=7200000000, times=2))
    """
    match schedule.catch_up:
        case "all":
            count = schedule.catch_up_at_most
        case "latest":
            count = 1
        case _:  # none
            count = sum(now_us - due <= ON_TIME_US for due in times)
    cut = max(0, len(times) - count)
    late = times[:cut]
    return Decision(tuple(times[cut:]), Missed(late[0], late[-1], len(late)) if late else None)


def _us(instant: dt.datetime) -> int:
    return (instant - _EPOCH) // dt.timedelta(microseconds=1)
