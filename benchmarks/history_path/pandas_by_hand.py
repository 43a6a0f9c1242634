"""The history path of the flights example in pandas, as one would write it for speed; see `polars_by_hand`.

usage: python -m benchmarks.history_path.pandas_by_hand PROJECT OUT
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.history_path.polars_by_hand import KEY, NUMBERS, WEATHER, WINDOWS

DTYPES = {name: "Float64" if str(kind) == "Float64" else "Int64" for name, kind in NUMBERS.items()}
TIME = "datetime64[us, UTC]"


def sqlite(path: Path, query: str) -> Any:
    """A query's rows."""
    with sqlite3.connect(path) as connection:
        return pd.read_sql_query(query, connection)


def minutes(column: Any) -> Any:
    """Numbers as durations."""
    return pd.to_timedelta(column.to_numpy(np.float64, na_value=np.nan), unit="m").as_unit("us")


def read_flights(data: Path, out: Path, airports: Any) -> Any:
    """CSV → copy as read → the three instants."""
    parts = sorted((data / "flights").glob("*.csv"))
    raw = pd.concat(
        [
            pd.read_csv(part, engine="pyarrow", dtype={**DTYPES, "time_hour": "str"}, na_values=["", "NA"])
            for part in parts
        ],
        ignore_index=True,
    )
    raw.to_parquet(out / "flights_raw.parquet", compression="zstd")
    del raw
    flights = pd.read_parquet(out / "flights_raw.parquet")
    flights["time_hour"] = pd.to_datetime(flights["time_hour"], format="%Y-%m-%dT%H:%M:%SZ", utc=True).astype(TIME)
    flights["sched_dep_at"] = flights["time_hour"] + minutes(flights["minute"])
    flights["dep_at"] = flights["sched_dep_at"] + minutes(flights["dep_delay"])
    zones = flights["dest"].map(airports.set_index("faa")["tzone"]).fillna("America/Puerto_Rico")
    hhmm = flights["arr_time"] % 2400
    clock = minutes(hhmm // 100 * 60 + hhmm % 100)
    arrived = pd.Series(pd.NaT, index=flights.index, dtype=TIME)
    for zone, rows in zones.groupby(zones).groups.items():
        local = flights.loc[rows, "dep_at"].dt.tz_convert(zone).dt.tz_localize(None)
        at = local.dt.floor("D") + clock[rows]
        at = at.where(~(at < local), at + pd.Timedelta(days=1))
        earliest = np.ones(len(at), np.bool_)
        arrived.loc[rows] = at.dt.tz_localize(zone, ambiguous=earliest, nonexistent="NaT").dt.tz_convert("UTC")
    return flights.assign(arr_at=arrived)


def check(flights: Any, out: Path) -> tuple[Any, int]:
    """The contract: failing rows aside, the rest kept."""
    good = (
        (flights["origin"].isin(["EWR", "JFK", "LGA"]) | flights["origin"].isna())
        & (flights["distance"] >= 1).fillna(True)
        & flights["month"].between(1, 12).fillna(True)
        & flights["dep_time"].between(1, 2400).fillna(True)
        & flights["arr_time"].between(1, 2400).fillna(True)
        & (flights["air_time"] > 10).fillna(True)
        & (flights["origin"] != flights["dest"])
        & flights[KEY].notna().all(axis=1)
        & ~flights.duplicated(KEY, keep="last")
    ).astype(bool)
    flights[~good].to_parquet(out / "quarantine.parquet")
    kept = flights[good]
    kept.to_parquet(out / "flights.parquet", compression="zstd")
    if kept["tailnum"].isna().mean() > 0.02:
        raise SystemExit("too many flights without an aeroplane")
    return kept, len(flights) - len(kept)


def window(
    events: Any, rows: Any, spec: tuple[str, list[str], str, str, tuple[str, ...], tuple[str, ...]]
) -> tuple[list[str], Any]:
    """The columns to join by, and aggregates of what was known before each asked instant, one row a (key, instant)."""
    name, key, value, known, over, take = spec
    seen = events.dropna(subset=[value, known]).rename(columns={known: "t"})
    seen = seen.groupby([*key, "t"], sort=False)[value].agg(s="sum", c="size", m="max").reset_index()
    asked = rows[[*key, "sched_dep_at"]].dropna().drop_duplicates().rename(columns={"sched_dep_at": "t"})
    both = pd.concat([seen.assign(asked=False), asked.assign(c=0, asked=True)], ignore_index=True)
    both = both.astype({"s": "float64", "c": "float64", "m": "float64"}).sort_values([*key, "t"], ignore_index=True)
    is_asked = both["asked"].to_numpy()
    found = both.loc[is_asked, [*key, "t"]].rename(columns={"t": "sched_dep_at"})
    for width in over:
        rolling = both.groupby(key, sort=False).rolling(width, on="t", closed="left")
        count = np.nan_to_num(rolling["c"].sum().to_numpy()[is_asked])
        for aggregate in take:
            if aggregate == "count":
                found[f"{name}_count_{width}"] = count.astype(np.int64)
            elif aggregate == "max":
                found[f"{name}_max_{width}"] = rolling["m"].max().to_numpy()[is_asked]
            else:
                sums = rolling["s"].sum().to_numpy()[is_asked]
                found[f"{name}_mean_{width}"] = sums / np.where(count > 0, count, np.nan)
    return [*key, "sched_dep_at"], found


def add_expressions(rows: Any) -> Any:
    """The row expressions."""
    local = rows["sched_dep_at"].dt.tz_convert("America/New_York")
    lat, lon = np.radians(rows["dest_lat"]), np.radians(rows["dest_lon"])
    lat0, lon0 = np.radians(40.7), np.radians(-74.0)
    half = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat0) * np.cos(lat) * np.sin((lon - lon0) / 2) ** 2
    return rows.assign(
        dep_hour=local.dt.hour,
        dep_clock=local.dt.hour * 60 + local.dt.minute,
        weekday=local.dt.day_of_week + 1,
        season=local.dt.day_of_year,
        night=(local.dt.hour < 6) | (local.dt.hour >= 22),
        route=rows["origin"] + "-" + rows["dest"],
        log_mile=np.log(rows["distance"] + 1),
        plane_age=local.dt.year - rows["plane_built"],
        dest_km=2 * 6371.0088 * np.arcsin(np.sqrt(half)),
    )


