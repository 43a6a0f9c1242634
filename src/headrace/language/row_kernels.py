"""The row forms that do not fit in a template: plain functions of one row's values, without any library.

Arguments are never None here: the generated code sees to nulls. A result of None is null. Names that end in `_in` take
constants and give the function to call.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from headrace.language.regex import compile_pattern
from headrace.language.zones import (
    DAY,
    FIRST_DAY,
    FIRST_INSTANT,
    HORIZON,
    HOUR,
    LAST_DAY,
    LAST_INSTANT,
    MINUTE,
    SECOND,
    Zone,
    find_zone,
    zone,
)

LEAST_INTEGER, GREATEST_INTEGER = -(1 << 63), (1 << 63) - 1
EARTH_RADIUS_KM = 6371.0088
_DIAMETER_KM = 2.0 * EARTH_RADIUS_KM
_EPOCH = date(1970, 1, 1).toordinal()


# --- numbers ---------------------------------------------------------------------------------------------------------


def exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def power(x: float, y: float) -> float | None:
    x += 0.0  # the power of -0.0 can be -infinity
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:  # a negative number to a fraction has no value; zero to a negative power is infinite
        return None if x != 0 else math.inf


def ln(x: float) -> float | None:
    return math.log(x) if x > 0 else (-math.inf if x == 0 else None)


def log10(x: float) -> float | None:
    return math.log10(x) if x > 0 else (-math.inf if x == 0 else None)


def circular(function: Callable[[float], float]) -> Callable[[float], float | None]:
    """A function that has no value at infinity."""

    def of(x: float) -> float | None:
        return None if math.isinf(x) else function(x)

    return of


sin, cos, tan = circular(math.sin), circular(math.cos), circular(math.tan)


def modulo(x: float, y: float) -> float | None:
    return None if y == 0 or math.isinf(x) else math.fmod(x, y)


def integer_divide(a: int, b: int) -> int | None:
    if b == 0:
        return None
    quotient = a // b if (a < 0) == (b < 0) else -(-a // b)
    return quotient if quotient <= GREATEST_INTEGER else None


def integer_modulo(a: int, b: int) -> int | None:
    if b == 0:
        return None
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def round_half_away(x: float) -> float:
    if not -4503599627370496.0 < x < 4503599627370496.0:
        return x
    whole = math.floor(abs(x))
    return math.copysign(whole + 1 if abs(x) - whole >= 0.5 else whole, x)


def floor(x: float) -> float:
    return x if not -4503599627370496.0 < x < 4503599627370496.0 else math.copysign(math.floor(x), x)


def ceil(x: float) -> float:
    return x if not -4503599627370496.0 < x < 4503599627370496.0 else math.copysign(math.ceil(x), x)


def round_in(digits: int) -> Callable[[float], float]:
    scale = 10.0**digits

    def of(x: float) -> float:
        scaled = x * scale
        return x if math.isinf(scaled) else round_half_away(scaled) / scale

    return of


def float_to_integer(x: float) -> int | None:
    return int(x) if -9223372036854775808.0 <= x < 9223372036854775808.0 else None


sqrt: Callable[[float], float | None] = lambda x: math.sqrt(x) if x >= 0.0 else None  # noqa: E731
asin, inf, radians, sqrt_of = math.asin, math.inf, math.radians, math.sqrt
_sin, _cos = math.sin, math.cos  # names of this module are found faster than attributes of another


def atan2(y: float, x: float) -> float:
    return math.atan2(y + 0.0, x + 0.0)


def greatest(first: Any, *others: Any) -> Any:
    for other in others:
        if other > first:
            first = other
    return first


def least(first: Any, *others: Any) -> Any:
    for other in others:
        if other < first:
            first = other
    return first


def coalesce(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


def one_of(*values: Any) -> Callable[[Any], bool]:
    return frozenset(values).__contains__


def haversine(lat1: float, lon1: float, lat2: float, lon2: float) -> float | None:
    if not (-90.0 <= lat1 <= 90.0 and -90.0 <= lat2 <= 90.0 and -inf < lon1 < inf and -inf < lon2 < inf):
        return None
    north1, north2 = radians(lat1), radians(lat2)
    s = _sin((north2 - north1) / 2.0)
    t = _sin((radians(lon2) - radians(lon1)) / 2.0)
    h = s * s + _cos(north1) * _cos(north2) * (t * t)
    return asin(math.sqrt(min(1.0, h))) * _DIAMETER_KM


# --- text ------------------------------------------------------------------------------------------------------------


length = len
integer_to_text = str


def float_to_text(x: float) -> str:
    return repr(x + 0.0)


def concat(*texts: str) -> str:
    return "".join(texts)


def substring(text: str, start: int, length: int) -> str | None:
    if length < 0:
        return None
    return text[max(start - 1, 0) : max(start - 1 + length, 0)]


def substring_from(text: str, start: int) -> str:
    return text[max(start - 1, 0) :]


def left(text: str, length: int) -> str:
    return text[: max(length, 0)]


def right(text: str, length: int) -> str:
    return text[len(text) - min(max(length, 0), len(text)) :]


def replace_in(search: str, replacement: str) -> Callable[[str], str]:
    return lambda text: text.replace(search, replacement) if search else text


def matches_in(pattern: str) -> Callable[[str], bool]:
    return compile_pattern(pattern).matches


# --- time ------------------------------------------------------------------------------------------------------------


def wall_in(name: str) -> str | Callable[[int], int | None]:
    """The wall clock of a zone; None outside the years 1 to 9999."""
    if name == "UTC":
        return "{0}"
    there = zone(name)
    starts, offsets, slow_offset = there.starts, there.offsets, there.offset

    def of(instant: int) -> int | None:
        wall = instant + (offsets[bisect_right(starts, instant) - 1] if instant < HORIZON else slow_offset(instant))
        return wall if FIRST_INSTANT <= wall <= LAST_INSTANT else None

    return of


_calendar: dict[int, tuple[int, int, int, int]] = {}
_MOST_DAYS = 20_000


def calendar(day: int) -> tuple[int, int, int, int]:
    """Year, month, day of the month and day of the year; days that were asked for are kept."""
    found = _calendar.get(day)
    if found is None:
        there = date.fromordinal(day + _EPOCH)
        found = (there.year, there.month, there.day, there.toordinal() - date(there.year, 1, 1).toordinal() + 1)
        if len(_calendar) >= _MOST_DAYS:
            _calendar.clear()
        _calendar[day] = found
    return found


def months(day: int) -> int:
    year, month, _, _ = calendar(day)
    return year * 12 + month


_WALL_UNITS: dict[str, Callable[[int], int]] = {
    "second": lambda wall: wall // SECOND,
    "minute": lambda wall: wall // MINUTE,
    "hour": lambda wall: wall // HOUR,
    "day": lambda wall: wall // DAY,
    "month": lambda wall: months(wall // DAY),
    "year": lambda wall: calendar(wall // DAY)[0],
}
_DAY_UNITS: dict[str, Callable[[int], int]] = {
    "day": lambda day: day,
    "month": months,
    "year": lambda day: calendar(day)[0],
}
UNITS = tuple(_WALL_UNITS)
DAY_UNITS = tuple(_DAY_UNITS)


def timestamp_diff_in(unit: str) -> Callable[[int, int], int]:
    of = _WALL_UNITS[unit]
    return lambda start, end: of(end) - of(start)


def date_diff_in(unit: str) -> Callable[[int, int], int]:
    of = _DAY_UNITS[unit]
    return lambda start, end: of(end) - of(start)


def within(instant: int) -> int | None:
    return instant if FIRST_INSTANT <= instant <= LAST_INSTANT else None


def within_days(day: int) -> int | None:
    return day if FIRST_DAY <= day <= LAST_DAY else None


def local_time(instant: int, minute: int, name: str) -> int | None:
    there = find_zone(name)
    if there is None or not 0 <= minute < 60:
        return None
    return within(instant - (instant + there.offset(instant)) % HOUR + minute * MINUTE)


def clock_of(hhmm: int) -> int | None:
    """Microseconds past midnight of 0 (00:00) to 2359, and of 2400, which is midnight too."""
    hour, minute = divmod(hhmm, 100)
    if not (0 <= hhmm < 2400 and minute < 60):
        return 0 if hhmm == 2400 else None
    return hour * HOUR + minute * MINUTE


def next_local_time(after: int, hhmm: int, name: str) -> int | None:
    there = find_zone(name)
    clock = clock_of(hhmm)
    return None if there is None or clock is None else within(next_clock(there, after, clock))


def next_clock(there: Zone, after: int, clock: int) -> int:
    """The first instant from `after` on at which the zone's clock shows `clock` past midnight, or leaps over it."""
    offset, end = there.stretch(after)
    wall = after + offset
    midnight = wall - wall % DAY
    instant = midnight + clock - offset
    if instant < after:
        instant += DAY
    if instant < end:  # the clock runs on without a leap until then
        return instant
    days = (midnight - DAY, midnight, midnight + DAY, midnight + 2 * DAY)
    instants = [instant for day in days for instant in (there.earliest(day + clock), there.latest(day + clock))]
    return min(instant for instant in instants if instant >= after)


