"""The catalog on SQLAlchemy Core, whatever the server; what differs between servers comes in as a `Server`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, inspect, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from headrace.stores.catalog import Reader, Row, Value, Where, Writer
from headrace.stores.catalog.revisions import NEWEST, is_current
from headrace.stores.catalog.schema import metadata, revision
from headrace.stores.catalog.where import Condition, conditions, orders
from headrace.stores.errors import AlreadyExists


class Server(Protocol):
    """What one kind of SQL server does its own way."""

    read_options: Mapping[str, Any]
    """Execution options of a connection that reads as of one instant."""
    write_options: Mapping[str, Any]

    def take_write_lock(self, connection: Connection) -> None:
        """Wait until no other transaction writes; held to the end of this one."""
        ...

    def insert_if_absent(self, table: Table) -> Any:
        """An INSERT that does nothing where a unique constraint refuses the row."""
        ...

    def error(self, found: BaseException) -> Exception:
        """Our error for the driver's."""
        ...


class SqlCatalog:
    """The `Catalog` of one SQLAlchemy engine."""

    def __init__(self, engine: Engine, server: Server) -> None:
        self._engine = engine
        self._server = server

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self._transaction(self._server.read_options) as connection:
            yield SqlReader(connection, self._server)

    @contextmanager
    def write(self) -> Iterator[Writer]:
        with self._transaction(self._server.write_options) as connection:
            with translated(self._server):
                self._server.take_write_lock(connection)
            yield SqlWriter(connection, self._server)

    def migrate(self) -> None:
        with self._transaction(self._server.read_options) as connection, translated(self._server):
            if is_current(_stored_revision(connection)):
                return
        with self._transaction(self._server.write_options) as connection, translated(self._server):
            self._server.take_write_lock(connection)
            found = _stored_revision(connection)  # again: another process may have been faster
            if is_current(found):
                return
            if found is None:  # the newest schema at once: Alembic takes 0.3 s to import
                metadata.create_all(connection, checkfirst=False)
                connection.execute(revision.insert().values(version_num=NEWEST))
            else:
                from headrace.stores.catalog.migrate import upgrade

                upgrade(connection)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self, options: Mapping[str, Any]) -> Iterator[Connection]:
        """One transaction; the driver's errors at its beginning and end are ours, the block's are its own."""
        with translated(self._server):
            connection = self._engine.connect().execution_options(**options)
        try:
            with translated(self._server):
                transaction = connection.begin()
            try:
                yield connection
            except BaseException:
                try:
                    transaction.rollback()
                except SQLAlchemyError:
                    connection.invalidate()  # the server rolls back by itself; the block's error is the one to tell
                raise
            with translated(self._server):
                try:
                    transaction.commit()
                except BaseException:
                    connection.invalidate()  # closed, so rolled back: SQLAlchemy takes it for ended, SQLite does not
                    raise
        finally:
            with translated(self._server):
                connection.close()


class SqlReader:
    """The `Reader` of one transaction."""

    def __init__(self, connection: Connection, server: Server) -> None:
        self._connection = connection
        self._server = server

    def select(
        self, table: str, where: Where | None = None, *, order_by: Sequence[str] = (), limit: int | None = None
    ) -> list[Row]:
        stored = metadata.tables[table]
        statement = select(stored).where(*_clauses(stored, where)).limit(limit)
        for column, descending in orders(order_by):
            one = stored.c[column]
            statement = statement.order_by(one.desc().nulls_last() if descending else one.asc().nulls_first())
        with translated(self._server):
            return [dict(row) for row in self._connection.execute(statement).mappings()]

    def get(self, table: str, where: Where) -> Row | None:
        rows = self.select(table, where, limit=2)
        if len(rows) > 1:
            raise ValueError(f"more than one row of {table!r} matches; `get` is for unique keys")
        return rows[0] if rows else None


class SqlWriter(SqlReader):
    """The `Writer` of one transaction."""

    def insert(self, table: str, row: Mapping[str, Value]) -> None:
        if not self.insert_if_absent(table, row):
            raise AlreadyExists(table)

    def insert_if_absent(self, table: str, row: Mapping[str, Value]) -> bool:
        # ON CONFLICT for plain inserts too: an error would end PostgreSQL's transaction, and SQLite's would go on
        statement = self._server.insert_if_absent(metadata.tables[table]).values(_stored(row))
        return self._changed(statement) == 1

    def update(self, table: str, where: Where, values: Mapping[str, Value]) -> int:
        stored = metadata.tables[table]
        return self._changed(update(stored).where(*_clauses(stored, where)).values(_stored(values)))

    def delete(self, table: str, where: Where) -> int:
        stored = metadata.tables[table]
        return self._changed(delete(stored).where(*_clauses(stored, where)))

    def _changed(self, statement: Any) -> int:
        with translated(self._server):
            # without the option, PostgreSQL's count of an INSERT is thrown away
            return self._connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount


@contextmanager
def translated(server: Server) -> Iterator[None]:
    """Turn the driver's errors in the block into ours."""
    try:
        yield
    except DBAPIError as error:
        raise server.error(error.orig or error) from error
    except SQLAlchemyError as error:
        raise server.error(error) from error


def _stored(row: Mapping[str, Value]) -> dict[str, Value]:
    return {column: int(value) if isinstance(value, bool) else value for column, value in row.items()}


def _clauses(table: Table, where: Where | None) -> list[ColumnElement[bool]]:
    return [_clause(table, condition) for condition in conditions(where)]


def _clause(table: Table, condition: Condition) -> ColumnElement[bool]:
    column: ColumnElement[Any] = table.c[condition.column]
    match condition.operator:
        case "is null":
            return column.is_(None)
        case "is not null":
            return column.is_not(None)
        case "in":
            return column.in_(condition.values)
        case "=":
            return column == condition.values[0]
        case _:
            return column.bool_op(condition.operator)(condition.values[0])


def _stored_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(revision.name):
        return None
    found: str | None = connection.execute(select(revision.c.version_num)).scalar()
    return found
