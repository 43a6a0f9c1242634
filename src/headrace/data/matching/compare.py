"""Comparison levels: how alike two values of one kind are, in a few steps from equal to different.

| kind   | levels between equal and different                                                              |
|--------|-------------------------------------------------------------------------------------------------|
| exact  | none                                                                                            |
| text   | the same words; close and alike by normalised Levenshtein similarity, from 0.88 and 0.7         |
| name   | the same words, short forms and initials; close, alike: Jaro-Winkler from 0.92, 0.84; a common word |
| email  | the same name at another host; close: up to two edits                                           |
| phone  | close: one edit; alike: two edits                                                               |
| date   | day and month swapped or one edit; two of year, month and day                                   |
| number | within 1 %; within 10 %                                                                         |
| geo    | within 100 m, 1 km, 10 km                                                                       |

An edit is an insertion, a deletion, a substitution or a swap of neighbours (optimal string alignment).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler, Levenshtein

from headrace.data.matching.normal import NICKNAMES
from headrace.data.matching.records import Column, Texts
from headrace.definition.model import MatchKind

Levels = NDArray[np.uint8]
NULL: Final = 255
"""Level of a pair of which one value or both are missing."""

LEVELS: Final[dict[MatchKind, tuple[str, ...]]] = {
    "exact": ("equal", "different"),
    "text": ("equal", "same words", "close", "alike", "different"),
    "name": ("equal", "same words", "close", "alike", "a word in common", "different"),
    "email": ("equal", "same name", "close", "different"),
    "phone": ("equal", "close", "alike", "different"),
    "date": ("equal", "one slip", "two parts", "different"),
    "number": ("equal", "within 1 %", "within 10 %", "different"),
    "geo": ("equal", "within 100 m", "within 1 km", "within 10 km", "different"),
}
_EARTH_KM: Final = 6371.0088
_WORDS: Final = 5
_NONE: Final = np.empty((0, _WORDS), np.int32)
_NO: Final = np.empty(0, np.bool_)


@dataclass(frozen=True, slots=True)
class Comparer:
    """A column with the forms that its comparison needs, made once."""

    column: Column
    other: tuple[Texts, ...]
    """name, text: words in order; name: words in order, short forms made full; email: what is before the @."""
    tokens: NDArray[np.int32] = field(default_factory=lambda: _NONE)
    """name: code → numbers of its words of two letters or more, at most `_WORDS` of them; -1 for none."""
    has_initial: NDArray[np.bool_] = field(default_factory=lambda: _NO)
    """name: code → whether a word of it is one letter."""

    def levels(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> Levels:
        """The level of each pair of records."""
        a, b = self.column.codes[left], self.column.codes[right]
        found = np.full(len(a), NULL, np.uint8)
        is_there = (a >= 0) & (b >= 0)
        is_equal = is_there & (a == b)
        found[is_equal] = 0
        at = np.flatnonzero(is_there & ~is_equal)
        if len(at):
            # a pair has its smaller code first, so that no rounding depends on which row is named first
            low, high = np.minimum(a[at], b[at]), np.maximum(a[at], b[at])
            found[at] = _UNEQUAL[self.column.kind](self, low, high)
        return found


def comparer_of(column: Column) -> Comparer:
    """What compares one column's values."""
    forms = column.forms
    match column.kind:
        case "name":
            words = _texts(" ".join(sorted(form.split())) for form in forms)
            full = _texts(" ".join(sorted(NICKNAMES.get(word, word) for word in form.split())) for form in forms)
            return Comparer(column, (words, full), *_tokens(words))
        case "text":
            return Comparer(column, (_texts(" ".join(sorted(form.split())) for form in forms),))
        case "email":
            return Comparer(column, (_texts(form.partition("@")[0] for form in forms),))
        case _:
            return Comparer(column, ())


def _tokens(words: Texts) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    split = [text.split() for text in words]
    numbers = {word: n for n, word in enumerate(sorted({word for one in split for word in one if len(word) > 1}))}
    tokens = np.full((len(split), _WORDS), -1, np.int32)
    for row, one in enumerate(split):
        held = [numbers[word] for word in one if len(word) > 1][:_WORDS]
        tokens[row, : len(held)] = held
    return tokens, np.array([any(len(word) == 1 for word in one) for one in split], dtype=np.bool_)


def _texts(values: Any) -> Texts:
    return np.array(list(values), dtype=object)


def _similarity(left: Texts, right: Texts, scorer: Any, cutoff: float) -> NDArray[np.float32]:
    return np.asarray(process.cpdist(left, right, scorer=scorer, score_cutoff=cutoff, dtype=np.float32))


def _edits(left: Texts, right: Texts, most: int) -> NDArray[np.int32]:
    return np.asarray(process.cpdist(left, right, scorer=OSA.distance, score_cutoff=most, dtype=np.int32))


def _exact(_: Comparer, a: NDArray[np.int32], __: NDArray[np.int32]) -> Levels:
    return np.full(len(a), 1, np.uint8)


