"""Blocking: which pairs of records are compared at all.

A pass compares records that share a key: a value, or the short form of one or two. Passes are chosen by counting how
many pairs each would bring, before anything is compared: the most selective first, until the budget is spent; a pass
whose pairs another brings as well is dropped. In a large block a record is compared only with the next `WINDOW` records
in order of their contents (sorted neighbourhood: Hernández and Stolfo, SIGMOD 1995), so the number of pairs is bounded
whatever the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.data.matching.model import BlockingPass
from headrace.data.matching.records import MISSING, Column, Records
from headrace.definition.model import MatchKind

Indexes = NDArray[np.int64]
WINDOW: Final = 100
PAIRS_PER_RECORD: Final = 30
"""What all passes together may bring at the most …"""
PAIRS_PER_PASS: Final = 8
"""… and what one may bring, a record."""
FREE_PAIRS: Final = 300_000
"""Pairs that one pass may bring whatever the number of records."""
MOST_PASSES: Final = 14
_CHUNK: Final = 1_000_000

_SHORT: Final[dict[MatchKind, tuple[str, ...]]] = {
    "exact": ("value",),
    "text": ("value", "start", "sound"),
    "name": ("value", "words", "sound", "start"),
    "email": ("value", "name", "start"),
    "phone": ("value", "end", "start"),
    "date": ("value", "year", "day"),
    "number": ("value",),
    "geo": ("value", "area"),
}
"""What of a value records are blocked by, the whole first."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: the key of every record, and the records in order of key, then of contents."""

    told: BlockingPass
    key: Indexes
    """`MISSING` where a part is null: such a record is not compared in this pass."""
    order: Indexes
    position: Indexes
    """Record → place in `order`."""

    def has(self, left: Indexes, right: Indexes) -> NDArray[np.bool_]:
        """Whether the pass compares each pair."""
        same = (self.key[left] == self.key[right]) & (self.key[left] != MISSING)
        is_near: NDArray[np.bool_] = np.abs(self.position[left] - self.position[right]) <= WINDOW
        found: NDArray[np.bool_] = same & is_near
        return found

    def pairs(self) -> Iterator[tuple[Indexes, Indexes]]:
        """All pairs of the pass, the smaller record first, some at a time."""
        sorted_key = self.key[self.order]
        first = int(np.searchsorted(sorted_key, MISSING, side="right"))
        order, sorted_key = self.order[first:], sorted_key[first:]
        lefts, rights, held = [], [], 0
        for step in range(1, min(WINDOW, len(order) - 1) + 1):
            at = np.flatnonzero(sorted_key[:-step] == sorted_key[step:])
            if not len(at):
                break
            a, b = order[at], order[at + step]
            lefts.append(np.minimum(a, b))
            rights.append(np.maximum(a, b))
            held += len(at)
            if held >= _CHUNK:
                yield np.concatenate(lefts), np.concatenate(rights)
                lefts, rights, held = [], [], 0
        if held:
            yield np.concatenate(lefts), np.concatenate(rights)


def candidate_pairs(passes: Sequence[Pass]) -> Iterator[tuple[Indexes, Indexes]]:
    """Every pair that some pass compares, once: a later pass leaves out what an earlier one has."""
    for n, one in enumerate(passes):
        for left, right in one.pairs():
            is_new = np.ones(len(left), np.bool_)
            for earlier in passes[:n]:
                is_new &= ~earlier.has(left, right)
            if is_new.any():
                yield left[is_new], right[is_new]


def choose_passes(records: Records, block: Sequence[Sequence[str]]) -> tuple[Pass, ...]:
    """The passes: those asked for, else the most selective keys that the budget allows."""
    if len(records) < 2:
        return ()
    columns = {column.name: column for column in records.columns}
    if block:
        return tuple(_pass([(columns[name], "value") for name in names]) for names in block)
    per_pass = max(FREE_PAIRS, PAIRS_PER_PASS * len(records))
    budget = max(3 * FREE_PAIRS, PAIRS_PER_RECORD * len(records))
    keys: dict[tuple[tuple[str, str], ...], Indexes] = {}
    for column in records.columns:
        for part in _SHORT[column.kind]:
            keys[((column.name, part),)] = part_of(column, part)
    for one, other in combinations(list(keys), 2):
        if one[0][0] != other[0][0]:
            keys[one + other] = together(keys[one], keys[other])
    counted = sorted((_pair_count(key, capped=False), len(parts), parts) for parts, key in keys.items())
    chosen: list[tuple[int, tuple[tuple[str, str], ...]]] = []
    for estimated, _, parts in counted:
        if not 0 < estimated <= per_pass:
            continue
        left = [(n, before) for n, before in chosen if not _is_within(before, parts)]
        if sum(n for n, _ in left) + estimated <= budget and len(left) < MOST_PASSES:
            chosen = [*left, (estimated, parts)]
    if not chosen:  # every key is frequent: neighbours in the most selective blocks
        chosen = [(estimated, parts) for estimated, _, parts in counted if estimated][:3]
    return tuple(_made(keys[parts], parts) for _, parts in chosen)


