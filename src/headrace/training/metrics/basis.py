"""What metrics are computed from, prepared once for many weightings of the same rows: rankings, tables, means.

Sorting and counting are the costly parts. Metrics that rest on the same basis share it, and each basis remembers what
it gave for the last weights, so that thirty metrics of one bootstrap replicate cost little more than three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weighted = Callable[[Floats], float]
"""Weights of the rows, >= 0, to the metric; NaN when it is undefined (no positive row, …)."""
T = TypeVar("T")
_PART: Final = 8_192
"""Rows whose products are added at a time."""


class Cumulative(NamedTuple):
    """Rows by falling score, counted up to the end of each run of equal scores."""

    hits: Floats
    """Weight of the positives so far."""
    total: Floats
    """Weight of all rows so far."""


def remembered(of: Callable[[Floats], T]) -> Callable[[Floats], T]:
    """The same, computed once for weights that are asked for again at once; the array must not change meanwhile."""
    last: tuple[Floats, T] | None = None

    def value(weights: Floats) -> T:
        nonlocal last
        if last is None or last[0] is not weights:
            last = (weights, of(weights))
        return last[1]

    return value


def ranking(y: NDArray[Any], score: Floats) -> Callable[[Floats], Cumulative]:
    """Rows ranked by a binary score; equal scores share a place."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    positive = (y[order] == 1).astype(np.float64)

    def cumulative(weights: Floats) -> Cumulative:
        w = weights[order]
        hits, total = np.cumsum(w * positive), np.cumsum(w, out=w)
        return Cumulative(hits, total) if len(ends) == len(order) else Cumulative(hits[ends], total[ends])

    return remembered(cumulative)


def class_rankings(y: NDArray[Any], p: Floats) -> Callable[[Floats], tuple[Cumulative, ...]]:
    """Each class against the rest, by its probability."""
    each = [ranking((y == code).astype(np.int64), p[:, code]) for code in range(p.shape[1])]
    return remembered(lambda weights: tuple(one(weights) for one in each))


def table(y: NDArray[Any], decided: NDArray[Any]) -> Callable[[Floats], Floats]:
    """Weight by (truth, decision), shape (k, k)."""
    k = int(max(y.max(initial=1), decided.max(initial=1))) + 1
    codes = y.astype(np.int64) * k + decided

    def counted(weights: Floats) -> Floats:
        return np.bincount(codes, weights, k * k).reshape(k, k).astype(np.float64)

    return remembered(counted)


def weighted_sum(weights: Floats, per_row: Floats) -> float:
    """`weights @ per_row`, the same bits on any number of processors.

    Of more than 10,000 rows OpenBLAS shares out a product to threads, which add in another order and spin for
    milliseconds once they are done: 1,200 products of 100,000 rows took 2 to 4 s of processors, and with one thread a
    tenth of one.
    """
    whole = len(weights) // _PART * _PART
    rest = float(weights[whole:] @ per_row[whole:])
    return rest + float(np.vecdot(weights[:whole].reshape(-1, _PART), per_row[:whole].reshape(-1, _PART)).sum())


def mean_of(per_row: Floats, *, root: bool = False) -> Weighted:
    """The weighted mean of something that every row has, or its root."""

    def value(weights: Floats) -> float:
        mean = float(weighted_sum(weights, per_row) / weights.sum())
        return float(np.sqrt(mean)) if root else mean

    return value


def never(_: Floats) -> float:
    """What cannot be said of these rows, whatever their weights."""
    return float("nan")
