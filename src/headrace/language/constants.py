"""Checks of the constants that some functions take: zones, units, digits."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable

import msgspec

from headrace.language.formats import FormatError, read_format
from headrace.language.regex import PatternError, compile_pattern
from headrace.language.row_calendar import DATE_PARTS, PARTS, STARTS, TRUNC_UNITS
from headrace.language.row_kernels import DAY_UNITS, UNITS
from headrace.language.row_patterns import like_pattern, read_replacement
from headrace.language.zones import zone_names


class Mistake(msgspec.Struct, frozen=True):
    """Why a constant cannot be used."""

    message: str
    suggestion: str | None = None


def check_constant(kind: str, value: object) -> Mistake | None:
    """What is wrong with a constant of a kind (see `headrace.language.signatures`), None if nothing is."""
    check = _CHECKS.get(kind)
    return None if check is None else check(value)


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    folded = {other.lower(): other for other in known}
    if name.lower() in folded:
        return folded[name.lower()]
    close = difflib.get_close_matches(name.lower()[:_LONGEST_NAME], list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


_LONGEST_NAME = 100


def _zone(value: object) -> Mistake | None:
    name = str(value)
    if name in zone_names():
        return None
    return Mistake(f"there is no time zone {name!r}", near_miss(name, zone_names()))


def _one_of(names: Iterable[str], what: str = "unit") -> Callable[[object], Mistake | None]:
    known = tuple(names)

    def check(value: object) -> Mistake | None:
        if value in known:
            return None
        return Mistake(f"the {what} is one of {', '.join(known)}", near_miss(str(value), known))

    return check


def _within(low: int, high: int, what: str) -> Callable[[object], Mistake | None]:
    def check(value: object) -> Mistake | None:
        return None if isinstance(value, int) and low <= value <= high else Mistake(f"{what} is {low} to {high}")

    return check


def _pattern(value: object) -> Mistake | None:
    try:
        compile_pattern(str(value))
    except PatternError as error:
        return Mistake(f"this pattern cannot be used: {error}")
    return None


def _like(value: object) -> Mistake | None:
    return _pattern(like_pattern(str(value)))


def _replacement(value: object) -> Mistake | None:
    try:
        read_replacement(str(value))
    except PatternError as error:
        return Mistake(f"this replacement cannot be used: {error}")
    return None


def _fill(value: object) -> Mistake | None:
    return None if len(str(value)) == 1 else Mistake("what a text is filled with is one character")


def _not_empty(what: str) -> Callable[[object], Mistake | None]:
    return lambda value: None if value else Mistake(f"{what} cannot be empty")


def _place(value: object) -> Mistake | None:
    return None if value else Mistake("places are counted from 1, or from -1 at the end")


def _finite(value: object) -> Mistake | None:
    return None if isinstance(value, float) and math.isfinite(value) else Mistake("this number has to be finite")


def _positive(value: object) -> Mistake | None:
    good = isinstance(value, float) and 0.0 < value < math.inf
    return None if good else Mistake("this number has to be above 0 and finite")


def _format(*, clock: bool) -> Callable[[object], Mistake | None]:
    def check(value: object) -> Mistake | None:
        try:
            read_format(str(value), clock=clock)
        except FormatError as error:
            return Mistake(f"this format cannot be used: {error}")
        return None

    return check


_CHECKS: dict[str, Callable[[object], Mistake | None]] = {
    "zone": _zone,
    "unit": _one_of(UNITS),
    "day_unit": _one_of(DAY_UNITS),
    "trunc_unit": _one_of(TRUNC_UNITS),
    "date_unit": _one_of(STARTS),
    "part": _one_of(PARTS, "part"),
    "date_part": _one_of(DATE_PARTS, "part"),
    "digits": _within(0, 15, "the number of digits"),
    "places": _within(0, 18, "the number of places"),
    "pattern": _pattern,
    "like": _like,
    "replacement": _replacement,
    "fill": _fill,
    "characters": _not_empty("the set of characters"),
    "separator": _not_empty("what is looked for"),
    "place": _place,
    "group": _within(0, 32, "the group"),
    "count": _within(1, 1_000_000_000, "the number of buckets"),
    "precision": _within(1, 12, "the precision"),
    "number": _finite,
    "positive": _positive,
    "date_format": _format(clock=False),
    "time_format": _format(clock=True),
}
