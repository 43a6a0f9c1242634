"""The columns forms of the functions of time, over the same zone tables as the row forms."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.language import row_kernels as k
from headrace.language.column_batches import Array, arrays, names_twice
from headrace.language.types import Type
from headrace.language.zones import (
    DAY,
    FIRST_INSTANT,
    HORIZON,
    HOUR,
    LAST_INSTANT,
    MINUTE,
    SECOND,
    Zone,
    cycles,
    find_zone,
    zone,
)

Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]

_UNITS = {"second": SECOND, "minute": MINUTE, "hour": HOUR, "day": DAY}


# --- zones -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _table(zone: Zone) -> tuple[Integers, Integers, Integers]:
    return np.array(zone.starts), np.array(zone.offsets), np.array(zone.wall_ends)


def _folded(instants: Integers) -> Integers:
    """How far instants beyond the zone tables have to be moved back to fall into them."""
    late = instants >= HORIZON
    return np.where(late, cycles(instants), 0) if late.any() else np.zeros(1, dtype=np.int64)


def offsets_at(zone: Zone, instants: Integers) -> Integers:
    starts, offsets, _ = _table(zone)
    return offsets[np.searchsorted(starts, instants - _folded(instants), side="right") - 1]


def earliest(zone: Zone, walls: Integers) -> Integers:
    starts, offsets, wall_ends = _table(zone)
    moved = _folded(walls)
    here = np.searchsorted(wall_ends, walls - moved, side="right")
    found: Integers = np.maximum(starts[here], walls - moved - offsets[here]) + moved
    return found


def within(instants: Integers) -> Truths:
    return (instants >= FIRST_INSTANT) & (instants <= LAST_INSTANT)


def wall(a: pl.Expr, name: str) -> pl.Expr:
    """Wall-clock microseconds as integers; null outside the years 1 to 9999."""
    if name == "UTC":
        return a.cast(pl.Int64)
    there = zone(name)

    def walls(instants: Integers) -> tuple[Array, Array]:
        shown = instants + offsets_at(there, instants)
        return shown, within(shown)

    return arrays(walls, Type.INTEGER, a)


# --- parts of the wall clock -----------------------------------------------------------------------------------------


def hour(a: pl.Expr, zone: str) -> pl.Expr:
    return wall(a, zone) // HOUR % 24


def minute(a: pl.Expr, zone: str) -> pl.Expr:
    return wall(a, zone) // MINUTE % 60


def second(a: pl.Expr, zone: str) -> pl.Expr:
    return wall(a, zone) // SECOND % 60


def date(a: pl.Expr, zone: str) -> pl.Expr:
    return (wall(a, zone) // DAY).cast(pl.Int32).cast(pl.Date)


def year(a: pl.Expr, zone: str) -> pl.Expr:
    return year_of_date(date(a, zone))


def month(a: pl.Expr, zone: str) -> pl.Expr:
    return month_of_date(date(a, zone))


def day(a: pl.Expr, zone: str) -> pl.Expr:
    return day_of_date(date(a, zone))


def weekday(a: pl.Expr, zone: str) -> pl.Expr:
    return weekday_of_date(date(a, zone))


def day_of_year(a: pl.Expr, zone: str) -> pl.Expr:
    return day_of_year_of_date(date(a, zone))


def is_weekend(a: pl.Expr, zone: str) -> pl.Expr:
    return is_weekend_of_date(date(a, zone))


def year_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.year().cast(pl.Int64)


def month_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.month().cast(pl.Int64)


def day_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.day().cast(pl.Int64)


def weekday_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.weekday().cast(pl.Int64)


def day_of_year_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.ordinal_day().cast(pl.Int64)


def is_weekend_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.weekday() >= 6


# --- distances and starts --------------------------------------------------------------------------------------------


@names_twice
def timestamp_diff(unit: str, start: pl.Expr, end: pl.Expr) -> pl.Expr:
    if unit in _UNITS:
        return end.cast(pl.Int64) // _UNITS[unit] - start.cast(pl.Int64) // _UNITS[unit]
    return date_diff(unit, date(start, "UTC"), date(end, "UTC"))


@names_twice
def date_diff(unit: str, start: pl.Expr, end: pl.Expr) -> pl.Expr:
    if unit == "day":
        return end.cast(pl.Int64) - start.cast(pl.Int64)
    years = year_of_date(end) - year_of_date(start)
    return years if unit == "year" else years * 12 + month_of_date(end) - month_of_date(start)


def date_trunc(unit: str, a: pl.Expr, name: str) -> pl.Expr:
    there, step = zone(name), _UNITS[unit]

    def starts(instants: Integers) -> tuple[Array, Array]:
        walls = instants + offsets_at(there, instants)
        rest = walls % step
        found = earliest(there, walls - rest) if unit == "day" else instants - rest
        return found, within(found)

    return arrays(starts, Type.TIMESTAMP, a)


# --- instants of wall clocks -----------------------------------------------------------------------------------------


def local_time(a: pl.Expr, minute: pl.Expr, zone: pl.Expr) -> pl.Expr:
    return arrays(_local_times, Type.TIMESTAMP, a, minute, zone)


def _local_times(instants: Integers, minutes: Integers, names: pl.Series) -> tuple[Array, Array]:
    found, known = np.zeros_like(instants), (minutes >= 0) & (minutes < 60)
    for there, rows in _by_zone(names, known):
        here = instants[rows]
        found[rows] = here - (here + offsets_at(there, here)) % HOUR + minutes[rows] * MINUTE
    return found, known & within(found)


def next_local_time(after: pl.Expr, hhmm: pl.Expr, zone: pl.Expr) -> pl.Expr:
    return arrays(_next_local_times, Type.TIMESTAMP, after, hhmm, zone)


def _next_local_times(after: Integers, hhmm: Integers, names: pl.Series) -> tuple[Array, Array]:
    hours, minutes = hhmm // 100, hhmm % 100
    midnight = hhmm == 2400
    known = ((hhmm >= 0) & (hhmm < 2400) & (minutes < 60)) | midnight
    clocks = np.where(midnight, 0, hours * HOUR + minutes * MINUTE)
    found = np.zeros_like(after)
    for there, rows in _by_zone(names, known):
        found[rows] = _next_in_zone(there, after[rows], clocks[rows])
    return found, known & within(found)


def _next_in_zone(there: Zone, after: Integers, clocks: Integers) -> Integers:
    starts, offsets, _ = _table(there)
    moved = _folded(after)
    here = np.searchsorted(starts, after - moved, side="right")
    ends = np.append(starts, np.int64(1) << np.int64(62))[here] + moved
    walls = after + offsets[here - 1]
    found = after - walls % DAY + clocks
    found += np.where(found < after, DAY, 0)
    for row in np.flatnonzero(found >= ends):  # the clock leaps before then: ask the row form
        found[row] = k.next_clock(there, int(after[row]), int(clocks[row]))
    return found


def _by_zone(names: pl.Series, known: Truths) -> list[tuple[Zone, Truths]]:
    """The rows of each zone there is; rows of others are taken out of `known`."""
    rows_of = []
    for name in names.drop_nulls().unique().to_list():
        rows = (names == name).fill_null(value=False).to_numpy()
        found = find_zone(name)
        if found is None:
            known &= ~rows
        else:
            rows_of.append((found, rows & known))
    return rows_of
