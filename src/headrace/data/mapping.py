"""What a column that is gone may be called now: by name, type and how its values lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.data.model import ColumnShape, Shape
from headrace.data.personal import words_of
from headrace.definition.positions import toml_key, toml_string
from headrace.language.types import Type

ENOUGH: Final = 0.6
"""Pairs with a lower score are not suggested."""
_NAME, _TYPE, _VALUES = 0.45, 0.15, 0.4
"""Weights of the score; without an earlier snapshot those of name and type are scaled up."""
_NUMBERS: Final = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
_TEXTS: Final = (Type.STRING, Type.CATEGORY)
_TIMES: Final = (Type.DATE, Type.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Pair:
    """A column that is gone and the one that it may be now."""

    old: str
    """After `rename`, as headrace.lock knows it."""
    new: str
    """As read."""
    score: float
    """0 to 1."""
    why: str


def suggest(
    gone: Sequence[str], new: Sequence[ColumnShape], types: Mapping[str, Type], before: Shape | None
) -> list[Pair]:
    """The best pairs, each column in one at most; those below `ENOUGH` left out."""
    scored = [
        _score(old, types[old], one, None if before is None else before.column(old)) for old in gone for one in new
    ]
    found: list[Pair] = []
    for pair in sorted(scored, key=lambda pair: (-pair.score, pair.old, pair.new)):
        if pair.score >= ENOUGH and all(pair.old != one.old and pair.new != one.new for one in found):
            found.append(pair)
    return found


def _score(old: str, type_: Type, new: ColumnShape, before: ColumnShape | None) -> Pair:
    name, kind = _name_likeness(old, new.name), _type_likeness(type_, new.type)
    values = None if before is None else _value_likeness(before, new)
    parts = [(name, _NAME), (kind, _TYPE)] + ([] if values is None else [(values, _VALUES)])
    score = sum(part * weight for part, weight in parts) / sum(weight for _, weight in parts)
    if kind == 0 and values is None:
        score *= 0.8  # a name alone, against the type
    said = [f"name {name:.2f}", "same type" if kind == 1 else f"type {kind:.2f}"]
    if values is not None:
        said.append(f"values {values:.2f}")
    return Pair(old, new.name, round(score, 3), f"score {score:.2f}: {', '.join(said)}")


def _name_likeness(old: str, new: str) -> float:
    """1 for names that differ by case and punctuation only; else the better of two similarities."""
    from rapidfuzz import fuzz
    from rapidfuzz.distance import JaroWinkler

    a, b = words_of(old).strip("_"), words_of(new).strip("_")
    if a.replace("_", "") == b.replace("_", ""):
        return 1.0
    by_words = fuzz.token_set_ratio(a.replace("_", " "), b.replace("_", " ")) / 100
    return max(JaroWinkler.similarity(a, b) * 0.95, by_words * 0.95)


def _type_likeness(old: Type, new: Type) -> float:
    if old is new:
        return 1.0
    return 0.8 if any(old in group and new in group for group in (_NUMBERS, _TEXTS, _TIMES)) else 0.0


def _value_likeness(before: ColumnShape, now: ColumnShape) -> float | None:
    """1 for values that lie alike, 0 for values that have nothing in common; None when that cannot be said."""
    if before.levels and now.levels:
        total, total_now = sum(n for _, n in before.levels), sum(n for _, n in now.levels)
        p, q = ({level: n / all_ for level, n in one.levels} for one, all_ in ((before, total), (now, total_now)))
        return sum(min(share, q.get(level, 0.0)) for level, share in p.items())
    if before.quantiles and now.quantiles:
        if before.type in _TIMES or now.type in _TIMES:
            return None
        a, b = before.quantiles[2:-2], now.quantiles[2:-2]
        middle = sorted(a)[len(a) // 2]
        spread = sum(abs(x - middle) for x in a) / len(a)
        off = sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)
        return max(0.0, 1 - off / spread) if spread else float(off == 0)
    return None


def rename_line(renamed: Sequence[tuple[str, str]], pairs: Sequence[Pair]) -> str:
    """`rename = { … }` with what is renamed already and the pairs, ready to paste."""
    taken = {pair.old for pair in pairs}
    kept = [(old, new) for old, new in renamed if new not in taken]
    entries = [*kept, *((pair.new, pair.old) for pair in sorted(pairs, key=lambda pair: pair.old))]
    if not pairs:
        return ""
    return f"rename = {{ {', '.join(f'{toml_key(old)} = {toml_string(new)}' for old, new in entries)} }}"
