"""Rows that are one observation written twice: never on two sides of a split, else the model is asked what it was told.

Rows that agree in every column need not be that: of coarse columns (a class, a sex, a port) strangers agree by chance.
So the columns are cut into two halves of like detail, and rows count as repeats only when each half alone tells them
from all other rows, or nearly so: then strangers are not expected to agree in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

MOST_COLUMNS: Final = 200
"""The most varied ones, of which repeats are told."""
GRAIN: Final = 256
"""Numbers are alike in the same one of so many steps of their middle 90 %."""
MOST_ALIKE: Final = 10, 0.01
"""Rows of one observation: at most so many and this share of all; more are a group that the columns do not part."""
MOST_BY_CHANCE: Final = 0.05
"""Strangers that are expected to agree with a row in both halves, at most, for what agrees to be a repeat."""

Prints = NDArray[np.uint64]
"""Shape (n, 6): hashes of all columns and of each half, as they are and as they are nearly."""


@dataclass(frozen=True, slots=True)
class Grain:
    """What is compared, learnt from a first look at the rows."""

    halves: tuple[tuple[str, ...], tuple[str, ...]]
    steps: dict[str, float]
    """Column of numbers → the width of a step."""


def grain_of(rows: pl.DataFrame) -> Grain | None:
    """Which columns to compare, and how finely; None when there are fewer than two that vary.

    Texts and whole numbers that are different in every row are names of rows, and say nothing of what was observed.
    """
    varied: list[tuple[int, str]] = []
    for name in rows.columns:
        column = rows[name]
        levels, kind = column.n_unique(), column.dtype
        names_rows = levels == rows.height and (kind.is_integer() or kind == pl.String)
        if levels > 1 and not names_rows:
            varied.append((-levels, name))
    names = [name for _, name in sorted(varied)][:MOST_COLUMNS]
    if len(names) < 2:
        return None
    # 1st to one half, 2nd and 3rd to the other, 4th and 5th to the first …: neither is the finer one
    first = tuple(name for place, name in enumerate(names) if (place + 1) // 2 % 2 == 0)
    steps = {}
    for name in names:
        if rows[name].dtype.is_float():
            low, high = (rows[name].fill_nan(None).quantile(q) or 0.0 for q in (0.05, 0.95))
            if np.isfinite(high - low) and high > low:
                steps[name] = (high - low) / GRAIN
    return Grain((first, tuple(name for name in names if name not in first)), steps)


def fingerprints(rows: pl.DataFrame, grain: Grain) -> Prints:
    """The hashes of some of the rows; equal ones are compared within one process only, never kept."""
    found = np.zeros((rows.height, 6), np.uint64)
    for half, names in enumerate(grain.halves, 1):
        for seed, name in enumerate(names):
            column = rows[name]
            found[:, half] += _hash(column, seed)
            found[:, 3 + half] += _hash(_nearly(column, grain.steps.get(name)), seed)
    for whole in (0, 3):
        found[:, whole] = found[:, whole + 1] * np.uint64(0x9E3779B97F4A7C15) + found[:, whole + 2]
    return found


def _hash(column: pl.Series, seed: int) -> NDArray[np.uint64]:
    return column.hash(seed).to_numpy()


def _nearly(column: pl.Series, step: float | None) -> pl.Series:
    """Numbers by their step, texts without case, punctuation and blanks; all else as it is."""
    if step is not None:
        return (column / step).round() + 0.0  # + 0.0: -0.0 is 0.0
    if column.dtype == pl.String:
        return column.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "")
    return column


def repeats(prints: Prints) -> list[NDArray[np.int64]]:
    """Of exact and of near repeats: for each row a code that the rows of its observation share, its own when it is the
    only one."""
    n = len(prints)
    most = MOST_ALIKE[0] + MOST_ALIKE[1] * n
    result = []
    for kind in (0, 3):
        counts = []
        codes = np.zeros(n, np.int64)
        for part in range(kind, kind + 3):
            _, codes_of, sizes = np.unique(prints[:, part], return_inverse=True, return_counts=True)
            counts.append(sizes[codes_of])
            if part == kind:
                codes = codes_of.astype(np.int64)
        whole, first, second = counts
        by_chance = first * second / n  # companions that agree in both halves, were these independent
        told_apart = (by_chance <= MOST_BY_CHANCE) | ((first == whole) & (second == whole))
        alike = (whole > 1) & (whole <= most) & told_apart
        result.append(np.where(alike, codes, n + np.arange(n)))
    return result


def united(codes: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """For each row the number of its unit: rows that share a code of any kind are in one, and so is who shares one with
    them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(codes[0])
    ends = []
    for code in codes:
        _, first, place = np.unique(code, return_index=True, return_inverse=True)
        ends.append(first[place])
    to = np.concatenate(ends)
    start = np.tile(np.arange(n), len(codes))
    _, unit = connected_components(coo_array((np.ones(len(to), np.int8), (start, to)), shape=(n, n)), directed=False)
    return unit.astype(np.int64)


def find_repeats(batches: Iterable[pl.DataFrame]) -> list[NDArray[np.int64]]:
    """`repeats` of rows that come in batches; what is compared is settled on the first one."""
    grain: Grain | None = None
    parts: list[Prints] = []
    rows = 0
    for batch in batches:
        if not parts:
            grain = grain_of(batch)
        rows += batch.height
        parts.append(np.empty((0, 6), np.uint64) if grain is None else fingerprints(batch, grain))
    if grain is None:
        return [np.arange(rows), np.arange(rows)]
    return repeats(np.concatenate(parts))
