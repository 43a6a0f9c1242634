"""The history path of the flights example, written by hand in Polars: the limit that ours is held against.

usage: python -m benchmarks.history_path.polars_by_hand PROJECT OUT
Prints one JSON line: rows of the frame, rows put aside, and sums that every engine must agree on.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import polars as pl

KEY = ["carrier", "flight", "sched_dep_at"]
WINDOWS = (
    ("origin_delay", ["origin"], "dep_delay", "dep_at", ("1h", "6h", "24h"), ("mean", "max", "count")),
    ("carrier_delay", ["origin", "carrier"], "dep_delay", "dep_at", ("3h", "24h"), ("mean", "count")),
    ("plane_delay", ["tailnum"], "arr_delay", "arr_at", ("6h", "24h"), ("mean", "max", "count")),
    ("dest_delay", ["dest"], "arr_delay", "arr_at", ("6h",), ("mean", "count")),
)
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
NUMBERS = {
    **dict.fromkeys(["year", "month", "day", "dep_time", "sched_dep_time", "arr_time", "sched_arr_time"], pl.Int64),
    **dict.fromkeys(["flight", "hour", "minute"], pl.Int64),
    **dict.fromkeys(["dep_delay", "arr_delay", "air_time", "distance"], pl.Float64),
}


def sqlite(path: Path, query: str) -> pl.DataFrame:
    """A query's rows."""
    with sqlite3.connect(path) as connection:
        cursor = connection.execute(query)
        names = [d[0] for d in cursor.description]
        return pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)


