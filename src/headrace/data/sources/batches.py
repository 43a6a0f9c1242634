"""Rows that come in batches from a reader of our own, written in order to one Parquet file; memory holds a few."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace.data.blocks import row_count, sink
from headrace.data.files import DataFile
from headrace.data.sources import Copied
from headrace.data.sources.columns import text_of
from headrace.data.sources.malformed import MalformedRows
from headrace.language.row_decimals import decimal_to_text, float_exactly
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

NATIVE = (Type.INTEGER, Type.FLOAT, Type.BOOLEAN)
"""The types in which Python values are held; all else is text until `check` casts it."""
_LEAST, _BEYOND = -(2**63), 2**63

Reader: TypeAlias = "Callable[[DataFile, Mapping[str, Type], MalformedRows], Iterator[pl.DataFrame]]"
"""Reads one file: frames of the columns held, each in its type. It counts its rows, and adds those that are none."""


class MisfitError(Exception):
    """A value that is not of the type in which its column is held."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def sink_batches(batches: Iterator[pl.DataFrame], schema: Mapping[str, pl.DataType], target: Path) -> None:
    """Write frames of one schema, in order. What `batches` raises comes out as it was raised.

    Polars would raise it again as `type(error)(str(error))`, which errors with facts of their own do not survive."""
    from polars.io.plugins import register_io_source

    failures: list[BaseException] = []

    def frames(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,  # noqa: ARG001 - a sink filters nothing
        n_rows: int | None,  # noqa: ARG001
        batch_size: int | None,  # noqa: ARG001
    ) -> Iterator[pl.DataFrame]:
        try:
            for frame in batches:
                yield frame if with_columns is None else frame.select(with_columns)
        except Exception as error:
            failures.append(error)
            raise RuntimeError("see failures") from error

    try:
        sink(register_io_source(frames, schema=dict(schema)), target)
    except Exception:
        if failures:
            raise failures[0] from None
        raise


def copy_batches(
    files: Sequence[DataFile], types: Mapping[str, Type], read: Reader, target: Path, workdir: Path
) -> Copied:
    """Write all rows of all files; a column of `types` with a misfit becomes text, and all is read again."""
    from headrace.language.values import dtype

    held = {name: type_ if type_ in (*NATIVE, Type.DECIMAL) else Type.STRING for name, type_ in types.items()}
    while True:
        with MalformedRows(workdir / "malformed") as malformed:
            schema = {name: dtype(type_ if type_ in NATIVE else Type.STRING) for name, type_ in held.items()}
            try:
                sink_batches(_of_all(files, held, read, malformed), schema, target)
            except MisfitError as misfit:
                held[misfit.column] = Type.STRING
                continue
            return Copied(
                columns=tuple(held),
                rows=row_count(target),
                files=malformed.files,
                malformed=malformed.finish(),
                malformed_rows=malformed.count,
            )


def _of_all(
    files: Sequence[DataFile], held: Mapping[str, Type], read: Reader, malformed: MalformedRows
) -> Iterator[pl.DataFrame]:
    for file in files:
        malformed.begin(file.name)
        yield from read(file, held, malformed)


def frame_of(columns: Mapping[str, Sequence[Any]], held: Mapping[str, Type]) -> pl.DataFrame:
    """Python values as columns of the types held; decimals as the text of them.

    Raises
    ------
    MisfitError : for the first column with a value that is not of its type.
    """
    import polars as pl

    return pl.DataFrame([_series(name, columns[name], type_) for name, type_ in held.items()])


def _series(name: str, values: Sequence[Any], held: Type) -> pl.Series:
    import polars as pl

    from headrace.language.values import dtype

    if held is Type.STRING:
        return pl.Series(name, [text_of(value) for value in values], dtype=pl.String)
    if held is Type.DECIMAL:
        return pl.Series(name, [_exact_text(value) for value in values], dtype=pl.String)
    if not _is_of(values, held):
        raise MisfitError(name)
    return pl.Series(name, values, dtype=dtype(held), strict=True)


def _exact_text(value: Any) -> str | None:
    """A value as text; a float that may stand for another decimal with all the digits that it has, which do not fit."""
    if not isinstance(value, float) or not math.isfinite(value):
        return text_of(value)
    exact = float_exactly(value)
    return format(Decimal(value), "f") if exact is None else decimal_to_text(exact)


def _is_of(values: Sequence[Any], held: Type) -> bool:
    kinds = set(map(type, values)) - {type(None)}
    if held is Type.BOOLEAN:
        return kinds <= {bool}
    if held is Type.FLOAT:
        return kinds <= {int, float}
    return kinds <= {int} and all(value is None or _LEAST <= value < _BEYOND for value in values)
