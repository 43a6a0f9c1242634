"""Lays the flights example out ×N: copies shifted by 364 days each, the same weekdays, weather too."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "flights"
DAYS = 364


def shifted_flights(flights: pl.DataFrame, copy: int) -> pl.DataFrame:
    """One copy, as text and numbers like the original."""
    instant = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ") + pl.duration(days=DAYS * copy)
    day = pl.date("year", "month", "day") + pl.duration(days=DAYS * copy)
    return flights.with_columns(
        instant.dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("time_hour"),
        day.dt.year().alias("year"),
        day.dt.month().alias("month"),
        day.dt.day().alias("day"),
    ).select(flights.columns)


def lay_out(folder: Path, copies: int) -> None:
    """A project folder with ×`copies` rows of flights and weather."""
    data = folder / "data"
    if (data / ".complete").exists():
        return
    (data / "flights").mkdir(parents=True, exist_ok=True)
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
    for name in ("headrace.toml", "headrace.lock"):
        shutil.copy(EXAMPLE / name, folder / name)
    (data / ".complete").touch()


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), int(sys.argv[2]))
