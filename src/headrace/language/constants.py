"""Checks of the constants that some functions take: zones, units, digits."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headrace.language.regex import PatternError, compile_pattern
from headrace.language.row_kernels import DAY_UNITS, TRUNC_UNITS, UNITS
from headrace.language.zones import zone_names


@dataclass(frozen=True, slots=True)
class Mistake:
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
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _zone(value: object) -> Mistake | None:
    name = str(value)
    if name in zone_names():
        return None
    return Mistake(f"there is no time zone {name!r}", near_miss(name, zone_names()))


def _one_of(names: tuple[str, ...]) -> Callable[[object], Mistake | None]:
    def check(value: object) -> Mistake | None:
        if value in names:
            return None
        return Mistake(f"the unit is one of {', '.join(names)}", near_miss(str(value), names))

    return check


def _digits(value: object) -> Mistake | None:
    return None if isinstance(value, int) and 0 <= value <= 15 else Mistake("the number of digits is 0 to 15")


def _pattern(value: object) -> Mistake | None:
    try:
        compile_pattern(str(value))
    except PatternError as error:
        return Mistake(f"this pattern cannot be used: {error}")
    return None


_CHECKS: dict[str, Callable[[object], Mistake | None]] = {
    "zone": _zone,
    "unit": _one_of(UNITS),
    "day_unit": _one_of(DAY_UNITS),
    "trunc_unit": _one_of(TRUNC_UNITS),
    "digits": _digits,
    "pattern": _pattern,
}
