"""A source as it was read at one instant: an immutable Parquet file of its raw rows, named by its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headrace.data.errors import ColumnMissing, SourceChanged, SourceEmpty
from headrace.data.increment import above, append
from headrace.data.model import Increment, Shape, Snapshot, SourceState
from headrace.data.sources import Place, adapter
from headrace.definition.model import Source
from headrace.definition.secrets import redact
from headrace.errors import HeadraceError
from headrace.language.types import Type
from headrace.runs.model import StageContext

_READINGS = 3
"""How often a source is read that is written to meanwhile."""


def until_still(state: Callable[[], SourceState], read: Callable[[SourceState], Snapshot]) -> Snapshot:
    """A snapshot of a source that did not change while it was read.

    Each reading has a state of its own, taken before it: what is kept under a state is what the source held then.

    Raises
    ------
    SourceChanged : it was written to during each of `_READINGS` readings: a mix of old and new is never taken.
    """
    for _ in range(_READINGS - 1):
        try:
            return read(state())
        except SourceChanged:
            continue
    return read(state())


def take_snapshot(
    source: Source,
    root: Path,
    env: Mapping[str, str],
    types: Mapping[str, Type],
    state: SourceState,
    ctx: StageContext,
    before: Callable[[], Shape | None] = lambda: None,
    *,
    base: Snapshot | None = None,
    increment: Increment | None = None,
) -> Snapshot:
    """Copy a source, losing nothing.

    Parameters
    ----------
    types
        The locked types, by name after `rename`. A column whose values all fit is kept in its type, any other as text;
        columns that are not locked are kept as text too.
    state
        From `source_state`, taken before this call.
    before
        The shape of the snapshot before, asked for when a column is missing: it helps to tell what it is called now.
    base
        The snapshot that what is new is appended to; `state` is then of the files that are new.
    increment
        What this snapshot says of itself, for a source that is read in increments.

    Raises
    ------
    SourceMissing, SourceUnreadable, SourceUnavailable, SourceEmpty, ColumnsDiffer, ColumnMissing, DuplicateColumn
    SourceChanged : it is no longer in `state`; also when what it holds now, half written perhaps, cannot be read.
    """
    target = ctx.workdir / "rows.parquet"
    is_by_column = source.incremental is not None and source.incremental.column is not None
    names_read = None if increment is None or is_by_column else frozenset(name for name, _, _ in state.parts)
    place = Place(root, env, names_read, may_match_none=names_read is not None)
    newer, kept = above(source, types, base, ctx) if base is not None and is_by_column else (source, None)
    try:
        copied = adapter(source.format).copy(newer, place, raw_types(source, types), target, ctx.workdir)
    except HeadraceError as failure:
        _refuse_changed(source, place, state, failure)
        raise
    _refuse_changed(source, place, state)
    read = copied.rows + copied.malformed_rows
    if base is not None:
        copied = append(source, base, kept, copied, target, ctx)
    if copied.rows + copied.malformed_rows == 0:
        raise SourceEmpty(source.name, " and ".join(map(redact, source.read)))
    names = dict(source.rename)
    present = {names.get(column, column) for column in copied.columns}
    missing = [name for name in types if name not in present]
    if missing and source.schema.breaking == "fail":
        raise _missing(source, types, missing, target, copied.columns, before)
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
        increment=increment,
    )


def _missing(
    source: Source,
    types: Mapping[str, Type],
    missing: Sequence[str],
    rows: Path,
    found: Sequence[str],
    before: Callable[[], Shape | None],
) -> ColumnMissing:
    """The error, with the columns that those missing may be called now."""
    import polars as pl

    from headrace.data.mapping import rename_line, suggest
    from headrace.data.shape import take_shape

    base = {name: contract_type(source, name, type_) for name, type_ in types.items()}
    new = take_shape(pl.scan_parquet(rows), source, base, {}, only_new=True).new
    pairs = suggest(missing, new, base, before())
    why = [f"{pair.new} for {pair.old}, {pair.why}" for pair in pairs]
    return ColumnMissing(source.name, missing, found=found, rename=rename_line(source.rename, pairs), why=why)


def _refuse_changed(source: Source, place: Place, state: SourceState, failure: HeadraceError | None = None) -> None:
    """Raise when the source is not in `state` any more; where that cannot be told, what failed before is the error."""
    try:
        now = adapter(source.format).state(source, place)
    except HeadraceError as error:
        raise (failure or error) from None
    changed = {*state.parts} ^ {*now.parts}
    if changed:
        raise SourceChanged(source.name, sorted({name for name, _, _ in changed})) from None


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
