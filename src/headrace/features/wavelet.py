"""Order statistics of any run of an array of small whole numbers, in a read of two words for each of their bits.

The wavelet matrix of Claude and Navarro ("The wavelet matrix", SPIRE 2012): level by level, from the highest bit, the
bits of all numbers, which are then put in the order of that bit. Bits are packed, 64 to a word, beside how many ones
come before each word.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]

_WORD: Final = 6
_INSIDE: Final = 63


class WaveletMatrix:
    """Built over whole numbers from 0 on."""

    def __init__(self, numbers: NDArray[Any]) -> None:
        largest = int(numbers.max(initial=0))
        self._depth = largest.bit_length()
        self._zeros: list[int] = []
        self._words: list[NDArray[np.uint64]] = []
        self._ranks: list[NDArray[np.int64]] = []
        current: NDArray[Any] = numbers.astype(np.uint32 if largest < 1 << 32 else np.uint64)
        for level in range(self._depth):
            bit = (current >> (self._depth - 1 - level) & 1).astype(np.bool_)
            packed = np.zeros((len(bit) >> _WORD) + 1, "<u8")
            bytes_ = np.packbits(bit, bitorder="little")
            packed.view(np.uint8)[: len(bytes_)] = bytes_
            words = packed.astype(np.uint64)
            ranks = np.zeros(len(words), np.int64)
            np.cumsum(np.bitwise_count(words[:-1]), out=ranks[1:])
            self._words.append(words)
            self._ranks.append(ranks)
            self._zeros.append(int(len(bit) - np.count_nonzero(bit)))
            current = np.concatenate([current[~bit], current[bit]])
        self._views = [(words.data, ranks.data) for words, ranks in zip(self._words, self._ranks, strict=True)]

    def count_less(self, start: Places, stop: Places, bound: Places) -> Places:
        """How many of numbers[start:stop] are less than `bound`, for each run; bounds from 0 on."""
        found = np.where(bound >> self._depth > 0, stop - start, 0)
        is_open = found == 0
        for level in range(self._depth):
            is_one = (bound >> (self._depth - 1 - level) & 1).astype(np.bool_)
            ones_start, ones_stop = self._ones(level, start), self._ones(level, stop)
            zeros_start, zeros_stop = start - ones_start, stop - ones_stop
            found += np.where(is_one & is_open, zeros_stop - zeros_start, 0)
            start = np.where(is_one, ones_start + self._zeros[level], zeros_start)
            stop = np.where(is_one, ones_stop + self._zeros[level], zeros_stop)
        return found

    def kth(self, start: Places, stop: Places, k: Places) -> Places:
        """The k-th least, from 0, of numbers[start:stop], for each run."""
        found = np.zeros(len(start), np.int64)
        for level in range(self._depth):
            ones_start, ones_stop = self._ones(level, start), self._ones(level, stop)
            zeros_start, zeros_stop = start - ones_start, stop - ones_stop
            zeros = zeros_stop - zeros_start
            is_one = k >= zeros
            k = np.where(is_one, k - zeros, k)
            start = np.where(is_one, ones_start + self._zeros[level], zeros_start)
            stop = np.where(is_one, ones_stop + self._zeros[level], zeros_stop)
            found = found << 1 | is_one
        return found

    def count_less_one(self, start: int, stop: int, bound: int) -> int:
        """`count_less` for one run."""
        if bound >> self._depth:
            return stop - start
        found = 0
        for level in range(self._depth):
            ones_start, ones_stop = self._ones_one(level, start), self._ones_one(level, stop)
            if bound >> (self._depth - 1 - level) & 1:
                found += stop - ones_stop - start + ones_start
                start, stop = ones_start + self._zeros[level], ones_stop + self._zeros[level]
            else:
                start, stop = start - ones_start, stop - ones_stop
        return found

    def kth_one(self, start: int, stop: int, k: int) -> int:
        """`kth` for one run."""
        found = 0
        for level in range(self._depth):
            ones_start, ones_stop = self._ones_one(level, start), self._ones_one(level, stop)
            zeros = stop - ones_stop - start + ones_start
            found <<= 1
            if k >= zeros:
                k -= zeros
                found |= 1
                start, stop = ones_start + self._zeros[level], ones_stop + self._zeros[level]
            else:
                start, stop = start - ones_start, stop - ones_stop
        return found

    def _ones_one(self, level: int, place: int) -> int:
        words, ranks = self._views[level]
        word = place >> _WORD
        ones: int = ranks[word] + (words[word] & ((1 << (place & _INSIDE)) - 1)).bit_count()
        return ones

    def _ones(self, level: int, place: Places) -> Places:
        """How many of the level's first `place` bits are set."""
        word = place >> _WORD
        below = np.left_shift(np.uint64(1), (place & _INSIDE).astype(np.uint64)) - np.uint64(1)
        ones: Places = self._ranks[level][word] + np.bitwise_count(self._words[level][word] & below)
        return ones
