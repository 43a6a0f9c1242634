"""How much what happened some tiles ago still counts: halves with every half-life. Plain Python."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Final

FURTHEST: Final = 2100
"""Half-lives after which nothing is left of the largest number."""


@lru_cache(maxsize=1024)
def fractions_of(tiles: int) -> tuple[float, ...]:
    """2**(-n / tiles) for n from 0 to tiles - 1, rounded correctly: libraries differ in the last bit of a power."""
    with localcontext() as context:
        context.prec = 40
        return tuple(float(Decimal(2) ** (Decimal(-n) / tiles)) for n in range(tiles))


def weight(tiles_ago: int, tiles: int) -> float:
    """2**(-tiles_ago / tiles), for a half-life of `tiles` tiles."""
    halvings, rest = divmod(tiles_ago, tiles)
    return math.ldexp(fractions_of(tiles)[rest], -min(halvings, FURTHEST))
