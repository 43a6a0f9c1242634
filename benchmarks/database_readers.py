"""Queries on MySQL and PostgreSQL read to Parquet: ours beside the libraries' own readers, on servers of this machine.

Whole processes, imports included. Ours also holds each column against the type wanted and keeps as text what does not
fit. A second query asks for values that MariaDB allows and readers differ about.

usage: python -m benchmarks.database_readers [ROWS]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers import MariadbServer, PostgresServer

from benchmarks.harness import ROOT, Measured, in_turn, python, record, table
from headrace.data.sources import Place, adapter
from headrace.definition.model import Source
from headrace.language.types import Type

TIMES = 3
PEER = str(ROOT / "benchmarks" / "peers" / "database_readers_read.py")
QUERY = "SELECT * FROM readings ORDER BY id"
TYPES = {
    **dict.fromkeys(("id", "u", "d", "n"), Type.INTEGER),
    **dict.fromkeys(("x", "amount"), Type.FLOAT),
    **dict.fromkeys(("name", "city", "ok", "h"), Type.STRING),
    "at": Type.TIMESTAMP,
    "day": Type.DATE,
}
MARIADB = """CREATE TABLE readings AS SELECT seq AS id, CAST(seq * 7 AS UNSIGNED) AS u, seq % 31 AS d, seq / 7.0e0 AS x,
 CAST(seq / 3 AS DECIMAL(12, 4)) AS amount, CONCAT('name-', seq) AS name, CONCAT('city ', seq % 97) AS city,
 TIMESTAMP'2020-01-01 00:00:00' + INTERVAL seq SECOND AS at, DATE'2020-01-01' + INTERVAL (seq % 1000) DAY AS day,
 IF(seq % 5, seq % 13, NULL) AS n, IF(seq % 3, 'yes', 'no') AS ok, MD5(seq) AS h FROM seq_1_to_{rows}"""
POSTGRES = """CREATE TABLE readings AS
 SELECT i::bigint AS id, (i * 7)::bigint AS u, (i % 31)::int AS d, i / 7.0::float8 AS x,
 (i / 3.0)::numeric(12, 4) AS amount, 'name-' || i AS name, 'city ' || i % 97 AS city,
 TIMESTAMPTZ '2020-01-01 00:00:00+00' + i * INTERVAL '1 second' AS at, DATE '2020-01-01' + (i % 1000)::int AS day,
 CASE WHEN i % 5 > 0 THEN (i % 13)::int END AS n, CASE WHEN i % 3 > 0 THEN 'yes' ELSE 'no' END AS ok, md5(i::text) AS h
 FROM generate_series(1, {rows}::bigint) AS i"""
ODD = {
    "a DECIMAL(30, 10)": "CAST('12345678901234567890.0123456789' AS DECIMAL(30, 10))",
    "the date 0000-00-00": "CAST(zero AS DATE)",
    "a time below zero": "CAST('-12:30:00' AS TIME)",
}


def ours(format_: str, url: str, query: str, target: str) -> None:
    """Read with the adapter, in a process of its own."""
    source = Source(name="s", read=(url,), format=format_, query=query)  # type: ignore[arg-type]  # a word of ours
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        copied = adapter(format_).copy(source, Place(ROOT, {}), TYPES, Path(target), work)
    print(copied.rows)


def peers(folder: Path) -> str:
    """The Python of an environment with the peers, which is made when it is not there."""
    home = folder / "peers"
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
    wanted = str(ROOT / "benchmarks" / "peers" / "database_readers.txt")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), "-r", wanted], check=True
    )
    return str(home / "bin" / "python")


def commands(format_: str, url: str, peer: str, readers: Sequence[str], target: Path) -> dict[str, list[str]]:
    """Contender → command."""
    found = {"ours": python("-m", "benchmarks.database_readers", "ours", format_, url, QUERY, str(target))}
    return found | {reader: [peer, PEER, reader, url, QUERY, str(target)] for reader in readers}


def lines(server: str, measured: Mapping[str, Measured], rows: int) -> list[list[object]]:
    """The table's rows of one server."""
    base = measured["ours"]
    for name, one in measured.items():
        assert int(one.output) == rows, name
    return [
        [f"{server}: {name}", one.wall_s, one.cpu_s, one.peak_mb, one.cpu_s / base.cpu_s, one.peak_mb / base.peak_mb]
        for name, one in measured.items()
    ]


def odd_values(url: str, peer: str, target: Path) -> list[list[object]]:
    """What becomes of values that are allowed and unusual."""
    rows: list[list[object]] = []
    for what, value in ODD.items():
        query = f"SELECT {value} AS odd FROM (SELECT zero FROM zeros) AS t"
        calls = {"ours": python("-m", "benchmarks.database_readers", "ours", "mysql", url, query, str(target))}
        calls |= {reader: [peer, PEER, reader, url, query, str(target)] for reader in ("pymysql", "connectorx")}
        said = [subprocess.run(call, cwd=ROOT, capture_output=True, check=False).returncode for call in calls.values()]
        rows.append([what, *("read" if code == 0 else "fails" for code in said)])
    return rows


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    if arguments[:1] == ["ours"]:
        ours(*arguments[1:])
        return
    rows = int(float(next(iter(arguments), "4e5")))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)  # the servers' own users walk through it
        peer, target = peers(folder), folder / "rows.parquet"
        with MariadbServer(folder / "mariadb") as mariadb:
            url = mariadb.url("test") + "?ssl=disabled"
            with mariadb.connect() as connection, connection.cursor() as cursor:
                cursor.execute("SET sql_mode = ''")
                for statement in ("CREATE DATABASE IF NOT EXISTS test", "USE test", MARIADB.format(rows=rows)):
                    cursor.execute(statement)
                cursor.execute("CREATE TABLE zeros (zero DATE)")
                cursor.execute("INSERT INTO zeros VALUES ('0000-00-00')")
                connection.commit()
            plain = mariadb.url("test")
            calls = commands("mysql", plain, peer, ("pymysql", "connectorx"), target)
            calls["ours"] = [url if word == plain else word for word in calls["ours"]]  # none of them encrypts
            found = lines("MariaDB", in_turn(calls, times=TIMES), rows)
            odd = odd_values(plain, peer, target)
        with PostgresServer(folder / "postgres") as postgres:
            import psycopg

            with psycopg.connect(postgres.url()) as session:
                session.execute(POSTGRES.format(rows=rows).encode())
            calls = commands("postgresql", postgres.url(), peer, ("adbc", "connectorx"), target)
            found += lines("PostgreSQL", in_turn(calls, times=TIMES), rows)
    headings = ["reader", "wall s", "CPU s", "peak MB", "CPU × ours", "MB × ours"]
    body = f"{rows:,} rows of 12 columns, read to Parquet.\n\n{table(headings, found)}\n\n"
    body += "Of MariaDB, values that are allowed and unusual:\n\n" + table(
        ["value", "ours", "pymysql", "connectorx"], odd
    )
    command = " ".join(["python -m benchmarks.database_readers", *arguments])
    record("Database readers", command, body, libraries=("polars", "pymysql", "psycopg"))


if __name__ == "__main__":
    main(sys.argv[1:])
