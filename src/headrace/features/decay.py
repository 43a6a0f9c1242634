"""Sums over all of a key's past whose weight halves with every half-life: no event is ever cut off.

Time is cut into tiles of one hop. An event weighs 2**(-n·hop / half-life), n being how many tiles before that of the
prediction it became known in. Within a tile sums are exact, whatever their order; from tile to tile they are folded in
order, D = D' · 2**(-(J - J')·hop / half-life) + S. So a history, a store and a stream that folds whole tiles have the
same bits, while states of neighbouring stretches cannot be merged in any tree: such a step is not cut into spans.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.features.exact import PrefixSums, unscaled_all
from headrace.features.keyed import Moments
from headrace.features.limbs import unscaled
from headrace.features.weights import FURTHEST, fractions_of

Places = NDArray[np.int64]
_PIECE: Final = 1 << 16


class Decay:
    """The decayed count, and sum, of every key at every event.

    Parameters
    ----------
    half_life_us, hop_us
        The former a multiple of the latter.
    sums
        Of the events in the order of `moments`; None when only counts are asked for.
    """

    def __init__(self, half_life_us: int, hop_us: int, moments: Moments, sums: PrefixSums | None, scale: int) -> None:
        self._tiles_a_half = half_life_us // hop_us
        self._hop = hop_us
        self._sums = sums
        self._scale = scale
        keys, tiles = moments.keys(), moments.instants() // hop_us
        begins = np.ones(len(keys), np.bool_)
        begins[1:] = (keys[1:] != keys[:-1]) | (tiles[1:] != tiles[:-1])
        self._starts = np.flatnonzero(begins)
        self._starts_view = self._starts.data
        self._tiles = tiles[self._starts]
        keys = keys[self._starts]
        self._is_first = np.ones(len(keys), np.bool_)
        """Of the key's tiles."""
        self._is_first[1:] = keys[1:] != keys[:-1]
        stops = np.append(self._starts[1:], len(begins))[: len(self._starts)]
        ago = np.zeros(len(keys), np.int64)
        ago[1:] = np.where(self._is_first[1:], 0, self._tiles[1:] - self._tiles[:-1])
        weights = self._weights(ago)
        self._counts = self._carried(weights, (stops - self._starts).astype(np.float64))
        self._totals = None
        if sums is not None:
            self._totals = self._carried(weights, self._sum(sums, self._starts, stops))

    def state(self, stop: Places) -> list[Any]:
        """The tile of the event before each place; the decayed count, and sum, in it of its key's events up to it."""
        tile = np.searchsorted(self._starts, stop - 1, side="right") - 1
        start = self._starts[tile]
        columns: list[Any] = [self._tiles[tile], self._counts[tile] + (stop - start).astype(np.float64)]
        if self._sums is not None and self._totals is not None:
            columns.append(self._totals[tile] + self._sum(self._sums, start, stop))
        return columns

    def _sum(self, sums: PrefixSums, start: Places, stop: Places) -> NDArray[np.float64]:
        high, low = sums.state(start, stop)
        return unscaled_all(high, low, self._scale)

    def state_one(self, stop: int) -> list[Any]:
        """`state` for one place."""
        tile = bisect_right(self._starts_view, stop - 1) - 1
        start = self._starts_view[tile]
        columns: list[Any] = [int(self._tiles[tile]), float(self._counts[tile]) + float(stop - start)]
        if self._sums is not None and self._totals is not None:
            high, low = self._sums.state_one(start, stop)
            columns.append(float(self._totals[tile]) + unscaled(high, low, self._scale))
        return columns

    def weights(self, t_us: Places, tiles: Places) -> NDArray[np.float64]:
        """What is left at a time of what was in a tile."""
        return self._weights(t_us // self._hop - tiles)

    def _weights(self, tiles_ago: Places) -> NDArray[np.float64]:
        halvings, rest = np.divmod(tiles_ago, self._tiles_a_half)
        fractions = np.array(fractions_of(self._tiles_a_half))[rest]
        weights: NDArray[np.float64] = np.ldexp(fractions, -np.minimum(halvings, FURTHEST))
        return weights

    def _carried(self, weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the tiles before each have left in it."""
        found = np.empty(len(weights), np.float64)
        total = 0.0
        for begin in range(0, len(weights), _PIECE):  # Python's numbers are three times larger
            part = slice(begin, begin + _PIECE)
            carried = []
            columns = (self._is_first[part].tolist(), weights[part].tolist(), values[part].tolist())
            for is_first, weight, value in zip(*columns, strict=True):
                left = 0.0 if is_first else total * weight
                carried.append(left)
                total = left + value
            found[part] = carried
        return found
