"""Row forms of the functions of places on the earth."""

from __future__ import annotations

import math
from collections.abc import Callable

from headrace.language.row_kernels import atan2

_radians, _sin, _cos, _degrees, _inf = math.radians, math.sin, math.cos, math.degrees, math.inf
GEOHASH = "0123456789bcdefghjkmnpqrstuvwxyz"


def bearing(lat1: float, lon1: float, lat2: float, lon2: float) -> float | None:
    """The angle at the first point from north to the great circle to the second, clockwise."""
    if not (-90.0 <= lat1 <= 90.0 and -90.0 <= lat2 <= 90.0 and -_inf < lon1 < _inf and -_inf < lon2 < _inf):
        return None
    north1, north2, turn = _radians(lat1), _radians(lat2), _radians(lon2) - _radians(lon1)
    x = _cos(north1) * _sin(north2) - _sin(north1) * _cos(north2) * _cos(turn)
    angle = _degrees(atan2(_sin(turn) * _cos(north2), x))
    angle = angle if angle >= 0.0 else angle + 360.0
    return angle if angle < 360.0 else 0.0


def geohash_in(precision: int) -> Callable[[float, float], str | None]:
    bits = precision * 5

    def of(lat: float, lon: float) -> str | None:
        if not (-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0):
            return None
        south, north, west, east = -90.0, 90.0, -180.0, 180.0
        code = 0
        for bit in range(bits):
            if bit % 2:
                middle = (south + north) / 2.0
                upper = lat >= middle
                south, north = (middle, north) if upper else (south, middle)
            else:
                middle = (west + east) / 2.0
                upper = lon >= middle
                west, east = (middle, east) if upper else (west, middle)
            code = code << 1 | upper
        return "".join([GEOHASH[code >> shift & 31] for shift in range(bits - 5, -1, -5)])

    return of
