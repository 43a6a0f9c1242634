"""A query on a PostgreSQL server.

The server writes the result as CSV (`COPY … TO STDOUT`), which goes to disk as it comes and is then read like any CSV:
memory stays bounded, whatever the result's size. Instants are written as ISO 8601 in UTC; what is neither number,
boolean, date nor instant comes as the server's own text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.data.blocks import row_count, sink, writing
from headrace.data.errors import QueryRefused, SourceUnavailable
from headrace.data.model import SourceState
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.columns import same_columns
from headrace.data.sources.silence import Silence, cut_after, told, without_timeout
from headrace.definition.model import Source
from headrace.definition.secrets import redact, resolve
from headrace.errors import MissingDependency
from headrace.language.row_decimals import DIGITS, PLACES
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl
    import psycopg
    from psycopg import sql

_TEXT, _BOOLEAN, _DATE, _TIMESTAMP, _TIMESTAMPTZ = 25, 16, 1082, 1114, 1184
_NUMERIC, _EXACT = 1700, -1700
_INTEGERS, _FLOATS = (20, 21, 23, 26), (700, 701, _NUMERIC)
"""Object identifiers of PostgreSQL's own types: constants of its catalog; `_EXACT` is a numeric of so few
digits that it is a decimal here."""
_TEXTS = (Type.STRING, Type.CATEGORY)
_CONNECT_S = 15


def state(source: Source, place: Place) -> SourceState:  # noqa: ARG001 - the port's form
    """Nothing but reading tells whether a query's result has changed."""
    return SourceState(source=source.name, parts=(), volatile=True)


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of the query, in the types of the server's columns."""
    path = workdir / "sample.csv"
    columns = _fetch(source, place, path, limit=rows)
    yield Sample("the query", _scan(path, columns).collect())


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
    """Write every row to `target`, in the types of the server's columns; see `headrace.data.sources.Adapter`.

    A `numeric` is held as text, with all digits, where `types` wants a decimal or text; else as a float, which keeps
    fifteen digits.
    """
    path = workdir / "result.csv"
    columns = _fetch(source, place, path, limit=None)
    columns = {
        name: oid if abs(oid) != _NUMERIC else _TEXT if types.get(name) in (Type.DECIMAL, *_TEXTS) else _NUMERIC
        for name, oid in columns.items()
    }
    sink(_scan(path, columns), target)
    path.unlink()
    return Copied(columns=tuple(columns), rows=row_count(target), files=())


def _fetch(source: Source, place: Place, path: Path, *, limit: int | None) -> dict[str, int]:
    """Write the result to `path`; name and type of each column."""
    from psycopg import sql

    with _connected(source, place) as (connection, silence), connection.cursor() as cursor:
        query = sql.SQL((source.query or "").rstrip().rstrip(";"))  # the definition's author is trusted
        cursor.execute(sql.SQL("SELECT * FROM ({}\n) AS result LIMIT 0").format(query))
        columns = [(column.name, _type_of(column)) for column in cursor.description or ()]
        same_columns(source.name, [("the query", [name for name, _ in columns])])
        written = sql.SQL(", ").join(_written(name, oid) for name, oid in columns)
        rows = sql.SQL("SELECT {} FROM ({}\n) AS result").format(written, query)
        if limit is not None:
            rows += sql.SQL(" LIMIT {}").format(sql.Literal(limit))
        with (
            writing(path),
            path.open("wb") as out,
            cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(rows)) as chunks,
        ):
            for chunk in chunks:
                silence.heard()
                out.write(chunk)
    return dict(columns)


def _type_of(column: psycopg.Column) -> int:
    fits = column.type_code == _NUMERIC and column.precision is not None and column.scale is not None
    if fits and 0 <= (column.scale or 0) <= PLACES and (column.precision or 0) - (column.scale or 0) <= DIGITS - PLACES:
        return _EXACT
    return column.type_code


def _written(name: str, oid: int) -> sql.Composable:
    """How the server writes a column."""
    from psycopg import sql

    column = sql.Identifier(name)
    if oid == _BOOLEAN:
        return sql.SQL("CASE WHEN {0} THEN 'true' WHEN NOT {0} THEN 'false' END").format(column)
    if oid in (_TIMESTAMP, _TIMESTAMPTZ):
        form = 'YYYY-MM-DD"T"HH24:MI:SS.US' + ('"Z"' if oid == _TIMESTAMPTZ else "")
        return sql.SQL("CASE WHEN isfinite({0}) THEN to_char({0}, {1}) ELSE {0}::text END").format(
            column, sql.Literal(form)
        )
    if oid in (*_INTEGERS, *_FLOATS, _EXACT):
        return column
    return sql.SQL("{}::text").format(column)


def _scan(path: Path, columns: Mapping[str, int]) -> pl.LazyFrame:
    import polars as pl

    from headrace.language.values import dtype

    def held(oid: int) -> Any:
        return (
            pl.Int64
            if oid in _INTEGERS
            else pl.Float64
            if oid in _FLOATS
            else pl.Boolean
            if oid == _BOOLEAN
            else pl.String
        )

    schema = {name: held(oid) for name, oid in columns.items()}
    if path.stat().st_size == 0:
        return pl.LazyFrame(schema=schema)
    scan = pl.scan_csv(path, has_header=False, schema=schema, glob=False)
    exact = [name for name, oid in columns.items() if oid == _EXACT]
    return scan.with_columns(pl.col(exact).cast(dtype(Type.DECIMAL))) if exact else scan


@contextmanager
def _connected(source: Source, place: Place) -> Iterator[tuple[psycopg.Connection[Any], Silence]]:
    """A connection that can only read, in UTC, and how long its server is silent.

    What goes wrong on it is named without the password."""
    try:
        import psycopg
    except ImportError:
        raise MissingDependency("psycopg", extra="postgres", needed_for=f"source {source.name!r}") from None
    url, silence_s = without_timeout(source, resolve(source.read[0], place.env, place.root))
    shown = redact(url)
    options = "-c timezone=UTC -c datestyle=ISO -c client_encoding=UTF8"
    silence = None
    try:
        with (
            closing(psycopg.connect(url, connect_timeout=_CONNECT_S, options=options)) as connection,
            cut_after(silence_s, connection.fileno()) as silence,
        ):
            connection.read_only = True
            yield connection, silence
    except psycopg.OperationalError as error:
        is_silent = silence is not None and silence.is_given_up
        raise SourceUnavailable(source.name, shown, told(silence_s) if is_silent else _reason(error, url)) from None
    except psycopg.Error as error:
        raise QueryRefused(source.name, shown, _reason(error, url)) from None


def _reason(error: psycopg.Error, url: str) -> str:
    """The server's words, unless they may quote a cell (class 22: data exceptions) or the address with its password."""
    if (error.sqlstate or "").startswith("22"):
        return f"a value cannot be computed (SQLSTATE {error.sqlstate})"
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    return text.replace(url, redact(url))
