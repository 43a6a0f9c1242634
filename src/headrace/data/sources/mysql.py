"""A query on a MySQL or MariaDB server.

The query is sent as it stands, and the server's own text of every value is taken: unsigned numbers, decimals, zero
dates, bits and bytes come across whole, where readers that convert on the way panicked
(docs/decisions/0012-mysql-reader.md). The rows go to disk as text in batches, then each column whose values are all of
its type is written in that type: memory stays bounded, and one execution of the query in one read-only transaction
gives one consistent snapshot. TIMESTAMP comes in UTC; DATETIME is the wall-clock time that it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from headrace.data.blocks import row_count, sink
from headrace.data.errors import AddressRefused, QueryRefused, SourceUnavailable
from headrace.data.model import SourceState
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.batches import sink_batches
from headrace.data.sources.columns import same_columns
from headrace.data.sources.silence import told, without_timeout
from headrace.definition.model import Source
from headrace.definition.secrets import redact, resolve
from headrace.errors import MissingDependency
from headrace.language.row_decimals import DIGITS, PLACES
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

_CONNECT_S = 15
_BATCH_ROWS, _BATCH_BYTES = 50_000, 1 << 25
_INTEGERS, _DECIMALS, _FLOATS = (1, 2, 3, 8, 9, 13), (0, 246), (4, 5)
_FLOAT, _TIMESTAMP, _BIT, _JSON = 4, 7, 16, 245
_STRINGS, _GEOMETRY = (15, 249, 250, 251, 252, 253, 254), 255
_BINARY, _UNSIGNED = 63, 32
"""Types of a column, and the character set of bytes: constants of the wire protocol."""
_UNAVAILABLE = frozenset({1040, 1044, 1045, 1049, 1053, 1129, 1130, 1203, 1205, 1213, 1226, 1317, 1698, 1927, 3024})
"""Errors of the server that are not the query's: it is full, it refuses us, it stops, it took too long."""
_TELLING = frozenset(
    {1046, 1051, 1052, 1054, 1055, 1060, 1064, 1109, 1111, 1140, 1142, 1143, 1146, 1149, 1222, 1241, 1242, 1248, 1290}
    | {1305, 1356, 1370, 1582, 1583, 1630, 1792, 4047}
)
"""Errors about a query's words, which may be shown; the text of any other may quote a cell."""
_LOST = 2013
"""The library's number for a connection that broke or timed out."""
_SESSION = (
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION TRANSACTION READ ONLY",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT",
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the result, as the server describes it."""

    name: str
    code: int
    is_bytes: bool
    scale: int
    digits: int
    """Of a decimal: at most so many."""

    @property
    def natural(self) -> Type:
        """The type that its values have, if they fit."""
        if self.code in (*_INTEGERS, _BIT) or (self.code in _DECIMALS and not self.scale):
            return Type.INTEGER
        if self.code in _DECIMALS and self.scale <= PLACES and self.digits - self.scale <= DIGITS - PLACES:
            return Type.DECIMAL
        return Type.FLOAT if self.code in (*_DECIMALS, *_FLOATS) else Type.STRING


def state(source: Source, place: Place) -> SourceState:  # noqa: ARG001 - the port's form
    """Nothing but reading tells whether a query's result has changed."""
    return SourceState(source=source.name, parts=(), volatile=True)


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of the query, in the types of the server's columns."""
    import polars as pl

    path = workdir / "sample.parquet"
    query = f"SELECT * FROM ({_query(source)}\n) AS result LIMIT {rows}"  # noqa: S608 - the definition's author is trusted
    columns = _fetch(source, place, query, path)
    yield Sample("the query", _typed(pl.scan_parquet(path), {c.name: c.natural for c in columns}).collect())


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
    """Write every row to `target`; see `headrace.data.sources.Adapter`."""
    import polars as pl

    path = workdir / "result.parquet"
    columns = _fetch(source, place, _query(source), path)
    wanted = {
        c.name: _number(c) if types.get(c.name) in (Type.INTEGER, Type.FLOAT, Type.BOOLEAN) else Type.STRING
        for c in columns
    }
    sink(_typed(pl.scan_parquet(path), wanted), target)
    path.unlink()
    return Copied(
        columns=tuple(wanted),
        rows=row_count(target),
        files=(),
        warnings=tuple(
            f"column {c.name!r} is FLOAT, of which the server tells six digits: CAST({c.name} AS DOUBLE) tells all"
            for c in columns
            if c.code == _FLOAT
        ),
    )


def _number(column: _Column) -> Type:
    return Type.FLOAT if column.natural is Type.DECIMAL else column.natural


def _query(source: Source) -> str:
    return (source.query or "").rstrip().rstrip(";")


def _fetch(source: Source, place: Place, query: str, path: Path) -> list[_Column]:
    """Write the result to `path`, all of it as text; its columns."""
    import polars as pl

    with _connected(source, place) as cursor:
        cursor.execute(query)
        if not cursor.description:
            raise QueryRefused(source.name, redact(source.read[0]), "it gives no rows, it is a statement")
        columns: list[_Column] = cursor.columns()
        same_columns(source.name, [("the query", [column.name for column in columns])])
        frames = (
            pl.DataFrame([_text(c, v) for c, v in zip(columns, batch, strict=True)]) for batch in cursor.batches()
        )
        sink_batches(frames, {column.name: pl.String() for column in columns}, path)
    return columns


def _text(column: _Column, values: Sequence[bytes | None]) -> pl.Series:
    """One batch of a column: the server's text, a bit field as its number, bytes in hexadecimal."""
    import polars as pl

    if column.code == _BIT:
        numbers = [None if value is None else str(int.from_bytes(value, "big")) for value in values]
        return pl.Series(column.name, numbers, dtype=pl.String)
    series = pl.Series(column.name, values, dtype=pl.Binary)
    if column.is_bytes:
        return series.bin.encode("hex")
    text = series.cast(pl.String)
    if column.code == _TIMESTAMP:
        return text.str.replace(" ", "T", literal=True) + "Z"
    return text


def _typed(text: pl.LazyFrame, wanted: Mapping[str, Type]) -> pl.LazyFrame:
    """The columns in the types wanted, but as text where a value does not fit."""
    import polars as pl

    from headrace.language.values import dtype

    numbers = {name: pl.col(name).cast(dtype(t), strict=False) for name, t in wanted.items() if t is not Type.STRING}
    if not numbers:
        return text
    misfits = text.select((value.is_null() & pl.col(name).is_not_null()).any() for name, value in numbers.items())
    has_misfit = misfits.collect().row(0, named=True)
    return text.with_columns(value for name, value in numbers.items() if not has_misfit[name])


@contextmanager
def _connected(source: Source, place: Place) -> Iterator[Any]:
    """A cursor in a transaction that can only read, in UTC; what goes wrong is named without the password."""
    try:
        import pymysql
    except ImportError:
        raise MissingDependency("pymysql", extra="mysql", needed_for=f"source {source.name!r}") from None
    from pymysql.converters import encoders

    url, silence_s = without_timeout(source, resolve(source.read[0], place.env, place.root))
    shown = redact(url)
    parts = urlsplit(url)
    try:
        with closing(
            pymysql.connect(
                host=parts.hostname,
                port=parts.port or 3306,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or "").encode(),
                database=unquote(parts.path[1:]) or None,
                connect_timeout=_CONNECT_S,
                read_timeout=_CONNECT_S,
                charset="utf8mb4",
                conv=encoders,  # and no decoders: values stay as they came
                **_tls(source, parts.query, place, shown),
            )
        ) as connection:
            connection._read_timeout = silence_s  # noqa: SLF001 - greeting is quick work, a query need not be
            with connection.cursor() as cursor:
                for statement in _SESSION:
                    cursor.execute(statement)
            rows = _raw_cursor(connection)
            try:
                yield rows
            finally:
                rows.leave()
    except pymysql.MySQLError as error:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        reason = told(silence_s) if "timed out" in str(error) and code == _LOST else _reason(error, code, url)
        if code in _UNAVAILABLE or not (1000 <= code < 2000 or code >= 3000):
            raise SourceUnavailable(source.name, shown, reason) from None
        raise QueryRefused(source.name, shown, reason) from None
    except OSError as error:
        raise SourceUnavailable(source.name, shown, error.strerror or "the connection broke") from None


