"""Why an entity is what it is: for every column the row that won, by which rule, and what lost and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from headrace.data.combine.survive import WHY
from headrace.data.model import CheckedSource, Combined, Member, Struct
from headrace.errors import WrongUse
from headrace.runs.model import ObjectRef

if TYPE_CHECKING:
    import polars as pl

    from headrace.data.combine.survive import Rows

Scan = Callable[[ObjectRef], "pl.LazyFrame"]
_NEAR = 3


class EntityUnknown(WrongUse):
    """There is no entity with that key."""

    code = "entity-unknown"

    def __init__(self, source: str, key: Sequence[str], columns: Sequence[str], near: Sequence[str]) -> None:
        # The keys are values of cells; this error answers a person who asks for one, and is raised by no run.
        guess = f"did you mean {' or '.join(near)}?" if near else "headrace data lists the sources"
        super().__init__(
            f"no entity of {source!r} has {', '.join(columns)} = {' '.join(key)!r}", fix=guess, source=source
        )


class KeyParts(WrongUse):
    """A key of another number of parts than the source has."""

    code = "key-parts"

    def __init__(self, source: str, columns: Sequence[str], found: int) -> None:
        super().__init__(
            f"the key of {source!r} is {', '.join(columns)}: expected {len(columns)}, found {found}",
            fix=f"headrace data explain {' '.join(column.upper() for column in columns)} --source {source}",
            source=source,
        )


class Origin(Struct, frozen=True, kw_only=True):
    """A row that an entity is made from."""

    source: str
    row: int
    """Its number in the source, from 1."""
    place: str
    """For people: the file and the row in it."""
    snapshot: str


class Lost(Struct, frozen=True, kw_only=True):
    """A value that did not stay."""

    value: str
    source: str
    row: int
    place: str
    why: str


class Explained(Struct, frozen=True, kw_only=True):
    """One column of an entity."""

    column: str
    value: str | None
    rule: str
    source: str | None = None
    """Whose row the value is of; None where no row has one."""
    row: int | None = None
    place: str = ""
    lost: tuple[Lost, ...] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """One entity, explained."""

    source: str
    entity: int
    rows: tuple[Origin, ...]
    columns: tuple[Explained, ...]
    quarantined: tuple[str, ...] = ()
    """The rules of the contract that keep it out of the accepted table."""


def explain(
    source: str, combined: Combined, checked: CheckedSource | None, key: Sequence[str], scan: Scan
) -> Explanation:
    """Explain the entity with a key.

    Parameters
    ----------
    checked
        The outcome of the contract, where there is one.
    key
        The values of the key's columns as text.
    scan
        How to read a kept file.

    Raises
    ------
    KeyParts, EntityUnknown
    """
    import polars as pl

    columns = combined.combine.key
    if len(key) != len(columns):
        raise KeyParts(source, columns, len(key))
    entity, found = _find(source, combined, key, scan)
    lineage = scan(combined.lineage).filter(pl.col("entity") == entity).collect()
    members = {member.source: member for member in combined.members}
    places = {
        (name, row): place_of(members[name], row) for name, row in lineage.select("source", "row").unique().iter_rows()
    }
    rows = _rows_of(combined, lineage, scan)
    origins = list(zip(lineage["source"].to_list(), lineage["row"].to_list(), strict=True))
    lost = _lost(combined, entity, places, scan)
    return Explanation(
        source=source,
        entity=entity,
        rows=tuple(
            Origin(source=name, row=row, place=places[name, row], snapshot=members[name].snapshot)
            for name, row in origins
        ),
        columns=tuple(
            _explained(combined, rows, field.name, found[field.name], origins, places, lost)
            for field in combined.fields
        ),
        quarantined=_quarantined(checked, entity, scan),
    )


def place_of(member: Member, row: int) -> str:
    """The file and the row in it, for people; the row alone of what is read from no file."""
    before = 0
    for name, rows in member.files:
        if row <= before + rows:
            return f"row {row - before} of {name}"
        before += rows
    return f"row {row} of {member.source}"


def _find(source: str, combined: Combined, key: Sequence[str], scan: Scan) -> tuple[int, dict[str, str | None]]:
    """The entity's number and its values as text."""
    import polars as pl

    from headrace.data.cast import as_text

    table = scan(combined.snapshot.ref)
    schema = table.collect_schema()
    columns = combined.combine.key
    is_it = [as_text(name, schema[name]) == text for name, text in zip(columns, key, strict=True)]
    texts = [as_text(name, schema[name]).alias(name) for name in schema]
    rows = table.with_row_index("_hr_at").filter(pl.all_horizontal(is_it)).select("_hr_at", *texts).collect()
    if rows.is_empty():
        raise EntityUnknown(source, key, columns, _near(table.select(as_text(n, schema[n]) for n in columns), key))
    found = rows.row(0, named=True)
    return int(found.pop("_hr_at")) + 1, found


