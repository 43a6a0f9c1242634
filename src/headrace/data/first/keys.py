"""Which columns tell rows apart, and which columns of one source name rows of another.

Of a few rows, or of columns with many values, uniqueness is an accident. So a column alone must be called like a key or
hold codes or numbers without gaps; several must be unique where chance would have given repeats (the birthday problem:
about n² / 2d of n rows over d combinations).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from headrace.data.first.look import Look
from headrace.data.first.rules import form_of
from headrace.data.personal import words_of
from headrace.language.types import Type

FEWEST: Final = 20
MOST_TOGETHER: Final = 4
"""Columns of a key."""
_CANDIDATES: Final = 10
_FIRST_ROWS: Final = 20_000
"""Most combinations are told to repeat by these."""
_EXPECTED: Final = 3.0
"""Repeats that chance must have given for uniqueness to say something."""
_NAMES: Final = ("id", "key", "uuid", "guid", "no", "nr", "number", "code", "num", "ref", "sku", "iban", "isbn")
_TEXTS: Final = (Type.STRING, Type.CATEGORY)
_SINGLE: Final = (Type.INTEGER, *_TEXTS)
_TOGETHER: Final = (Type.INTEGER, *_TEXTS, Type.DATE, Type.TIMESTAMP)
_MOST_REPEATED: Final = 0.1
"""With a larger share of rows that are there twice, they are likely meant so."""
_NAMED_ALIKE: Final = 0.5
"""Share of values that must be found there for a lookup when both columns are called the same."""


@dataclass(frozen=True, slots=True)
class Key:
    """Columns that tell rows apart."""

    columns: tuple[str, ...]
    evidence: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A column whose values are those of another source's key."""

    column: str
    source: str
    key: str
    share: float
    """Of the column's distinct values, those that are there."""
    evidence: str

    @property
    def is_whole(self) -> bool:
        """Whether every value is there."""
        return self.share == 1.0


def key_of(look: Look, without: Collection[str] = ()) -> Key | None:
    """The key that the rows looked at have; None when nothing convinces.

    Parameters
    ----------
    without
        Columns that are no part of a key: those of the label.
    """
    frame = look.frame.unique()
    if frame.height < FEWEST:
        return None
    repeated = look.rows - frame.height
    if repeated > _MOST_REPEATED * look.rows:
        return None
    usable = [
        name
        for name, profile in look.profiles.items()
        if name not in without and profile.nulls == 0 and not look.is_personal(name) and name[:1] not in ("", "_")
    ]
    beside = f" but for {repeated:,} rows that are there twice" if repeated else ""
    for name in sorted(usable, key=lambda one: not is_named_like_a_key(one)):
        if _is_single(look, frame, name):
            return Key((name,), f"all different {look.extent}{beside}")
    found = _together(look, frame, usable)
    if found is None:
        return None
    columns, expected = found
    return Key(columns, f"all different {look.extent}{beside}; chance would give about {expected:,.0f} repeats")


def is_named_like_a_key(column: str) -> bool:
    """Whether a column is called an id, a number or a code."""
    return words_of(column).strip("_").split("_")[-1] in _NAMES or words_of(column).startswith("_id_")


def _is_single(look: Look, frame: pl.DataFrame, name: str) -> bool:
    values, type_ = frame[name], look.types[name]
    distinct = look.profiles[name].distinct or 0
    if type_ not in _SINGLE or distinct < 0.9 * frame.height or values.n_unique() != frame.height:
        return False
    if is_named_like_a_key(name):
        return True
    if type_ is Type.INTEGER:
        return int(values.max()) - int(values.min()) + 1 == frame.height  # type: ignore[arg-type]  # whole numbers
    return _are_codes(values.cast(pl.String))


def _are_codes(values: pl.Series) -> bool:
    """Whether texts are no words: all of one form, or with digits and without blanks."""
    is_bare = values.str.contains(r"^\S*[0-9]\S*$").all() and not values.str.contains(r"^[0-9.,+-]*$").all()
    return is_bare or form_of(values) is not None


