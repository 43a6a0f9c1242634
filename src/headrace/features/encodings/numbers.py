"""Numbers as float32: what is too large for it is the largest one, and nothing else changes their order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from headrace.language.row_decimals import SCALE
from headrace.language.values import physical

if TYPE_CHECKING:
    import polars as pl

LARGEST: Final = float(np.finfo(np.float32).max)


def as_float(values: pl.Series) -> pl.Series:
    """Numbers and booleans as float64, NaN as null."""
    import polars as pl

    if values.dtype.is_decimal():
        counted = physical(values)
        return pl.Series(values.name, counted.fill_null(0).to_numpy() / SCALE).set(counted.is_null(), None)
    return values.cast(pl.Float64).fill_nan(None)


def clamped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Within float32; one NaN for all, so that no sign or payload of it reaches the bytes."""
    clipped = np.clip(values, -LARGEST, LARGEST)
    clipped[np.isnan(clipped)] = math.nan
    return clipped