def _tls(source: Source, query: str, place: Place, shown: str) -> dict[str, Any]:
    """Encrypted where the server can (it need not prove who it is), or as `?ssl_ca=PATH` and `?ssl=required` say."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    ca, mode = options.pop("ssl_ca", None), options.pop("ssl", "preferred")
    if options or mode not in ("preferred", "required", "disabled"):
        found = next(iter(options), f"ssl={mode}")
        raise AddressRefused(
            source.name,
            shown,
            f"there is no option {found!r}",
            fix="the options are ssl=preferred, ssl=required, ssl=disabled, ssl_ca=PATH and read_timeout=SECONDS",
        )
    if ca is not None:
        return {"ssl_ca": str(place.root / ca), "ssl_verify_cert": True, "ssl_verify_identity": True}
    if mode == "required":
        return {"ssl": {"verify_mode": False, "check_hostname": False}}
    return {"ssl_disabled": True} if mode == "disabled" else {}


def _reason(error: Exception, code: int, url: str) -> str:
    """The server's words where they are about the query or the connection; else its number alone."""
    words = str(error.args[1] if len(error.args) > 1 else error).partition("\n")[0]
    if code in _TELLING or code in _UNAVAILABLE or not (1000 <= code < 2000 or code >= 3000):
        return f"{words.replace(url, redact(url))} (error {code})" if code else words
    return f"a value cannot be computed (error {code})"


