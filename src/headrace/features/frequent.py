"""The most frequent values of any run, ties by value: each run is counted anew.

This is the slow one among the aggregates: its time grows with the length of the runs, that of the others does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
_PIECE: Final = 1 << 22
"""Events counted at a time."""
_TAKEN: Final = -1


def most_frequent(counts: Mapping[Any, int], ranks: Sequence[int], nothing: Any) -> tuple[Any, ...]:
    """For each rank, from 1, how often its value is there and the value; 0 and `nothing` where there are fewer."""
    order = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    pairs = [(count, value) for value, count in order] + [(0, nothing)] * max(ranks)
    return tuple(part for rank in ranks for part in pairs[rank - 1])


class Frequencies:
    """The most frequent of values in the order of (key, known).

    Parameters
    ----------
    ranks
        Which: 1 is the most frequent.
    texts
        What whole numbers stand for when the values are texts, in order.
    """

    def __init__(self, values: NDArray[Any], ranks: Sequence[int], texts: Sequence[str]) -> None:
        self._ranks = ranks
        self._texts = texts
        self._values, self._codes = np.unique(values, return_inverse=True)

    def state(self, start: Places, stop: Places) -> list[Any]:
        """For each rank a column of counts and one of values."""
        counts = np.zeros((len(self._ranks), len(start)), np.int64)
        values = np.zeros((len(self._ranks), len(start)), self._values.dtype)
        for begin, end in _pieces(stop - start):
            self._count(start[begin:end], stop[begin:end], counts[:, begin:end], values[:, begin:end])
        return [column for pair in zip(counts, values, strict=True) for column in pair]

    def _count(self, start: Places, stop: Places, counts: NDArray[np.int64], values: NDArray[Any]) -> None:
        lengths = stop - start
        ends = np.cumsum(lengths)
        rows = np.repeat(np.arange(len(start)), lengths)
        places = np.arange(len(rows)) + np.repeat(start - (ends - lengths), lengths)
        pairs = rows * len(self._values) + self._codes[places]
        pairs.sort()
        begins = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1])) if len(pairs) else np.empty(0, np.int64)
        often = np.diff(np.append(begins, len(pairs)))
        row, code = np.divmod(pairs[begins], len(self._values))
        firsts = np.searchsorted(row, np.arange(len(start)))
        sizes = np.diff(np.append(firsts, len(row)))
        # more often is greater, and among equals the lesser value
        order = often * len(self._values) + (len(self._values) - 1 - code)
        for rank in range(1, max(self._ranks) + 1):
            best = np.maximum.reduceat(order, firsts)
            if rank in self._ranks:
                at, held = self._ranks.index(rank), np.flatnonzero(best >= 0)
                count, code = np.divmod(best[held], len(self._values))
                counts[at, held] = count
                values[at, held] = self._values[len(self._values) - 1 - code]
            order[order == np.repeat(best, sizes)] = _TAKEN

    def state_one(self, start: int, stop: int) -> tuple[Any, ...]:
        """`state` for one run; a text is itself."""
        values = self._values[self._codes[start:stop]].tolist()
        held = [self._texts[value] for value in values] if self._texts else values
        return most_frequent(Counter(held), self._ranks, "" if self._texts else self._values.dtype.type(0).item())


def _pieces(lengths: Places) -> Iterator[tuple[int, int]]:
    """Cuts such that each piece has about `_PIECE` events."""
    ends = np.cumsum(lengths)
    begin = 0
    while begin < len(lengths):
        done = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, done + _PIECE)), begin + 1)
        yield begin, end
        begin = end
