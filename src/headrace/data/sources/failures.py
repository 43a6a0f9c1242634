"""What a format's library raises for bytes that it does not take, as one error of ours that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headrace.data.errors import SourceUnreadable
from headrace.data.files import DataFile, reading
from headrace.definition.model import Source


@contextmanager
def polars_reading(source: Source, file: DataFile, kind: str) -> Iterator[None]:
    """Around what Polars does with a file: its errors, and its panics, become `SourceUnreadable`.

    `kind` is what the file should be, as `Parquet file`."""
    import polars as pl

    with reading(source.name, file):
        try:
            yield
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeDecodeError) as error:
            raise not_whole(source, file, kind, error) from None


def not_whole(source: Source, file: DataFile, kind: str, error: BaseException) -> SourceUnreadable:
    """The error for a file that is damaged."""
    said = str(error).partition("\n")[0] or type(error).__name__
    return SourceUnreadable(source.name, file.name, f"it is no whole {kind} ({said})")
