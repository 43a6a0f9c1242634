"""Exact sums as two limbs, high · 2**32 + low, and how they become a float: plain Python."""

from __future__ import annotations

import math
from typing import Final

from headrace.language.row_decimals import SCALE, within

LIMB: Final = 32
MASK: Final = 2**32 - 1
BASE: Final = 2.0**32


def unscaled(high: int, low: int, scale: int) -> float:
    """(high · 2**32 + low) · 2**-scale: an exact sum as a float."""
    return scaled(float(high) * BASE + float(low), -scale)


def decimal_sum(high: int, low: int) -> int | None:
    """An exact sum of millionths as a decimal; None when it has too many digits for one."""
    return within((high << LIMB) + low)


def decimal_mean(high: int, low: int, count: int) -> float:
    """The mean of `count` decimals, of which the limbs are the sum in millionths."""
    return unscaled(high, low, 0) / (count * float(SCALE))


def scaled(value: float, exponent: int) -> float:
    """value · 2**exponent; what is too large is infinite, as numpy's `ldexp` has it."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)
