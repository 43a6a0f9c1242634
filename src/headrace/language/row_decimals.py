"""Row forms of decimals: integers that count millionths, of at most eighteen digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.language.row_kernels import GREATEST_INTEGER, LEAST_INTEGER, float_to_integer, round_half_away
from headrace.language.row_lists import hash64
from headrace.language.row_scaled import rescale_in, text_in

if TYPE_CHECKING:
    from decimal import Decimal

PLACES = 6
"""Places after the point."""
DIGITS = 18
"""Digits before and after the point."""
SCALE = 1_000_000
"""One, in millionths."""
GREATEST_DECIMAL = 10**DIGITS - 1
LEAST_DECIMAL = -GREATEST_DECIMAL
_HALF = SCALE // 2
_EXACT = text_in(PLACES)


def within(x: int) -> int | None:
    return x if LEAST_DECIMAL <= x <= GREATEST_DECIMAL else None


# --- arithmetic ------------------------------------------------------------------------------------------------------


def multiply(a: int, b: int) -> int | None:
    product = a * b
    found = (product + _HALF) // SCALE if product >= 0 else -((_HALF - product) // SCALE)
    return found if LEAST_DECIMAL <= found <= GREATEST_DECIMAL else None


def round_half_away_to(digits: int) -> Callable[[int], int | None]:
    """To `digits` places after the point; halves go away from zero."""
    step: int = 10 ** max(PLACES - digits, 0)

    def of(x: int) -> int | None:
        found = (2 * abs(x) + step) // (2 * step) * step
        return within(-found if x < 0 else found)

    return of


def floor(x: int) -> int | None:
    return within(x // SCALE * SCALE)


def ceil(x: int) -> int | None:
    return within(-(-x // SCALE * SCALE))


def trunc(x: int) -> int:
    return x // SCALE * SCALE if x >= 0 else -(-x // SCALE * SCALE)


def sum_of(*values: int | None) -> int | None:
    there = [value for value in values if value is not None]
    return within(sum(there)) if there else None


# --- from and to other types -----------------------------------------------------------------------------------------


def text_to_decimal(text: str) -> int | None:
    """A decimal text; None for other text, for more than six places (zeros apart), and for more than twelve digits."""
    found = _EXACT(text)
    return None if found is None else within(found)


def float_to_decimal(x: float) -> int | None:
    found = float_to_integer(round_half_away(x * 1e6))
    return None if found is None else within(found)


_TOLD_APART = float(1 << 33)
"""Below it each float is the nearest one of at most one decimal."""


def float_exactly(x: float) -> int | None:
    """The decimal that a float was written as; None if it has more places, or if another would give the same float.

    Examples
    --------
    >>> float_exactly(12.3), float_exactly(0.1 + 0.2), float_exactly(123456789012.5), float_exactly(123456789012.123456)
    (12300000, None, 123456789012500000, None)
    """
    found = float_to_decimal(x)
    if found is None:
        return None
    if -_TOLD_APART < x < _TOLD_APART:
        return found if found / SCALE == x else None
    text = repr(x)
    return text_to_decimal(text) if sum(map(str.isdigit, text)) - text.endswith(".0") <= _FLOAT_DIGITS else None


_FLOAT_DIGITS = 15
"""Decimals of so many digits are always told apart."""


def decimal_to_integer(x: int) -> int:
    return x // SCALE if x >= 0 else -(-x // SCALE)


def decimal_to_text(x: int) -> str:
    """As few digits as tell it: 12.3, -0.05, 12."""
    whole, rest = divmod(abs(x), SCALE)
    sign = "-" if x < 0 else ""
    return f"{sign}{whole}.{rest:06d}".rstrip("0") if rest else f"{sign}{whole}"


def decimal_in(places: int) -> Callable[[int], int | None]:
    """As an integer that counts the last of `places`; None for what has more."""
    up: int
    down: int
    up, down = 10 ** max(places - PLACES, 0), 10 ** max(PLACES - places, 0)

    def of(x: int) -> int | None:
        found = x * up
        if down > 1:
            found, rest = divmod(found, down)
            if rest:
                return None
        return found if LEAST_INTEGER <= found <= GREATEST_INTEGER else None

    return of


def scaled_in(places: int) -> Callable[[int], int | None]:
    """Of an integer that counts the last of `places`; halves of a millionth go away from zero."""
    moved = rescale_in(places, PLACES)

    def of(x: int) -> int | None:
        found = moved(x)
        return None if found is None else within(found)

    return of


def exactly(x: Decimal) -> int | None:
    """The standard library's decimal; None for what is not finite, has more than six places or more than twelve digits.

    Examples
    --------
    >>> from decimal import Decimal
    >>> exactly(Decimal("-0.050")), exactly(Decimal("0.0000001")), exactly(Decimal("NaN"))
    (-50000, None, None)
    """
    if not x.is_finite() or x.adjusted() >= DIGITS - PLACES:
        return None
    return text_to_decimal(format(x, "f"))


# --- hashes ----------------------------------------------------------------------------------------------------------


def hash64_of_decimal(x: int) -> int:
    return hash64(decimal_to_text(x))


def hash_bucket_in(count: int) -> Callable[[int], int]:
    return lambda x: (hash64(decimal_to_text(x)) & 0xFFFFFFFFFFFFFFFF) % count
