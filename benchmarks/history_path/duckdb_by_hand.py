"""The history path of the flights example in DuckDB SQL, single statements over files; see `polars_by_hand`.

usage: python -m benchmarks.history_path.duckdb_by_hand PROJECT OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

from benchmarks.history_path.polars_by_hand import NUMBERS, WEATHER, WINDOWS, sqlite

KEY = "carrier, flight, sched_dep_at"
RULES = """coalesce(origin IN ('EWR', 'JFK', 'LGA'), true) AND coalesce(distance >= 1, true)
    AND coalesce(month BETWEEN 1 AND 12, true) AND coalesce(dep_time BETWEEN 1 AND 2400, true)
    AND coalesce(arr_time BETWEEN 1 AND 2400, true) AND coalesce(air_time > 10, true)
    AND coalesce(origin <> dest, false) AND carrier IS NOT NULL AND flight IS NOT NULL AND sched_dep_at IS NOT NULL"""


def window(connection: duckdb.DuckDBPyConnection, number: int) -> str:
    """A table of one window's aggregates by (key, asked instant); the join that adds it."""
    name, key, value, known, over, take = WINDOWS[number]
    keys = ", ".join(key)
    columns = ", ".join(
        {
            "mean": f"avg(v) OVER w{width} AS {name}_mean_{width}",
            "max": f"max(v) OVER w{width} AS {name}_max_{width}",
            "count": f"count(v) OVER w{width} AS {name}_count_{width}",
        }[aggregate]
        for width in over
        for aggregate in take
    )
    frames = ", ".join(
        f"w{width} AS (PARTITION BY {keys} ORDER BY t RANGE BETWEEN INTERVAL '{width[:-1]} hours' PRECEDING"
        " AND INTERVAL '1 microsecond' PRECEDING)"
        for width in over
    )
    connection.execute(
        f"CREATE TABLE win{number} AS SELECT DISTINCT * EXCLUDE (v, asked) FROM "
        f"(SELECT {keys}, t, v, asked, {columns} FROM ("
        f"SELECT {keys}, {known} AS t, {value} AS v, false AS asked FROM accepted "
        f"WHERE {value} IS NOT NULL AND {known} IS NOT NULL UNION ALL "
        f"SELECT DISTINCT {keys}, sched_dep_at, NULL, true FROM examples) WINDOW {frames}) WHERE asked"
    )
    match = " AND ".join(f"r.{k} IS NOT DISTINCT FROM win{number}.{k}" for k in key)
    return f"LEFT JOIN win{number} ON {match} AND r.sched_dep_at = win{number}.t"


