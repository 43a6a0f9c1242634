"""Zones against Python's own, and the search for wall clocks against a walk through the minutes."""

from __future__ import annotations

import datetime as dt
import random
import zoneinfo
from collections.abc import Iterator

import pytest

from headrace.language import row_kernels as k
from headrace.language.zones import DAY, FIRST_INSTANT, HOUR, LAST_INSTANT, MINUTE, Zone, find_zone, zone, zone_names

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  (wall clocks have no zone)
_MICROSECOND = dt.timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def _zones_of_the_package() -> Iterator[None]:
    """Python prefers the system's zones, which may be of another year."""
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


def _instants(source: random.Random, there: Zone) -> Iterator[int]:
    for _ in range(10):
        yield source.randrange(FIRST_INSTANT + DAY, LAST_INSTANT - DAY)
        yield source.randrange(-3 * 10**15, 4 * 10**15)
        if len(there.starts) > 1:
            yield source.choice(there.starts[1:200]) + source.randrange(-2 * HOUR, 2 * HOUR)


def test_offsets_and_wall_clocks_are_those_of_every_zone() -> None:
    source = random.Random(0)
    for name in sorted(zone_names()):
        there, theirs = zone(name), zoneinfo.ZoneInfo(name)
        for instant in _instants(source, there):
            moment = (_EPOCH.replace(tzinfo=dt.UTC) + instant * _MICROSECOND).astimezone(theirs)
            assert there.offset(instant) * _MICROSECOND == moment.utcoffset(), (name, instant)
            wall = (moment.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
            for fold, ours in enumerate((there.earliest(wall), there.latest(wall))):
                other = moment.replace(fold=fold).astimezone(dt.UTC).replace(tzinfo=None)
                assert ours == (other - _EPOCH) // _MICROSECOND, (name, instant, fold)


def test_names_that_are_no_zones_are_not_looked_for_on_the_disk() -> None:
    for name in ("", "..", "../zones", "America", "america/new_york", "America/New_York\0", "/etc/localtime"):
        assert find_zone(name) is None


_WALKED = [
    ("America/New_York", "2013-03-09T12:00:00"),
    ("America/New_York", "2013-11-02T12:00:00"),
    ("Australia/Lord_Howe", "2013-04-06T00:00:00"),
    ("Pacific/Apia", "2011-12-29T00:00:00"),  # a day that was not
    ("America/St_Johns", "2010-11-06T12:00:00"),  # back by an hour at one past midnight: into yesterday
    ("America/Scoresbysund", "2024-03-30T12:00:00"),
    ("Asia/Kathmandu", "1985-12-31T12:00:00"),
    ("Africa/Monrovia", "1972-01-06T12:00:00"),  # a leap of 44 minutes and a half
]


@pytest.mark.parametrize(("name", "start"), _WALKED)
def test_the_next_wall_clock_is_the_one_that_a_walk_finds(name: str, start: str) -> None:
    there = zone(name)
    begin = (dt.datetime.fromisoformat(start) - _EPOCH) // _MICROSECOND
    source = random.Random(name)
    for _ in range(12):
        after = begin + source.randrange(0, 36 * 60) * MINUTE
        hhmm = source.randrange(24) * 100 + source.randrange(60)
        assert k.next_local_time(after, hhmm, name) == _walk(there, after, k.clock_of(hhmm) or 0), (after, hhmm)


def _walk(there: Zone, after: int, clock: int) -> int:
    """Second by second: the clock shows the time, or has just leapt over it."""
    before = after + there.offset(after)
    if before % DAY == clock:
        return after
    for instant in range(after + SECOND, after + 3 * DAY, SECOND):
        wall = instant + there.offset(instant)
        passed = (wall - clock) // DAY - (before - clock) // DAY
        if passed > 0:
            return instant
        before = wall
    raise AssertionError("no such time within three days")


SECOND = 1_000_000


@pytest.mark.parametrize("hhmm", [-1, 60, 99, 2401, 2360, 2500, 10**18])
def test_what_no_clock_shows_is_null(hhmm: int) -> None:
    assert k.next_local_time(0, hhmm, "UTC") is None
