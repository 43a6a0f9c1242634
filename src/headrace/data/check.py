"""The contract, checked: from a snapshot to the rows that are accepted, those set aside, and the report of both.

Two streaming passes over the snapshot: the first finds the rows of which anything is to be said and hashes every key,
the second writes the accepted rows. Uniqueness is judged among rows that are right in every other way, so that a wrong
row never displaces a right one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from headrace.data.align import base_types, table_types
from headrace.data.blocks import ROW_GROUP, row_count, sink
from headrace.data.corrections import Rows, rows_of
from headrace.data.distribution import sketches
from headrace.data.duplicates import find_duplicates
from headrace.data.errors import JoinNotUnique
from headrace.data.ledger import Ledger
from headrace.data.model import CheckedSource, Field, Snapshot, Table
from headrace.data.profile import profile
from headrace.data.quarantine import write_quarantine
from headrace.data.rules import FlaggedRows, flag_rows
from headrace.data.table_rules import table_results
from headrace.definition.model import ALL_TEXT, Source
from headrace.language.types import Type
from headrace.language.values import cell_bytes
from headrace.runs.errors import NotEnoughMemory
from headrace.runs.model import Memory, ObjectRef, StageContext

_HELD_SHARE: Final = 0.4
_HELD_ROWS: Final = 20 * ROW_GROUP
"""Rows that Polars was seen to hold at once while it checks: a share of few, at most so many."""
_KEY_BYTES: Final = 16
"""Of every row whose key must be unique: its hash, and the hash once more in order."""


def check(
    snapshot: Snapshot,
    source: Source,
    types: Mapping[str, Type],
    statics: Mapping[str, Table],
    ctx: StageContext,
    corrections: Sequence[ObjectRef] = (),
) -> CheckedSource:
    """Align a snapshot's rows and hold them against the contract.

    Parameters
    ----------
    types
        The locked types, after `rename`.
    statics
        The accepted tables that `source.needs` names.
    corrections
        What people have corrected in earlier snapshots of the source, the oldest first.

    Returns
    -------
    CheckedSource
        Also when a rule with `on_fail = "fail"` failed: `report.passed` says so, and the rows are in the quarantine.

    Raises
    ------
    ContractError : the contract cannot be held against these columns.
    JoinNotUnique : a static table has several rows for one key.
    NotEnoughMemory : the limit that was given does not suffice.
    """
    static_types = {name: {field.name: field.type for field in table.fields} for name, table in statics.items()}
    fields = table_types(source, types, static_types)
    _refuse_without_memory(source, snapshot.rows, fields, ctx.memory)
    found = _rows_to_judge(snapshot, source, types, corrections, ctx)
    tables = {name: scan(table.ref, ctx) for name, table in statics.items()}
    _refuse_multiplying_joins(source, tables)
    checked, ledger = judge(found, source, types, fields, tables, snapshot)
    ctx.progress(snapshot.rows / 2, snapshot.rows, note=source.name)
    target = ctx.workdir / "accepted.parquet"
    sink(checked.accepted(without=ledger.aside), target)
    accepted, rows = pl.scan_parquet(target), row_count(target)
    quarantine = write_quarantine(found, snapshot, ledger, ctx)
    report = ledger.report(
        source,
        snapshot,
        profile(target, fields),
        accepted=rows,
        table=table_results(source, fields, accepted, rows, tables),
        warnings=_stale(source, found),
    )
    newest_us, made = _newest(source, accepted), sketches(source, fields, accepted)
    ctx.count(rows_in=snapshot.rows, rows_out=rows)
    ctx.progress(snapshot.rows, snapshot.rows, note=source.name)
    return CheckedSource(
        table=Table(
            source=source.name,
            ref=ctx.keep(target, "tables", ".parquet"),
            rows=rows,
            fields=tuple(Field(name=name, type=type_) for name, type_ in fields.items()),
        ),
        quarantine=quarantine,
        snapshot=snapshot.ref,
        malformed=snapshot.malformed,
        corrections=tuple(corrections),
        report=report,
        mended=None if source.match is None else _keep_mended(ledger, ctx),
        sketches=made,
        newest_us=newest_us,
    )


def _refuse_without_memory(source: Source, rows: int, fields: Mapping[str, Type], memory: Memory) -> None:
    """Say before it begins that the limit does not suffice."""
    held = min(_HELD_SHARE * rows, _HELD_ROWS) * sum(map(cell_bytes, fields.values()))
    needed = memory.limit_bytes - memory.free_bytes + int(held) + (_KEY_BYTES * rows if source.unique else 0)
    if memory.is_given and needed > memory.limit_bytes:
        raise NotEnoughMemory(
            f"checking source {source.name!r}",
            needed=needed,
            limit=memory.limit_bytes,
            why=f"{rows:,} rows of {len(fields)} columns",
            fix="leave --memory out, which takes what the machine has free",
        )


def _rows_to_judge(
    snapshot: Snapshot, source: Source, types: Mapping[str, Type], corrections: Sequence[ObjectRef], ctx: StageContext
) -> Rows:
    """The snapshot's rows with what people have corrected in their place."""
    malformed = None if snapshot.malformed is None else scan(snapshot.malformed, ctx)
    corrected = [scan(ref, ctx).collect() for ref in corrections]
    missing = source.missing if source.format in ALL_TEXT else ()  # other readers leave the tokens to the cast
    return rows_of(with_missing(scan(snapshot.ref, ctx), source, types), malformed, corrected, missing)


