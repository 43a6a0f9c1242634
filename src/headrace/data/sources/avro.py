"""Avro object container files: read block by block, in the types of their schema.

Nested records are flattened by path, like JSON's objects; arrays, maps and unions of several types are kept as JSON.
fastavro reads, and not Polars: on a union of two types Polars panics, and it holds a whole file in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from headrace.data.blocks import row_count
from headrace.data.errors import SourceUnreadable
from headrace.data.files import DataFile, fetch, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.batches import sink_batches
from headrace.data.sources.columns import as_held, held_types
from headrace.data.sources.failures import not_whole
from headrace.definition.model import Source
from headrace.errors import HeadraceError, MissingDependency
from headrace.language.types import Type
from headrace.language.values import dtype, type_of_dtype

if TYPE_CHECKING:
    import polars as pl

state = files_state
_BATCH = 20_000
_DEEPEST = 16
_Avro: TypeAlias = "str | list[Any] | dict[str, Any]"


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a column's values are in a record, and as what they are held."""

    name: str
    path: tuple[str, ...]
    type: pl.DataType
    convert: Callable[[Any], Any] | None = None

    @property
    def is_decimal(self) -> bool:
        """Whether the file holds decimals."""
        return self.convert is float or self.type.is_decimal()

    def of(self, records: Sequence[Mapping[str, Any]]) -> pl.Series:
        """The column's values."""
        import polars as pl

        values: list[Any] = list(records)
        for key in self.path:
            values = [None if value is None else value[key] for value in values]
        if self.convert is not None:
            values = [None if value is None else self.convert(value) for value in values]
        return pl.Series(self.name, values, dtype=self.type, strict=True)


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of every file, in the types of its schema."""
    files = fetch(source, find(source, place), place, workdir)
    columns = [_columns(source, file) for file in files]
    held, _ = held_types(source.name, [(file.name, _schema(own)) for file, own in zip(files, columns, strict=True)])
    for file, own in zip(files, columns, strict=True):
        first = next(_frames(source, file, own, rows), None)
        yield Sample(file.name, (_frame(own, []) if first is None else first).select(as_held(_schema(own), held)))


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
    """Write every row to `target`; see `headrace.data.sources.Adapter`. A column whose files disagree becomes text."""
    files = fetch(source, find(source, place), place, workdir)
    columns = [[_kept(column, types) for column in _columns(source, file)] for file in files]
    held, _ = held_types(source.name, [(file.name, _schema(own)) for file, own in zip(files, columns, strict=True)])
    rows = [0] * len(files)

    def batches() -> Iterator[pl.DataFrame]:
        for n, (file, own) in enumerate(zip(files, columns, strict=True)):
            for frame in _frames(source, file, own, _BATCH):
                rows[n] += frame.height
                yield frame.select(as_held(_schema(own), held))

    sink_batches(batches(), held, target)
    return Copied(
        columns=tuple(held),
        rows=row_count(target),
        files=tuple((file.name, count) for file, count in zip(files, rows, strict=True)),
    )


def _kept(column: _Column, types: Mapping[str, Type]) -> _Column:
    """A decimal in the type that it is wanted in; as text, with all its digits, where it may not fit."""
    import polars as pl

    wanted = types.get(column.name)
    if not column.is_decimal or (wanted is Type.DECIMAL and column.convert is None):
        return column
    if wanted in (Type.STRING, Type.CATEGORY, Type.DECIMAL):
        return replace(column, type=pl.String(), convert=lambda value: format(value, "f"))
    return replace(column, type=pl.Float64(), convert=float)


def _schema(columns: Sequence[_Column]) -> dict[str, pl.DataType]:
    return {column.name: column.type for column in columns}


def _frames(source: Source, file: DataFile, columns: Sequence[_Column], rows: int) -> Iterator[pl.DataFrame]:
    """The file's rows, `rows` at a time: blocks are put together or cut."""
    from fastavro import block_reader

    waiting: list[Any] = []
    with _damaged(source, file), file.path.open("rb") as stream:
        for block in block_reader(stream):
            for record in block:
                waiting.append(record)
                if len(waiting) == rows:
                    yield _frame(columns, waiting)
                    waiting = []
    if waiting:
        with _damaged(source, file):
            frame = _frame(columns, waiting)
        yield frame


