"""Fixed-width files: a line a row, each column at its characters; plain or compressed, one or many.

Blanks around a cell are no part of it. A line that ends before its last column begins, or goes on behind it, is no row:
a file that was cut, or whose columns lie elsewhere, is seen and not guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.files import DataFile, fetch, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.batches import copy_batches
from headrace.data.sources.columns import same_columns
from headrace.data.sources.malformed import MalformedRows
from headrace.data.text import check_encoding, first_lines, is_too_long, lines
from headrace.definition.model import Source
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

state = files_state
_BATCH = 20_000
_BATCH_BYTES = 1 << 24


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of every file, all text."""
    import polars as pl

    for file in fetch(source, find(source, place), place, workdir):
        check_encoding(source.name, file)
        with reading(source.name, file):
            taken = islice(first_lines(file.path), source.skip, source.skip + rows)
            found = [_row(source, line) for line in taken if not line.isspace()]
            texts = [text for text, reason in found if not reason]
        yield Sample(file.name, _cells(source, pl.Series("line", texts, dtype=pl.String)))


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:  # noqa: ARG001
    """Write every row to `target`, all text; see `headrace.data.sources.Adapter`."""
    files = fetch(source, find(source, place), place, workdir)
    names = [field.name for field in source.fields]
    same_columns(source.name, [("fields", names)])
    for file in files:
        check_encoding(source.name, file)
    return copy_batches(files, dict.fromkeys(names, Type.STRING), partial(_read, source), target, workdir)


def _read(source: Source, file: DataFile, held: Mapping[str, Type], malformed: MalformedRows) -> Iterator[pl.DataFrame]:  # noqa: ARG001
    with reading(source.name, file):
        for number, batch in _batches(islice(lines(file.path), source.skip, None), source.skip + 1):
            yield _cells(source, _rows(source, number, batch, malformed))


def _batches(found: Iterator[bytes], number: int) -> Iterator[tuple[int, list[bytes]]]:
    """Lines, some at a time, with the number of the first."""
    batch: list[bytes] = []
    size = 0
    for line in found:
        batch.append(line)
        size += len(line)
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            yield number, batch
            number += len(batch)
            batch, size = [], 0
    if batch:
        yield number, batch


def _rows(source: Source, number: int, batch: Sequence[bytes], malformed: MalformedRows) -> pl.Series:
    """The lines that are rows; what is none is set aside. Blank lines are no rows and nothing is said of them."""
    import polars as pl

    texts = []
    for n, line in enumerate(batch, start=number):
        if line.isspace():
            continue
        text, reason = _row(source, line)
        if reason:
            malformed.add(n, reason, line)
        else:
            malformed.row()
            texts.append(text)
    return pl.Series("line", texts, dtype=pl.String)


def _row(source: Source, line: bytes) -> tuple[str, str | None]:
    """A line's text, and why it is no row."""
    if is_too_long(line):
        return "", "too_long"
    try:
        text = line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        return "", "not_utf8"
    last = source.fields[-1]
    end = last.start + last.width
    if len(text) <= last.start:
        return "", "too_short"
    return text, "too_long" if len(text) > end and not text[end:].isspace() else None


def _cells(source: Source, texts: pl.Series) -> pl.DataFrame:
    import polars as pl

    cells = []
    for field in source.fields:
        cell = pl.col("line").str.slice(field.start, field.width).str.strip_chars(" \t")
        cells.append(pl.when(~cell.is_in(list(source.missing))).then(cell).alias(field.name))
    return texts.alias("line").to_frame().select(cells)