def _keep_mended(ledger: Ledger, ctx: StageContext) -> ObjectRef:
    """Which accepted rows are not as they were read: matching tells it of the rows that it keeps."""
    path = ctx.workdir / "mended.parquet"
    ledger.mended().write_parquet(path)
    return ctx.keep(path, "quarantine", ".parquet")


def _newest(source: Source, accepted: pl.LazyFrame) -> int | None:
    """The newest event time of a source that promises to be fresh; a date counts from its midnight in UTC."""
    if source.fresh is None or source.event_time is None:
        return None
    instant = pl.col(source.event_time).max().cast(pl.Datetime("us")).to_physical()
    newest = accepted.select(instant).collect().item()
    return None if newest is None else int(newest)


def scan(ref: ObjectRef, ctx: StageContext) -> pl.LazyFrame:
    """A kept Parquet file, to be read column by column."""
    url, options = ctx.scan(ref)
    return pl.scan_parquet(url, storage_options=options or None)


def with_missing(raw: pl.LazyFrame, source: Source, types: Mapping[str, Type]) -> pl.LazyFrame:
    """The rows with columns of nulls for those that are gone, where `[sources.NAME.schema]` lets them be."""
    original = {new: old for old, new in source.rename}
    there = raw.collect_schema().names()
    gone = [column for name in types if (column := original.get(name, name)) not in there]
    return raw.with_columns(pl.lit(None, dtype=pl.String).alias(column) for column in gone) if gone else raw


def row_places(snapshot: Snapshot, malformed: pl.LazyFrame | None) -> dict[str, tuple[int, int]]:
    """File → its first row in the snapshot (from 0) and how many of its rows are there: malformed ones are not."""
    bad: dict[str, int] = {}
    if malformed is not None:
        bad = dict(malformed.group_by("file").len().collect().iter_rows())
    places, first = {}, 0
    for name, rows in snapshot.files:
        places[name] = (first, rows - bad.get(name, 0))
        first += rows - bad.get(name, 0)
    return places


def _stale(source: Source, found: Rows) -> list[str]:
    if not found.stale:
        return []
    rows = f"{found.stale} corrected rows are no longer in the source as they were, and are not corrected"
    return [f"{rows}: headrace data replay {source.name} lists the corrections"]


def _refuse_multiplying_joins(source: Source, tables: Mapping[str, pl.LazyFrame]) -> None:
    for join in source.joins:
        keys = [theirs for _, theirs in join.key]
        known = tables[join.source].select(keys).drop_nulls()
        repeated = known.group_by(keys).len().filter(pl.col("len") > 1).select(pl.len()).collect().item()
        if repeated:
            raise JoinNotUnique(source.name, join.name, join.source, keys, repeated)


def judge(
    found: Rows,
    source: Source,
    types: Mapping[str, Type],
    fields: Mapping[str, Type],
    statics: Mapping[str, pl.LazyFrame],
    snapshot: Snapshot,
) -> tuple[FlaggedRows, Ledger]:
    """Hold rows against the contract's rules for rows and keys; nothing is written.

    Parameters
    ----------
    types, fields
        The locked types, after `rename`; those of the whole table.
    statics
        The accepted tables that `source.needs` names.
    """
    checked = flag_rows(found.frame, source, base_types(source, types), fields, statics)
    noted, hashes = checked.noted(source.unique)
    ledger = Ledger(checked.rules, noted, found, snapshot)
    if source.unique:
        right = checked.accepted(without=ledger.aside)
        ledger.add_duplicates(find_duplicates(right, source.unique, list(types), hashes[ledger.is_right]))
    return checked, ledger
