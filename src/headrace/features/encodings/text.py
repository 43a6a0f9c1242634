"""Texts as numbers, without learning: counts of characters and words, and hashed runs of words.

A word is a run of ASCII letters, digits, underscores and of any characters beyond ASCII; only A-Z are lowered. So no
word depends on the version of Unicode that a Python or a library knows, and history and request cannot part. A piece's
bucket is made of its CRC-32, spread by a multiplication (Knuth, "The Art of Computer Programming" 3, 6.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from headrace.features.model import TextCount

if TYPE_CHECKING:
    import polars as pl

COUNTS: Final[tuple[TextCount, ...]] = get_args(TextCount)
_WORD: Final = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")
_DIGITS: Final = b"0123456789"
_CAPITALS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PUNCTUATION: Final = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_COLUMNS: Final[dict[TextCount, str]] = {
    "words": r"[0-9A-Za-z_\x{80}-\x{10FFFF}]+",
    "digits": "[0-9]",
    "capitals": "[A-Z]",
    "punctuation": r"[!-/:-@\[-`{-~]",
}
_SPREAD: Final = 0x9E3779B1
_CHUNK: Final = 1 << 15
"""Rows whose buckets are counted together."""


def count_one(statistic: TextCount) -> Callable[[str], float]:
    """The count of one text."""
    match statistic:
        case "length":
            return lambda text: float(len(text))
        case "words":
            return lambda text: float(len(_WORD.findall(text.encode())))
        case "digits":
            return _characters(_DIGITS)
        case "capitals":
            return _characters(_CAPITALS)
        case "punctuation":
            return _characters(_PUNCTUATION)


def count_many(statistic: TextCount, texts: pl.Series) -> NDArray[np.float64]:
    """The counts of a column of texts; NaN for null."""
    import polars as pl

    counted = texts.str.len_chars() if statistic == "length" else texts.str.count_matches(_COLUMNS[statistic])
    return counted.cast(pl.Float64).fill_null(np.nan).to_numpy()


def buckets_of(text: str, buckets: int, ngrams: Sequence[int]) -> list[int]:
    """The bucket of every piece of a text, as often as it comes.

    Examples
    --------
    >>> buckets_of("late, LATE", 8, (1,)) == [buckets_of("Late", 8, (1,))[0]] * 2
    True
    """
    words = _WORD.findall(text.encode().lower())  # of bytes, lower() moves A-Z only
    pieces = []
    for size in ngrams:
        if size == 1:
            pieces += words
        else:
            pieces += [b" ".join(words[start : start + size]) for start in range(len(words) - size + 1)]
    return [((crc32(piece) * _SPREAD & 0xFFFFFFFF) * buckets) >> 32 for piece in pieces]


def bucket_counts(texts: pl.Series, buckets: int, ngrams: Sequence[int], out: NDArray[np.float32]) -> None:
    """Fill `out`, shape (rows, buckets), with how many pieces of each text fall into each bucket; NaN for null."""
    for start in range(0, len(texts), _CHUNK):
        some = texts.slice(start, _CHUNK).to_list()
        hits = [[] if text is None else buckets_of(text, buckets, ngrams) for text in some]
        places = np.repeat(np.arange(len(some)), [len(each) for each in hits])
        flat = np.fromiter((bucket for each in hits for bucket in each), np.int64, len(places))
        counted = np.bincount(places * buckets + flat, minlength=len(some) * buckets).reshape(len(some), buckets)
        out[start : start + len(some)] = counted
        out[start : start + len(some)][[text is None for text in some]] = np.nan


def _characters(kept: bytes) -> Callable[[str], float]:
    def count(text: str) -> float:
        data = text.encode()
        return float(len(data) - len(data.translate(None, kept)))

    return count
