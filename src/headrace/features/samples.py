"""Samples of different values, which say about how many there are; they merge. Plain Python.

Adaptive sampling (Flajolet, "On adaptive sampling", Computing 43, 1990): each value has a 64-bit hash that is the same
everywhere. Level j keeps the values whose hash begins with j zeros; a run has the first level at which no more than
1,024 different values are left, and stands for 2**j as many: up to 1,024 the count is exact. Level and sample are
functions of the run's values alone, so merged parts give what the whole gives.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Any, Final

BOUND: Final = 1024
"""The most values that a sample keeps."""
BITS: Final = 64
STEP: Final = 0x9E3779B97F4A7C15
FACTORS: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT: Final = 31
_WORD: Final = 2**BITS - 1
_double = struct.Struct("<d")
_unsigned = struct.Struct("<Q")

Sample = tuple[int, frozenset[int]]
"""The level, and the hashes kept at it."""


def value_hash(value: Any) -> int:
    """Of a value in the row form; different numbers have different hashes."""
    if isinstance(value, str):
        return text_hash(value)
    bits = _unsigned.unpack(_double.pack(value + 0.0))[0] if isinstance(value, float) else int(value)
    return mixed((bits + STEP) & _WORD)


def text_hash(text: str) -> int:
    """BLAKE2b, 64 bits."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def mixed(word: int) -> int:
    """SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014): one to one, so nothing is lost."""
    for shift, factor in FACTORS:
        word = (word ^ word >> shift) * factor & _WORD
    return word ^ word >> LAST_SHIFT


def sample_of(value: Any) -> Sample:
    """The sample of one value."""
    return 0, frozenset([value_hash(value)])


def merged_samples(a: Sample, b: Sample) -> Sample:
    """The sample of the values of both."""
    level = max(a[0], b[0])
    kept = {word for _, words in (a, b) for word in words if not word >> (BITS - level)}
    while len(kept) > BOUND:
        level += 1
        kept = {word for word in kept if not word >> (BITS - level)}
    return level, frozenset(kept)


def size_of(sample: Sample) -> int:
    """How many different values there are: exactly up to `BOUND`, then about."""
    return len(sample[1]) << sample[0]