def _is_within(fine: Sequence[tuple[str, str]], coarse: Sequence[tuple[str, str]]) -> bool:
    """Whether records that share the fine key share the coarse one."""
    return all(part in fine or (part[0], "value") in fine for part in coarse)


def _pass(parts: Sequence[tuple[Column, str]]) -> Pass:
    key = part_of(*parts[0])
    for column, part in parts[1:]:
        key = together(key, part_of(column, part))
    return _made(key, tuple((column.name, part) for column, part in parts))


def _made(key: Indexes, parts: tuple[tuple[str, str], ...]) -> Pass:
    order = np.argsort(key, kind="stable")
    position = np.empty(len(key), np.int64)
    position[order] = np.arange(len(key))
    told = BlockingPass(parts=parts, estimated=_pair_count(key, capped=False), pairs=_pair_count(key, capped=True))
    return Pass(told, key, order, position)


def _pair_count(key: Indexes, *, capped: bool) -> int:
    sizes = np.bincount(key[key != MISSING])
    reach = np.minimum(sizes - 1, WINDOW) if capped else sizes - 1
    full = sizes * reach - reach * (reach + 1) // 2
    return int(full[sizes > 1].sum())


def together(one: Indexes, other: Indexes) -> Indexes:
    """The key of records that share both."""
    packed = one * (int(other.max(initial=0)) + 1) + other
    packed[(one == MISSING) | (other == MISSING)] = MISSING
    return dense(packed)


def dense(key: Indexes) -> Indexes:
    """The same key as numbers from 0, missing ones kept."""
    levels, numbers = np.unique(key, return_inverse=True)
    return numbers.astype(np.int64) - int(len(levels) > 0 and levels[0] == MISSING)


def part_of(column: Column, part: str) -> Indexes:
    """The key of every record by one part of a column's value."""
    if part == "value":
        return column.codes.astype(np.int64)
    texts = [_PARTS[part](form) for form in column.forms]
    numbers = {text: n for n, text in enumerate(sorted(set(texts) - {""}))}
    of_code = np.array([numbers.get(text, MISSING) for text in texts] or [MISSING], dtype=np.int64)
    return np.where(column.codes >= 0, of_code[column.codes], MISSING)


def _longest(form: str) -> str:
    return max(sorted(form.split()), key=len)


def sound(word: str) -> str:
    """A word without its vowels, letters that sound alike made one: written otherwise, it is often the same."""
    for before, after in (("ph", "f"), ("ck", "k"), ("sch", "s"), ("sh", "s"), ("th", "t"), ("wr", "r"), ("kn", "n")):
        word = word.replace(before, after)
    word = word.translate(_ALIKE)
    kept = word[:1] + "".join(c for c in word[1:] if c not in "aeiouyhw")
    return "".join(c for n, c in enumerate(kept) if n == 0 or c != kept[n - 1])[:5]


_ALIKE: Final = str.maketrans({"z": "s", "c": "k", "q": "k", "v": "f", "j": "i", "y": "i", "x": "k"})
_PARTS: Final[dict[str, Callable[[str], str]]] = {
    "start": lambda form: form[:4],
    "sound": lambda form: sound(_longest(form)),
    "words": lambda form: " ".join(sorted(form.split())),
    "name": lambda form: form.partition("@")[0],
    "end": lambda form: form[-6:],
    "year": lambda form: form[:4],
    "day": lambda form: form[4:],
    "area": lambda form: " ".join(f"{float(part):.1f}" for part in form.split()),
}