def _text(comparer: Comparer, a: NDArray[np.int32], b: NDArray[np.int32]) -> Levels:
    forms, words = comparer.column.forms, comparer.other[0]
    # float32 holds neither 0.88 nor 0.7: a little below, so that a value on the line counts
    score = _similarity(forms[a], forms[b], Levenshtein.normalized_similarity, 0.69)
    levels = np.select([score >= 0.8799, score >= 0.6999], [2, 3], 4)
    return np.where(words[a] == words[b], 1, levels).astype(np.uint8)


def _name(comparer: Comparer, a: NDArray[np.int32], b: NDArray[np.int32]) -> Levels:
    forms, (words, full) = comparer.column.forms, comparer.other
    score = _similarity(forms[a], forms[b], JaroWinkler.similarity, 0.83)
    at = np.flatnonzero(score < 0.9199)  # the surname may come first
    score[at] = np.maximum(score[at], _similarity(words[a[at]], words[b[at]], JaroWinkler.similarity, 0.83))
    levels = np.select([score >= 0.9199, score >= 0.8399], [2, 3], 5).astype(np.uint8)
    levels[(words[a] == words[b]) | (full[a] == full[b])] = 1
    tokens, has_initial = comparer.tokens, comparer.has_initial
    x, y = tokens[a], tokens[b]
    has_common = np.zeros(len(a), np.bool_)
    for n in range(tokens.shape[1]):
        has_common |= ((x[:, n : n + 1] == y) & (x[:, n : n + 1] >= 0)).any(axis=1)
    levels[has_common & (levels > 3)] = 4
    for i in np.flatnonzero((levels > 1) & (has_initial[a] | has_initial[b])):
        if _are_initials(words[a[i]].split(), words[b[i]].split()):
            levels[i] = 1
    return levels


def _are_initials(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether names differ only in words of which one side has the first letter, or leaves that letter out."""
    common = set(ours) & set(theirs)
    left, right = [w for w in ours if w not in common], [w for w in theirs if w not in common]
    if not left or not right:
        return any(len(word) > 1 for word in common) and all(len(word) == 1 for word in (*left, *right))
    is_short = all(1 in (len(x), len(y)) and x[0] == y[0] for x, y in zip(left, right, strict=False))
    return len(left) == len(right) and is_short and (bool(common) or len(ours) == 1)


def _email(comparer: Comparer, a: NDArray[np.int32], b: NDArray[np.int32]) -> Levels:
    forms, names = comparer.column.forms, comparer.other[0]
    edits = _edits(forms[a], forms[b], 2)
    levels = np.where(edits <= 2, 2, 3)
    return np.where(names[a] == names[b], 1, levels).astype(np.uint8)


def _phone(comparer: Comparer, a: NDArray[np.int32], b: NDArray[np.int32]) -> Levels:
    edits = _edits(comparer.column.forms[a], comparer.column.forms[b], 2)
    return np.select([edits <= 1, edits <= 2], [1, 2], 3).astype(np.uint8)


def _date(comparer: Comparer, a: NDArray[np.int32], b: NDArray[np.int32]) -> Levels:
    forms = comparer.column.forms
    numbers = forms.astype(np.int64)
    x, y = numbers[a], numbers[b]
    year, month, day = x // 10_000 == y // 10_000, x // 100 % 100 == y // 100 % 100, x % 100 == y % 100
    is_swapped = year & (x // 100 % 100 == y % 100) & (x % 100 == y // 100 % 100)
    is_slip = is_swapped | (_edits(forms[a], forms[b], 1) <= 1)
    parts = year.astype(np.int8) + month + day
    return np.select([is_slip, parts >= 2], [1, 2], 3).astype(np.uint8)


def _number(comparer: Comparer, a: NDArray[np.int32], b: NDArray[np.int32]) -> Levels:
    numbers = comparer.column.forms.astype(np.float64)
    x, y = numbers[a], numbers[b]
    larger = np.maximum(np.abs(x), np.abs(y))
    with np.errstate(over="ignore"):
        apart = np.abs(x - y)
    return np.select([apart <= 0.01 * larger, apart <= 0.1 * larger], [1, 2], 3).astype(np.uint8)


def _geo(comparer: Comparer, a: NDArray[np.int32], b: NDArray[np.int32]) -> Levels:
    degrees = np.array([form.split() for form in comparer.column.forms], dtype=np.float64)
    x, y = np.radians(degrees[a]), np.radians(degrees[b])
    half = np.sin((x - y) / 2) ** 2
    root = half[:, 0] + np.cos(x[:, 0]) * np.cos(y[:, 0]) * half[:, 1]
    km = 2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(root, 0, 1)))
    return np.select([km <= 0.1, km <= 1, km <= 10], [1, 2, 3], 4).astype(np.uint8)


_UNEQUAL: Final[dict[MatchKind, Callable[[Comparer, NDArray[np.int32], NDArray[np.int32]], Levels]]] = {
    "exact": _exact,
    "text": _text,
    "name": _name,
    "email": _email,
    "phone": _phone,
    "date": _date,
    "number": _number,
    "geo": _geo,
}
