"""Latencies as counts in buckets, each less than 0.8 % wide so that stages and processes add up.

The same idea as HdrHistogram's (Gil Tene, 2012): a power of two in equal parts. A percentile is the upper edge of its
bucket: never better than what was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

_PARTS: Final = 128
"""Buckets between a power of two and the next."""


class Latencies(msgspec.Struct, frozen=True):
    """Counts by bucket."""

    counts: dict[int, int] = {}

    @classmethod
    def of(cls, ns: Iterable[int] | NDArray[np.int64]) -> Latencies:
        """Of nanoseconds; what is below 1 counts as 1."""
        values = np.fromiter(ns, np.int64) if not isinstance(ns, np.ndarray) else ns
        if not len(values):
            return cls()
        mantissa, exponent = np.frexp(np.maximum(values, 1).astype(np.float64))
        buckets = exponent.astype(np.int64) * _PARTS + np.floor((mantissa - 0.5) * 2 * _PARTS).astype(np.int64)
        found, counts = np.unique(buckets, return_counts=True)
        return cls(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def __add__(self, other: Latencies) -> Latencies:
        keys = self.counts.keys() | other.counts.keys()
        return Latencies({key: self.counts.get(key, 0) + other.counts.get(key, 0) for key in sorted(keys)})

    @property
    def n(self) -> int:
        """How many."""
        return sum(self.counts.values())

    def percentile(self, p: float) -> float | None:
        """Seconds that a share `p` of them, in (0, 100], did not exceed; None where there are none.

        Examples
        --------
        >>> round(Latencies.of([1_000_000] * 99 + [80_000_000]).percentile(99), 4)
        0.001
        """
        wanted, reached = self.n * p / 100, 0
        for bucket in sorted(self.counts):
            reached += self.counts[bucket]
            if reached >= wanted - 1e-9:
                return _upper_edge_ns(bucket) / 1e9
        return None


def _upper_edge_ns(bucket: int) -> float:
    exponent, part = divmod(bucket, _PARTS)
    return float(np.ldexp(0.5 + (part + 1) / (2 * _PARTS), exponent))
