"""How many different values any run of events has; what is counted is said in `headrace.features.samples`.

An event is the first of its value in a run [start, stop) when the event of the same key and value before it lies
before the run. So the count is that of places in the run whose predecessor is less than `start`: a wavelet matrix over
predecessors answers it in a few reads. The sample of each level is a run of the events that the level keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.features.samples import BITS, BOUND, FACTORS, LAST_SHIFT, STEP, text_hash
from headrace.features.wavelet import WaveletMatrix

Places = NDArray[np.int64]


class DistinctCounts:
    """Counts over values in the order of (key, known).

    Parameters
    ----------
    keys
        The key's number of each event.
    texts
        What whole numbers stand for when the values are texts.
    """

    def __init__(self, values: NDArray[Any], keys: NDArray[np.int64], texts: Sequence[str]) -> None:
        hashes = hashes_of(values, texts)
        self._levels = [_Level(hashes, keys, None)]
        while self._levels[-1].most > BOUND:
            kept = np.flatnonzero(hashes >> np.uint64(BITS - len(self._levels)) == 0)
            self._levels.append(_Level(hashes[kept], keys[kept], kept))

    def state(self, start: Places, stop: Places) -> list[Places]:
        """One column: how many."""
        found = self._levels[0].count(start, stop)
        left = np.flatnonzero(found > BOUND)
        for depth, level in enumerate(self._levels[1:], 1):
            if not len(left):
                break
            count = level.count(start[left], stop[left])
            is_small = count <= BOUND
            found[left[is_small]] = count[is_small] << depth
            left = left[~is_small]
        return [found]

    def state_one(self, start: int, stop: int) -> tuple[int]:
        """`state` for one run."""
        for depth, level in enumerate(self._levels):
            count = level.count_one(start, stop)
            if count <= BOUND:
                return (count << depth,)
        raise AssertionError("the last level keeps few enough of every key")


class _Level:
    """The events that one level keeps."""

    def __init__(self, hashes: NDArray[np.uint64], keys: NDArray[np.int64], kept: Places | None) -> None:
        self._kept = kept
        """Their places among all events; None: all."""
        height = len(keys)
        begins = np.zeros(height, np.int64)
        is_new = np.flatnonzero(keys[1:] != keys[:-1]) + 1
        begins[is_new] = is_new
        np.maximum.accumulate(begins, out=begins)
        frame = pl.DataFrame({"key": keys, "hash": hashes}).with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64))
        before = frame.select(pl.col("place").shift(1).over("key", "hash")).to_series()
        is_first = before.is_null().to_numpy()
        # counted from 1 at the key's first event, so that few bits suffice; 0: there is none before
        places = np.where(is_first, 0, before.fill_null(0).to_numpy() - begins + 1)
        self.most = int(np.bincount(keys[is_first]).max()) if height else 0
        """The most different values that one key has."""
        self._begins = begins
        self._before = WaveletMatrix(places)

    def count(self, start: Places, stop: Places) -> Places:
        """How many different values the runs have."""
        if self._kept is not None:
            start, stop = np.searchsorted(self._kept, start), np.searchsorted(self._kept, stop)
        if not len(self._begins):
            return np.zeros(len(start), np.int64)
        bound = start - self._begins[np.minimum(start, len(self._begins) - 1)] + 1
        return self._before.count_less(start, stop, bound)

    def count_one(self, start: int, stop: int) -> int:
        """`count` for one run."""
        if self._kept is not None:
            start, stop = (int(place) for place in np.searchsorted(self._kept, (start, stop)))
        if start == stop:
            return 0
        return self._before.count_less_one(start, stop, start - int(self._begins[start]) + 1)


def hashes_of(values: NDArray[Any], texts: Sequence[str]) -> NDArray[np.uint64]:
    """`samples.value_hash` of each value."""
    if texts:
        of_text: NDArray[np.uint64] = np.array([text_hash(text) for text in texts], np.uint64)[values]
        return of_text
    words: NDArray[np.uint64] = values.view(np.uint64) + np.uint64(STEP)
    for shift, factor in FACTORS:
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(LAST_SHIFT)
    return words
