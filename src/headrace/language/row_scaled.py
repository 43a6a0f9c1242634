"""Row forms of exact decimals: integers that count the last of a fixed number of decimal places."""

from __future__ import annotations

import re
from collections.abc import Callable

from headrace.language.row_kernels import GREATEST_INTEGER, LEAST_INTEGER, float_to_integer, round_half_away

DECIMAL = re.compile(r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))")
_LONGEST = 19


def text_in(places: int) -> Callable[[str], int | None]:
    """A decimal text as a count of its last place; None for other text, for more places, and beyond 64 bits."""

    def of(text: str) -> int | None:
        found = DECIMAL.fullmatch(text)
        if found is None:
            return None
        sign, whole, after, alone = found.groups()
        fraction = (after or alone or "").rstrip("0")
        if len(fraction) > places:
            return None
        digits = ((whole or "") + fraction.ljust(places, "0")).lstrip("0")
        if len(digits) > _LONGEST:
            return None
        value = int(digits or "0")
        value = -value if sign == "-" else value
        return value if LEAST_INTEGER <= value <= GREATEST_INTEGER else None

    return of


def integer_in(places: int) -> Callable[[int], int | None]:
    return rescale_in(0, places)


def float_in(places: int) -> Callable[[float], int | None]:
    scale = 10.0**places
    return lambda x: float_to_integer(round_half_away(x * scale))


def to_float_in(places: int) -> str:
    return f"({{0}} + 0.0) / {10.0**places!r}"


def to_text_in(places: int) -> Callable[[int], str]:
    def of(value: int) -> str:
        digits = str(abs(value)).rjust(places + 1, "0")
        sign = "-" if value < 0 else ""
        return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"

    return of


def rescale_in(places: int, wanted: int) -> Callable[[int], int | None]:
    """From one number of places to another; halves go away from zero."""
    up, down = 10 ** max(wanted - places, 0), 10 ** max(places - wanted, 0)

    def of(value: int) -> int | None:
        moved = abs(value) * up
        moved = (2 * moved + down) // (2 * down)
        moved = -moved if value < 0 else moved
        return moved if LEAST_INTEGER <= moved <= GREATEST_INTEGER else None

    return of