def arrival(zone: str) -> pl.Expr:
    """The first instant from departure on at which the clock in `zone` shows the arrival's HHMM."""
    local = pl.col("dep_at").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    hhmm = pl.col("arr_time") % 2400
    at = local.dt.truncate("1d") + pl.duration(minutes=hhmm // 100 * 60 + hhmm % 100)
    at = pl.when(at < local).then(at + pl.duration(days=1)).otherwise(at)
    return at.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def read_flights(data: Path, out: Path, airports: pl.DataFrame) -> pl.LazyFrame:
    """CSV → copy as read → the three instants."""
    schema = pl.scan_csv(data / "flights" / "*.csv", infer_schema=False).collect_schema()
    types = {name: NUMBERS.get(name, pl.String) for name in schema}
    raw = out / "flights_raw.parquet"
    pl.scan_csv(data / "flights" / "*.csv", schema=types, null_values=["", "NA"]).sink_parquet(raw)
    zones = airports.select("faa", zone="tzone").lazy()
    names = [z for z in airports["tzone"].unique().sort().to_list() if z] + ["America/Puerto_Rico"]
    flights = (
        pl.scan_parquet(raw)
        .with_columns(pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", time_unit="us"))
        .join(zones, left_on="dest", right_on="faa", how="left", maintain_order="left")
        .with_columns(pl.col("zone").fill_null("America/Puerto_Rico"))
        .with_columns(sched_dep_at=pl.col("time_hour") + pl.duration(minutes="minute"))
        .with_columns(dep_at=pl.col("sched_dep_at") + pl.duration(minutes="dep_delay"))
    )
    chosen = pl.lit(None, dtype=pl.Datetime("us", "UTC"))
    for name in names:
        chosen = pl.when(pl.col("zone") == name).then(arrival(name)).otherwise(chosen)
    return flights.with_columns(arr_at=chosen).drop("zone")


def check(flights: pl.LazyFrame, out: Path) -> tuple[pl.LazyFrame, int]:
    """The contract: failing rows aside, the rest kept."""
    rules = [
        pl.col("origin").is_in(["EWR", "JFK", "LGA"]) | pl.col("origin").is_null(),
        (pl.col("distance") >= 1) | pl.col("distance").is_null(),
        pl.col("month").is_between(1, 12) | pl.col("month").is_null(),
        pl.col("dep_time").is_between(1, 2400) | pl.col("dep_time").is_null(),
        pl.col("arr_time").is_between(1, 2400) | pl.col("arr_time").is_null(),
        pl.col("air_time").is_null() | (pl.col("air_time") > 10),
        pl.col("origin") != pl.col("dest"),
        *(pl.col(name).is_not_null() for name in KEY),
    ]
    good = pl.all_horizontal(rules) & pl.struct(KEY).is_last_distinct()
    checked = flights.with_row_index("_row").with_columns(_good=good).collect()
    checked.filter(~pl.col("_good")).write_parquet(out / "quarantine.parquet")
    accepted = out / "flights.parquet"
    kept = checked.filter("_good").drop("_good")
    kept.write_parquet(accepted)
    null_share = kept["tailnum"].null_count() / max(kept.height, 1)
    if null_share > 0.02:
        raise SystemExit("too many flights without an aeroplane")
    return pl.scan_parquet(accepted), checked.height - kept.height


def window(
    events: pl.LazyFrame, asked: pl.LazyFrame, spec: tuple[str, list[str], str, str, tuple[str, ...], tuple[str, ...]]
) -> pl.DataFrame:
    """Aggregates of one window over what was known before each asked instant, one row a distinct (key, instant)."""
    name, key, value, known, over, take = spec
    seen = events.filter(pl.col(value).is_not_null() & pl.col(known).is_not_null()).select(
        *key, t=pl.col(known), v=pl.col(value), c=pl.lit(1, pl.Int64), asked=pl.lit(False)
    )
    queries = (
        asked.select(*key, t=pl.col("sched_dep_at"))
        .unique()
        .with_columns(v=pl.lit(None, pl.Float64), c=pl.lit(0, pl.Int64), asked=pl.lit(True))
    )
    rolled = {
        f"{name}_{aggregate}_{width}": {
            "mean": pl.col("v").rolling_mean_by("t", width, closed="left"),
            "max": pl.col("v").rolling_max_by("t", width, closed="left"),
            "count": pl.col("c").rolling_sum_by("t", width, closed="left"),
        }[aggregate]
        for width in over
        for aggregate in take
    }
    return (
        pl.concat([seen, queries], how="vertical")
        .sort([*key, "t"])
        .group_by(key)
        .agg("t", "asked", **rolled)
        .explode("t", "asked", *rolled)
        .filter("asked")
        .drop("asked")
        .collect()
    )


def main(project: Path, out: Path) -> None:
    """The whole path."""
    data = project / "data"
    out.mkdir(parents=True, exist_ok=True)
    airports = sqlite(data / "reference.db", "SELECT faa, name, lat, lon, alt, tzone FROM airports").with_columns(
        pl.col("tzone").replace("NA", None)
    )
    airlines = sqlite(data / "reference.db", "SELECT carrier, name FROM airlines").rename({"name": "airline_name"})
    planes = pl.read_ndjson(data / "planes.ndjson", infer_schema_length=None).select(
        "tailnum", plane_built="year", plane_seats="seats", plane_engines="engines", plane_manufacturer="manufacturer"
    )
    flights, aside = check(read_flights(data, out, airports), out)
    weather = (
        pl.scan_parquet(data / "weather.parquet")
        .select("origin", pl.col("time_hour").alias("hour_at"), *[pl.col(c).alias(f"weather_{c}") for c in WEATHER])
        .with_columns(known=pl.col("hour_at") + pl.duration(minutes=10))
        .sort("known")
    )
    rows = (
        flights.filter(pl.col("arr_delay").is_not_null() & (pl.col("arr_at") > pl.col("sched_dep_at")).fill_null(True))
        .select(
            "_row", "carrier", "flight", "tailnum", "origin", "dest", "distance", "sched_dep_at", "arr_delay", "arr_at"
        )
        .with_columns(late=pl.col("arr_delay") > 30)
        .sort("sched_dep_at", "carrier", "flight")
    )
    rows = rows.join_asof(
        weather,
        left_on="sched_dep_at",
        right_on="known",
        by="origin",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    fresh = pl.col("hour_at") >= pl.col("sched_dep_at") - pl.duration(hours=3)
    rows = rows.with_columns(pl.when(fresh).then(pl.col(f"weather_{c}")).alias(f"weather_{c}") for c in WEATHER)
    rows = rows.join(planes.lazy(), on="tailnum", how="left", maintain_order="left")
    rows = rows.join(airlines.lazy(), on="carrier", how="left", maintain_order="left")
    places = airports.lazy().select(dest="faa", dest_lat="lat", dest_lon="lon", dest_alt="alt")
    rows = rows.join(places, on="dest", how="left", maintain_order="left")
    rows = rows.collect().lazy()  # else every window computes it anew
    for spec in WINDOWS:
        found = window(flights, rows, spec).lazy()
        key = [*spec[1], "sched_dep_at"]
        rows = rows.join(found.rename({"t": "sched_dep_at"}), on=key, how="left", maintain_order="left")
    local = pl.col("sched_dep_at").dt.convert_time_zone("America/New_York")
    lat, lon = pl.col("dest_lat").radians(), pl.col("dest_lon").radians()
    lat0, lon0 = pl.lit(40.7).radians(), pl.lit(-74.0).radians()
    half = ((lat - lat0) / 2).sin() ** 2 + lat0.cos() * lat.cos() * ((lon - lon0) / 2).sin() ** 2
    rows = rows.with_columns(
        dep_hour=local.dt.hour().cast(pl.Int64),
        dep_clock=local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute().cast(pl.Int64),
        weekday=local.dt.weekday().cast(pl.Int64),
        season=local.dt.ordinal_day().cast(pl.Int64),
        route=pl.col("origin") + "-" + pl.col("dest"),
        log_mile=(pl.col("distance") + 1).log(),
        plane_age=local.dt.year().cast(pl.Int64) - pl.col("plane_built"),
        dest_km=2 * 6371.0088 * half.sqrt().arcsin(),
    ).with_columns(night=(pl.col("dep_hour") < 6) | (pl.col("dep_hour") >= 22))
    frame = out / "frame.parquet"
    rows.sink_parquet(frame)
    sums = pl.scan_parquet(frame).select(
        rows=pl.len(),
        late=pl.col("late").sum(),
        temp=pl.col("weather_temp").cast(pl.Float64).sum().round(3),
        origin_count_24h=pl.col("origin_delay_count_24h").sum(),
        plane_count_24h=pl.col("plane_delay_count_24h").sum(),
        age=pl.col("plane_age").sum(),
    )
    print(json.dumps({"aside": aside, **sums.collect().row(0, named=True)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
