"""The stage: accepted rows of several sources in, entities out, with where everything came from and what lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.data.blocks import row_count, sink
from headrace.data.cast import as_text
from headrace.data.check import scan
from headrace.data.combine.columns import EntityColumn, entity_columns
from headrace.data.combine.rows import AT, Numbered, Reading, in_parts, number_by_key, reading_of
from headrace.data.combine.survive import Resolved, Rows, resolve
from headrace.data.errors import EntityRepeated, SourceEmpty
from headrace.data.model import CheckedSource, Combined, Conflict, Field, Member, Snapshot, SourceState
from headrace.definition.model import Combine, Source
from headrace.language.types import Type
from headrace.runs.model import StageContext

_OVERRIDDEN = {
    "entity": pl.Int64,
    "column": pl.String,
    "source": pl.String,
    "row": pl.Int64,
    "value": pl.String,
    "rule": pl.String,
    "why": pl.String,
}


def combine_members(
    source: Source,
    members: Sequence[Source],
    checked: Mapping[str, CheckedSource],
    snapshots: Mapping[str, Snapshot],
    ctx: StageContext,
) -> Combined:
    """The entities that the members' accepted rows tell of.

    Parameters
    ----------
    members
        The sources of `from`, in its order.
    checked, snapshots
        What became of each.

    Raises
    ------
    ContractError : columns, expressions or rules do not fit together.
    EntityRepeated : `combine = "join"`, and a member has several rows for one entity.
    SourceEmpty : no row has a whole key.
    """
    combine = source.combine
    assert combine is not None, "the caller has seen to it"
    columns = entity_columns(source.name, combine, {one.name: _types(checked[one.name]) for one in members})
    readings = [_reading(one, checked[one.name], columns, ctx) for one in members]
    numbered = number_by_key(readings, combine.key)
    if not numbered.count:
        raise SourceEmpty(source.name, " and ".join(combine.members), found="no row with a whole key")
    if combine.how == "join":
        _refuse_repeated(source.name, combine, numbered)
    total = sum(reading.rows for reading in readings)
    writing = _Writing(columns, combine, [origin_rows(checked[name], ctx) for name in combine.members], ctx.workdir)
    for first, rows in in_parts(readings, numbered, combine):
        writing.add(first, rows)
        ctx.progress(writing.rows, total, note=source.name)
    entities = writing.entities()
    malformed, keyless = _without_key(readings, numbered, ctx.workdir)
    counts = _counted(combine, readings, numbered, writing.leads)
    assert sum(count.entities for count in counts.values()) == numbered.count == row_count(entities)
    ctx.count(rows_in=total, rows_out=numbered.count)
    overridden = writing.overridden()
    return Combined(
        snapshot=Snapshot(
            source=source.name,
            ref=ctx.keep(entities, "snapshots", ".parquet"),
            rows=numbered.count,
            columns=tuple(column.name for column in columns),
            malformed=None if malformed is None else ctx.keep(malformed, "snapshots", ".parquet"),
            malformed_rows=keyless,
            state=SourceState(source=source.name, parts=()),
        ),
        combine=combine,
        fields=tuple(Field(name=column.name, type=column.type) for column in columns),
        members=tuple(_member(one, checked[one.name], snapshots[one.name], counts[one.name]) for one in members),
        conflicts=writing.conflicts(),
        lineage=ctx.keep(writing.lineage(), "lineage", ".parquet"),
        overridden=None if overridden is None else ctx.keep(overridden, "overridden", ".parquet"),
    )


def _types(checked: CheckedSource) -> dict[str, Type]:
    return {field.name: field.type for field in checked.table.fields}


def _reading(member: Source, checked: CheckedSource, columns: Sequence[EntityColumn], ctx: StageContext) -> Reading:
    table = checked.table
    return reading_of(member.name, member.event_time, table, scan(table.ref, ctx), columns)


def _member(source: Source, checked: CheckedSource, snapshot: Snapshot, count: _Count) -> Member:
    """What is told of one member: its ledger, and where its rows are to be found."""
    return Member(
        source=source.name,
        rows=count.rows,
        entities=count.entities,
        merged=count.merged,
        quarantined=count.quarantined,
        snapshot=snapshot.ref.sha256,
        table=checked.table,
        event_time=source.event_time,
        quarantine=checked.quarantine,
        files=snapshot.files,
    )


def origin_rows(checked: CheckedSource, ctx: StageContext) -> NDArray[np.int64]:
    """Number in its source (from 1) of each row of an accepted table: those that were not set aside, in order."""
    total = checked.report.read
    is_kept = np.ones(total, np.bool_)
    if checked.quarantine is not None:
        aside = scan(checked.quarantine, ctx).select("_row").collect().to_series()
        is_kept[aside.to_numpy() - 1] = False
    return np.flatnonzero(is_kept) + 1


class _Writing:
    """What is written, a part of the entities at a time."""

    def __init__(
        self, columns: Sequence[EntityColumn], combine: Combine, origins: Sequence[NDArray[np.int64]], workdir: Path
    ) -> None:
        self.rows = 0
        """Rows done."""
        self.leads = np.zeros(len(combine.members), np.int64)
        """Entities that each member's row leads."""
        self._columns, self._combine, self._origins, self._workdir = columns, combine, origins, workdir
        self._parts = 0
        self._conflicts = {column.name: [0, 0] for column in columns}

    def add(self, first: int, rows: Rows) -> None:
        """Resolve and write the entities of which these are all rows; `first` is the number of the first, from 0."""
        entity = rows.entity + first + 1
        sources = pl.Series(self._combine.members).gather(rows.member)
        numbers = pl.Series(self._numbers(rows))
        lineage = pl.DataFrame({"entity": entity, "source": sources, "row": numbers})
        kept: dict[str, pl.Series] = {}
        lost: list[pl.DataFrame] = []
        for column in self._columns:
            values = rows.frame[column.name]
            if column.name in self._combine.key:
                kept[column.name] = values.gather(rows.starts)
                continue
            rule = self._combine.rule(column.name)
            found = resolve(rows, column.name, column.type, rule)
            kept[column.name] = values.gather(found.winners)
            if len(found.lost):
                lost.append(_overridden(lineage, values, column.name, rule.rule, found))
                self._conflicts[column.name][0] += int(np.count_nonzero(np.diff(entity[found.lost], prepend=0)))
                self._conflicts[column.name][1] += len(found.lost)
        self._write("entities", pl.DataFrame(kept))
        self._write("lineage", lineage)
        overridden = pl.concat([pl.DataFrame(schema=_OVERRIDDEN), *lost])
        by_entity = np.argsort(overridden["entity"].to_numpy(), kind="stable")  # each column's are in order
        self._write("overridden", overridden[by_entity])
        self._parts += 1
        self.rows += rows.frame.height
        self.leads += np.bincount(rows.member[rows.starts], minlength=len(self.leads))

    def _numbers(self, rows: Rows) -> NDArray[np.int64]:
        """Each row's number in its source."""
        at = rows.frame[AT].to_numpy()
        numbers = np.empty(len(at), np.int64)
        for place, origin in enumerate(self._origins):
            is_of = rows.member == place
            numbers[is_of] = origin[at[is_of]]
        return numbers

    def _write(self, what: str, frame: pl.DataFrame) -> None:
        sink(frame.lazy(), self._workdir / f"{what}-{self._parts:06d}.parquet")

    def _gathered(self, what: str) -> Path:
        """The parts as one file, whose bytes do not depend on where they were cut."""
        parts = [self._workdir / f"{what}-{n:06d}.parquet" for n in range(self._parts)]
        if len(parts) == 1:
            return parts[0]
        target = self._workdir / f"{what}.parquet"
        sink(pl.concat(pl.scan_parquet(part) for part in parts), target)
        for part in parts:
            part.unlink()
        return target

    def entities(self) -> Path:
        """The entities."""
        return self._gathered("entities")

    def lineage(self) -> Path:
        """Which rows each entity is made from."""
        return self._gathered("lineage")

    def overridden(self) -> Path | None:
        """The values that lost; None where no sources disagree."""
        target = self._gathered("overridden")
        return target if row_count(target) else None

    def conflicts(self) -> tuple[Conflict, ...]:
        """The columns in which rows disagree."""
        return tuple(
            Conflict(column=name, rule=self._combine.rule(name).rule, entities=entities, values=values)
            for name, (entities, values) in self._conflicts.items()
            if values
        )