def _together(look: Look, frame: pl.DataFrame, usable: Sequence[str]) -> tuple[tuple[str, ...], float] | None:
    """The fewest columns, of these the ones with the fewest combinations: the least likely accident."""
    sizes = {name: frame[name].n_unique() for name in usable if look.types[name] in _TOGETHER}
    sizes = {name: size for name, size in sizes.items() if 1 < size < frame.height}
    ranked = sorted(sizes, key=lambda one: (not _is_key_like(look, one), -sizes[one]))[:_CANDIDATES]
    codes = frame.select(pl.col(name).rank("dense").cast(pl.UInt32) for name in ranked)
    head = codes.head(_FIRST_ROWS)
    for together in range(2, MOST_TOGETHER + 1):
        for columns in _by_size(ranked, sizes, together):
            space = math.prod(sizes[name] for name in columns)
            expected = frame.height**2 / (2.0 * space)
            if space < frame.height or expected < _EXPECTED:
                continue
            if _is_unique(head, columns) and _is_unique(codes, columns):
                return tuple(sorted(columns, key=list(look.types).index)), expected
    return None


def _by_size(names: Sequence[str], sizes: dict[str, int], together: int) -> Iterator[tuple[str, ...]]:
    found = itertools.combinations(names, together)
    return iter(sorted(found, key=lambda columns: math.prod(sizes[name] for name in columns)))


def _is_key_like(look: Look, name: str) -> bool:
    return is_named_like_a_key(name) or look.types[name] in (Type.TIMESTAMP, Type.DATE, *_TEXTS)


def _is_unique(codes: pl.DataFrame, columns: Sequence[str]) -> bool:
    return bool(codes.select(pl.struct(columns).hash().n_unique()).item() == codes.height)


def references_of(look: Look, others: Sequence[tuple[Look, Key | None]]) -> list[Reference]:
    """The columns whose values are those of another source's key, each with the first source that has them."""
    found: list[Reference] = []
    for column, type_ in look.types.items():
        if type_ not in _SINGLE or look.is_personal(column) or look.profiles[column].nulls == look.rows:
            continue
        refers = (_reference(look, column, other, key) for other, key in others if key is not None)
        best = max((one for one in refers if one is not None), key=lambda one: one.share, default=None)
        if best is not None:
            found.append(best)
    return found


def without_circles(references: Mapping[str, Sequence[Reference]]) -> dict[str, list[Reference]]:
    """The references that can be checked: sources may not need one another in a circle."""
    needs: dict[str, set[str]] = {name: set() for name in references}
    found: dict[str, list[Reference]] = {name: [] for name in references}
    for name, ones in references.items():
        for one in ones:
            if name not in _needed(one.source, needs):
                needs[name].add(one.source)
                found[name].append(one)
    return found


def _needed(name: str, needs: Mapping[str, set[str]]) -> set[str]:
    """A source and all that it needs."""
    found, waiting = {name}, [name]
    while waiting:
        more = needs[waiting.pop()] - found
        found |= more
        waiting += more
    return found


def _reference(look: Look, column: str, other: Look, key: Key) -> Reference | None:
    if len(key.columns) != 1 or other.source.name == look.source.name:
        return None
    [there] = key.columns
    alike = look.types[column] is other.types[there] or (look.types[column] in _TEXTS and other.types[there] in _TEXTS)
    named = _is_named_after(column, there, other.source.name)
    if not alike or (look.types[column] is Type.INTEGER and not named):
        return None
    here = look.frame[column].drop_nulls().unique()
    theirs = other.frame[there]
    if look.types[column] in _TEXTS:
        here, theirs = here.cast(pl.String), theirs.cast(pl.String)
    share = float(here.is_in(theirs.implode()).mean() or 0.0)  # type: ignore[arg-type]  # the mean of booleans is a number
    if len(here) < 2 or share < (_NAMED_ALIKE if named else 1.0):
        return None
    count = round(share * len(here))
    evidence = f"{count:,} of {len(here):,} values {look.extent} are in {other.source.name}.{there}"
    return Reference(column, other.source.name, there, share, evidence)


def _is_named_after(column: str, key: str, source: str) -> bool:
    """Whether `customer_id` names `customers.id` or `customers.customer_id`."""
    here, there, table = words_of(column).strip("_"), words_of(key).strip("_"), words_of(source).strip("_")
    singular = table.removesuffix("s")
    return here == there or here in (f"{table}_{there}", f"{singular}_{there}", singular)
