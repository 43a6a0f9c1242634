"""The columns forms of the functions of places on the earth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from headrace.language.column_batches import Array, even, names_twice, settled
from headrace.language.row_places import GEOHASH

_LETTERS = np.frombuffer(GEOHASH.encode(), dtype=np.uint8)


@names_twice
def bearing(lat1: pl.Expr, lon1: pl.Expr, lat2: pl.Expr, lon2: pl.Expr) -> pl.Expr:
    north1, north2, turn = lat1.radians(), lat2.radians(), lon2.radians() - lon1.radians()
    x = north1.cos() * north2.sin() - north1.sin() * north2.cos() * turn.cos()
    angle = pl.arctan2(settled(turn.sin() * north2.cos()), settled(x)).degrees()
    found = pl.when(angle >= 0.0).then(angle).otherwise(angle + 360.0)
    known = lat1.is_between(-90.0, 90.0) & lat2.is_between(-90.0, 90.0)
    return pl.when(known).then(pl.when(found < 360.0).then(found).when(found.is_not_null()).then(0.0))


def geohash(lat: pl.Expr, lon: pl.Expr, precision: int) -> pl.Expr:
    def over(series: Sequence[pl.Series]) -> pl.Series:
        norths, easts = (one.to_numpy().astype(np.float64) for one in even(series))
        with np.errstate(invalid="ignore"):
            known = (norths >= -90.0) & (norths <= 90.0) & (easts >= -180.0) & (easts <= 180.0)
        bits = precision * 5
        east = _halved(np.where(known, easts, 0.0), 180.0, (bits + 1) // 2)
        north = _halved(np.where(known, norths, 0.0), 90.0, bits // 2)
        code = np.zeros(len(norths), dtype=np.int64)
        for bit in range(bits):
            halves = north if bit % 2 else east
            code = code << 1 | halves[bit // 2]
        digits = [_LETTERS[code >> shift & 31] for shift in range(bits - 5, -1, -5)]
        texts = np.ascontiguousarray(np.stack(digits, axis=1)).view(f"S{precision}").ravel().astype(f"U{precision}")
        return pl.Series(series[0].name, texts, dtype=pl.String).set(pl.Series(~known), None)

    return pl.map_batches([lat, lon], over, return_dtype=pl.String(), is_elementwise=True)


def _halved(values: Array, bound: float, times: int) -> list[Array]:
    """In which half of the halves each value lies: bits from the coarsest on. The middles are exact floats."""
    low, high = np.full(len(values), -bound), np.full(len(values), bound)
    found = []
    for _ in range(times):
        middle = (low + high) / 2.0
        upper = values >= middle
        low, high = np.where(upper, middle, low), np.where(upper, high, middle)
        found.append(upper.astype(np.int64))
    return found
