"""Wall clocks: the offset of a zone at an instant, and the instant of a wall-clock time.

Both forms of every function of time read the same table, made from the `tzdata` package that is pinned with us, so
neither the operating system's time zones nor a library's built-in ones can part history from request. Instants and wall
clocks are microseconds; a wall clock counts from 1970-01-01T00:00 of the zone.

Source of the format: RFC 9636 (TZif), version 2 and later; rules after the last listed transition are POSIX `TZ` rules,
written out until 2500 and from there repeated every 400 years, after which the Gregorian calendar repeats to the
weekday.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from datetime import date
from functools import lru_cache
from importlib import resources
from typing import Any

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = date(1970, 1, 1).toordinal()
HORIZON = (date(2500, 1, 1).toordinal() - _EPOCH) * DAY
_CYCLE = 146_097 * DAY
_FIRST, _LAST = -(1 << 62), 1 << 62

FIRST_DAY = date(1, 1, 1).toordinal() - _EPOCH
LAST_DAY = date(9999, 12, 31).toordinal() - _EPOCH
FIRST_INSTANT = FIRST_DAY * DAY
LAST_INSTANT = (LAST_DAY + 1) * DAY - 1
"""Dates and timestamps of the language lie in the years 1 to 9999 (UTC); whatever leaves them is null."""


class Zone:
    """One zone's segments: stretches of time with one offset.

    Segment i runs from `starts[i]` (an instant) to `starts[i + 1]` and has `offsets[i]`; on the wall it ends before
    `wall_ends[i]`.
    """

    __slots__ = ("name", "offsets", "starts", "wall_ends")

    def __init__(self, name: str, transitions: list[tuple[int, int]], first_offset: int) -> None:
        self.name = name
        self.starts = [_FIRST, *(instant for instant, _ in transitions)]
        self.offsets = [first_offset, *(offset for _, offset in transitions)]
        ends = [*self.starts[1:], _LAST]
        self.wall_ends = [end + offset for end, offset in zip(ends, self.offsets, strict=True)]

    def offset(self, instant: int) -> int:
        """Wall clock minus UTC at `instant`."""
        if instant >= HORIZON:
            instant -= cycles(instant)
        return self.offsets[bisect_right(self.starts, instant) - 1]

    def stretch(self, instant: int) -> tuple[int, int]:
        """The offset at `instant` and the instant until which it stays."""
        shift = cycles(instant) if instant >= HORIZON else 0
        here = bisect_right(self.starts, instant - shift)
        end = self.starts[here] if here < len(self.starts) else _LAST
        return self.offsets[here - 1], end + shift

    def earliest(self, wall: int) -> int:
        """The first instant at which the zone's wall clock shows `wall`, or the end of the gap that leaps over it."""
        shift = cycles(wall) if wall >= HORIZON else 0
        wall -= shift
        here = bisect_right(self.wall_ends, wall)
        return max(self.starts[here], wall - self.offsets[here]) + shift

    def latest(self, wall: int) -> int:
        """The last instant at which the wall clock shows `wall`, or the end of the gap that leaps over it."""
        shift = cycles(wall) if wall >= HORIZON else 0
        wall -= shift
        here = bisect_right(self.wall_ends, wall)
        while here + 1 < len(self.starts) and self.starts[here + 1] + self.offsets[here + 1] <= wall:
            here += 1
        return max(self.starts[here], wall - self.offsets[here]) + shift


def cycles(instant: Any) -> Any:
    """The whole calendar cycles by which instants from the horizon on (one, or an array) lie after it."""
    return ((instant - HORIZON) // _CYCLE + 1) * _CYCLE


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every zone that may be named, as IANA writes it."""
    text = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii")
    return frozenset(text.split())


@lru_cache(maxsize=1024)
def find_zone(name: str) -> Zone | None:
    """The zone of that name, None if there is none: unknown names come from data too and are not an error there."""
    if name not in zone_names():
        return None
    return _read(name, resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes())


def zone(name: str) -> Zone:
    """The zone of a name that has been checked."""
    found = find_zone(name)
    if found is None:
        raise KeyError(name)
    return found


def _read(name: str, data: bytes) -> Zone:
    """A zone from a TZif file of version 2 or later: the 64-bit block follows the 32-bit one."""
    skip = _first_block_size(data)
    n_utc, n_std, n_leap, n_times, n_types, n_chars = struct.unpack_from(">6l", data, skip + 20)
    at = skip + 44
    instants = struct.unpack_from(f">{n_times}q", data, at)
    kinds = struct.unpack_from(f">{n_times}B", data, at + 8 * n_times)
    at += 9 * n_times
    offsets = [int(struct.unpack_from(">l", data, at + 6 * kind)[0]) * SECOND for kind in range(n_types)]
    footer = data[at + 6 * n_types + n_chars + 12 * n_leap + n_std + n_utc :].strip(b"\n").decode("ascii")
    listed = [(instant * SECOND, offsets[kind]) for instant, kind in zip(instants, kinds, strict=True)]
    after = listed[-1][0] if listed else _FIRST
    return Zone(name, listed + [rule for rule in _rules(footer, after) if rule[0] > after], offsets[0])


def _first_block_size(data: bytes) -> int:
    n_utc, n_std, n_leap, n_times, n_types, n_chars = struct.unpack_from(">6l", data, 20)
    size: int = 44 + n_times * 5 + n_types * 6 + n_chars + n_leap * 8 + n_std + n_utc
    return size


_NAME = r"(?:<[^>]+>|[A-Za-z]+)"
_CLOCK = r"([+-]?)(\d+)(?::(\d+))?(?::(\d+))?"
_FOOTER = re.compile(rf"{_NAME}{_CLOCK}(?:{_NAME}(?:{_CLOCK})?,([^,]+),([^,]+))?$")
_DAY_RULE = re.compile(rf"M(\d+)\.(\d)\.(\d)(?:/{_CLOCK})?$")


def _rules(footer: str, after: int) -> list[tuple[int, int]]:
    """The transitions that a POSIX rule gives from the year of `after` to the horizon."""
    found = _FOOTER.match(footer)
    if found is None or found[9] is None:
        return []
    standard = -_seconds(*found.group(1, 2, 3, 4))
    summer = standard + 3600 if found[6] is None else -_seconds(*found.group(5, 6, 7, 8))
    first_year = max(1970, date.fromordinal(after // DAY + _EPOCH).year) if after > _FIRST else 1970
    transitions = []
    for year in range(first_year, 2501):
        transitions.append(((_rule_day(found[9], year) - standard) * SECOND, summer * SECOND))
        transitions.append(((_rule_day(found[10], year) - summer) * SECOND, standard * SECOND))
    return sorted(transitions)


def _rule_day(rule: str, year: int) -> int:
    """Wall-clock seconds since 1970 of a rule such as M3.2.0/2: month, week (5: the last), weekday (0: Sunday)."""
    found = _DAY_RULE.match(rule)
    if found is None:
        raise ValueError(f"a time zone rule of another form than Mm.w.d: {rule}")
    month, week, weekday = (int(found[group]) for group in (1, 2, 3))
    first = date(year, month, 1).toordinal()
    day = first + (weekday - first) % 7 + 7 * (week - 1)
    after_month = (date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)).toordinal()
    while day >= after_month:
        day -= 7
    clock = 7200 if found[5] is None else _seconds(*found.group(4, 5, 6, 7))
    return (day - _EPOCH) * 86400 + clock


def _seconds(sign: str | None, hours: str, minutes: str | None, seconds: str | None) -> int:
    value = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return -value if sign == "-" else value