def _overridden(lineage: pl.DataFrame, values: pl.Series, column: str, rule: str, found: Resolved) -> pl.DataFrame:
    """The values of one column that lost."""
    texts = values.gather(found.lost).to_frame(column).select(as_text(column, values.dtype)).to_series()
    return lineage[found.lost].select(
        "entity",
        pl.lit(column).alias("column"),
        "source",
        "row",
        texts.alias("value"),
        pl.lit(rule).alias("rule"),
        found.why.alias("why"),
    )


def _refuse_repeated(name: str, combine: Combine, numbered: Numbered) -> None:
    for member, entities in zip(combine.members, numbered.entities, strict=True):
        repeated = int((np.bincount(entities[entities >= 0], minlength=1) > 1).sum())
        if repeated:
            raise EntityRepeated(name, member, combine.key, repeated)


def _without_key(readings: Sequence[Reading], numbered: Numbered, workdir: Path) -> tuple[Path | None, int]:
    """Rows with a null in the key, as malformed rows of the combined source, and how many."""
    found, number = [], numbered.count
    for reading, entities in zip(readings, numbered.entities, strict=True):
        at = np.flatnonzero(entities < 0)
        if not len(at):
            continue
        rows = reading.table.with_row_index("_hr_at").filter(pl.col("_hr_at").is_in(pl.Series(at).implode()))
        cells = rows.select(text=pl.struct(reading.columns).struct.json_encode()).collect()
        found.append(
            cells.select(
                pl.Series("row", np.arange(len(at)) + number + 1),
                pl.lit(reading.source).alias("file"),
                pl.Series("line", at + 1),
                pl.lit("null_key").alias("reason"),
                "text",
            )
        )
        number += len(at)
    if not found:
        return None, 0
    target = workdir / "malformed.parquet"
    sink(pl.concat(found).lazy(), target)
    return target, number - numbered.count


class _Count(NamedTuple):
    """The ledger of one member."""

    rows: int
    entities: int
    merged: int
    quarantined: int


def _counted(
    combine: Combine, readings: Sequence[Reading], numbered: Numbered, leads: NDArray[np.int64]
) -> dict[str, _Count]:
    """Member → what became of its rows."""
    counts = {}
    for name, reading, entities, lead in zip(combine.members, readings, numbered.entities, leads.tolist(), strict=True):
        keyless = int((entities < 0).sum())
        assert len(entities) == reading.rows, f"the rows of {name!r} are not those that were counted"
        counts[name] = _Count(reading.rows, lead, reading.rows - keyless - lead, keyless)
    return counts