def main(project: Path, out: Path) -> None:
    """The whole path."""
    data = project / "data"
    out.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(str(out / "work.duckdb"))
    connection.execute("SET TimeZone = 'UTC'")
    connection.register(
        "airports_frame", sqlite(data / "reference.db", "SELECT faa, name, lat, lon, alt, tzone FROM airports")
    )
    connection.register("airlines_frame", sqlite(data / "reference.db", "SELECT carrier, name FROM airlines"))
    kinds = {name: "DOUBLE" if str(kind) == "Float64" else "BIGINT" for name, kind in NUMBERS.items()}
    types = ", ".join(f"'{name}': '{kind}'" for name, kind in kinds.items())
    raw, accepted = out / "flights_raw.parquet", out / "flights.parquet"
    connection.execute(
        f"COPY (SELECT * FROM read_csv('{data}/flights/*.csv', header = true, nullstr = ['', 'NA'], types = {{{types},"
        f" 'time_hour': 'TIMESTAMP'}})) TO '{raw}' (FORMAT parquet)"
    )
    connection.execute(
        f"""CREATE TABLE checked AS WITH f AS (
        SELECT r.*, coalesce(nullif(a.tzone, 'NA'), 'America/Puerto_Rico') AS zone,
            r.time_hour + to_minutes(r.minute) AS sched_dep_at,
            r.time_hour + to_minutes(r.minute) + to_minutes(r.dep_delay::BIGINT) AS dep_at
        FROM '{raw}' r LEFT JOIN airports_frame a ON r.dest = a.faa),
        l AS (SELECT *, timezone(zone, timezone('UTC', dep_at)) AS local_dep,
            (arr_time % 2400) // 100 * 60 + (arr_time % 2400) % 100 AS arr_minute FROM f),
        d AS (SELECT *, date_trunc('day', local_dep) + to_minutes(arr_minute) AS first_arr FROM l),
        g AS (SELECT *, timezone('UTC', timezone(zone, CASE WHEN first_arr < local_dep THEN first_arr + INTERVAL 1 DAY
            ELSE first_arr END)) AS arr_at FROM d)
        SELECT * EXCLUDE (zone, local_dep, arr_minute, first_arr),
            {RULES} AND row_number() OVER (PARTITION BY {KEY} ORDER BY time_hour DESC) = 1 AS good FROM g"""
    )
    connection.execute(f"COPY (SELECT * FROM checked WHERE NOT good) TO '{out}/quarantine.parquet' (FORMAT parquet)")
    connection.execute(f"COPY (SELECT * EXCLUDE (good) FROM checked WHERE good) TO '{accepted}' (FORMAT parquet)")
    aside = connection.execute("SELECT count(*) FROM checked WHERE NOT good").fetchall()[0][0]
    connection.execute("DROP TABLE checked")
    connection.execute(f"CREATE VIEW accepted AS SELECT * FROM '{accepted}'")
    connection.execute(
        "CREATE TABLE examples AS SELECT carrier, flight, tailnum, origin, dest, distance, sched_dep_at, arr_at,"
        " arr_delay > 30 AS late FROM accepted WHERE arr_delay IS NOT NULL AND arr_at > sched_dep_at"
    )
    joins = " ".join(window(connection, number) for number in range(len(WINDOWS)))
    names = [
        f"win{number}.{name}_{aggregate}_{width}"
        for number, (name, _, _, _, over, take) in enumerate(WINDOWS)
        for width in over
        for aggregate in take
    ]
    weather = ", ".join(
        f"CASE WHEN w.time_hour >= r.sched_dep_at - INTERVAL 3 HOURS THEN w.{c} END AS weather_{c}" for c in WEATHER
    )
    connection.execute(
        f"""COPY (SELECT r.*, {weather}, p.year AS plane_built, p.seats AS plane_seats, p.engines AS plane_engines,
            p.manufacturer AS plane_manufacturer, al.name AS airline_name, ap.lat AS dest_lat, ap.lon AS dest_lon,
            ap.alt AS dest_alt, {", ".join(names)},
            hour(local) AS dep_hour, hour(local) * 60 + minute(local) AS dep_clock, isodow(local) AS weekday,
            dayofyear(local) AS season, r.origin || '-' || r.dest AS route, ln(r.distance + 1) AS log_mile,
            year(local) - p.year AS plane_age, hour(local) < 6 OR hour(local) >= 22 AS night,
            2 * 6371.0088 * asin(sqrt(sin(radians(ap.lat - 40.7) / 2) ** 2 + cos(radians(40.7)) * cos(radians(ap.lat))
            * sin(radians(ap.lon + 74.0) / 2) ** 2)) AS dest_km
        FROM (SELECT *, timezone('America/New_York', timezone('UTC', sched_dep_at)) AS local FROM examples) r
        ASOF LEFT JOIN (SELECT origin AS station, timezone('UTC', time_hour) AS time_hour,
            timezone('UTC', time_hour) + INTERVAL 10 MINUTES AS known, {", ".join(WEATHER)}
            FROM '{data}/weather.parquet') w ON r.origin = w.station AND r.sched_dep_at > w.known
        LEFT JOIN read_json_auto('{data}/planes.ndjson', format = 'newline_delimited', sample_size = -1) p
            USING (tailnum)
        LEFT JOIN airlines_frame al USING (carrier)
        LEFT JOIN airports_frame ap ON r.dest = ap.faa {joins}
        ORDER BY r.sched_dep_at, r.carrier, r.flight) TO '{out}/frame.parquet' (FORMAT parquet)"""
    )
    names_of = ["rows", "late", "temp", "origin_count_24h", "plane_count_24h", "age"]
    sums = connection.execute(
        "SELECT count(*), sum(late::INT)::BIGINT, round(sum(weather_temp), 3), sum(origin_delay_count_24h)::BIGINT,"
        f" sum(plane_delay_count_24h)::BIGINT, sum(plane_age)::BIGINT FROM '{out}/frame.parquet'"
    ).fetchall()[0]
    connection.close()
    (out / "work.duckdb").unlink()
    print(json.dumps({"aside": aside, **dict(zip(names_of, sums, strict=True))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
