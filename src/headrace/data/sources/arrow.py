"""Arrow IPC files (Feather too): the file form is scanned column by column, the stream form is read whole.

Polars maps a file that it scans into memory, so that one which is cut meanwhile ends the process (SIGBUS): it is given
a copy where nobody else writes.

Only the file form has a footer that says where its batches are. A stream may be as large as `LARGEST_STREAM`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.blocks import row_count, sink, writing
from headrace.data.compression import chunks
from headrace.data.errors import SourceUnreadable
from headrace.data.files import DataFile, fetch, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.columns import as_held, held_types, warnings_of
from headrace.data.sources.failures import polars_reading
from headrace.definition.model import Source
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

state = files_state
LARGEST_STREAM = 1 << 30
"""Bytes of a file in the stream form."""
_FILE_MARK = b"ARROW1"
_KIND = "Arrow file"


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of every file, in the file's own types."""
    files = _copies(source, find(source, place), place, workdir)
    scans, held, _ = _scans(source, files)
    for file, scan in zip(files, scans, strict=True):
        with polars_reading(source, file, _KIND):
            yield Sample(file.name, scan.select(as_held(scan.collect_schema(), held)).head(rows).collect())


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:  # noqa: ARG001
    """Write every row to `target`; see `headrace.data.sources.Adapter`. A column whose files disagree becomes text."""
    import polars as pl

    files = _copies(source, find(source, place), place, workdir)
    scans, held, left_out = _scans(source, files)
    rows = []
    for file, scan in zip(files, scans, strict=True):
        with polars_reading(source, file, _KIND):
            rows.append(int(scan.select(pl.len()).collect().item()))
    with polars_reading(source, files[0], _KIND):
        sink(pl.concat([scan.select(as_held(scan.collect_schema(), held)) for scan in scans]), target)
    return Copied(
        columns=tuple(held),
        rows=row_count(target),
        files=tuple((file.name, count) for file, count in zip(files, rows, strict=True)),
        warnings=warnings_of(left_out),
    )


def _copies(source: Source, found: Sequence[DataFile], place: Place, workdir: Path) -> list[DataFile]:
    """The files, each where nobody else writes."""
    copies = []
    for n, (file, fetched) in enumerate(zip(found, fetch(source.name, list(found), place, workdir), strict=True)):
        path = fetched.path
        if path == file.path:
            path = workdir / f"copy-{n:06d}.arrow"
            with reading(source.name, file), writing(path), path.open("wb") as out:
                out.writelines(chunks(file.path))
        copies.append(replace(fetched, path=path))
    return copies


def _scans(
    source: Source, files: Sequence[DataFile]
) -> tuple[list[pl.LazyFrame], dict[str, pl.DataType], dict[str, pl.DataType]]:
    """A scan of each file, the type to hold each column in, and the columns that are left out."""
    scans, schemas = [], []
    for file in files:
        with polars_reading(source, file, _KIND):
            scans.append(_scan(source, file))
            schemas.append(scans[-1].collect_schema())
    held, left_out = held_types(source.name, [(file.name, schema) for file, schema in zip(files, schemas, strict=True)])
    return scans, held, left_out


def _scan(source: Source, file: DataFile) -> pl.LazyFrame:
    import polars as pl

    with file.path.open("rb") as stream:
        is_file_form = stream.read(len(_FILE_MARK)) == _FILE_MARK
        size = stream.seek(0, 2)
    if is_file_form:
        return pl.scan_ipc(file.path, glob=False)
    if size > LARGEST_STREAM:
        raise SourceUnreadable(
            source.name,
            file.name,
            f"it is in Arrow's stream form, which is read in one piece of at most {LARGEST_STREAM:,} bytes",
            fix="write it in the file form (Feather), or as Parquet",
        )
    return pl.read_ipc_stream(file.path).lazy()
