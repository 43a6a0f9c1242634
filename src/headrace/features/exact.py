"""Sums that do not depend on the order of rows: values count as whole numbers, and whole numbers are added.

A value v counts as round(v · 2**scale). The scale is fixed from the largest magnitude in history, so that it keeps 52
bits and values a thousand times larger still fit; what is larger yet does not count. Prefix sums of such numbers can
pass 64 bits, so they are kept in two limbs (high · 2**32 + low); both forms turn the limbs of a difference into a
float64 by the same operations.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.features.limbs import BASE, LIMB, MASK
from headrace.language.row_decimals import GREATEST_DECIMAL

KEPT_BITS: Final = 52
_LIMIT: Final = 2.0**62


def scale_of(largest: float) -> int:
    """The scale under which a value of magnitude `largest` keeps 52 bits; 0 for no values or only zeros."""
    return KEPT_BITS - math.frexp(largest)[1] if largest > 0 else 0


def headroom(scale: int) -> float:
    """The largest magnitude that can be added under a scale."""
    try:
        return math.ldexp(_LIMIT, -scale)
    except OverflowError:
        return math.inf


def whole_numbers(values: NDArray[np.float64], scale: int) -> NDArray[np.int64]:
    """round(v · 2**scale), half to even; no magnitude is beyond the headroom."""
    return np.rint(np.ldexp(values, scale)).astype(np.int64)


def unscaled_all(high: NDArray[np.int64], low: NDArray[np.int64], scale: int) -> NDArray[np.float64]:
    """`limbs.unscaled` for arrays."""
    with np.errstate(over="ignore"):
        found: NDArray[np.float64] = np.ldexp(high.astype(np.float64) * BASE + low.astype(np.float64), -scale)
    return found


def decimal_sums(high: NDArray[np.int64], low: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """`limbs.decimal_sum` for arrays: the sums, and which of them are decimals."""
    near = np.abs(high) <= GREATEST_DECIMAL >> LIMB
    near |= high == -(GREATEST_DECIMAL >> LIMB) - 1
    found = (np.where(near, high, 0) << LIMB) + np.where(near, low, 0)
    return found, near & (np.abs(found) <= GREATEST_DECIMAL)


class PrefixSums:
    """Sums of any run of whole numbers, exactly; `high` is None when one limb holds them all."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        largest = max(-int(numbers.min(initial=0)), int(numbers.max(initial=0)))
        one_limb = largest * len(numbers) < _LIMIT
        self.low = _prefix(numbers if one_limb else numbers & MASK)
        self.high = None if one_limb else _prefix(numbers >> LIMB)
        self._low_view = self.low.data
        self._high_view = None if self.high is None else self.high.data

    def state(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """High and low limb of the sums of numbers[start:stop]; the low one is from 0 to 2**32 - 1."""
        low = self.low[stop] - self.low[start]
        high = low >> LIMB
        low &= MASK
        if self.high is not None:
            high += self.high[stop] - self.high[start]
        return [high, low]

    def state_one(self, start: int, stop: int) -> tuple[int, int]:
        """`state` for one run."""
        low = self._low_view[stop] - self._low_view[start]
        high = low >> LIMB
        if self._high_view is not None:
            high += self._high_view[stop] - self._high_view[start]
        return high, low & MASK


def _prefix(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    sums = np.empty(len(numbers) + 1, np.int64)
    sums[0] = 0
    np.cumsum(numbers, out=sums[1:])
    return sums
