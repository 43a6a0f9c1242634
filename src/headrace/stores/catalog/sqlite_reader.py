"""Reading the catalog's SQLite file with the standard library alone: `headrace runs` need not wait for SQLAlchemy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from headrace.stores.catalog import Reader, Row, Where
from headrace.stores.catalog.revisions import is_current
from headrace.stores.catalog.sqlite_errors import BUSY_TIMEOUT_S, from_sqlite
from headrace.stores.catalog.where import Condition, conditions, orders


@contextmanager
def quick_reader(path: Path) -> Iterator[Reader]:
    """Read a catalog as of one instant, without changing it; one that was not made yet has no rows.

    Examples
    --------
    >>> with quick_reader(Path("none/catalog.db")) as reader:
    ...     reader.select("runs")
    []
    """
    if not path.exists():
        yield _NoCatalog()
        return
    if not _is_usable(path):  # made by an older release, or its making was interrupted: once, the long way
        from headrace.stores.catalog.sqlite import open_sqlite

        open_sqlite(path).close()
    with _translated(path), closing(_connect(path)) as connection:
        connection.execute("BEGIN")
        yield _SqliteReader(connection, path)


class _SqliteReader:
    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def select(
        self, table: str, where: Where | None = None, *, order_by: Sequence[str] = (), limit: int | None = None
    ) -> list[Row]:
        # Names are checked against the file's own, so that what stands in the statement is no text of a caller's.
        known = [name for (name,) in self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        if not known:
            raise KeyError(table)
        tests = conditions(where)
        sorting = orders(order_by)
        for name in [*(test.column for test in tests), *(order.column for order in sorting)]:
            if name not in known:
                raise KeyError(name)
        statement = f'SELECT * FROM "{table}"'  # noqa: S608
        if tests:
            statement += " WHERE " + " AND ".join(map(_clause, tests))
        if sorting:
            statement += " ORDER BY " + ", ".join(
                f'"{one.column}" {"DESC" if one.descending else "ASC"}' for one in sorting
            )
        values = [value for test in tests for value in test.values]
        if limit is not None:
            statement += " LIMIT ?"
            values.append(limit)
        with _translated(self._path):
            return [dict(zip(known, row, strict=True)) for row in self._connection.execute(statement, values)]

    def get(self, table: str, where: Where) -> Row | None:
        rows = self.select(table, where, limit=2)
        if len(rows) > 1:
            raise ValueError(f"more than one row of {table!r} matches; `get` is for unique keys")
        return rows[0] if rows else None


class _NoCatalog:
    def select(
        self,
        table: str,  # noqa: ARG002
        where: Where | None = None,  # noqa: ARG002
        *,
        order_by: Sequence[str] = (),  # noqa: ARG002
        limit: int | None = None,  # noqa: ARG002
    ) -> list[Row]:
        return []

    def get(self, table: str, where: Where) -> Row | None:  # noqa: ARG002
        return None


def _clause(condition: Condition) -> str:
    column = f'"{condition.column}"'
    match condition.operator:
        case "is null" | "is not null":
            return f"{column} {condition.operator.upper()}"
        case "in":
            return f"{column} IN ({', '.join('?' * len(condition.values))})"
        case _:
            return f"{column} {condition.operator} ?"


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )


def _is_usable(path: Path) -> bool:
    with _translated(path), closing(_connect(path)) as connection:
        named = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone() if named else None
        return is_current(found[0] if found else None)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