def _raw_cursor(connection: Any) -> Any:
    from pymysql.cursors import SSCursor

    class RawCursor(SSCursor):  # type: ignore[misc]  # the library has no types
        """An unbuffered cursor that gives columns of undecoded values, without a Python object a row."""

        def columns(self) -> list[_Column]:
            return [
                _Column(
                    name=field.name,
                    code=field.type_code,
                    is_bytes=field.type_code == _GEOMETRY
                    or (field.type_code in _STRINGS and field.charsetnr == _BINARY),
                    scale=field.scale,
                    digits=field.length - bool(field.scale) - (not field.flags & _UNSIGNED),
                )
                for field in self._result.fields
            ]

        def batches(self) -> Iterator[list[list[bytes | None]]]:
            """Columns of some ten thousand rows, fewer where rows are large."""
            result = self._result
            columns: list[list[bytes | None]] = [[] for _ in result.fields]
            n_bytes = 0
            while (data := self._packet(result)) is not None:
                at = 0
                for column in columns:
                    size = data[at]
                    at += 1
                    if size == _NULL:
                        column.append(None)
                        continue
                    if size > _NULL:
                        width = _WIDTHS[size]
                        size = int.from_bytes(data[at : at + width], "little")
                        at += width
                    column.append(data[at : at + size])
                    at += size
                n_bytes += len(data)
                if len(columns[0]) == _BATCH_ROWS or n_bytes > _BATCH_BYTES:
                    yield columns
                    columns, n_bytes = [[] for _ in result.fields], 0
            if columns[0]:
                yield columns

        def leave(self) -> None:
            """Forget the rows that are left; the library would wait for them all."""
            if self._result is not None:
                self._result.unbuffered_active = False

        def _packet(self, result: Any) -> bytes | None:
            """The next row's bytes, as the protocol packs them; None after the last row."""
            packet = result.connection._read_packet()  # noqa: SLF001 - the library offers decoded rows only
            if result._check_packet_is_eof(packet):  # noqa: SLF001
                result.unbuffered_active = False
                result.connection = None
                return None
            return bytes(packet.get_all_data())

    return connection.cursor(RawCursor)


_NULL, _WIDTHS = 251, {252: 2, 253: 3, 254: 8}
"""How the protocol writes a length: below 251 as it is, 251 for null, else the number of bytes that follow."""
