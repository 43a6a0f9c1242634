"""CSV and TSV files: plain or compressed, one or many.

The fast path hands the whole text to Polars with the locked types. It is strict: a value that is not of its type, a
record with too many fields or bytes that are not UTF-8 make it fail, and a count of separators finds the records with
too few. Then the plain path reads the files again record by record, sets aside what is no record, and lets columns with
misfits be text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.blocks import row_count, sink
from headrace.data.compression import chunks
from headrace.data.errors import SourceEmpty, SourceUnreadable
from headrace.data.files import DataFile, fetch, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.columns import same_columns
from headrace.data.sources.csv_records import Dialect, HeaderError, Record, header_of, records
from headrace.data.sources.csv_records import is_rectangular as no_short_records
from headrace.data.sources.malformed import MalformedRows
from headrace.data.text import check_encoding, first_lines, has_long_line, last_line, lines, unpack
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.language.values import dtype

if TYPE_CHECKING:
    import polars as pl

state = files_state
_HEADER_LINES = 1_000
"""Lines beside the rows asked for that a sample has: the header and blank lines before it."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """One file as it is to be scanned."""

    file: DataFile
    path: Path
    header: tuple[str, ...]
    skip_lines: int


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of every file, all text."""
    files = fetch(source, find(source, place), place, workdir)
    for layout in _layouts(source, unpack(source.name, files, workdir, rows + _HEADER_LINES)):
        yield Sample(layout.file.name, _first_rows(source, layout, rows))


def _first_rows(source: Source, layout: _Layout, rows: int) -> pl.DataFrame:
    import polars as pl

    texts = dict.fromkeys(layout.header, Type.STRING)
    try:
        with reading(source.name, layout.file):
            if has_long_line(layout.path):
                return _first_records(source, layout, rows)
            return _scan(source, layout, texts).head(rows).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return _first_records(source, layout, rows)


def _first_records(source: Source, layout: _Layout, rows: int) -> pl.DataFrame:
    """The same, record by record."""
    import polars as pl

    kept = (record.data for record in islice(_data_records(source, layout), rows) if record.reason is None)
    data = b"".join(record.removesuffix(b"\n") + b"\n" for record in kept)
    schema = {name: pl.String() for name in layout.header}
    if not data:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(
        data, has_header=False, schema=schema, separator=_separator(source), null_values=list(source.missing)
    )


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
    """Write every row to `target`; see `headrace.data.sources.Adapter`."""
    import polars as pl

    layouts = _layouts(source, unpack(source.name, fetch(source, find(source, place), place, workdir), workdir))
    physical = {name: _physical(types.get(name)) for name in layouts[0].header}
    if any(_has_long_line(source, layout) for layout in layouts):
        return copy_plainly(source, layouts, physical, target, workdir)
    try:
        rows = _sink_all(source, layouts, physical, target)
        is_whole = _are_whole(source, layouts, target)
    except (
        OSError,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
    ):  # which file and why, the plain path finds out
        rows, is_whole = 0, False
    if not is_whole:
        return copy_plainly(source, layouts, physical, target, workdir)
    counts = [rows] if len(layouts) == 1 else [_count(source, layout, physical) for layout in layouts]
    return Copied(
        columns=layouts[0].header,
        rows=rows,
        files=tuple((layout.file.name, count) for layout, count in zip(layouts, counts, strict=True)),
    )


def _physical(type_: Type | None) -> Type:
    """What a column is read as at once: numbers; everything else is text until `check` casts it."""
    return type_ if type_ in (Type.INTEGER, Type.FLOAT) else Type.STRING


def copy_plainly(
    source: Source, layouts: Sequence[_Layout], physical: Mapping[str, Type], target: Path, workdir: Path
) -> Copied:
    """The same, record by record; what is no record is set aside."""
    with MalformedRows(workdir / "malformed") as malformed:
        clean = [_clean(source, layout, malformed, workdir / f"clean-{n:06d}.csv") for n, layout in enumerate(layouts)]
        misfits = _misfits(source, clean, physical)
        rows = _sink_all(source, clean, {**physical, **dict.fromkeys(misfits, Type.STRING)}, target)
        for layout in clean:
            layout.path.unlink()
        return Copied(
            columns=layouts[0].header,
            rows=rows,
            files=malformed.files,
            malformed=malformed.finish(),
            malformed_rows=malformed.count,
        )


