"""Lays the flights example out ×N: copies 364 days apart on New York's clocks, so of the same weekdays; weather too."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "flights"
DAYS = 364


def shifted(instants: pl.Expr, copy: int) -> pl.Expr:
    """The instants (in UTC, without zone) at which New York's clocks show the same, `copy` times 364 days later."""
    local = instants.dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    later = (local + pl.duration(days=DAYS * copy)).dt.replace_time_zone(
        "America/New_York", ambiguous="earliest", non_existent="null"
    )
    return later.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if copy else instants


def shifted_flights(flights: pl.DataFrame, copy: int) -> pl.DataFrame:
    """One copy, as text and numbers like the original."""
    instant = shifted(pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ"), copy)
    day = pl.date("year", "month", "day") + pl.duration(days=DAYS * copy)
    return flights.with_columns(
        instant.dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("time_hour"),
        day.dt.year().alias("year"),
        day.dt.month().alias("month"),
        day.dt.day().alias("day"),
    ).select(flights.columns)


def lay_out(folder: Path, copies: int) -> None:
    """A project folder with ×`copies` rows of flights and weather; the tables that are there already stay."""
    data = folder / "data"
    (data / "flights").mkdir(parents=True, exist_ok=True)
    for name in ("headrace.toml", "headrace.lock"):
        shutil.copy(EXAMPLE / name, folder / name)
    if (data / ".complete").exists():
        return
    for part in sorted((EXAMPLE / "data" / "flights").glob("*.csv")):
        flights = pl.read_csv(part, null_values=["NA"], infer_schema_length=None)
        for copy in range(copies):
            target = data / "flights" / f"{copy:02}-{part.name}"
            shifted_flights(flights, copy).write_csv(target, null_value="NA")
    weather = pl.read_parquet(EXAMPLE / "data" / "weather.parquet")
    pl.concat(
        weather.with_columns(pl.col("time_hour") + pl.duration(days=DAYS * copy)) for copy in range(copies)
    ).unique(["origin", "time_hour"], keep="first", maintain_order=True).write_parquet(data / "weather.parquet")
    for name in ("planes.ndjson", "reference.db"):
        shutil.copy(EXAMPLE / "data" / name, data / name)
    (data / ".complete").touch()


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), int(sys.argv[2]))
