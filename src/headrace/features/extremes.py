"""Least and greatest of any run of an array in a constant number of reads.

Runs are cut at blocks of 16: the tail of the first block and the head of the last come from running extremes inside
blocks, whole blocks between them from a sparse table over block extremes (Fischer and Heun, "Theoretical and practical
improvements on the RMQ problem", CPM 2006, without the in-block tables: a run inside one block is scanned).
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

_SHIFT: Final = 4
_BLOCK: Final = 1 << _SHIFT

Values = NDArray[np.float64] | NDArray[np.int64]


class Extremes:
    """Built over values without NaN and without a negative zero, for runs of at most `longest` values."""

    def __init__(self, values: Values, kind: Literal["min", "max"], longest: int) -> None:
        self._op: Any = np.minimum if kind == "min" else np.maximum
        self._py: Any = min if kind == "min" else max
        self._values = values
        blocks = -(-len(values) // _BLOCK)
        padded = np.empty((blocks, _BLOCK), values.dtype)
        flat = padded.reshape(-1)
        flat[: len(values)] = values
        flat[len(values) :] = values[-1] if len(values) else 0
        self._head = self._op.accumulate(padded, axis=1).reshape(-1)
        for place in range(_BLOCK - 2, -1, -1):
            self._op(padded[:, place], padded[:, place + 1], out=padded[:, place])
        self._tail = flat
        levels = [np.ascontiguousarray(self._head[_BLOCK - 1 :: _BLOCK])]
        while 1 << len(levels) <= longest >> _SHIFT:
            half = 1 << (len(levels) - 1)
            below = levels[-1]
            level = below.copy()
            self._op(below[:-half], below[half:], out=level[:-half])
            levels.append(level)
        self._levels = np.stack(levels) if blocks else np.empty((1, 0), values.dtype)
        self._views = [array.data for array in (values, self._head, self._tail)]
        self._level_views = [level.data for level in self._levels]

    def state(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> list[Values]:
        """The extremes of values[start:stop], every run non-empty."""
        return [self.between(start, stop)]

    def state_one(self, start: int, stop: int) -> tuple[Any]:
        """`state` for one run."""
        return (self.between_one(start, stop),)

    def between(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> Values:
        """The extremes of values[start:stop], every run non-empty."""
        last = stop - 1
        first_block, last_block = start >> _SHIFT, last >> _SHIFT
        found = self._op(self._tail[start], self._head[last])
        whole = last_block - first_block - 1
        wide = np.flatnonzero(whole > 0)
        if len(wide):
            level = np.frexp(whole[wide].astype(np.float64))[1].astype(np.int64) - 1
            left = self._levels[level, first_block[wide] + 1]
            right = self._levels[level, last_block[wide] - (1 << level)]
            found[wide] = self._op(found[wide], self._op(left, right))
        inside = np.flatnonzero(whole < 0)
        if len(inside):
            at = start[inside]
            left = last[inside] - at
            found[inside] = self._values[at]
            for step in range(1, _BLOCK):  # only runs that long: many hold an event or two
                longer = np.flatnonzero(left >= step)
                if not len(longer):
                    break
                inside, at, left = inside[longer], at[longer], left[longer]
                found[inside] = self._op(found[inside], self._values[at + step])
        return found  # type: ignore[no-any-return]

    def between_one(self, start: int, stop: int) -> Any:
        """`between` for one run."""
        values, head, tail = self._views
        last = stop - 1
        first_block, last_block = start >> _SHIFT, last >> _SHIFT
        if first_block == last_block:
            return self._py(values[start:stop])
        found = self._py(tail[start], head[last])
        whole = last_block - first_block - 1
        if whole > 0:
            level = whole.bit_length() - 1
            row = self._level_views[level]
            found = self._py(found, row[first_block + 1], row[last_block - (1 << level)])
        return found
