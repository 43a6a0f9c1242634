"""Adapters of sources: one file a format, each with the three functions of `Adapter`.

To add a format, write `sources/NAME.py` with `state`, `sample` and `copy`, and one line in `FORMATS`. Registered as
strings, so that a format's library is imported only when a source of that format is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from headrace.data.model import SourceState
from headrace.definition.model import Source
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

FORMATS: dict[str, str] = {
    "arrow": "headrace.data.sources.arrow",
    "avro": "headrace.data.sources.avro",
    "csv": "headrace.data.sources.csv",
    "delta": "headrace.data.sources.delta",
    "excel": "headrace.data.sources.excel",
    "fixed": "headrace.data.sources.fixed",
    "iceberg": "headrace.data.sources.iceberg",
    "json": "headrace.data.sources.json",
    "mysql": "headrace.data.sources.mysql",
    "ndjson": "headrace.data.sources.ndjson",
    "parquet": "headrace.data.sources.parquet",
    "postgresql": "headrace.data.sources.postgresql",
    "sqlite": "headrace.data.sources.sqlite",
    "tsv": "headrace.data.sources.csv",
}

MALFORMED_COLUMNS = ("row", "file", "line", "reason", "text")
"""Columns of the Parquet file of malformed rows: row in the source and line in the file (from 1), reason, raw text."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a source's address is resolved against."""

    root: Path
    """The definition's folder."""
    env: Mapping[str, str]
    only: frozenset[str] | None = None
    """Names of the files to read of those that are there; None: all."""
    may_match_none: bool = False
    """Whether a pattern may name no file: those that it named may have been read and taken away."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The first rows of one file (or of the query), as text or as the format types them."""

    name: str
    frame: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Copied:
    """What `copy` wrote beside the Parquet file of the rows."""

    columns: tuple[str, ...]
    rows: int
    files: tuple[tuple[str, int], ...]
    """(file as the user would name it, rows including malformed ones)."""
    malformed: Path | None = None
    malformed_rows: int = 0
    warnings: tuple[str, ...] = ()


class Adapter(Protocol):
    """A format's three verbs."""

    def state(self, source: Source, place: Place) -> SourceState:
        """What the source looks like from outside; reads no data."""
        ...

    def sample(self, source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
        """The first `rows` rows of every file."""
        ...

    def copy(self, source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
        """Write every row, in the source's order, to the Parquet file `target`.

        `types` are by name as read. A column whose every value is of its type may be written in that type; a column
        with misfits is written as text, so that nothing is lost and `check` can quarantine the rows. What is no row at
        all goes to a second file (`MALFORMED_COLUMNS`)."""
        ...


def adapter(format_: str) -> Adapter:
    """The adapter of a format."""
    return cast("Adapter", importlib.import_module(FORMATS[format_]))
