"""Rows as distinct records of codes: equal normal forms have one code, and codes are in the order of the forms.

Everything after works on records in their own order, which is that of their contents, so that the order of the rows
decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.data.matching.normal import normal_form
from headrace.definition.model import MatchKind

Codes = NDArray[np.int32]
Texts = NDArray[np.object_]
MISSING = -1


@dataclass(frozen=True, slots=True)
class Column:
    """One compared column of the records."""

    name: str
    kind: MatchKind
    forms: Texts
    """Code → normal form, ascending."""
    codes: Codes
    """Record → code; `MISSING` for null."""
    counts: NDArray[np.int64]
    """Code → rows that have it."""


@dataclass(frozen=True, slots=True)
class Records:
    """The distinct records of a table."""

    columns: tuple[Column, ...]
    of_row: NDArray[np.int64]
    """Row → record."""
    rows_of: NDArray[np.int64]
    """Record → how many rows are like it."""

    def __len__(self) -> int:
        return len(self.rows_of)


def records_of(frame: pl.DataFrame, compare: Sequence[tuple[str, MatchKind]]) -> Records:
    """The records of the compared columns."""
    by_row: list[Codes] = []
    forms: list[Texts] = []
    for name, kind in compare:
        form = normal_form(frame[name], kind)
        levels = form.drop_nulls().unique().sort()
        by_row.append(_codes(form, levels))
        forms.append(np.array(levels.to_list(), dtype=object))
    order = np.lexsort(by_row[::-1]) if frame.height else np.empty(0, np.int64)
    is_new: NDArray[np.bool_] = np.zeros(frame.height, np.bool_)
    is_new[:1] = True
    for codes in by_row:
        sorted_codes = codes[order]
        is_new[1:] |= sorted_codes[1:] != sorted_codes[:-1]
    of_row = np.empty(frame.height, np.int64)
    of_row[order] = np.cumsum(is_new) - 1
    first = order[is_new]
    columns = tuple(
        Column(name, kind, texts, codes[first], np.bincount(codes[codes >= 0], minlength=len(texts)))
        for (name, kind), texts, codes in zip(compare, forms, by_row, strict=True)
    )
    return Records(columns, of_row, np.bincount(of_row, minlength=len(first)))


def _codes(form: pl.Series, levels: pl.Series) -> Codes:
    if levels.is_empty():
        return np.full(len(form), MISSING, np.int32)
    numbers: Any = form.cast(pl.Enum(levels)).to_physical().cast(pl.Int32).fill_null(MISSING).to_numpy()
    return np.asarray(numbers, dtype=np.int32)
