"""When a schedule is due: daylight saving, several lines of cron, and what becomes of times that passed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from headrace.definition.model import Schedule
from headrace.operations.due import decide, next_time, passed, times_after

HOUR_US = 3_600_000_000


def us(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).timestamp() * 1e6)


def local(schedule: Schedule, after: str, count: int) -> list[str]:
    zone = ZoneInfo(schedule.zone)
    found = islice(times_after(schedule, us(after)), count)
    return [dt.datetime.fromtimestamp(at / 1e6, zone).strftime("%d %H:%M %z") for at in found]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", "2026-03-28T12:00+01:00", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("30 2 * * *", "2026-10-24T12:00+02:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("0 * * * *", "2026-10-25T01:30+02:00", ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
        ("0 5 * * *", "2026-10-24T12:00+02:00", ["25 05:00 +0100"]),
    ],
)
def test_a_skipped_time_runs_once_and_one_shown_twice_runs_once(cron: str, after: str, expected: Sequence[str]) -> None:
    assert local(Schedule(cron=(cron,), zone="Europe/Paris"), after, len(expected)) == expected


def test_lines_are_merged_and_a_time_named_twice_is_one() -> None:
    schedule = Schedule(cron=("0 */2 * * *", "0 */3 * * *"))
    found = passed(schedule, us("2026-01-01T00:00+00:00"), us("2026-01-01T12:00+00:00"))
    hours = [(at - us("2026-01-01T00:00+00:00")) // HOUR_US for at in found]
    assert hours == [2, 3, 4, 6, 8, 9, 10, 12]
    assert all(a < b for a, b in pairwise(found))
    assert next_time(Schedule(when="new_files"), 0) is None


@pytest.mark.parametrize(
    ("catch_up", "late_us", "runs", "missed"),
    [
        ("latest", HOUR_US, 1, 4),
        ("all", HOUR_US, 3, 2),
        ("none", HOUR_US, 0, 5),
        ("none", 1_000_000, 1, 4),
    ],
)
def test_every_time_that_passed_is_run_or_missed(
    catch_up: Literal["latest", "all", "none"], late_us: int, runs: int, missed: int
) -> None:
    times = [HOUR_US * n for n in range(1, 6)]
    schedule = Schedule(catch_up=catch_up, catch_up_at_most=3)
    decision = decide(schedule, times, times[-1] + late_us)
    assert decision.run == tuple(times[5 - runs :])
    assert decision.missed is not None
    assert decision.missed == (times[0], times[missed - 1], missed)
