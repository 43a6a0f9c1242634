"""Quantiles of any run of numbers, within 0.4 %: the values' buckets are counted, and counts merge by adding.

A bucket holds the numbers whose sign, exponent and first eight binary digits are equal, so its width is 1/256 of its
lower end at most, which stands for all of it: whole numbers up to 512 are themselves. This is DDSketch (Masson, Rim and
Lee, VLDB 2019) with the logarithm read from the bits of the number: the same on every machine. The p-th percentile of
n numbers is the one in place ⌈n·p/100⌉.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.features.wavelet import WaveletMatrix

_DROPPED: Final = 44
"""Of the 52 binary digits of a float."""
_CODES: Final = 1 << 63 - _DROPPED
_double = struct.Struct("<d")
_word = struct.Struct("<q")

Places = NDArray[np.int64]


def bucket_of(value: float) -> int:
    """The bucket of a finite number; buckets are in the order of the numbers."""
    [bits] = _word.unpack(_double.pack(abs(float(value))))
    code: int = bits >> _DROPPED
    return -code if value < 0 else code


def bucket_value(code: int) -> float:
    """The end of a bucket that is nearer to zero."""
    [value] = _double.unpack(_word.pack(abs(code) << _DROPPED))
    return -value if code < 0 else value  # type: ignore[no-any-return]  # a float


def buckets_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """`bucket_of` for an array."""
    floats = values.astype(np.float64)
    codes = np.abs(floats).view(np.int64) >> _DROPPED
    return np.where(floats < 0, -codes, codes)


def bucket_values(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """`bucket_value` for an array."""
    found = (np.abs(codes) << _DROPPED).view(np.float64)
    return np.where(codes < 0, -found, found)


def rank_of(count: Any, percent: int) -> Any:
    """The place, from 0, of a percentile among `count` numbers in order; a number or an array."""
    return (count * percent + 99) // 100 - 1


def bucket_at(counts: Mapping[int, int], percent: int) -> int:
    """The bucket of a percentile, from how many numbers each bucket has."""
    left = rank_of(sum(counts.values()), percent)
    for code in sorted(counts):
        left -= counts[code]
        if left < 0:
            return code
    raise ValueError("no numbers have no percentile")


class Percentiles:
    """The buckets of percentiles of any run of values."""

    def __init__(self, values: NDArray[Any], percents: Sequence[int]) -> None:
        self._percents = percents
        codes = buckets_of(values)
        is_used = np.zeros(2 * _CODES, np.bool_)
        is_used[codes + _CODES] = True
        self._codes = np.flatnonzero(is_used) - _CODES
        ranks = np.cumsum(is_used, dtype=np.int32)
        self._order = WaveletMatrix(ranks[codes + _CODES] - 1)

    def state(self, start: Places, stop: Places) -> list[Places]:
        """A column for each percentile."""
        count = stop - start
        return [self._codes[self._order.kth(start, stop, rank_of(count, percent))] for percent in self._percents]

    def state_one(self, start: int, stop: int) -> tuple[int, ...]:
        """`state` for one run."""
        return tuple(
            int(self._codes[self._order.kth_one(start, stop, rank_of(stop - start, percent))])
            for percent in self._percents
        )