def _frame(columns: Sequence[_Column], records: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame([column.of(records) for column in columns])


def _columns(source: Source, file: DataFile) -> list[_Column]:
    """The columns of a file, from the schema in its header."""
    try:
        from fastavro import block_reader
    except ImportError:
        raise MissingDependency("fastavro", extra="avro", needed_for=f"source {source.name!r}") from None
    with _damaged(source, file), file.path.open("rb") as stream:
        schema: Any = block_reader(stream).writer_schema
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise SourceUnreadable(source.name, file.name, "its schema is no record, so that it has no columns")
        return list(_columns_of(schema, (), {}))


def _columns_of(record: Mapping[str, Any], path: tuple[str, ...], named: dict[str, Any]) -> Iterator[_Column]:
    import polars as pl

    _remember(record, named)
    for field in record["fields"]:
        where = (*path, field["name"])
        own = _without_null(_resolved(field["type"], named))
        if isinstance(own, dict) and own["type"] == "record" and len(where) < _DEEPEST:
            yield from _columns_of(own, where, named)
        else:
            type_, convert = _held(own)
            yield _Column("_".join(where), where, type_ or pl.String(), convert)


def _remember(own: Mapping[str, Any], named: dict[str, Any]) -> None:
    """Note a type that others may name."""
    name = str(own.get("name", ""))
    space = own.get("namespace")
    named[name] = own
    if space and "." not in name:
        named[f"{space}.{name}"] = own


def _resolved(own: _Avro, named: dict[str, Any]) -> _Avro:
    if isinstance(own, str):
        found: _Avro = named.get(own, own)
        return found
    if isinstance(own, list):
        return [_resolved(one, named) for one in own]
    if own.get("type") in ("record", "enum", "fixed"):
        _remember(own, named)
    return own


def _without_null(own: _Avro) -> _Avro:
    """`["null", T]` is T that may be missing."""
    if isinstance(own, list):
        others = [one for one in own if one != "null"]
        if len(others) <= 1:
            return others[0] if others else "null"
    return own


def _held(own: _Avro) -> tuple[pl.DataType | None, Callable[[Any], Any] | None]:
    """As what a type is held, and what makes Python's value of it one of that."""
    import polars as pl

    plain = own["type"] if isinstance(own, dict) else own
    logical = own.get("logicalType") if isinstance(own, dict) else None
    if logical == "date":
        return pl.Date(), None
    if logical in ("timestamp-millis", "timestamp-micros"):
        return pl.Datetime("us", "UTC"), None
    if logical in ("local-timestamp-millis", "local-timestamp-micros"):
        return pl.Datetime("us"), None
    if logical == "decimal" and isinstance(own, dict):
        exact = pl.Decimal(max(own["precision"], own.get("scale", 0)), own.get("scale", 0))
        is_ours = type_of_dtype(exact) is Type.DECIMAL
        return (dtype(Type.DECIMAL), None) if is_ours else (pl.Float64(), float)
    if logical is not None and logical in ("time-millis", "time-micros", "uuid"):
        return pl.String(), str
    if plain in ("int", "long"):
        return pl.Int64(), None
    if plain in ("float", "double"):
        return pl.Float64(), None
    if plain == "boolean":
        return pl.Boolean(), None
    if plain == "null":
        return pl.Null(), None
    if plain == "string" or (isinstance(own, dict) and plain == "enum"):
        return pl.String(), None
    if plain in ("bytes", "fixed"):
        return pl.String(), bytes.hex
    return pl.String(), _as_text


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value, enc_hook=str).decode()


@contextmanager
def _damaged(source: Source, file: DataFile) -> Iterator[None]:
    """Around fastavro, which raises whatever its parts raise for bytes that are no Avro."""
    with reading(source.name, file):
        try:
            yield
        except (HeadraceError, OSError, EOFError, GeneratorExit):
            raise
        except Exception as error:
            raise not_whole(source, file, "Avro file", error) from None
