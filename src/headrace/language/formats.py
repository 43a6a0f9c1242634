"""Formats of dates and times in text: ``%d.%m.%Y %H:%M``.

A format is fields and other characters, which stand in the text as they are. Fields: ``%Y`` four digits; ``%m``,
``%d``, ``%H``, ``%M``, ``%S`` two digits; ``%f`` one to six digits of a fraction of a second; ``%b`` an English month's
first three letters in any case; ``%%`` a percent sign. Nothing depends on a locale.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from headrace.language.row_calendar import day_number
from headrace.language.row_kernels import within
from headrace.language.zones import DAY, HOUR, MINUTE, SECOND, zone

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = {"Y": "[0-9]{4}", "m": "[0-9]{2}", "d": "[0-9]{2}", "b": "[A-Za-z]{3}"}
_CLOCK = {"H": "[0-9]{2}", "M": "[0-9]{2}", "S": "[0-9]{2}", "f": "[0-9]{1,6}"}
_LONGEST = 100


class FormatError(ValueError):
    """A format that cannot be used; the message says why."""


@lru_cache(maxsize=256)
def read_format(text: str, *, clock: bool) -> re.Pattern[str]:
    """A format as a pattern whose groups are named by the fields; `clock`: whether times may stand in it.

    Raises
    ------
    FormatError : an unknown field, one that comes twice, or no year, month and day.
    """
    if len(text) > _LONGEST:
        raise FormatError(f"a format has at most {_LONGEST} characters")
    fields, parts, known = set[str](), list[str](), _DATE | _CLOCK if clock else _DATE
    for found in re.finditer(r"%(.?)|[^%]+", text, re.DOTALL):
        name = found[1]
        if name is None or name == "%":
            parts.append(re.escape(found[0] if name is None else "%"))
        elif name not in known or name in fields:
            what = "comes twice" if name in fields else f"is not one of {', '.join(f'%{one}' for one in known)}"
            raise FormatError(f"%{name} {what}")
        else:
            fields.add(name)
            parts.append(f"(?P<{name}>{known[name]})")
    if "Y" not in fields or "d" not in fields or ("m" in fields) == ("b" in fields):
        raise FormatError("it needs %Y, %d, and %m or %b")
    return re.compile("".join(parts))


def parse_date_in(text: str) -> Callable[[str], int | None]:
    """The days since 1970-01-01 of texts of a format; None for what is no date."""
    pattern = read_format(text, clock=False)

    def of(value: str) -> int | None:
        found = pattern.fullmatch(value)
        return None if found is None else _day(found.groupdict())

    return of


def parse_timestamp_in(text: str, name: str) -> Callable[[str], int | None]:
    """The instants of wall clocks of a zone in texts of a format; None for what is no time."""
    pattern, there = read_format(text, clock=True), zone(name)

    def of(value: str) -> int | None:
        found = pattern.fullmatch(value)
        if found is None:
            return None
        parts = found.groupdict("0")
        day = _day(parts)
        hour, minute, second = (int(parts.get(name, 0)) for name in "HMS")
        if day is None or hour > 23 or minute > 59 or second > 59:
            return None
        fraction = int(parts.get("f", "0").ljust(6, "0"))
        return within(there.earliest(day * DAY + hour * HOUR + minute * MINUTE + second * SECOND + fraction))

    return of


def _day(parts: dict[str, str]) -> int | None:
    month = parts.get("b")
    if month is None:
        return day_number(int(parts["Y"]), int(parts["m"]), int(parts["d"]))
    if month.lower() not in _MONTHS:
        return None
    return day_number(int(parts["Y"]), _MONTHS.index(month.lower()) + 1, int(parts["d"]))
