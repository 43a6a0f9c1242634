"""The variance of whole numbers from exact sums: the same operations on numbers and on arrays.

With n values x, S their sum and Q the sum of their squares, the variance is D / (n · (n - 1)) with D = n·Q - S². The
sums are exact, and D is mostly cancellation: it is worked out in double-double arithmetic (Dekker, "A floating-point
technique for extending the available precision", 1971), which keeps 104 bits. Where D is small it is exact, from its
last 64 bits: equal values have no variance at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.features.limbs import LIMB, MASK, scaled

SQUARE_LIMBS: Final = 4
_B1, _B2, _B3, _B4 = 2.0**32, 2.0**64, 2.0**96, 2.0**128
_SPLIT: Final = 2.0**27 + 1
_SMALL: Final = 2.0**62
_SURE: Final = 2.0**158
"""Of n·Q: up to here the error of D is far less than `_SMALL`."""
_WORD: Final = 2**64 - 1

Number = Any
"""A Python number or an array of them: every operation here means the same for both."""


class PrefixSquares:
    """Sums of the squares of any run of whole numbers, exactly: four sums of 32-bit digits, none of which is carried
    over, so that runs are put together by adding column by column."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        size = np.abs(numbers).view(np.uint64)  # the least int64 has no positive; its bits are its magnitude
        digits = _digits(
            size >> np.uint64(LIMB), size & np.uint64(MASK), np.uint64(1), np.uint64(LIMB), np.uint64(MASK)
        )
        self._sums = [_prefix(digit) if digit.any() else None for digit in digits]
        self._views = [None if sums is None else sums.data for sums in self._sums]

    def state(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The sums of the digits of numbers[start:stop], lowest first."""
        return [np.zeros(len(start), np.int64) if sums is None else sums[stop] - sums[start] for sums in self._sums]

    def state_one(self, start: int, stop: int) -> tuple[int, ...]:
        """`state` for one run."""
        return tuple([0 if view is None else view[stop] - view[start] for view in self._views])


def square_digits(number: int) -> tuple[int, ...]:
    """The digits of one square, as `PrefixSquares` adds them."""
    size = abs(number)
    return _digits(size >> LIMB, size & MASK, 1, LIMB, MASK)


def _digits(high: Number, low: Number, one: Number, limb: Number, mask: Number) -> tuple[Number, ...]:
    ll, hl, hh = low * low, high * low, high * high
    return ll & mask, (ll >> limb) + ((hl & mask) << one), (hh & mask) + ((hl >> limb) << one), hh >> limb


def _prefix(digit: NDArray[np.uint64]) -> NDArray[np.int64]:
    sums = np.empty(len(digit) + 1, np.int64)
    sums[0] = 0
    np.cumsum(digit.view(np.int64), out=sums[1:])
    return sums


def spread(n: int, high: int, low: int, squares: Sequence[int]) -> float:
    """D = n·Q - S² of one run.

    Parameters
    ----------
    high, low
        The limbs of S, as `exact.PrefixSums` has them.
    squares
        The digits of Q.
    """
    q = _carried(*squares)
    size, small = _d(n, high, low, q)
    if size <= _SURE and small < _SMALL:
        return float((n * (q[0] + (q[1] << LIMB)) - ((high << LIMB) + low) ** 2) & _WORD)
    return max(float(small), 0.0)


def spreads(
    n: NDArray[np.int64], high: NDArray[np.int64], low: NDArray[np.int64], squares: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """`spread` of many runs."""
    q = _carried(*squares)
    size, small = _d(n, high, low, q)
    total = (high << LIMB) + low  # wraps, as do the products below: only the last 64 bits count
    exact = (n * (q[0] + (q[1] << LIMB)) - total * total).view(np.uint64).astype(np.float64)
    found: NDArray[np.float64] = np.where((size <= _SURE) & (small < _SMALL), exact, np.maximum(small, 0.0))
    return found


def variance(n: int, high: int, low: int, squares: Sequence[int], scale: int) -> float | None:
    """The sample variance of n values; null of less than two. `high`, `low`: the limbs of their sum."""
    return None if n < 2 else scaled(spread(n, high, low, squares) / (n * (n - 1)), -2 * scale)


def stddev(n: int, high: int, low: int, squares: Sequence[int], scale: int) -> float | None:
    """The sample standard deviation of n values; null of less than two."""
    return None if n < 2 else scaled(math.sqrt(spread(n, high, low, squares) / (n * (n - 1))), -scale)


def variances(
    n: NDArray[np.int64],
    high: NDArray[np.int64],
    low: NDArray[np.int64],
    squares: Sequence[NDArray[np.int64]],
    scale: int,
) -> NDArray[np.float64]:
    """`variance` of many runs; 0 for null."""
    with np.errstate(over="ignore"):
        found: NDArray[np.float64] = np.ldexp(spreads(n, high, low, squares) / _pairs(n), -2 * scale)
    return found


def stddevs(
    n: NDArray[np.int64],
    high: NDArray[np.int64],
    low: NDArray[np.int64],
    squares: Sequence[NDArray[np.int64]],
    scale: int,
) -> NDArray[np.float64]:
    """`stddev` of many runs; 0 for null."""
    with np.errstate(over="ignore"):
        found: NDArray[np.float64] = np.ldexp(np.sqrt(spreads(n, high, low, squares) / _pairs(n)), -scale)
    return found


def _pairs(n: NDArray[np.int64]) -> NDArray[np.int64]:
    pairs: NDArray[np.int64] = np.maximum(n * (n - 1), 1)
    return pairs


def _carried(w0: Number, w1: Number, w2: Number, w3: Number) -> tuple[Number, ...]:
    """The five digits of Q, each less than 2**32."""
    w1 = w1 + (w0 >> LIMB)
    w2 = w2 + (w1 >> LIMB)
    w3 = w3 + (w2 >> LIMB)
    return w0 & MASK, w1 & MASK, w2 & MASK, w3 & MASK, w3 >> LIMB


def _d(n: Number, high: Number, low: Number, q: tuple[Number, ...]) -> tuple[Number, Number]:
    """n·Q and D, rounded to floats."""
    a, b = _two_sum(q[4] * _B4, q[3] * _B3)
    for term in (q[2] * _B2, q[1] * _B1, q[0] * 1.0):
        a, b = _add(a, b, term)
    size, rest = _two_product(a, n * 1.0)
    size, rest = _quick_two_sum(size, rest + b * (n * 1.0))
    a, b = _two_sum((high >> LIMB) * _B2, (high & MASK) * _B1)
    a, b = _add(a, b, low * 1.0)
    square, error = _two_product(a, a)
    square, error = _quick_two_sum(square, error + (2.0 * a * b + b * b))
    s1, s2 = _two_sum(size, -square)
    t1, t2 = _two_sum(rest, -error)
    s1, s2 = _quick_two_sum(s1, s2 + t1)
    s1, s2 = _quick_two_sum(s1, s2 + t2)
    return size, s1 + s2


def _two_sum(a: Number, b: Number) -> tuple[Number, Number]:
    s = a + b
    v = s - a
    return s, (a - (s - v)) + (b - v)


def _quick_two_sum(a: Number, b: Number) -> tuple[Number, Number]:
    s = a + b
    return s, b - (s - a)


def _add(a: Number, b: Number, term: Number) -> tuple[Number, Number]:
    s, e = _two_sum(a, term)
    return _quick_two_sum(s, e + b)


def _two_product(a: Number, b: Number) -> tuple[Number, Number]:
    p = a * b
    a1 = _SPLIT * a
    a1 = a1 - (a1 - a)
    a2 = a - a1
    b1 = _SPLIT * b
    b1 = b1 - (b1 - b)
    b2 = b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2
