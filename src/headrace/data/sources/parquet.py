"""Parquet files, one or many, on this machine, in S3 (scanned there, never fetched whole) or on a web server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.errors import SourceUnreadable
from headrace.data.files import DataFile, fetch, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.parquet_footer import NoFooterError, group_rows
from headrace.data.sources.typed import TypedFiles, open_typed
from headrace.definition.model import Source
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

state = files_state
_SUSPECT_RATIO = 100
"""A file whose rows take this many times its size is looked at: tables stay below."""
_SHARE_OF_MEMORY = 8
"""Of a row group Polars holds every column, and of several groups at a time: 200,000,000 integers in three groups took
1.6 GB. One may take this part of the machine's memory."""


def largest_group() -> int:
    """Bytes that one row group may take in memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _SHARE_OF_MEMORY


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of every file, in the file's own types."""
    yield from _opened(source, place, workdir).samples(rows)


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
    """Write every row to `target`; see `headrace.data.sources.Adapter`. A column whose files disagree becomes text."""
    opened = _opened(source, place, workdir)
    for file, count in zip(opened.files, opened.rows, strict=True):
        _refuse_bomb(source, file, count, opened.held)
    return opened.copy(target, types)


def _opened(source: Source, place: Place, workdir: Path) -> TypedFiles:
    files = fetch(source, find(source, place), place, workdir, is_s3_scanned=True)
    return open_typed(source, "Parquet file", files, partial(_scan, source, place=place))


def _refuse_bomb(source: Source, file: DataFile, rows: int, held: Mapping[str, pl.DataType]) -> None:
    """Refuse a file of this machine with a row group that memory does not hold."""
    width = sum(_width(type_) for type_ in held.values())
    if file.url is not None or rows * width <= max(largest_group(), file.size * _SUSPECT_RATIO):
        return
    try:
        with reading(source.name, file):
            largest = max(group_rows(file.path), default=0)
    except NoFooterError:
        return  # Polars, which has read it, says what it is
    if largest * width > largest_group():
        raise SourceUnreadable(
            source.name,
            file.name,
            f"a row group of {largest:,} rows takes {largest * width:,} bytes in memory, of a file of {file.size:,} "
            f"bytes; {largest_group():,} are allowed on this machine",
            fix="write it again with smaller row groups (131,072 rows are usual), or run on a machine with more memory",
        )


def _width(type_: pl.DataType) -> int:
    """Bytes of a value in memory; of a text those of its view, as equal texts share their letters."""
    import polars as pl

    return 16 if type_ == pl.String else 1 if type_ in (pl.Boolean, pl.Null) else 8


def _scan(source: Source, file: DataFile, place: Place) -> pl.LazyFrame:
    import polars as pl

    if file.url is None:
        return pl.scan_parquet(file.path, glob=False)
    from headrace.data.s3 import storage_options

    return pl.scan_parquet(file.url, glob=False, storage_options=storage_options(source.name, file.url, place.env))