def _clean(source: Source, layout: _Layout, malformed: MalformedRows, target: Path) -> _Layout:
    """A copy of one file without its header and without what is no row."""
    malformed.begin(layout.file.name)
    with reading(source.name, layout.file), target.open("wb") as out:
        for record in _data_records(source, layout):
            if record.reason is None:
                malformed.row()
                out.write(record.data if record.data.endswith(b"\n") else record.data + b"\n")
            else:
                malformed.add(record.line, record.reason, record.data)
    return _Layout(layout.file, target, layout.header, 0)


def _misfits(source: Source, layouts: Sequence[_Layout], physical: Mapping[str, Type]) -> list[str]:
    """Columns with a value that the CSV reader does not take for its type; it allows blanks before a number only."""
    import polars as pl

    numbers = {name: type_ for name, type_ in physical.items() if type_ is not Type.STRING}
    texts = dict.fromkeys(physical, Type.STRING)
    scans = [_scan(source, layout, texts).select(list(numbers)) for layout in layouts if layout.path.stat().st_size]
    if not numbers or not scans:
        return []
    flags = []
    for name, type_ in numbers.items():
        text = pl.col(name).str.strip_chars_start(" \t")
        flags.append(((text != "") & text.cast(dtype(type_), strict=False).is_null()).any())
    found = pl.concat(scans).select(flags).collect().row(0, named=True)
    return [name for name, is_misfit in found.items() if is_misfit]


def _has_long_line(source: Source, layout: _Layout) -> bool:
    """Whether a line is too long for the fast path, which would hold it several times over in memory."""
    with reading(source.name, layout.file):
        return has_long_line(layout.path)


def _layouts(source: Source, files: Sequence[DataFile]) -> list[_Layout]:
    layouts = []
    for file in files:
        check_encoding(source.name, file)
        with reading(source.name, file):
            header, skip = _header(source, file)
        layouts.append(_Layout(file, file.path, header, skip))
    same_columns(source.name, [(layout.file.name, layout.header) for layout in layouts])
    return layouts


def _header(source: Source, file: DataFile) -> tuple[tuple[str, ...], int]:
    """The column names, and how many lines they and the blank lines before them take."""
    try:
        found = header_of(first_lines(file.path), _separator(source).encode())
    except HeaderError as error:
        raise SourceUnreadable(source.name, file.name, str(error)) from None
    if found is None:
        raise SourceEmpty(source.name, file.name, found="no header line")
    return found


def _data_records(source: Source, layout: _Layout) -> Iterator[Record]:
    """The records after the header."""
    dialect = Dialect(_separator(source).encode(), len(layout.header))
    return records(islice(lines(layout.path), layout.skip_lines, None), dialect, layout.skip_lines + 1)


def _are_whole(source: Source, layouts: Sequence[_Layout], target: Path) -> bool:
    """Whether no record was short or cut at a file's end, which Polars lets pass.

    It fills short records up with nulls, so the last column has some; a cut one has a quote in the file's last line."""
    import polars as pl

    last = sorted({layout.header[-1] for layout in layouts})
    nulls = pl.scan_parquet(target).select(pl.col(last).null_count()).collect().row(0, named=True)
    suspects = [layout for layout in layouts if nulls[layout.header[-1]] or b'"' in last_line(layout.path)]
    separator = _separator(source).encode()
    return all(no_short_records(chunks(one.path), Dialect(separator, len(one.header))) for one in suspects)


def _sink_all(source: Source, layouts: Sequence[_Layout], physical: Mapping[str, Type], target: Path) -> int:
    """Write the rows of all files; the number of rows."""
    import polars as pl

    columns = list(physical)
    scans = [_scan(source, layout, physical).select(columns) for layout in layouts if layout.path.stat().st_size]
    sink(pl.concat(scans) if scans else pl.LazyFrame(schema={name: dtype(physical[name]) for name in columns}), target)
    return row_count(target)


def _separator(source: Source) -> str:
    return source.separator or ("\t" if source.format == "tsv" else ",")


def _count(source: Source, layout: _Layout, physical: Mapping[str, Type]) -> int:
    import polars as pl

    return int(_scan(source, layout, physical).select(pl.len()).collect().item())


def _scan(source: Source, layout: _Layout, physical: Mapping[str, Type]) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_csv(
        layout.path,
        has_header=False,
        skip_lines=layout.skip_lines,
        schema={name: dtype(physical[name]) for name in layout.header},
        separator=_separator(source),
        null_values=list(source.missing),
        glob=False,
    )
