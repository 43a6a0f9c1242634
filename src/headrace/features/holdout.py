"""Which rows are kept for the one look at the end: the last in time, or drawn by a hash of the key.

A draw hashes the key's canonical bytes under the seed (BLAKE2b), so that it depends neither on the order of rows nor on
a library's version, and rows with one key are never parted.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.features.errors import CannotSplit


def last_in_time(times: pl.Series, share: float) -> int:
    """How many of the rows, sorted by time, are the holdout: ties never straddle, both sides keep rows."""
    rows = len(times)
    instants = times.to_physical().to_numpy()
    cut = min(max(rows - round(rows * share), 1), rows - 1)
    start = int(np.searchsorted(instants, instants[cut], side="left"))
    if start == 0:
        start = int(np.searchsorted(instants, instants[cut], side="right"))
    if start == rows:
        raise CannotSplit(
            "every labelled row has the same prediction time, so the last rows cannot be held out",
            fix='set [split] by = "random"',
            rows=rows,
        )
    return rows - start


def drawn(hashes: NDArray[np.uint64], share: float, strata: pl.Series | None = None) -> NDArray[np.bool_]:
    """The holdout's rows: of each stratum the share whose hashes (`key_hashes`) are least, at least one, never all.

    Rows of one hash count to the last of their strata, so that they are not parted."""
    chosen = np.zeros(len(hashes), np.bool_)
    if strata is None:
        groups: Sequence[NDArray[np.bool_]] = [np.ones(len(hashes), np.bool_)]
    else:
        names, unit = np.unique(hashes, return_inverse=True)
        _, stratum = np.unique(strata.to_numpy(), return_inverse=True)
        last = np.zeros(len(names), np.intp)
        np.maximum.at(last, unit, stratum)
        groups = [last[unit] == level for level in np.unique(last)]
    for members in groups:
        chosen |= members & _least(hashes, members, share)
    if not chosen.any() or chosen.all():
        raise CannotSplit(
            f"no share of {share:g} of the keys can be held out: {len(np.unique(hashes)):,} distinct keys",
            fix="set [project] key to what tells rows apart, or read more rows",
            keys=len(np.unique(hashes)),
        )
    return chosen


def key_hashes(keys: pl.DataFrame, seed: int) -> NDArray[np.uint64]:
    """BLAKE2b of each key under the seed. Equal keys hash alike; a null is told apart from every text."""
    parts = []
    for name in keys.columns:
        column = pl.col(name)
        text = (column.to_physical() if keys.schema[name].is_temporal() else column).cast(pl.String)
        # length-prefixed, so that no two keys have the same bytes
        parts.append(pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text).fill_null("-"))
    texts = keys.select(pl.concat_str(parts)).to_series()
    salt = seed.to_bytes(8, "little", signed=True)
    digests = b"".join([blake2b(text.encode(), digest_size=8, key=salt).digest() for text in texts])
    return np.frombuffer(digests, np.uint64)


def as_units(hashes: NDArray[np.uint64], unit: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hashes, each the least of its unit's: they depend on neither the order of rows nor how units are numbered."""
    least = np.full(int(unit.max(initial=-1)) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, unit, hashes)
    return least[unit]


def _least(hashes: NDArray[np.uint64], members: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    distinct, rows = np.unique(hashes[members], return_counts=True)
    if len(distinct) < 2:
        return np.zeros(len(hashes), np.bool_)
    wanted = max(round(int(rows.sum()) * share), 1)
    taken = min(int(np.searchsorted(np.cumsum(rows), wanted, side="left")) + 1, len(distinct) - 1)
    least: NDArray[np.bool_] = hashes <= distinct[taken - 1]
    return least
