"""The columns forms of the calendar, over the zone tables of `headrace.language.column_times`."""

from __future__ import annotations

import numpy as np
import polars as pl

from headrace.language import formats
from headrace.language.column_batches import Array, apply, arrays, each_distinct, names_twice
from headrace.language.column_kernels import float_to_integer, in_years, multiply_integers, round_half_away
from headrace.language.column_times import (
    date,
    date_trunc,
    day_of_date,
    day_of_year_of_date,
    earliest,
    hour,
    minute,
    month_of_date,
    offsets_at,
    second,
    wall,
    weekday_of_date,
    within,
    year_of_date,
)
from headrace.language.row_calendar import STARTS
from headrace.language.types import Type
from headrace.language.zones import DAY, HOUR, MINUTE, SECOND, Zone, zone

_MOST_MONTHS = 120_000
"""More than the calendar has."""


# --- parts -----------------------------------------------------------------------------------------------------------


def quarter(a: pl.Expr, zone: str) -> pl.Expr:
    return quarter_of_date(date(a, zone))


def quarter_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.quarter().cast(pl.Int64)


def iso_week(a: pl.Expr, zone: str) -> pl.Expr:
    return iso_week_of_date(date(a, zone))


def iso_week_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.week().cast(pl.Int64)


def iso_year(a: pl.Expr, zone: str) -> pl.Expr:
    return iso_year_of_date(date(a, zone))


def iso_year_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.iso_year().cast(pl.Int64)


def week_of_month(a: pl.Expr, zone: str) -> pl.Expr:
    return week_of_month_of_date(date(a, zone))


def week_of_month_of_date(a: pl.Expr) -> pl.Expr:
    return (day_of_date(a) + 6) // 7


def is_leap_year(a: pl.Expr, zone: str) -> pl.Expr:
    return is_leap_year_of_date(date(a, zone))


def is_leap_year_of_date(a: pl.Expr) -> pl.Expr:
    return a.dt.is_leap_year()


def is_month_start(a: pl.Expr, zone: str) -> pl.Expr:
    return is_month_start_of_date(date(a, zone))


def is_month_start_of_date(a: pl.Expr) -> pl.Expr:
    return day_of_date(a) == 1


def days_in_month(a: pl.Expr, zone: str) -> pl.Expr:
    return apply(days_in_month_of_date, Type.INTEGER, [date(a, zone)])


@names_twice
def days_in_month_of_date(a: pl.Expr) -> pl.Expr:
    return arrays(_lengths, Type.INTEGER, year_of_date(a), month_of_date(a))


def last_day(a: pl.Expr, zone: str) -> pl.Expr:
    return apply(last_day_of_date, Type.DATE, [date(a, zone)])


@names_twice
def last_day_of_date(a: pl.Expr) -> pl.Expr:
    return _day(_number(a) - day_of_date(a) + days_in_month_of_date(a))


def is_month_end(a: pl.Expr, zone: str) -> pl.Expr:
    return apply(is_month_end_of_date, Type.BOOLEAN, [date(a, zone)])


@names_twice
def is_month_end_of_date(a: pl.Expr) -> pl.Expr:
    return day_of_date(a) == days_in_month_of_date(a)


