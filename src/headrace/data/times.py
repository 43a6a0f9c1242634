"""Text to dates and instants, in columns: ISO 8601 as the row form of the language takes it, many values at a time."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import available_timezones

import polars as pl

TIMESTAMP = pl.Datetime("us", "UTC")

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_OFFSET = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])"
ISO_DATE = rf"^{_DAY}$"
ISO_TIMESTAMP = rf"^{_DAY}(?:[T ]{_CLOCK}(?::[0-5][0-9](?:\.[0-9]{{1,9}})?)?{_OFFSET}?)?$"

_FORMATS: tuple[tuple[str, bool], ...] = (
    ("%Y-%m-%dT%H:%M:%SZ", False),
    ("%Y-%m-%dT%H:%M:%S%.f%#z", True),
    ("%Y-%m-%dT%H:%M:%S%.f", False),
    ("%Y-%m-%dT%H:%M%#z", True),
    ("%Y-%m-%dT%H:%M", False),
)
"""(format, whether it reads an offset). A text that `ISO_TIMESTAMP` lets pass and that is an instant meets one."""

FIRST_DAY = -719_162
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, the language's range."""
_FIRST_WRITTEN_YEAR, _LAST_YEAR = 1000, 9999
"""A year in a format has four digits: with fewer, "01.02.13" would be of the year 13."""


def to_timestamps(texts: pl.Series, zone: str) -> pl.Series:
    """Instants of ISO 8601 texts; null where a text is none.

    An offset in the text is obeyed, value by value. A text without one is a wall clock of `zone`: null when a change to
    daylight saving leaps over it, the earlier instant when a change back shows it twice.

    Examples
    --------
    >>> to_timestamps(pl.Series(["2013-01-31T05:00Z", "2013-01-31 05:00:00", "soon"]), "America/New_York").to_list()
    [datetime.datetime(2013, 1, 31, 5, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')), \
datetime.datetime(2013, 1, 31, 10, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')), None]
    """
    valid = pl.DataFrame({"at": pl.int_range(len(texts), dtype=pl.UInt32, eager=True), "text": texts}).filter(
        pl.col("text").str.contains(ISO_TIMESTAMP)
    )
    if valid.is_empty():
        return pl.repeat(None, len(texts), dtype=TIMESTAMP, eager=True)
    whole = pl.col("text").str.replace(" ", "T", literal=True, n=1)
    whole = pl.when(pl.col("text").str.len_bytes() == 10).then(whole + "T00:00").otherwise(whole)
    left = valid.with_columns(whole) if not _is_plain(valid["text"]) else valid
    found: list[pl.DataFrame] = []
    for format_, aware in _FORMATS:
        if left.is_empty():
            break
        instants = left["text"].str.to_datetime(format_, time_unit="us", strict=False, exact=True)
        done = left.select("at", instant=_in_utc(instants, format_, zone, aware=aware))
        parsed = instants.is_not_null()
        found.append(done.filter(parsed))
        left = left.filter(~parsed)
    result = _within(pl.concat(found)) if found else None
    if result is not None and len(result) == len(texts):
        return _in_order(result)
    instants_at = pl.repeat(None, len(texts), dtype=TIMESTAMP, eager=True)
    if result is not None and not result.is_empty():
        instants_at = instants_at.scatter(result["at"], result["instant"])
    return instants_at


def _is_plain(texts: pl.Series) -> bool:
    """Whether every text has the shape 2013-01-31T05:00:00Z, so that none needs rewriting."""
    lengths = texts.str.len_bytes()
    return bool(lengths.min() == lengths.max() == 20) and texts.str.contains("T", literal=True).all()


def _in_utc(instants: pl.Series, format_: str, zone: str, *, aware: bool) -> pl.Series:
    if aware:
        return instants.dt.convert_time_zone("UTC")
    if format_.endswith("Z") or zone == "UTC":
        return instants.dt.replace_time_zone("UTC")
    return to_utc(instants, zone)


def to_utc(walls: pl.Series, zone: str) -> pl.Series:
    """Instants of a zone's wall clock: null in a gap, the earlier of two in a fold."""
    return walls.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _in_order(result: pl.DataFrame) -> pl.Series:
    return (result if result["at"].is_sorted() else result.sort("at"))["instant"]


def _within(result: pl.DataFrame) -> pl.DataFrame:
    instants = result["instant"].cast(pl.Int64)
    return result.filter(instants.is_between(FIRST_US, LAST_US) | instants.is_null())


def to_dates(texts: pl.Series) -> pl.Series:
    """Dates of texts like 2013-01-31; null where a text is none."""
    is_shaped = texts.str.contains(ISO_DATE)
    if not is_shaped.any():
        return pl.repeat(None, len(texts), dtype=pl.Date, eager=True)
    shaped = pl.select(pl.when(is_shaped).then(texts)).to_series()
    days = shaped.str.to_date("%Y-%m-%d", strict=False)
    return days.set(days.cast(pl.Int32) < FIRST_DAY, None)


def dates_by(format_: str | None) -> Callable[[pl.Series], pl.Series]:
    """What reads dates in a format; ISO 8601 without one. Two-digit years are of `%y` only: `%Y` takes four."""
    if format_ is None:
        return to_dates

    def read(texts: pl.Series) -> pl.Series:
        days = texts.str.strip_chars().str.to_date(format_, strict=False, exact=True)
        return days.set((days.dt.year() < _FIRST_WRITTEN_YEAR) | (days.dt.year() > _LAST_YEAR), None)

    return read


def instants_by(format_: str | None, zone: str) -> Callable[[pl.Series], pl.Series]:
    """What reads instants in a format, ISO 8601 without one; texts without an offset are wall clocks of `zone`."""
    if format_ is None:
        return lambda texts: to_timestamps(texts, zone)

    def read(texts: pl.Series) -> pl.Series:
        found = texts.str.strip_chars().str.to_datetime(format_, time_unit="us", strict=False, exact=True)
        found = found.set((found.dt.year() < _FIRST_WRITTEN_YEAR) | (found.dt.year() > _LAST_YEAR), None)
        return _in_utc(found, format_, zone, aware="%z" in format_)

    return read


def timestamps_of_zones(texts: pl.Series, zones: pl.Series, format_: str | None) -> pl.Series:
    """Instants of texts, each a wall clock of its own zone; null where the zone is none, also if an offset is there."""
    rows = pl.DataFrame({"text": texts, "zone": zones.str.strip_chars()}).with_row_index("at")
    parts = []
    for (zone,), part in rows.group_by("zone"):
        if zone is not None and zone in available_timezones():
            parts.append(part.select("at", instant=instants_by(format_, str(zone))(part["text"])))
    found = pl.repeat(None, len(texts), dtype=TIMESTAMP, eager=True)
    for part in parts:
        found = found.scatter(part["at"], part["instant"])
    return found
