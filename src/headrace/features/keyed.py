"""Keys as whole numbers, and (key, instant) pairs as one sorted array: what lookups and windows search in."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.language.values import physical

NULL_KEY: Final = -1
UNKNOWN_KEY: Final = -2


class Keys:
    """The distinct keys of a source; equal keys have equal numbers, 0 to len - 1."""

    def __init__(self, keys: pl.DataFrame) -> None:
        self.names = keys.columns
        self._distinct = keys.drop_nulls().unique()

    def __len__(self) -> int:
        return self._distinct.height

    @property
    def distinct(self) -> pl.DataFrame:
        """The keys, in the order of their numbers."""
        return self._distinct

    def numbers(self, keys: pl.DataFrame) -> NDArray[np.int64]:
        """The number of each row's key (columns in the order of this source's): -1 when a part is null, -2 when the
        source does not hold it."""
        numbered = self._distinct.lazy().with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("_number"))
        named = keys.rename(dict(zip(keys.columns, self.names, strict=True)))
        found = named.lazy().join(numbered, on=self.names, how="left", maintain_order="left").select("_number")
        numbers = found.collect(engine="in-memory").to_series().fill_null(UNKNOWN_KEY).to_numpy(writable=True)
        for column in keys.get_columns():
            if column.null_count():
                numbers[column.is_null().to_numpy()] = NULL_KEY
        return numbers

    @cached_property
    def of(self) -> dict[object, int]:
        """Key in the row form (the value, or a tuple of them) → number."""
        columns = [physical(self._distinct[name]).to_list() for name in self.names]
        keys: Sequence[object] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        return {key: number for number, key in enumerate(keys)}


class Moments:
    """(key number, instant) pairs as single int64 codes that compare like the pairs.

    A code is number · span + tick. A tick is the instant's distance from the first one, or, when that would not fit,
    its rank among the distinct instants. Instants before the first share its tick, instants after the last share one
    more: comparisons with the pairs held (`<`, `>=`) are exact for any instant.

    Parameters
    ----------
    ties
        What orders equal pairs, nulls first, and after it their places as given; in any order when left out.
    """

    def __init__(
        self,
        numbers: NDArray[np.int64],
        instants: NDArray[np.int64],
        keys: int,
        ties: pl.Series | None = None,
    ) -> None:
        self._first = int(instants.min()) if len(instants) else 0
        distance = int(instants.max()) - self._first if len(instants) else 0
        self._ranks: NDArray[np.int64] | None = None
        self.span = distance + 2
        if self.span * (keys + 1) >= 2**62:
            self._ranks = np.unique(instants)
            self._rank_view = self._ranks.data
            self.span = len(self._ranks) + 1
        codes = self.codes(numbers, instants)
        if ties is None:
            self._order = np.argsort(codes)
        else:
            frame = pl.DataFrame({"code": codes, "tie": ties}).with_row_index("place")
            order = frame.select(pl.arg_sort_by("code", "tie", "place")).to_series()
            self._order = order.to_numpy().astype(np.intp)
        self.sorted = codes[self._order]
        self.view = self.sorted.data

    def take_order(self) -> NDArray[np.intp]:
        """The positions of the pairs as given, in the order of their codes; handed out once, then forgotten."""
        order, self._order = self._order, np.empty(0, np.intp)
        return order

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Forget the other pairs."""
        self.sorted = self.sorted[chosen]
        self.view = self.sorted.data

    def codes(self, numbers: NDArray[np.int64], instants: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._ranks is None:
            ticks = instants - self._first
            np.clip(ticks, 0, self.span - 1, out=ticks)
        else:
            ticks = np.searchsorted(self._ranks, instants).astype(np.int64)
        ticks += numbers * self.span
        return ticks

    def places(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of the pairs held lie before each code; fast when the codes lie close together."""
        if not len(codes):
            return np.empty(0, np.int64)
        # a search among the few pairs between the least and the greatest code stays in the cache
        first, last = (int(place) for place in np.searchsorted(self.sorted, [codes.min(), codes.max()]))
        return np.searchsorted(self.sorted[first:last], codes) + first

    def code(self, number: int, instant: int) -> int:
        """`codes` for one pair."""
        if self._ranks is None:
            tick = min(max(instant - self._first, 0), self.span - 1)
        else:
            tick = bisect_left(self._rank_view, instant)
        return number * self.span + tick

    def keys(self) -> NDArray[np.int64]:
        """The key numbers of the pairs held, in order."""
        numbers: NDArray[np.int64] = self.sorted // self.span
        return numbers

    def keys_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The key numbers of some of the pairs held."""
        numbers: NDArray[np.int64] = self.sorted[places] // self.span
        return numbers

    def key_at(self, place: int) -> int:
        """The key number of one of the pairs held."""
        number: int = self.view[place] // self.span
        return number

    def instants(self) -> NDArray[np.int64]:
        """The instants of the pairs held, in order."""
        return self.instants_at(np.arange(len(self.sorted)))

    def instants_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The instants of some of the pairs held."""
        ticks = self.sorted[places] % self.span
        instants: NDArray[np.int64] = ticks + self._first if self._ranks is None else self._ranks[ticks]
        return instants

    def instant_at(self, place: int) -> int:
        """The instant of one of the pairs held."""
        tick: int = self.view[place] % self.span
        return tick + self._first if self._ranks is None else self._rank_view[tick]

    def same_since(self, number: int, instant: int) -> int:
        """The earliest instant before which the pairs of a key are those before `instant`; that when there are none."""
        place = bisect_left(self.view, self.code(number, instant)) - 1
        if place < 0 or self.view[place] < number * self.span:
            return instant
        return self.instant_at(place) + 1

    @cached_property
    def longest(self) -> int:
        """The most pairs that one key has."""
        return int(np.bincount(self.keys()).max()) if len(self.sorted) else 0


def asked(numbers: NDArray[np.int64], instants: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Key numbers and prediction times in microseconds; a row without a time is one without a key."""
    if instants.null_count():
        return np.where(instants.is_null().to_numpy(), NULL_KEY, numbers), instants.fill_null(0).to_numpy()
    return numbers, instants.to_numpy()


def known_within(
    rows: pl.LazyFrame, known_after: Sequence[tuple[str, int]], since_us: int | None, until_us: int | None
) -> pl.LazyFrame:
    """The rows known in [since, until), in order; an end that is None is none.

    What the columns themselves must be then is said too, so that parts of a file can be skipped."""
    if until_us is not None:
        rows = rows.filter(pl.col(column) < _instant(until_us - delay) for column, delay in known_after)
    if since_us is not None:
        if len(known_after) == 1:
            [(column, delay)] = known_after
            rows = rows.filter(pl.col(column) >= _instant(since_us - delay))
        else:
            rows = rows.filter(known_at(known_after) >= since_us)
    return rows


def _instant(value_us: int) -> pl.Expr:
    return pl.lit(value_us, pl.Int64).cast(pl.Datetime("us", "UTC"))


def known_at(known_after: Sequence[tuple[str, int]]) -> pl.Expr:
    """The instant at which a row is known, in microseconds; null (never) when one of the columns is null."""
    instants = [pl.col(column).to_physical().cast(pl.Int64) + delay for column, delay in known_after]
    never = pl.any_horizontal(instant.is_null() for instant in instants)
    return pl.when(~never).then(pl.max_horizontal(instants))