def duration_in(unit: int) -> Callable[[float], int | None]:
    """A number of units as microseconds, rounded half away from zero."""

    def of(x: float) -> int | None:
        return float_to_integer(round_half_away(x * unit))

    return of


# --- from and to text ------------------------------------------------------------------------------------------------


def text_to_integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        return None
    value = int(text)
    return value if LEAST_INTEGER <= value <= GREATEST_INTEGER else None


_FLOAT_CHARACTERS = frozenset("0123456789+-.eE")


def text_to_float(text: str) -> float | None:
    if not _FLOAT_CHARACTERS.issuperset(text):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def text_to_boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text)


def text_to_date(text: str) -> int | None:
    if not (len(text) == 10 and text.isascii() and text[4] == "-" and text[7] == "-"):
        return None
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        return None


def date_to_text(day: int) -> str:
    return date.fromordinal(day + _EPOCH).isoformat()


_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(?:Z|([+-])([0-9]{2}):?([0-9]{2}))?)?"
)


def text_to_timestamp(text: str) -> int | None:
    """ISO 8601: a date, or a date and a time with an offset, Z, or neither, which means UTC; microseconds count."""
    if (
        len(text) == 20
        and text[19] == "Z"
        and text[10] == "T"
        and text[4] == text[7] == "-"
        and text[13] == text[16] == ":"
    ):
        try:  # the usual form, and the only one of this shape that the library reads
            there = datetime.fromisoformat(text[:19])
        except ValueError:
            return None
        midnight = (there.toordinal() - _EPOCH) * DAY
        return midnight + there.hour * HOUR + there.minute * MINUTE + there.second * SECOND
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    day_text, hour, minute, second, fraction, sign, offset_hour, offset_minute = found.groups()
    day = text_to_date(day_text)
    if day is None:
        return None
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    away = int(offset_hour or 0) * 60 + int(offset_minute or 0)
    if hours > 23 or minutes > 59 or seconds > 59 or away > 1439 or int(offset_minute or 0) > 59:
        return None
    instant = day * DAY + hours * HOUR + minutes * MINUTE + seconds * SECOND + int((fraction or "").ljust(6, "0")[:6])
    return within(instant + away * MINUTE if sign == "-" else instant - away * MINUTE)


def timestamp_to_text(instant: int) -> str:
    """2013-01-31T05:00:00Z, with six more digits when there is a fraction of a second."""
    day, rest = divmod(instant, DAY)
    hour, rest = divmod(rest, HOUR)
    minute, rest = divmod(rest, MINUTE)
    second, fraction = divmod(rest, SECOND)
    tail = f".{fraction:06d}" if fraction else ""
    return f"{date_to_text(day)}T{hour:02d}:{minute:02d}:{second:02d}{tail}Z"


def or_default(read: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A reading that gives a default where it fails."""

    def of(value: Any, default: Any) -> Any:
        found = read(value)
        return default if found is None else found

    return of
