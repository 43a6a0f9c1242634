"""Reads a query with a library's own reader and writes Parquet: READER URL QUERY TARGET; prints the rows."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

import polars as pl

BATCH = 50_000


def pymysql_reader(url: str, query: str) -> pl.DataFrame:
    """PyMySQL's unbuffered cursor, values converted by it."""
    import pymysql
    from pymysql.cursors import SSCursor

    parts = urlsplit(url)
    connection: Any = pymysql.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username, password=parts.password or "",
        database=parts.path[1:], cursorclass=SSCursor, ssl_disabled=True,
    )  # fmt: skip
    cursor = connection.cursor()
    cursor.execute(query)
    names = [field[0] for field in cursor.description]
    frames = []
    while rows := cursor.fetchmany(BATCH):
        frames.append(
            pl.DataFrame([pl.Series(n, v, strict=False) for n, v in zip(names, zip(*rows, strict=True), strict=True)])
        )
    return pl.concat(frames, how="vertical_relaxed")


def connectorx_reader(url: str, query: str) -> pl.DataFrame:
    """connectorx, to a Polars frame."""
    import connectorx

    found: pl.DataFrame = connectorx.read_sql(url, query, return_type="polars")
    return found


def adbc_reader(url: str, query: str) -> pl.DataFrame:
    """ADBC, to a Polars frame."""
    return pl.read_database_uri(query, url, engine="adbc")


READERS = {"pymysql": pymysql_reader, "connectorx": connectorx_reader, "adbc": adbc_reader}

if __name__ == "__main__":
    reader, url, query, target = sys.argv[1:]
    frame = READERS[reader](url, query)
    frame.write_parquet(target, compression="zstd", compression_level=1)
    print(frame.height)