def hour_of_week(a: pl.Expr, zone: str) -> pl.Expr:
    return (wall(a, zone) // HOUR + 72) % 168


def minute_of_day(a: pl.Expr, zone: str) -> pl.Expr:
    return wall(a, zone) // MINUTE % 1440


def second_of_day(a: pl.Expr, zone: str) -> pl.Expr:
    return wall(a, zone) // SECOND % 86_400


def utc_offset(a: pl.Expr, name: str) -> pl.Expr:
    there = zone(name)
    return arrays(lambda instants: offsets_at(there, instants) // MINUTE, Type.INTEGER, a)


def _number(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int64)


def _day(number: pl.Expr) -> pl.Expr:
    return number.cast(pl.Int32).cast(pl.Date)


# --- starts ----------------------------------------------------------------------------------------------------------


@names_twice
def start_of(unit: str, a: pl.Expr) -> pl.Expr:
    return _day(_number(a) - _days_into(unit, a))


def _days_into(unit: str, a: pl.Expr) -> pl.Expr:
    """How many days of its week, month, quarter or year have passed on a day."""
    if unit == "week":
        return weekday_of_date(a) - 1
    if unit == "month":
        return day_of_date(a) - 1
    if unit == "year":
        return day_of_year_of_date(a) - 1
    first_month = (month_of_date(a) - 1) // 3 * 3 + 1
    return _number(a) - arrays(_numbers, Type.INTEGER, year_of_date(a), first_month, pl.lit(1, dtype=pl.Int64))


def start_in_zone(unit: str, a: pl.Expr, name: str) -> pl.Expr:
    """The first instant of the unit in which an instant falls, in the zone."""
    if unit not in STARTS:
        return date_trunc(unit, a, name)
    return _at_wall(_start_of_walls(unit, date(a, name)), name)


def _start_of_walls(unit: str, day: pl.Expr) -> pl.Expr:
    return apply(start_of, Type.DATE, [unit, day]).cast(pl.Int64) * DAY


def _at_wall(walls: pl.Expr, name: str) -> pl.Expr:
    return arrays(lambda shown: _instants(zone(name), shown), Type.TIMESTAMP, walls)


def _instants(there: Zone, walls: Array) -> tuple[Array, Array]:
    found = earliest(there, walls)
    return found, within(found)


# --- other days ------------------------------------------------------------------------------------------------------


def make_date(year: pl.Expr, month: pl.Expr, day: pl.Expr) -> pl.Expr:
    return arrays(_checked_days, Type.DATE, year, month, day)


def make_timestamp(
    year: pl.Expr, month: pl.Expr, day: pl.Expr, hour: pl.Expr, minute: pl.Expr, second: pl.Expr, name: str
) -> pl.Expr:
    there = zone(name)

    def made(years: Array, months: Array, days: Array, h: Array, m: Array, s: Array) -> tuple[Array, Array]:
        numbers, known = _checked_days(years, months, days)
        known = known & (h >= 0) & (h < 24) & (m >= 0) & (m < 60) & (s >= 0) & (s < 60)
        walls = np.where(known, numbers * DAY + h * HOUR + m * MINUTE + s * SECOND, 0)
        found, fits = _instants(there, walls)
        return found, known & fits

    return arrays(made, Type.TIMESTAMP, year, month, day, hour, minute, second)


@names_twice
def add_months(a: pl.Expr, count: pl.Expr) -> pl.Expr:
    return arrays(_moved, Type.DATE, year_of_date(a), month_of_date(a), day_of_date(a), count)


def add_months_in_zone(a: pl.Expr, count: pl.Expr, name: str) -> pl.Expr:
    there = zone(name)

    def moved(instants: Array, counts: Array) -> tuple[Array, Array]:
        walls = instants + offsets_at(there, instants)
        inside = within(walls)
        numbers, clocks = np.divmod(np.where(inside, walls, 0), DAY)
        days, fits = _moved(*_civil(numbers), counts)
        found, near = _instants(there, np.where(fits, days * DAY + clocks, 0))
        return found, inside & fits & near

    return arrays(moved, Type.TIMESTAMP, a, count)


def _moved(years: Array, months: Array, days: Array, counts: Array) -> tuple[Array, Array]:
    near = np.clip(counts, -_MOST_MONTHS, _MOST_MONTHS)
    year, month = np.divmod(years * 12 + months - 1 + near, 12)
    known = (year >= 1) & (year <= 9999)
    year, month = np.where(known, year, 1), month + 1
    return _numbers(year, month, np.minimum(days, _lengths(year, month))), known


# --- distances -------------------------------------------------------------------------------------------------------


@names_twice
def full_months(start: pl.Expr, end: pl.Expr) -> pl.Expr:
    passed = (year_of_date(end) - year_of_date(start)) * 12 + month_of_date(end) - month_of_date(start)
    first, last = day_of_date(start), day_of_date(end)
    return (
        pl.when((passed > 0) & (last < first))
        .then(passed - 1)
        .when((passed < 0) & (last > first))
        .then(passed + 1)
        .otherwise(passed)
    )


@names_twice
def full_years(start: pl.Expr, end: pl.Expr) -> pl.Expr:
    passed = full_months(start, end)
    return pl.when(passed >= 0).then(passed // 12).otherwise(0 - (0 - passed) // 12)


@names_twice
def business_days(start: pl.Expr, end: pl.Expr) -> pl.Expr:
    return _business_days_before(end) - _business_days_before(start)


def _business_days_before(a: pl.Expr) -> pl.Expr:
    monday = _number(a) + 3
    return monday // 7 * 5 + (monday % 7).clip(0, 5)


# --- the calendar in numbers -----------------------------------------------------------------------------------------


def _lengths(years: Array, months: Array) -> Array:
    leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    found: Array = np.where(months == 2, 28 + leap, 30 + (months + months // 8) % 2)
    return found


def _numbers(years: Array, months: Array, days: Array) -> Array:
    """Days since 1970-01-01; years are counted from March on, so that the leap day is the last of its year."""
    years = years - (months <= 2)
    eras = years // 400
    of_era = years - eras * 400
    of_year = (153 * (months + np.where(months > 2, -3, 9)) + 2) // 5 + days - 1
    found: Array = eras * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return found


def _checked_days(years: Array, months: Array, days: Array) -> tuple[Array, Array]:
    known = (years >= 1) & (years <= 9999) & (months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)
    years, months, days = (np.where(known, part, 1) for part in (years, months, days))
    return _numbers(years, months, days), known & (days <= _lengths(years, months))


def _civil(numbers: Array) -> tuple[Array, Array, Array]:
    """Year, month and day of days since 1970-01-01."""
    shifted = numbers + 719_468
    eras = shifted // 146_097
    of_era = shifted - eras * 146_097
    years = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * years + years // 4 - years // 100)
    months = (5 * of_year + 2) // 153
    days = of_year - (153 * months + 2) // 5 + 1
    months = months + np.where(months < 10, 3, -9)
    return years + eras * 400 + (months <= 2), months, days


# --- seconds ---------------------------------------------------------------------------------------------------------


def epoch_seconds(a: pl.Expr) -> pl.Expr:
    return a.cast(pl.Int64) // SECOND


@names_twice
def from_epoch(a: pl.Expr) -> pl.Expr:
    return in_years(multiply_integers(a, pl.lit(SECOND)))


@names_twice
def from_epoch_of_float(a: pl.Expr) -> pl.Expr:
    return in_years(float_to_integer(round_half_away(a * float(SECOND))))


# --- text ------------------------------------------------------------------------------------------------------------


def parse_date(a: pl.Expr, text: str) -> pl.Expr:
    return each_distinct(formats.parse_date_in(text), Type.DATE, a)


def parse_timestamp(a: pl.Expr, text: str, zone: str) -> pl.Expr:
    return each_distinct(formats.parse_timestamp_in(text, zone), Type.TIMESTAMP, a)


# --- parts by name ---------------------------------------------------------------------------------------------------


def date_part(part: str, a: pl.Expr) -> pl.Expr:
    return _PARTS_OF_DATES[part](a)


def part(part: str, a: pl.Expr, zone: str) -> pl.Expr:
    of_clock = {"hour": hour, "minute": minute, "second": second}.get(part)
    return _PARTS_OF_DATES[part](date(a, zone)) if of_clock is None else of_clock(a, zone)


_PARTS_OF_DATES = {
    "year": year_of_date,
    "iso_year": iso_year_of_date,
    "quarter": quarter_of_date,
    "month": month_of_date,
    "week": iso_week_of_date,
    "day": day_of_date,
    "weekday": weekday_of_date,
    "day_of_year": day_of_year_of_date,
}
