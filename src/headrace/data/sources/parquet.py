"""Parquet files, one or many, on this machine or in an object store (scanned there, never fetched whole)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.blocks import row_count, sink
from headrace.data.errors import SourceUnreadable
from headrace.data.files import DataFile, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.columns import same_columns
from headrace.definition.model import Source
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

state = files_state


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:  # noqa: ARG001 - the port's form
    """The first rows of every file, in the file's own types."""
    files = find(source, place)
    scans, held, _ = _scans(source, files, place)
    for file, scan in zip(files, scans, strict=True):
        with _reading(source, file):
            yield Sample(file.name, scan.select(_as(scan, held)).head(rows).collect())


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:  # noqa: ARG001
    """Write every row to `target`; see `headrace.data.sources.Adapter`. A column whose files disagree becomes text."""
    import polars as pl

    files = find(source, place)
    scans, held, left_out = _scans(source, files, place)
    rows = []
    for file, scan in zip(files, scans, strict=True):
        with _reading(source, file):
            rows.append(int(scan.select(pl.len()).collect().item()))
    with _reading(source, files[0]):
        sink(pl.concat([scan.select(_as(scan, held)) for scan in scans]), target)
    return Copied(
        columns=tuple(held),
        rows=row_count(target),
        files=tuple((file.name, count) for file, count in zip(files, rows, strict=True)),
        warnings=tuple(f"column {name!r} is left out: Headrace reads no {type_}" for name, type_ in left_out.items()),
    )


def _scans(
    source: Source, files: Sequence[DataFile], place: Place
) -> tuple[list[pl.LazyFrame], dict[str, pl.DataType], dict[str, pl.DataType]]:
    """A scan of each file, the type to hold each column in, and the columns that are left out."""
    scans, schemas = [], []
    for file in files:
        with _reading(source, file):
            scans.append(_scan(file, place))
            schemas.append(scans[-1].collect_schema())
    same_columns(source.name, [(file.name, schema.names()) for file, schema in zip(files, schemas, strict=True)])
    held, left_out = {}, {}
    for name in schemas[0]:
        type_ = _held([schema[name] for schema in schemas])
        if type_ is None:
            left_out[name] = schemas[0][name]
        else:
            held[name] = type_
    return scans, held, left_out


def _held(types: Sequence[pl.DataType]) -> pl.DataType | None:
    """One type for a column of several files: their own if they agree, a number's wider one, else text."""
    import polars as pl

    from headrace.data.cast import plain

    found = [plain(type_) for type_ in types]
    if any(type_ is None for type_ in found):
        return None
    different = {type_ for type_ in found if type_ is not None and type_ != pl.Null}
    if len(different) <= 1:
        return next(iter(different), pl.Null())
    return pl.Float64() if different == {pl.Int64(), pl.Float64()} else pl.String()


def _as(scan: pl.LazyFrame, held: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """The file's columns in the types they are held in."""
    import polars as pl

    from headrace.data.cast import as_text

    schema = scan.collect_schema()
    return [
        as_text(name, schema[name]) if type_ == pl.String else pl.col(name).cast(type_) for name, type_ in held.items()
    ]


def _scan(file: DataFile, place: Place) -> pl.LazyFrame:
    import polars as pl

    if file.url is None:
        return pl.scan_parquet(file.path, glob=False)
    from headrace.data.s3 import storage_options

    return pl.scan_parquet(file.url, glob=False, storage_options=storage_options(file.url, place.env))


@contextmanager
def _reading(source: Source, file: DataFile) -> Iterator[None]:
    import polars as pl

    with reading(source.name, file):
        try:
            yield
        except pl.exceptions.ComputeError as error:
            raise SourceUnreadable(
                source.name, file.name, f"it is no whole Parquet file ({_first_line(error)})"
            ) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
