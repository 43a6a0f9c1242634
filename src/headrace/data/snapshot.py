"""A source as it was read at one instant: an immutable Parquet file of its raw rows, named by its content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.data.errors import ColumnMissing, SourceChanged, SourceEmpty
from headrace.data.model import Snapshot, SourceState
from headrace.data.sources import Place, adapter
from headrace.definition.model import Source
from headrace.definition.secrets import redact
from headrace.language.types import Type
from headrace.runs.model import StageContext

_READINGS = 3
"""How often a source is read that is written to meanwhile."""


def take_snapshot(
    source: Source,
    root: Path,
    env: Mapping[str, str],
    types: Mapping[str, Type],
    state: SourceState,
    ctx: StageContext,
) -> Snapshot:
    """Copy a source, losing nothing.

    Parameters
    ----------
    types
        The locked types, by name after `rename`. A column whose values all fit is kept in its type, any other as text;
        columns that are not locked are kept as text too.
    state
        From `source_state`, taken before this call: a source that changes while it is read is read again.

    Raises
    ------
    SourceMissing, SourceUnreadable, SourceUnavailable, SourceEmpty, ColumnsDiffer, ColumnMissing, DuplicateColumn
    SourceChanged : it was written to during each of `_READINGS` readings: a mix of old and new is never taken.
    """
    target = ctx.workdir / "rows.parquet"
    place = Place(root, env)
    changed: set[tuple[str, int, str]] = set()
    for _ in range(_READINGS):
        copied = adapter(source.format).copy(source, place, raw_types(source, types), target, ctx.workdir)
        now = adapter(source.format).state(source, place)
        changed = {*state.parts} ^ {*now.parts}
        if not changed:
            break
        state = now
    else:
        raise SourceChanged(source.name, sorted({name for name, _, _ in changed}))
    read = copied.rows + copied.malformed_rows
    if read == 0:
        raise SourceEmpty(source.name, " and ".join(map(redact, source.read)))
    names = dict(source.rename)
    missing = [name for name in types if name not in {names.get(column, column) for column in copied.columns}]
    if missing:
        raise ColumnMissing(source.name, missing, found=copied.columns)
    ctx.count(rows_in=read, rows_out=copied.rows, bytes_in=sum(size for _, size, _ in state.parts))
    ctx.progress(read, read, unit="rows", note=source.name)
    return Snapshot(
        source=source.name,
        ref=ctx.keep(target, "snapshots", ".parquet"),
        rows=copied.rows,
        columns=copied.columns,
        malformed=None if copied.malformed is None else ctx.keep(copied.malformed, "snapshots", ".parquet"),
        malformed_rows=copied.malformed_rows,
        state=state,
        files=copied.files,
        warnings=copied.warnings,
    )


def raw_types(source: Source, types: Mapping[str, Type]) -> dict[str, Type]:
    """Type by name as read; text for a column whose values only `check` can read, as they are written."""
    original = {new: old for old, new in source.rename}
    return {
        original.get(name, name): Type.STRING if source.rule(name).reads_text else contract_type(source, name, type_)
        for name, type_ in types.items()
    }


def contract_type(source: Source, column: str, locked: Type) -> Type:
    """The contract's type of a column, else the locked one."""
    return source.rule(column).type or locked
