"""The catalog on PostgreSQL through psycopg 3: the same tables, the same one writer at a time.

A writer takes one advisory lock before it reads anything, so that what it reads is what it changes: no update is lost
and no transaction has to be run twice, which a `with` block could not be. Transactions of the catalog are short;
readers never wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import URL, Connection, Table, create_engine, make_url, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ArgumentError

from headrace.errors import MissingDependency
from headrace.stores.catalog.sql import SqlCatalog
from headrace.stores.errors import StoreFull, StoreUnavailable, UnknownStore

WRITE_LOCK = int.from_bytes(b"headrace", "big") >> 1
"""The advisory lock that every writer of this database takes."""

_BEFORE_WRITING = (
    "SET LOCAL lock_timeout = '30s'",
    "SET LOCAL idle_in_transaction_session_timeout = '5min'",  # a writer that hangs must not stop the others for ever
)
# A server that vanishes without a word is noticed after about half a minute.
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "headrace",
}
_DISK_FULL = "53100"
_REFUSED_ROW = "23"


def open_postgres(url: str) -> SqlCatalog:
    """The catalog in the database of a `postgresql://` URL, its schema brought up to date."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingDependency("psycopg", extra="postgres", needed_for="a catalog on PostgreSQL") from None
    try:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise UnknownStore("postgresql://…", "it should read postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
    engine = create_engine(parsed, pool_pre_ping=True, max_overflow=-1, connect_args=dict(_CONNECTION))
    catalog = SqlCatalog(engine, _Postgres(parsed))
    try:
        catalog.migrate()
    except BaseException:
        catalog.close()
        raise
    return catalog


class _Postgres:
    read_options: Mapping[str, Any] = MappingProxyType(
        {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    )
    write_options: Mapping[str, Any] = MappingProxyType({"isolation_level": "READ COMMITTED"})

    def __init__(self, url: URL) -> None:
        self._name = f"postgresql://{url.host or url.query.get('host', 'localhost')}/{url.database}"  # no password

    def take_write_lock(self, connection: Connection) -> None:
        for statement in _BEFORE_WRITING:
            connection.execute(text(statement))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITE_LOCK})

    def insert_if_absent(self, table: Table) -> Any:
        return insert(table).on_conflict_do_nothing()

    def error(self, found: BaseException) -> Exception:
        state = getattr(found, "sqlstate", None) or ""
        # the server's one line; its details would repeat the row
        primary = getattr(getattr(found, "diag", None), "message_primary", None)
        reason = (primary or str(found)).strip().splitlines()[0] if str(found) else type(found).__name__
        if state == _DISK_FULL:
            return StoreFull(f"catalog {self._name}")
        if state.startswith(_REFUSED_ROW):
            return ValueError(f"the catalog refuses the row: {reason}")
        return StoreUnavailable(f"catalog {self._name}", reason)
