"""Which sources the files that `init` was given are: one each, or one of several that are numbered or dated parts."""

from __future__ import annotations

import glob
import re
import sqlite3
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from headrace.data.errors import SourceUnreadable
from headrace.data.first.errors import KINDS, NoData, NoSuchFile
from headrace.data.sources import Place, adapter
from headrace.definition.locations import ENDINGS, format_of
from headrace.definition.model import Source, SourceFormat


@dataclass(frozen=True, slots=True)
class Files:
    """Files that are one source."""

    name: str
    read: tuple[str, ...]
    """As the definition writes it: relative when below its folder, else a file:// address."""
    format: SourceFormat
    table: str | None = None
    """Of a SQLite file."""
    columns: tuple[str, ...] = ()
    """Of the table."""

    def query(self, without: Collection[str] = ()) -> str | None:
        """What reads the table but for some of its columns; None of other files."""
        if self.table is None:
            return None
        return query_of(self.table, [name for name in self.columns if name not in without])


def sources_in(folder: Path, data: Sequence[Path], env: Mapping[str, str]) -> list[Files]:
    """The sources in the order of their first files.

    Files of one folder whose names differ in digits alone (`2013-01.csv`, `2013-02.csv`) and which have the same
    columns are parts of one source. A folder stands for the data files in it.
    """
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in dict.fromkeys(one for given in data for one in _files_of(given)):
        whole = path.resolve()
        groups.setdefault((whole.parent, re.sub(r"[0-9]+", "0", whole.name)), []).append(path)
    found: list[Files] = []
    for parts in groups.values():
        if _format(parts[0]) == "sqlite":
            found += [table for path in parts for table in _tables(path, folder)]
        elif len(parts) > 1 and _have_same_columns(folder, parts, env):
            found.append(_as_one(folder, parts))
        else:
            found += [Files(_stem(path), (_written(path, folder),), _format(path)) for path in parts]
    return found


def _tables(path: Path, folder: Path) -> list[Files]:
    """A source for each table of a SQLite file."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c "
                "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.rowid, c.cid"
            ).fetchall()
    except sqlite3.DatabaseError as error:
        raise SourceUnreadable(_stem(path), path.name, str(error)) from None
    columns: dict[str, list[str]] = {}
    for table, column in rows:
        columns.setdefault(table, []).append(column)
    if not columns:
        raise NoData(f"{path.name} without a table")
    read = (_written(path, folder),)
    return [Files(name, read, "sqlite", name, tuple(names)) for name, names in columns.items()]


def query_of(table: str, columns: Sequence[str]) -> str:
    """The query that reads these columns of a table.

    >>> query_of("orders", ["id", "placed at"])
    'SELECT "id", "placed at" FROM "orders"'
    """
    return f"SELECT {', '.join(map(_quoted, columns))} FROM {_quoted(table)}"  # noqa: S608 - all names are quoted


def _quoted(name: str) -> str:
    """Quoted, so that a name that is a word of SQL is none."""
    return '"' + name.replace('"', '""') + '"'


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        inside = [one for one in sorted(path.iterdir()) if one.is_file() and one.name.lower().endswith(KINDS)]
        if not inside:
            raise NoData(f"the folder {path.name}, which holds none of them")
        return inside
    if not path.exists():
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - it may be absolute
        if not found:
            _format(path)
            raise NoSuchFile(path)
        return [Path(one) for one in found]
    _format(path)
    return [path]


def _format(path: Path) -> SourceFormat:
    found = format_of(path.name)
    if found is None:
        raise NoData(path.name)
    return found


def _have_same_columns(folder: Path, parts: Sequence[Path], env: Mapping[str, str]) -> bool:
    columns = []
    for path in parts:
        source = Source(name=_stem(path), read=(_written(path, folder),), format=_format(path))
        with tempfile.TemporaryDirectory(prefix="headrace-init-") as work:
            samples = adapter(source.format).sample(source, Place(folder, env), 1, Path(work))
            columns.append({name for sample in samples for name in sample.frame.columns})
    return all(one == columns[0] for one in columns)


def _as_one(folder: Path, parts: Sequence[Path]) -> Files:
    """Their pattern when it matches no other file, else their list."""
    parent = parts[0].resolve().parent
    name = re.sub(r"[0-9]+", " ", _stem(parts[0])).strip(" -_.") or parent.name
    pattern = re.sub(r"[0-9]+", "*", glob.escape(parts[0].name))
    pattern = re.sub(r"\*(?:[-_.]\*)+(?=\.|$)", "*", pattern)
    is_whole = {*parent.glob(pattern)} == {path.resolve() for path in parts}
    place = glob.escape(_relative(parent, folder))
    whole = pattern if place == "." else f"{place}/{pattern}"
    read = (whole,) if is_whole else tuple(_written(path, folder) for path in parts)
    return Files(name, read, _format(parts[0]))


def _stem(path: Path) -> str:
    ending = max((one for one in ENDINGS if path.name.lower().endswith(one)), key=len, default="")
    return path.name[: len(path.name) - len(ending)]


def _relative(path: Path, folder: Path) -> str:
    whole = path.resolve()
    base = folder.resolve()
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else f"file://{whole}"


def _written(path: Path, folder: Path) -> str:
    """An address that matches this file alone."""
    address = _relative(path, folder)
    return glob.escape(address) if "://" not in address else address
