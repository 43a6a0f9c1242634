"""Lookups over history: the newest row known before t, or the one row of a static table.

Among the key's rows with known < t, the newest by (event time, known, sequence) counts, if its event time is at least
t - max_age. One index is asked for many rows at once or for one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.features.errors import DuplicateStaticKey
from headrace.features.keyed import Keys, Moments, asked, known_at, known_within
from headrace.features.model import LookupStep
from headrace.features.naming import fields_of
from headrace.features.records import lookup_record
from headrace.language.values import physical

_NO_ROW = -1


class LookupIndex:
    """The rows of one lookup step, as `lookup_rows` gives them."""

    def __init__(self, step: LookupStep, rows: pl.DataFrame) -> None:
        self.step = step
        self._taken = rows.select(pl.col("^_take_[0-9]+$"))
        self._taken.columns = [field.name for field in fields_of(step)]
        key_columns = rows.select(pl.col("^_key_[0-9]+$"))
        self.keys = Keys(key_columns)
        numbers = self.keys.numbers(key_columns)
        self._moments: Moments | None = None
        if step.event_time is None:
            if len(self.keys) < rows.height:
                raise DuplicateStaticKey(
                    lookup=step.name,
                    source=step.source,
                    key=[theirs for _, theirs in step.key],
                    rows=rows.height,
                    distinct=len(self.keys),
                )
            self._best = np.empty(rows.height, np.int64)
            self._best[numbers] = np.arange(rows.height)
            self._events = np.empty(0, np.int64)
        else:
            self._newest_known(numbers, rows["_known"].to_numpy(), rows["_event"].to_numpy())
        self._readers: list[Callable[[int], object]] | None = None

    def _newest_known(self, numbers: NDArray[np.int64], known: NDArray[np.int64], events: NDArray[np.int64]) -> None:
        """For each (key, known) the best row known by then."""
        moments = self._moments = Moments(numbers, known, len(self.keys))
        height = len(numbers)
        by_rank = np.lexsort((known, events))  # stable: ties stay in the order of the source
        rank = np.empty(height, np.int64)
        rank[by_rank] = np.arange(height)
        order = moments.take_order()
        # keys are numbered upwards in this order, so one running maximum starts anew with each key
        running = np.maximum.accumulate(numbers[order] * height + rank[order])
        last_of_moment = np.append(moments.sorted[1:] != moments.sorted[:-1], True) if height else np.empty(0, np.bool_)
        self._best = by_rank[running[last_of_moment] % height] if height else np.empty(0, np.int64)
        moments.keep(last_of_moment)
        self._events = events[self._best]

    def newest(self) -> NDArray[np.int64]:
        """The places of the rows that count for prediction times after every row held: one of each key."""
        assert self._moments is not None, "a static table has no newest rows"
        keys = self._moments.sorted // self._moments.span
        is_last = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.empty(0, np.bool_)
        places: NDArray[np.int64] = self._best[is_last]
        return places

    def columns(self, keys: pl.DataFrame, instants: pl.Series) -> list[pl.Series]:
        """The step's features of many rows: `keys` in the step's order, prediction times in microseconds."""
        numbers = self.keys.numbers(keys)
        if self._moments is None:
            rows = np.where(numbers >= 0, self._best[np.maximum(numbers, 0)] if len(self._best) else _NO_ROW, _NO_ROW)
        else:
            rows = self._newest(self._moments, *asked(numbers, instants))
        at = pl.Series(rows).replace(_NO_ROW, None)
        return self._taken.select(pl.all().gather(at)).get_columns()

    def _newest(self, moments: Moments, numbers: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = np.full(len(numbers), _NO_ROW, np.int64)
        keyed = np.flatnonzero(numbers >= 0)
        codes = moments.codes(numbers[keyed], times[keyed])
        in_order = pl.Series(codes).arg_sort().to_numpy()
        keyed, codes = keyed[in_order], codes[in_order]
        place = np.searchsorted(moments.sorted, codes) - 1
        found = (place >= 0) & (moments.sorted[np.maximum(place, 0)] >= numbers[keyed] * moments.span)
        if self.step.max_age_us is not None:
            found &= self._events[np.maximum(place, 0)] >= times[keyed] - self.step.max_age_us
        rows[keyed[found]] = self._best[place[found]]
        return rows

    def row(self, key: object, instant: int | None) -> tuple[object, ...]:
        """The step's features of one row: the key as `Keys.of` has it, None when a part of it is null."""
        at = self._row_of(key, instant)
        if at is None:
            return (None,) * len(self.step.take)
        return tuple([read(at) for read in self._value_readers()])

    def record(self, key: object, watermark_us: int | None) -> bytes | None:
        """What the online store holds of a key at a watermark; None: nothing."""
        number = None if key is None else self.keys.of.get(key)
        if number is None:
            return None
        moments = self._moments
        if moments is None:
            at, event_us = int(self._best[number]), None
        else:
            assert watermark_us is not None, "a row that changes with time is as of a watermark"
            place = bisect_left(moments.view, moments.code(number, watermark_us)) - 1
            if place < 0 or moments.view[place] < number * moments.span:
                return None
            at, event_us = int(self._best[place]), int(self._events[place])
        return lookup_record(event_us, [read(at) for read in self._value_readers()])

    def same_since(self, key: object, instant_us: int) -> int:
        """The earliest watermark at which a key's record is what it is at an instant."""
        number = None if key is None or self._moments is None else self.keys.of.get(key)
        return instant_us if number is None else self._moments.same_since(number, instant_us)  # type: ignore[union-attr]

    def _value_readers(self) -> Sequence[Callable[[int], object]]:
        if self._readers is None:
            self._readers = [_reader(column) for column in self._taken.get_columns()]
        return self._readers

    def _row_of(self, key: object, instant: int | None) -> int | None:
        number = None if key is None else self.keys.of.get(key)
        if number is None:
            return None
        moments = self._moments
        if moments is None:
            return int(self._best[number])
        if instant is None:
            return None
        place = bisect_left(moments.view, moments.code(number, instant)) - 1
        if place < 0 or moments.view[place] < number * moments.span:
            return None
        if self.step.max_age_us is not None and self._events[place] < instant - self.step.max_age_us:
            return None
        return int(self._best[place])


def lookup_rows(
    step: LookupStep, source: pl.LazyFrame, since_us: int | None = None, until_us: int | None = None
) -> pl.DataFrame:
    """What a lookup needs of its source's rows that are known in [since, until), in the source's order."""
    wanted = [pl.col(theirs).alias(f"_key_{i}") for i, (_, theirs) in enumerate(step.key)]
    wanted += [pl.col(column).alias(f"_take_{i}") for i, (column, _) in enumerate(step.take)]
    needed = [pl.col(f"_key_{i}").is_not_null() for i in range(len(step.key))]
    if step.event_time is not None:
        source = known_within(source, step.known_after, since_us, until_us)
        wanted.append(known_at(step.known_after).alias("_known"))
        wanted.append(pl.col(step.event_time).to_physical().cast(pl.Int64).alias("_event"))
        needed += [pl.col("_known").is_not_null(), pl.col("_event").is_not_null()]
    return source.select(wanted).filter(needed).collect()


def _reader(column: pl.Series) -> Callable[[int], object]:
    """Reads one value in the row form; numbers stay packed."""
    values = physical(column)
    if values.dtype in (pl.Int64, pl.Float64) and not values.null_count():
        return values.to_numpy().data.__getitem__
    return values.to_list().__getitem__
