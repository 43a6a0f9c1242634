"""Only what is new of a source is read: which files or rows that is, and their place behind those read before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from headrace.data.blocks import row_count, sink
from headrace.data.errors import FilesRewritten, NoMark
from headrace.data.model import Snapshot, SourceState
from headrace.data.sources import Copied
from headrace.data.sources.columns import as_held, held_types
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.runs.model import StageContext

if TYPE_CHECKING:
    import polars as pl

Parts = tuple[tuple[str, int, str], ...]

BEFORE: Final = "what was read before"
_ORDERED: Final = (Type.INTEGER, Type.DECIMAL, Type.FLOAT, Type.DATE, Type.TIMESTAMP)
_PLAIN: Final = re.compile(r"[0-9][0-9T:. +-]*Z?")
"""A date or an instant as databases write it: nothing that ends a text in SQL."""


def new_files(source: Source, state: SourceState, base: Snapshot) -> Parts | None:
    """The files that were not read yet; None when one that was read is another now, so that all must be read again.

    Raises
    ------
    FilesRewritten : all must be read again, and some of what was read before is gone.
    """
    assert base.increment is not None, "only what was read in increments is a base"
    seen = {name: (size, stamp) for name, size, stamp in base.increment.seen}
    there = {name for name, _, _ in state.parts}
    changed = [name for name, *looks in state.parts if name in seen and tuple(looks) != seen[name]]
    if not changed:
        return tuple(part for part in state.parts if part[0] not in seen)
    if gone := sorted(seen.keys() - there):
        raise FilesRewritten(source.name, changed, gone)
    return None


def above(source: Source, types: Mapping[str, Type], base: Snapshot, ctx: StageContext) -> tuple[Source, pl.Expr]:
    """The source with a query of the rows that are as great as the greatest one read before, or greater; and which rows
    of those read before stay (the greatest ones come again, so that none that was added among them is missed).

    Raises
    ------
    NoMark : the column is not there, holds no values, or is of a type that has no order that a database shares.
    """
    import polars as pl

    assert source.incremental is not None
    column = source.incremental.column or ""
    if types.get(column) not in _ORDERED:
        raise NoMark(source.name, column, found=str(types[column].value) if column in types else "no such column")
    name = {new: old for old, new in source.rename}.get(column, column)
    greatest = _scan(base, ctx).select(pl.col(name).max()).collect().item()
    if greatest is None:
        raise NoMark(source.name, column, found="no values in the rows read before")
    query = (source.query or "").rstrip().rstrip(";")
    mark, quoted = _literal(source, column, greatest), _quoted(source, name)
    newer = f"SELECT * FROM ({query}\n) AS result WHERE {quoted} >= {mark} ORDER BY {quoted}"  # noqa: S608 - both are checked
    return msgspec.structs.replace(source, query=newer), (pl.col(name) < greatest) | pl.col(name).is_null()


def _literal(source: Source, column: str, value: object) -> str:
    """A value as SQL has it."""
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    text = str(value)
    if not _PLAIN.fullmatch(text):
        raise NoMark(source.name, column, found="a greatest value that is neither a number nor an instant")
    if source.format == "mysql":  # takes no Z; the session is in UTC
        text = text.removesuffix("Z").replace("T", " ")
    return f"'{text}'"


def _quoted(source: Source, name: str) -> str:
    quote = "`" if source.format == "mysql" else '"'
    return quote + name.replace(quote, quote * 2) + quote


def append(
    source: Source, base: Snapshot, kept: pl.Expr | None, copied: Copied, target: Path, ctx: StageContext
) -> Copied:
    """The rows of `base` with those of `target` behind them, written to `target`; both parts' places and misfits.

    Parameters
    ----------
    kept
        Which rows of `base` stay; all when None.

    Raises
    ------
    ColumnsDiffer : the new rows have other columns.
    """
    import polars as pl

    old, new = _scan(base, ctx), pl.scan_parquet(target)
    old = old if kept is None else old.filter(kept)
    schemas = old.collect_schema(), new.collect_schema()
    held, _ = held_types(source.name, [(BEFORE, schemas[0]), ("what is new", schemas[1])])
    whole = target.with_name("whole.parquet")
    parts = [rows.select(as_held(schema, held)) for rows, schema in zip((old, new), schemas, strict=True)]
    sink(pl.concat(parts), whole)
    whole.replace(target)
    return Copied(
        columns=base.columns,
        rows=row_count(target),
        files=(*base.files, *copied.files),
        malformed=_malformed(base, copied, target.with_name("malformed-whole.parquet"), ctx),
        malformed_rows=base.malformed_rows + copied.malformed_rows,
        warnings=tuple(dict.fromkeys((*base.warnings, *copied.warnings))),
    )


def _malformed(base: Snapshot, copied: Copied, target: Path, ctx: StageContext) -> Path | None:
    """The rows that are none of both; the new ones counted from the end of the old."""
    import polars as pl

    parts = []
    if base.malformed is not None:
        url, options = ctx.scan(base.malformed)
        parts.append(pl.scan_parquet(url, storage_options=options or None))
    if copied.malformed is not None:
        before = base.rows + base.malformed_rows
        parts.append(pl.scan_parquet(copied.malformed).with_columns(pl.col("row") + before))
    if not parts:
        return None
    sink(pl.concat(parts), target)
    return target


def _scan(base: Snapshot, ctx: StageContext) -> pl.LazyFrame:
    import polars as pl

    url, options = ctx.scan(base.ref)
    return pl.scan_parquet(url, storage_options=options or None)
