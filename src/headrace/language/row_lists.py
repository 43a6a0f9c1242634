"""Row forms of the statistics of several arguments, of hashes and of buckets.

Of the statistics the arguments may be None, which does not count.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from headrace.language.row_kernels import GREATEST_INTEGER, LEAST_INTEGER


def count_nulls(*values: Any) -> int:
    return values.count(None)


def count_true(*values: bool | None) -> int:
    return sum(value is True for value in values)


def sum_of_integers(*values: int | None) -> int | None:
    there = [value for value in values if value is not None]
    total = sum(there)
    return total if there and LEAST_INTEGER <= total <= GREATEST_INTEGER else None


def sum_of(*values: float | None) -> float | None:
    there = [value for value in values if value is not None]
    return _sum(there) if there else None


def _sum(values: list[float]) -> float:
    total = 0.0  # the library's sum makes up for what is rounded off, in some of its versions
    for value in values:
        total += value
    return total


def mean_of(*values: float | None) -> float | None:
    there = [value for value in values if value is not None]
    return _sum(there) / len(there) if there else None


def stddev_of(*values: float | None) -> float | None:
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return None
    mean = _sum(there) / len(there)
    return math.sqrt(_sum([(value - mean) * (value - mean) for value in there]) / (len(there) - 1))


def median_of(*values: float | None) -> float | None:
    there = sorted(value for value in values if value is not None)
    if not there:
        return None
    middle = len(there) // 2
    return there[middle] if len(there) % 2 else there[middle - 1] * 0.5 + there[middle] * 0.5


def max_of(*values: Any) -> Any:
    best = None
    for value in values:
        if value is not None and (best is None or value > best):
            best = value
    return best


def min_of(*values: Any) -> Any:
    best = None
    for value in values:
        if value is not None and (best is None or value < best):
            best = value
    return best


def argmax_of(*values: Any) -> int | None:
    best, place = None, None
    for at, value in enumerate(values, 1):
        if value is not None and (best is None or value > best):
            best, place = value, at
    return place


def argmin_of(*values: Any) -> int | None:
    best, place = None, None
    for at, value in enumerate(values, 1):
        if value is not None and (best is None or value < best):
            best, place = value, at
    return place


# --- hashes and buckets ----------------------------------------------------------------------------------------------


def hash64(text: str) -> int:
    """BLAKE2b of 8 bytes over UTF-8, little-endian, as a signed integer."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def hash64_of_integer(value: int) -> int:
    return hash64(str(value))


def hash_bucket_in(count: int) -> Callable[[str], int]:
    return lambda text: (hash64(text) & 0xFFFFFFFFFFFFFFFF) % count


def hash_bucket_of_integer_in(count: int) -> Callable[[int], int]:
    return lambda value: (hash64(str(value)) & 0xFFFFFFFFFFFFFFFF) % count


def bucket_in(*edges: Any) -> Callable[[Any], int]:
    ascending = sorted(edges)
    return lambda value: bisect_right(ascending, value)


def width_bucket_in(low: float, high: float, count: int) -> Callable[[float], int]:
    width = high - low

    def of(x: float) -> int:
        if not low <= x < high:
            return 0 if x < low else count + 1
        return min(int((x - low) / width * count), count - 1) + 1

    return of


def check_width(low: float, high: float, count: int) -> str | None:
    """What is wrong with the constants of `width_bucket`."""
    del count
    return None if low < high and math.isfinite(high - low) else "the low edge is not below the high one"
