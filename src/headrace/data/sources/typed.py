"""Files that know the types of their columns and that Polars scans: Parquet, Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.blocks import row_count, sink
from headrace.data.files import DataFile
from headrace.data.sources import Copied, Sample
from headrace.data.sources.columns import as_held, held_types, warnings_of
from headrace.data.sources.failures import polars_reading
from headrace.definition.model import Source
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class TypedFiles:
    """The files of one source, scanned; a column whose files disagree is text."""

    source: Source
    kind: str
    """What a file should be, for errors: `Parquet file`."""
    files: Sequence[DataFile]
    scans: Sequence[pl.LazyFrame]
    held: Mapping[str, pl.DataType]
    """The type to hold each column in."""
    left_out: Mapping[str, pl.DataType]
    """Columns of types that are not read here."""

    @cached_property
    def rows(self) -> list[int]:
        """Rows of each file."""
        import polars as pl

        found = []
        for file, scan in zip(self.files, self.scans, strict=True):
            with polars_reading(self.source, file, self.kind):
                found.append(int(scan.select(pl.len()).collect().item()))
        return found

    def samples(self, rows: int) -> Iterator[Sample]:
        """The first rows of every file."""
        for file, scan in zip(self.files, self.scans, strict=True):
            with polars_reading(self.source, file, self.kind):
                yield Sample(file.name, scan.select(as_held(scan.collect_schema(), self.held)).head(rows).collect())

    def copy(self, target: Path, types: Mapping[str, Type]) -> Copied:
        """Write all rows, file after file."""
        import polars as pl

        rows = self.rows
        schemas = [(file.name, scan.collect_schema()) for file, scan in zip(self.files, self.scans, strict=True)]
        held, _ = held_types(self.source.name, schemas, types)
        with polars_reading(self.source, self.files[0], self.kind):
            sink(pl.concat([scan.select(as_held(scan.collect_schema(), held)) for scan in self.scans]), target)
        return Copied(
            columns=tuple(self.held),
            rows=row_count(target),
            files=tuple((file.name, count) for file, count in zip(self.files, rows, strict=True)),
            warnings=warnings_of(self.left_out),
        )


def open_typed(
    source: Source, kind: str, files: Sequence[DataFile], scan: Callable[[DataFile], pl.LazyFrame]
) -> TypedFiles:
    """Scan every file and find the types that all share.

    Raises
    ------
    SourceUnreadable, ColumnsDiffer, DuplicateColumn, ReservedColumn
    """
    scans, schemas = [], []
    for file in files:
        with polars_reading(source, file, kind):
            scans.append(scan(file))
            schemas.append(scans[-1].collect_schema())
    held, left_out = held_types(source.name, [(file.name, schema) for file, schema in zip(files, schemas, strict=True)])
    return TypedFiles(source, kind, files, scans, held, left_out)
