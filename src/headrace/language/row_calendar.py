"""Row forms of the calendar; days count from 1970-01-01, instants and wall clocks are microseconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache

from headrace.language.row_kernels import calendar, float_to_integer, months, round_half_away, within, within_days
from headrace.language.zones import DAY, HOUR, MINUTE, SECOND, zone

_EPOCH = date(1970, 1, 1).toordinal()
_STEPS = {"second": SECOND, "minute": MINUTE, "hour": HOUR}


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def length_of_month(year: int, month: int) -> int:
    return 28 + is_leap(year) if month == 2 else 30 + (month + month // 8) % 2


def day_number(year: int, month: int, day: int) -> int | None:
    if 1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= length_of_month(year, month):
        return date(year, month, day).toordinal() - _EPOCH
    return None


@lru_cache(maxsize=20_000)
def iso(day: int) -> tuple[int, int]:
    """ISO 8601 year and week."""
    year, week, _ = date.fromordinal(day + _EPOCH).isocalendar()
    return year, week


def days_in_month(day: int) -> int:
    year, month, _, _ = calendar(day)
    return length_of_month(year, month)


def last_day(day: int) -> int:
    year, month, day_of_month, _ = calendar(day)
    return day - day_of_month + length_of_month(year, month)


def _start_of_month(day: int) -> int:
    return day - calendar(day)[2] + 1


def _start_of_quarter(day: int) -> int:
    year, month, _, _ = calendar(day)
    return date(year, (month - 1) // 3 * 3 + 1, 1).toordinal() - _EPOCH


def _start_of_year(day: int) -> int:
    return day - calendar(day)[3] + 1


STARTS: dict[str, Callable[[int], int]] = {
    "week": lambda day: day - (day + 3) % 7,
    "month": _start_of_month,
    "quarter": _start_of_quarter,
    "year": _start_of_year,
}
TRUNC_UNITS = (*_STEPS, "day", *STARTS)


def start_of_in(unit: str) -> Callable[[int], int]:
    """The first day of the week (Monday), month, quarter or year of a day."""
    return STARTS[unit]


def add_months(day: int, count: int) -> int | None:
    """The same day of another month, or its last one if it is shorter."""
    _, _, day_of_month, _ = calendar(day)
    year, month = divmod(months(day) - 1 + count, 12)
    if not 1 <= year <= 9999:
        return None
    month += 1
    return date(year, month, min(day_of_month, length_of_month(year, month))).toordinal() - _EPOCH


def add_months_in(name: str) -> Callable[[int, int], int | None]:
    there = zone(name)

    def of(instant: int, count: int) -> int | None:
        day, clock = divmod(instant + there.offset(instant), DAY)
        moved = add_months(day, count) if within_days(day) is not None else None
        return None if moved is None else within(there.earliest(moved * DAY + clock))

    return of


def full_months(start: int, end: int) -> int:
    """Whole months from one day to another: a month is whole when the day of the month is reached again."""
    passed = months(end) - months(start)
    first, last = calendar(start)[2], calendar(end)[2]
    if passed > 0 and last < first:
        return passed - 1
    return passed + 1 if passed < 0 and last > first else passed


def full_years(start: int, end: int) -> int:
    passed = full_months(start, end)
    return passed // 12 if passed >= 0 else -(-passed // 12)


def business_days(start: int, end: int) -> int:
    """Mondays to Fridays from a day on to before another; negative the other way."""
    return _business_days_before(end) - _business_days_before(start)


def _business_days_before(day: int) -> int:
    weeks, rest = divmod(day + 3, 7)
    return weeks * 5 + min(rest, 5)


def make_timestamp_in(name: str) -> Callable[[int, int, int, int, int, int], int | None]:
    there = zone(name)

    def of(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
        midnight = day_number(year, month, day)
        if midnight is None or not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
            return None
        return within(there.earliest(midnight * DAY + hour * HOUR + minute * MINUTE + second * SECOND))

    return of


def offset_in(name: str) -> Callable[[int], int]:
    """What the zone's clocks are ahead of UTC, in whole minutes, rounded down."""
    there = zone(name)
    return lambda instant: there.offset(instant) // MINUTE


def date_trunc_in(unit: str, name: str) -> Callable[[int], int | None]:
    """The start of the wall clock's second, minute or hour (by time passed), or the first instant of its day or of the
    zone's week, month, quarter or year."""
    there, step = zone(name), _STEPS.get(unit)
    if step is not None:
        return lambda instant: within(instant - (instant + there.offset(instant)) % step)
    if unit == "day":

        def start_of_day(instant: int) -> int | None:
            wall = instant + there.offset(instant)
            return within(there.earliest(wall - wall % DAY))

        return start_of_day
    start = STARTS[unit]

    def of(instant: int) -> int | None:
        day = within_days((instant + there.offset(instant)) // DAY)
        return None if day is None else within(there.earliest(start(day) * DAY))

    return of


def first_of_month(day: int) -> bool:
    return calendar(day)[2] == 1


def last_of_month(day: int) -> bool:
    return calendar(day)[2] == days_in_month(day)


def from_epoch(seconds: float) -> int | None:
    instant = float_to_integer(round_half_away(seconds * SECOND))
    return None if instant is None else within(instant)


_OF_DAY: dict[str, Callable[[int], int]] = {
    "year": lambda day: calendar(day)[0],
    "iso_year": lambda day: iso(day)[0],
    "quarter": lambda day: (calendar(day)[1] + 2) // 3,
    "month": lambda day: calendar(day)[1],
    "week": lambda day: iso(day)[1],
    "day": lambda day: calendar(day)[2],
    "weekday": lambda day: (day + 3) % 7 + 1,
    "day_of_year": lambda day: calendar(day)[3],
}
_OF_CLOCK: dict[str, Callable[[int], int]] = {
    "hour": lambda wall: wall // HOUR % 24,
    "minute": lambda wall: wall // MINUTE % 60,
    "second": lambda wall: wall // SECOND % 60,
}
DATE_PARTS = tuple(_OF_DAY)
PARTS = (*_OF_DAY, *_OF_CLOCK)


def date_part_in(part: str) -> Callable[[int], int]:
    """A part of a date by name."""
    return _OF_DAY[part]


def part_in(part: str, name: str) -> Callable[[int], int | None]:
    """A part of the zone's wall clock by name; None outside the years 1 to 9999."""
    there, of_clock = zone(name), _OF_CLOCK.get(part)
    of_day = _OF_DAY.get(part, int)

    def of(instant: int) -> int | None:
        wall = within(instant + there.offset(instant))
        if wall is None:
            return None
        return of_day(wall // DAY) if of_clock is None else of_clock(wall)

    return of
