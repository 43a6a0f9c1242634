"""Row forms of mathematics and of bits; `headrace.language.row_kernels` says what holds for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from headrace.language.row_kernels import GREATEST_INTEGER, LEAST_INTEGER, exp, float_to_integer

atan, cbrt, degrees, gcd, tanh = math.atan, math.cbrt, math.degrees, math.gcd, math.tanh
_sin, _cos = math.sin, math.cos


def log2(x: float) -> float | None:
    return math.log2(x) if x > 0 else (-math.inf if x == 0 else None)


def log1p(x: float) -> float | None:
    return math.log1p(x) if x > -1.0 else (-math.inf if x == -1.0 else None)


def expm1(x: float) -> float:
    try:
        return math.expm1(x)
    except OverflowError:
        return math.inf


def asin(x: float) -> float | None:
    return math.asin(x) if -1.0 <= x <= 1.0 else None


def acos(x: float) -> float | None:
    return math.acos(x) if -1.0 <= x <= 1.0 else None


def sinh(x: float) -> float:
    try:
        return math.sinh(x)
    except OverflowError:
        return math.copysign(math.inf, x)


def cosh(x: float) -> float:
    try:
        return math.cosh(x)
    except OverflowError:
        return math.inf


def hypot(x: float, y: float) -> float:
    try:
        return abs(complex(x, y))  # the C library's hypot, which math.hypot is not
    except OverflowError:
        return math.inf


def trunc(x: float) -> float:
    return x if not -4503599627370496.0 < x < 4503599627370496.0 else float(int(x))


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x))


def logit(p: float) -> float | None:
    if not 0.0 < p < 1.0:
        return -math.inf if p == 0.0 else math.inf if p == 1.0 else None
    return math.log(p / (1.0 - p))


def floor_mod(x: float, y: float) -> float | None:
    if y == 0.0 or math.isinf(x):
        return None
    rest = math.fmod(x, y)
    return rest + y if rest != 0.0 and (rest < 0.0) != (y < 0.0) else rest


def cyclic_sin_in(period: float) -> Callable[[float], float | None]:
    return lambda x: None if math.isinf(x) else _sin(math.fmod(x, period) / period * math.tau)


def cyclic_cos_in(period: float) -> Callable[[float], float | None]:
    return lambda x: None if math.isinf(x) else _cos(math.fmod(x, period) / period * math.tau)


def cell_in(size: float) -> Callable[[float], int | None]:
    return lambda x: float_to_integer(_floor(x / size))


def _floor(x: float) -> float:
    return x if not -4503599627370496.0 < x < 4503599627370496.0 else float(math.floor(x))


# --- bits ------------------------------------------------------------------------------------------------------------


def shift_left(a: int, places: int) -> int | None:
    if not 0 <= places < 64:
        return None
    shifted = a << places
    return shifted if LEAST_INTEGER <= shifted <= GREATEST_INTEGER else None


def shift_right(a: int, places: int) -> int | None:
    return a >> places if 0 <= places < 64 else None