def main(project: Path, out: Path) -> None:
    """The whole path."""
    data = project / "data"
    out.mkdir(parents=True, exist_ok=True)
    airports = sqlite(data / "reference.db", "SELECT faa, name, lat, lon, alt, tzone FROM airports")
    airports["tzone"] = airports["tzone"].replace("NA", None)
    airlines = sqlite(data / "reference.db", "SELECT carrier, name AS airline_name FROM airlines")
    planes = pd.read_json(data / "planes.ndjson", lines=True)[["tailnum", "year", "seats", "engines", "manufacturer"]]
    planes = planes.set_index("tailnum").rename(columns={"year": "built"}).add_prefix("plane_").reset_index()
    flights, aside = check(read_flights(data, out, airports), out)
    weather = pd.read_parquet(data / "weather.parquet", columns=["origin", "time_hour", *WEATHER])
    weather = weather.rename(columns={name: f"weather_{name}" for name in WEATHER} | {"time_hour": "hour_at"})
    weather["hour_at"] = weather["hour_at"].astype(TIME)
    weather = weather.assign(known=weather["hour_at"] + pd.Timedelta(minutes=10)).sort_values("known")
    taken = [*KEY, "tailnum", "origin", "dest", "distance", "arr_delay", "arr_at"]
    rows = flights.loc[flights["arr_delay"].notna() & ~(flights["arr_at"] <= flights["sched_dep_at"]), taken]
    rows = rows.assign(late=rows["arr_delay"] > 30).sort_values(
        ["sched_dep_at", "carrier", "flight"], ignore_index=True
    )
    rows = pd.merge_asof(
        rows, weather, left_on="sched_dep_at", right_on="known", by="origin", allow_exact_matches=False
    )
    fresh = rows["hour_at"] >= rows["sched_dep_at"] - pd.Timedelta(hours=3)
    columns = [f"weather_{name}" for name in WEATHER]
    rows[columns] = rows[columns].where(fresh)
    rows = rows.merge(planes, on="tailnum", how="left").merge(airlines, on="carrier", how="left")
    places = airports[["faa", "lat", "lon", "alt"]].set_index("faa").add_prefix("dest_").rename_axis("dest")
    rows = rows.merge(places.reset_index(), on="dest", how="left")
    for spec in WINDOWS:
        by, found = window(flights, rows, spec)
        rows = rows.merge(found, on=by, how="left")
    rows = add_expressions(rows)
    rows.to_parquet(out / "frame.parquet", compression="zstd")
    sums = {
        "rows": len(rows),
        "late": int(rows["late"].sum()),
        "temp": round(float(rows["weather_temp"].sum()), 3),
        "origin_count_24h": int(rows["origin_delay_count_24h"].sum()),
        "plane_count_24h": int(rows["plane_delay_count_24h"].sum()),
        "age": int(rows["plane_age"].sum()),
    }
    print(json.dumps({"aside": aside, **sums}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
