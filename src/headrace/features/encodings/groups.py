"""A number beside those of its group: mean and standard deviation of each level's training rows.

`math.fsum` rounds the exact sum once, so no order of rows changes a bit. Nulls, NaN and infinities do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import GroupTake

Floats = NDArray[np.float64]
_NAN: Final = math.nan


class Spread(NamedTuple):
    """What a group's numbers look like; NaN where nothing is known."""

    mean: float
    std: float


def spread_of(values: Floats) -> Spread:
    """Mean and sample standard deviation of finite values.

    Examples
    --------
    >>> spread_of(np.array([1e6 - 1, 1e6 + 1]))
    Spread(mean=1000000.0, std=1.4142135623730951)
    """
    if not len(values):
        return Spread(_NAN, _NAN)
    # by a power of two, exactly, so that neither sum nor squares leave the range of floats
    exponent = math.frexp(float(np.abs(values).max()))[1]
    scaled = np.ldexp(values, -exponent)
    mean = math.fsum(scaled.tolist()) / len(scaled)
    std = _NAN
    if len(scaled) > 1:
        std = math.sqrt(math.fsum(((scaled - mean) ** 2).tolist()) / (len(scaled) - 1))
    return Spread(_unscaled(mean, exponent), _unscaled(std, exponent))


def spreads_of(values: Floats, codes: NDArray[np.int64], n_codes: int) -> list[Spread]:
    """Of each code, shape (n_codes,); a code without finite values has what all rows have together."""
    finite = np.isfinite(values)
    values, codes = values[finite], codes[finite]
    overall = spread_of(values)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(n_codes + 1))
    ordered = values[order]
    return [
        spread_of(ordered[start:stop]) if stop > start else overall
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]


def beside_many(take: GroupTake, values: Floats, means: Floats, stds: Floats) -> Floats:
    """What is taken of each row: its value (NaN where missing) and its group's spread, each of shape (rows,)."""
    if take == "mean":
        return means
    if take == "std":
        return stds
    with np.errstate(over="ignore", invalid="ignore"):
        difference = values - means
        if take == "difference":
            return difference
        return np.where(stds > 0, difference / np.where(stds > 0, stds, 1.0), np.nan)


def beside_one(take: GroupTake) -> Callable[[float, float, float], float]:
    """`beside_many` of one row: the same operations on Python's floats."""
    if take == "mean":
        return lambda _, mean, __: mean
    if take == "std":
        return lambda _, __, std: std
    if take == "difference":
        return lambda value, mean, _: value - mean
    return lambda value, mean, std: (value - mean) / std if std > 0 else _NAN


def as_stored(values: Sequence[float]) -> tuple[float | None, ...]:
    """NaN and infinities as None: JSON has neither."""
    return tuple(value if math.isfinite(value) else None for value in values)


def as_floats(values: Sequence[float | None]) -> Floats:
    """None as NaN."""
    return np.array([_NAN if value is None else value for value in values], np.float64)


def _unscaled(value: float, exponent: int) -> float:
    """An infinity where it leaves the range: a standard deviation may, by the square root of two."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.inf
