"""Excel workbooks (xlsx, xlsb, xls) and OpenDocument sheets: every cell as text, as in CSV, through calamine.

A cell has a type, a column has none: as text nothing is lost when one cell of a column of numbers holds a word, and the
contract's types are held against the text. Dates come as ISO 8601; an error such as #DIV/0! is an empty cell. Rows
without any value are no rows, and columns without a name and any value no columns.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.data.blocks import sink
from headrace.data.errors import SourceEmpty, SourceUnreadable
from headrace.data.files import DataFile, fetch, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.columns import same_columns
from headrace.data.sources.failures import not_whole
from headrace.definition.model import Source
from headrace.errors import HeadraceError, MissingDependency
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

state = files_state
LARGEST_WORKBOOK = 1 << 30
"""Bytes of a workbook once it is unpacked. A sheet has at most 1,048,576 rows."""
LARGEST_SHEET = 1 << 27
"""Cells of the rectangle that the cells of an xlsx sheet span."""
_PLACE = re.compile(rb' r="([A-Z]{0,3})([0-9]{1,7})"')
"""Where a row or a cell says that it is."""
_LONGEST_PLACE = 16
_MIDNIGHT = r"^(\d{4}-\d{2}-\d{2}) 00:00:00$"


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of the sheet of every file, all text."""
    for file in fetch(source, find(source, place), place, workdir):
        yield Sample(file.name, _sheet(source, file).head(rows))


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:  # noqa: ARG001
    """Write every row to `target`, all text; see `headrace.data.sources.Adapter`."""
    import polars as pl

    files = fetch(source, find(source, place), place, workdir)
    sheets = [_sheet(source, file) for file in files]
    same_columns(source.name, [(file.name, sheet.columns) for file, sheet in zip(files, sheets, strict=True)])
    columns = sheets[0].columns
    sink(pl.concat([sheet.select(columns) for sheet in sheets]).lazy(), target)
    return Copied(
        columns=tuple(columns),
        rows=sum(sheet.height for sheet in sheets),
        files=tuple((file.name, sheet.height) for file, sheet in zip(files, sheets, strict=True)),
    )


def _sheet(source: Source, file: DataFile) -> pl.DataFrame:
    """The rows of a file's sheet under the names of its header."""
    import polars as pl

    cells = _cells(source, file)
    if cells.height == 0:
        raise SourceEmpty(source.name, file.name, found="no header row")
    header, rows = cells.row(0), cells.slice(1)
    rows = rows.filter(pl.any_horizontal(pl.all().is_not_null())) if rows.height else rows
    kept = [n for n, name in enumerate(header) if (name or "").strip() or rows.to_series(n).null_count() < rows.height]
    names = [(header[n] or "").strip() or f"column_{n + 1}" for n in kept]
    same_columns(source.name, [(file.name, names)])
    selected = rows.select(pl.nth(n).alias(name) for n, name in zip(kept, names, strict=True))
    missing = list(source.missing)
    return selected.select(pl.when(~pl.all().is_in(missing)).then(pl.all())) if missing else selected


def _cells(source: Source, file: DataFile) -> pl.DataFrame:
    """All cells from the header on, as text."""
    import polars as pl

    try:
        import fastexcel
    except ImportError:
        raise MissingDependency("fastexcel", extra="excel", needed_for=f"source {source.name!r}") from None
    _refuse_bomb(source, file)
    with reading(source.name, file):
        try:
            workbook = fastexcel.read_excel(file.path)
            name = _sheet_name(source, file, workbook.sheet_names)
            sheet = workbook.load_sheet(name, header_row=None, skip_rows=source.skip, dtypes="string")
            cells: pl.DataFrame = sheet.to_polars()
        except (HeadraceError, OSError):
            raise
        except (Exception, pl.exceptions.PanicException) as error:
            raise not_whole(source, file, "workbook", error) from None
    return cells.select(pl.all().cast(pl.String).str.replace(_MIDNIGHT, "$1"))


def _sheet_name(source: Source, file: DataFile, names: Sequence[Any]) -> str:
    if isinstance(source.sheet, str) and source.sheet in names:
        return source.sheet
    number = 1 if source.sheet is None else source.sheet
    if isinstance(number, int) and 1 <= number <= len(names):
        return str(names[number - 1])
    listed = ", ".join(repr(name) for name in names[:10])
    raise SourceUnreadable(
        source.name,
        file.name,
        f"it has no sheet {source.sheet!r}; its sheets are {listed or 'none'}",
        fix=f"correct sheet in [sources.{source.name}] of headrace.toml",
    )


def _refuse_bomb(source: Source, file: DataFile) -> None:
    """xlsx, xlsb and ods are archives, and say how much they unpack to; what they say wrongly fails to unpack."""
    with reading(source.name, file):
        try:
            with zipfile.ZipFile(file.path) as archive:
                size = sum(member.file_size for member in archive.infolist())
                sheets = _sheets(archive) if size <= LARGEST_WORKBOOK else []
                cells = max((_span(archive, name) for name in sheets), default=0)
        except zipfile.BadZipFile:
            return  # an xls, or no workbook at all: calamine says which
        except (zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise not_whole(source, file, "workbook", error) from None
    if size > LARGEST_WORKBOOK:
        raise SourceUnreadable(
            source.name,
            file.name,
            f"it unpacks to {size:,} bytes; {LARGEST_WORKBOOK:,} are the most that a workbook may have",
            fix="export the sheet as CSV or Parquet",
        )
    if cells > LARGEST_SHEET:
        raise SourceUnreadable(
            source.name,
            file.name,
            f"the cells of a sheet span {cells:,}, {LARGEST_SHEET:,} are the most that are read",
            fix="take out what stands far away from the table, or export the sheet as CSV or Parquet",
        )


def _sheets(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]


def _span(archive: zipfile.ZipFile, name: str) -> int:
    """Cells of the rectangle from an xlsx sheet's first to its last cell: calamine holds them all, empty or not."""
    rows: set[int] = set()
    columns: set[int] = set()
    rest = b""
    with archive.open(name) as stream:
        while part := stream.read(1 << 20):
            data = rest + part
            found = _PLACE.findall(data)
            if found:
                numbers = [int(digits) for _, digits in found]
                rows = {min(*rows, *numbers), max(*rows, *numbers)} if rows else {min(numbers), max(numbers)}
                columns |= {_column_number(letters) for letters in {letters for letters, _ in found} if letters}
            rest = data[-_LONGEST_PLACE:]
    return (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1) if rows and columns else 0


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number
