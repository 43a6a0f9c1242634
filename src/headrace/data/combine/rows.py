"""The members' rows as rows of entities: mapped, numbered by entity, and read so many entities at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.data.combine.columns import EntityColumn
from headrace.data.combine.survive import TIME, Rows
from headrace.data.model import Table
from headrace.definition.model import Combine
from headrace.language.columns import to_polars
from headrace.language.parse import parse
from headrace.language.signatures import PROMOTIONS
from headrace.language.tree import Call, Column
from headrace.language.values import dtype

ENTITY, MEMBER, AT = "_hr_entity", "_hr_member", "_hr_at"
"""Columns of an entity's rows: its number from 0, the place of the source in `from`, the row in its accepted table."""
CELLS = 32_000_000
"""Cells held at a time."""
_SLICE = 524_288
"""Rows read at a time when not all are held."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A member's accepted table and how its rows are read as rows of the entity."""

    source: str
    table: pl.LazyFrame
    rows: int
    columns: tuple[pl.Expr, ...]
    """The entity's columns, in their types."""
    time: pl.Expr


def reading_of(
    source: str, event_time: str | None, table: Table, scanned: pl.LazyFrame, columns: Sequence[EntityColumn]
) -> Reading:
    """How one member's accepted table is read."""
    types = {field.name: field.type for field in table.fields}
    made = []
    for column in columns:
        held = dtype(column.type)
        if source not in column.sources:
            made.append(pl.lit(None, held).alias(column.name))
            continue
        text = column.sources[source]
        node = Column(column.name, types[column.name]) if text is None else parse(text, types)
        promotion = PROMOTIONS.get((node.type, column.type))
        value = to_polars(node if promotion is None else Call(promotion, (node,), column.type))
        made.append(value.cast(held).alias(column.name))
    time = pl.lit(None, pl.Int64)
    if event_time is not None:
        time = pl.col(event_time).cast(pl.Datetime("us", "UTC")).to_physical()
    return Reading(source, scanned, table.rows, tuple(made), time.alias(TIME))


@dataclass(frozen=True, slots=True)
class Numbered:
    """Which entity each row of each member is of."""

    entities: tuple[NDArray[np.int64], ...]
    """A member's rows → the entity, from 0 in order of the key; -1 where the key has a null."""
    count: int

    @property
    def rows_of(self) -> NDArray[np.int64]:
        """How many rows each entity has."""
        return sum(
            (np.bincount(one[one >= 0], minlength=self.count) for one in self.entities), np.zeros(self.count, np.int64)
        )


def number_by_key(readings: Sequence[Reading], key: Sequence[str]) -> Numbered:
    """Rows that are equal in `key` are one entity."""
    places = [names_of(reading).index(name) for reading in readings[:1] for name in key]
    keys = pl.concat(reading.table.select([reading.columns[place] for place in places]) for reading in readings)
    held = keys.collect().with_row_index(AT)
    whole = held.drop_nulls(list(key)).sort(*key, maintain_order=True)
    is_new = np.ones(whole.height, np.bool_)
    if whole.height:
        is_new[1:] = pl.select(pl.any_horizontal(whole[n].ne_missing(whole[n].shift(1)) for n in key)).to_series()[1:]
    entities = np.full(held.height, -1, np.int64)
    entities[whole[AT].to_numpy()] = np.cumsum(is_new) - 1
    ends = np.cumsum([reading.rows for reading in readings])[:-1]
    return Numbered(tuple(np.split(entities, ends)), int(is_new.sum()))


def names_of(reading: Reading) -> list[str]:
    """The entity's columns."""
    return [column.meta.output_name() for column in reading.columns]


def in_parts(readings: Sequence[Reading], numbered: Numbered, combine: Combine) -> Iterator[tuple[int, Rows]]:
    """Whole entities with all their rows, in order, so many that memory stays bounded; with the first one's number."""
    rows_a_part = max(1, CELLS // (len(readings[0].columns) + 4))
    ends = np.cumsum(numbered.rows_of)
    first = 0
    while first < numbered.count:
        before = int(ends[first - 1]) if first else 0
        beyond = max(first + 1, int(np.searchsorted(ends, before + rows_a_part, side="right")))
        frames = [
            _read(reading, place, numbered.entities[place], first, beyond, is_all=beyond - first == numbered.count)
            for place, reading in enumerate(readings)
        ]
        yield first, in_rank_order(pl.concat(frames), combine.members)
        first = beyond


def _read(
    reading: Reading, place: int, entities: NDArray[np.int64], first: int, beyond: int, *, is_all: bool
) -> pl.DataFrame:
    """A member's rows of some entities."""
    wanted = (entities >= first) & (entities < beyond)
    columns = [*reading.columns, reading.time]
    if is_all:
        found = reading.table.select(columns).collect()
        frame = found if wanted.all() else found.filter(pl.Series(wanted))
    else:
        parts = [reading.table.select(columns).head(0).collect()]
        for start in range(0, reading.rows, _SLICE):
            mask = wanted[start : start + _SLICE]
            if mask.any():
                parts.append(reading.table.slice(start, _SLICE).select(columns).collect().filter(pl.Series(mask)))
        frame = pl.concat(parts)
    return frame.with_columns(
        pl.Series(ENTITY, entities[wanted]),
        pl.Series(MEMBER, np.full(frame.height, place, np.uint8)),
        pl.Series(AT, np.flatnonzero(wanted)),
    )


def in_rank_order(frame: pl.DataFrame, members: Sequence[str]) -> Rows:
    """The rows by entity; an entity's by source, the more recent first, of equal ones the later."""
    ordered = frame.sort(
        ENTITY, MEMBER, TIME, AT, descending=[False, False, True, True], nulls_last=[False, False, True, False]
    )
    entities = ordered[ENTITY].to_numpy()
    starts = np.flatnonzero(np.diff(entities, prepend=-1))
    sizes = np.diff(starts, append=ordered.height)
    entity = np.repeat(np.arange(len(starts)), sizes)
    return Rows(ordered, starts, ordered[MEMBER].to_numpy(), members, sizes, entity, np.flatnonzero(sizes[entity] > 1))
