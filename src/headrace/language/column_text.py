"""The columns forms of the functions of text beyond what `headrace.language.column_kernels` has.

Polars and Python carry different editions of Unicode, and Polars finds places in bytes: batches of ASCII go the way of
Polars, others, and what is slow anyhow, go through the row form, equal texts once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from headrace.language import row_text
from headrace.language.column_batches import each, each_distinct, even, names_twice
from headrace.language.row_text import LONGEST_MADE
from headrace.language.types import Type
from headrace.language.values import dtype


def _ascii(series: pl.Series) -> bool:
    return bool((series.str.len_bytes() == series.str.len_chars()).all())


def _by_alphabet(fast: Callable[..., pl.Expr], slow: Callable[..., Any], result: Type, *columns: pl.Expr) -> pl.Expr:
    """`fast` for batches of ASCII, the row form for others."""
    names = [pl.col(str(number)) for number in range(len(columns))]

    def over(series: Sequence[pl.Series]) -> pl.Series:
        full = even(series)
        found = fast(*names) if all(map(_ascii, full)) else each_distinct(slow, result, *names)
        return pl.DataFrame([one.alias(str(at)) for at, one in enumerate(full)]).select(found).to_series()

    return pl.map_batches(list(columns), over, return_dtype=dtype(result), is_elementwise=True)


@names_twice
def pad_left(a: pl.Expr, length: pl.Expr, fill: str = " ") -> pl.Expr:
    return pl.when(length <= LONGEST_MADE).then(a.str.pad_start(_size(length), fill))


@names_twice
def pad_right(a: pl.Expr, length: pl.Expr, fill: str = " ") -> pl.Expr:
    return pl.when(length <= LONGEST_MADE).then(a.str.pad_end(_size(length), fill))


def _size(length: pl.Expr) -> pl.Expr:
    return length.clip(0, LONGEST_MADE)


def repeat(a: pl.Expr, times: pl.Expr) -> pl.Expr:
    return each(row_text.repeat, Type.STRING, a, times)


def reverse(a: pl.Expr) -> pl.Expr:
    return _by_alphabet(lambda x: x.str.reverse(), lambda text: text[::-1], Type.STRING, a)


@names_twice
def position(a: pl.Expr, other: pl.Expr) -> pl.Expr:
    found = a.str.find(other, literal=True).cast(pl.Int64)  # in bytes
    before = a.cast(pl.Binary).bin.slice(0, found).cast(pl.String)
    known = a.is_not_null() & other.is_not_null()
    place = pl.when(found.is_not_null()).then(before.str.len_chars().cast(pl.Int64) + 1).otherwise(0)
    return pl.when(known).then(place)


def split_part(a: pl.Expr, separator: str, place: int) -> pl.Expr:
    return a.str.split(separator).list.get(place - 1 if place > 0 else place, null_on_oob=True)


def trim(a: pl.Expr, characters: str) -> pl.Expr:
    return a.str.strip_chars(characters)


def trim_left(a: pl.Expr, characters: str = " ") -> pl.Expr:
    return a.str.strip_chars_start(characters)


def trim_right(a: pl.Expr, characters: str = " ") -> pl.Expr:
    return a.str.strip_chars_end(characters)


def initcap(a: pl.Expr) -> pl.Expr:
    return each_distinct(row_text.initcap, Type.STRING, a)


def code_point(a: pl.Expr) -> pl.Expr:
    return each_distinct(row_text.code_point, Type.INTEGER, a)


def is_ascii(a: pl.Expr) -> pl.Expr:
    return ~a.str.contains(r"[^\x00-\x7F]")


def count_of(a: pl.Expr, other: str) -> pl.Expr:
    return a.str.count_matches(other, literal=True).cast(pl.Int64)


def count_letters(a: pl.Expr) -> pl.Expr:
    return _by_alphabet(lambda x: _matches(x, "[A-Za-z]"), row_text.count_letters, Type.INTEGER, a)


def count_capitals(a: pl.Expr) -> pl.Expr:
    return _by_alphabet(lambda x: _matches(x, "[A-Z]"), row_text.count_capitals, Type.INTEGER, a)


def count_digits(a: pl.Expr) -> pl.Expr:
    return _matches(a, "[0-9]")


def count_words(a: pl.Expr) -> pl.Expr:
    return _matches(a, r"[^ \t\n\r\f\v]+")


def _matches(a: pl.Expr, pattern: str) -> pl.Expr:
    return a.str.count_matches(pattern).cast(pl.Int64)


def normalize(a: pl.Expr) -> pl.Expr:
    return _by_alphabet(lambda x: x, row_text.normalize, Type.STRING, a)


def strip_accents(a: pl.Expr) -> pl.Expr:
    return _by_alphabet(lambda x: x, row_text.strip_accents, Type.STRING, a)


def levenshtein(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    def over(series: Sequence[pl.Series]) -> pl.Series:
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cpdist

        ours, theirs = even(series)
        known = ours.is_not_null() & theirs.is_not_null()
        pairs = [one.fill_null("").to_list() for one in (ours, theirs)]
        found = cpdist(*pairs, scorer=Levenshtein.distance, dtype=np.int64, workers=1)
        return pl.Series(series[0].name, found, dtype=pl.Int64).set(~known, None)

    return pl.map_batches([a, b], over, return_dtype=pl.Int64(), is_elementwise=True)


def trigram_similarity(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return each_distinct(row_text.trigram_similarity, Type.FLOAT, a, b)


def common_prefix(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return each_distinct(row_text.common_prefix, Type.INTEGER, a, b)


def jaro_winkler(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return each_distinct(row_text.jaro_winkler, Type.FLOAT, a, b)