def _near(keys: pl.LazyFrame, key: Sequence[str]) -> list[str]:
    """The keys that look most like one that is not there."""
    import polars as pl
    from rapidfuzz.process import extract

    texts = keys.select(pl.concat_str(pl.all(), separator=" ").alias("key")).collect()["key"].to_list()
    return [found for found, *_ in extract(" ".join(key), texts, limit=_NEAR, score_cutoff=60)]


def _rows_of(combined: Combined, lineage: pl.DataFrame, scan: Scan) -> Rows:
    """The entity's rows as they were resolved, in the lineage's order."""
    import polars as pl

    from headrace.data.combine.columns import entity_columns
    from headrace.data.combine.rows import AT, ENTITY, MEMBER, in_rank_order, reading_of

    types = {member.source: {f.name: f.type for f in member.table.fields} for member in combined.members}
    columns = entity_columns(combined.snapshot.source, combined.combine, types)
    frames = []
    for place, member in enumerate(combined.members):
        rows = lineage.filter(pl.col("source") == member.source)["row"].sort()
        at = _accepted_at(member, rows, scan)
        table = scan(member.table.ref).with_row_index(AT).filter(pl.col(AT).is_in(at.implode()))
        reading = reading_of(member.source, member.event_time, member.table, table, columns)
        read = table.select(*reading.columns, reading.time, pl.col(AT).cast(pl.Int64)).collect()
        frames.append(
            read.with_columns(pl.lit(0, pl.Int64).alias(ENTITY), pl.lit(place, pl.UInt8).alias(MEMBER)).select(
                *(column.name for column in columns), reading.time.meta.output_name(), ENTITY, MEMBER, AT
            )
        )
    return in_rank_order(pl.concat(frames), combined.combine.members)


def _accepted_at(member: Member, rows: pl.Series, scan: Scan) -> pl.Series:
    """Where in the accepted table rows of the source are, from 0."""
    import polars as pl

    if member.quarantine is None:
        return rows - 1
    aside = np.sort(scan(member.quarantine).select("_row").collect().to_series().to_numpy())
    return pl.Series(rows.to_numpy() - 1 - np.searchsorted(aside, rows.to_numpy()))


def _lost(
    combined: Combined, entity: int, places: dict[tuple[str, int], str], scan: Scan
) -> dict[str, tuple[Lost, ...]]:
    """Column → the values that were kept of what lost."""
    import polars as pl

    if combined.overridden is None:
        return {}
    found: dict[str, tuple[Lost, ...]] = {}
    rows = scan(combined.overridden).filter(pl.col("entity") == entity).collect()
    for row in rows.iter_rows(named=True):
        name, number = row["source"], row["row"]
        one = Lost(value=row["value"], source=name, row=number, place=places[name, number], why=WHY[row["why"]])
        found[row["column"]] = (*found.get(row["column"], ()), one)
    return found


def _explained(
    combined: Combined,
    rows: Rows,
    column: str,
    value: str | None,
    origins: Sequence[tuple[str, int]],
    places: dict[tuple[str, int], str],
    lost: dict[str, tuple[Lost, ...]],
) -> Explained:
    from headrace.data.combine.survive import resolve

    if column in combined.combine.key:
        winner, rule = 0, "key"
    else:
        type_ = next(field.type for field in combined.fields if field.name == column)
        chosen = combined.combine.rule(column)
        winner, rule = int(resolve(rows, column, type_, chosen).winners[0]), chosen.rule
    if value is None and not lost.get(column):
        return Explained(column=column, value=None, rule=rule)
    name, number = origins[winner]
    return Explained(
        column=column,
        value=value,
        rule=rule,
        source=name,
        row=number,
        place=places[name, number],
        lost=lost.get(column, ()),
    )


def _quarantined(checked: CheckedSource | None, entity: int, scan: Scan) -> tuple[str, ...]:
    import polars as pl

    if checked is None or checked.quarantine is None:
        return ()
    rows = scan(checked.quarantine).filter(pl.col("_row") == entity).select("_reasons").collect()
    return tuple(reason for reasons in rows["_reasons"].to_list() for reason in reasons)
