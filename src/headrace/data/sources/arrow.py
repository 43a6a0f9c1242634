"""Arrow IPC files (Feather too): the file form is scanned column by column, the stream form is read whole.

Polars maps a file that it scans into memory, so that one which is cut meanwhile ends the process (SIGBUS): it is given
a copy where nobody else writes.

Only the file form has a footer that says where its batches are. A stream may be as large as `LARGEST_STREAM`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.blocks import writing
from headrace.data.compression import chunks
from headrace.data.errors import SourceUnreadable
from headrace.data.files import DataFile, fetch, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.typed import TypedFiles, open_typed
from headrace.definition.model import Source
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

state = files_state
LARGEST_STREAM = 1 << 30
"""Bytes of a file in the stream form."""
_FILE_MARK = b"ARROW1"


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of every file, in the file's own types."""
    yield from _opened(source, place, workdir).samples(rows)


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
    """Write every row to `target`; see `headrace.data.sources.Adapter`. A column whose files disagree becomes text."""
    return _opened(source, place, workdir).copy(target, types)


def _opened(source: Source, place: Place, workdir: Path) -> TypedFiles:
    files = _copies(source, find(source, place), place, workdir)
    return open_typed(source, "Arrow file", files, partial(_scan, source))


def _copies(source: Source, found: Sequence[DataFile], place: Place, workdir: Path) -> list[DataFile]:
    """The files, each where nobody else writes."""
    copies = []
    for n, (file, fetched) in enumerate(zip(found, fetch(source, found, place, workdir), strict=True)):
        path = fetched.path
        if path == file.path:
            path = workdir / f"copy-{n:06d}.arrow"
            with reading(source.name, file), writing(path), path.open("wb") as out:
                out.writelines(chunks(file.path))
        copies.append(replace(fetched, path=path))
    return copies


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
