"""Aliases: movable names for versions, with the history of every movement.

A movement is one row with the next sequence number, inserted in the transaction that moves the alias. Order is by
sequence; the instants never fall along it, whatever the clock does.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.registry.errors import AliasMoved, AliasUnknown, ModelUnknown, NothingToRollBack, VersionUnknown
from headrace.registry.model import AliasChange
from headrace.stores.catalog import Reader, Row, Writer


def move(
    writer: Writer,
    project: str,
    change: AliasChange,
    *,
    expected: int | None,
) -> AliasChange:
    """Point an alias at a version; nothing is recorded when it points there already.

    Returns the newest movement, whose instant is not before that of the one before it. Raises `VersionUnknown`, and
    `AliasMoved` when `expected` is given and the alias points elsewhere.
    """
    assert change.number is not None
    require_version(writer, project, change.model, change.number)
    past = history(writer, project, change.model, change.alias)
    current = past[-1].number if past else None
    if expected is not None and current != expected:
        raise AliasMoved(change.model, change.alias, expected=expected, found=current)
    if past and current == change.number:
        return past[-1]
    at_us = max(change.at_us, past[-1].at_us) if past else change.at_us
    where: Row = {"project": project, "model": change.model, "alias": change.alias}
    row: Row = {"number": change.number, "at_us": at_us, "by": change.by, "reason": change.reason}
    writer.insert("alias_changes", {**where, "seq": len(past) + 1, **row})
    if not writer.update("aliases", where, {"number": change.number, "changed_us": at_us}):
        writer.insert("aliases", {**where, "number": change.number, "changed_us": at_us})
    return AliasChange(
        model=change.model, alias=change.alias, number=change.number, at_us=at_us, by=change.by, reason=change.reason
    )


def history(reader: Reader, project: str, model: str, alias: str) -> list[AliasChange]:
    """Every movement, oldest first."""
    rows = reader.select("alias_changes", {"project": project, "model": model, "alias": alias}, order_by=["seq"])
    return [_change(row) for row in rows]


def previous(past: Sequence[AliasChange], model: str, alias: str) -> int:
    """The version to roll back to: where the alias pointed before it came to the present one.

    A movement back to where it came from undoes the movement there, so that rolling back twice goes back two versions
    and never returns to the one that was just left.
    """
    trail: list[int] = []
    for change in past:
        if change.number is None:
            continue
        if len(trail) > 1 and trail[-2] == change.number:
            trail.pop()
        else:
            trail.append(change.number)
    if not trail:
        raise AliasUnknown(model, alias, ())
    if len(trail) == 1:
        raise NothingToRollBack(model, alias, trail[-1])
    return trail[-2]


def number_at(past: Sequence[AliasChange], t_us: int) -> int | None:
    """Where the alias pointed at an instant; None before it was made."""
    return next((change.number for change in reversed(past) if change.at_us <= t_us), None)


def require_version(reader: Reader, project: str, model: str, number: int) -> Row:
    """The row of a version; raises `ModelUnknown` or `VersionUnknown`."""
    row = reader.get("versions", {"project": project, "model": model, "number": number})
    if row is None:
        known = reader.select("versions", {"project": project, "model": model})
        if not known:
            raise ModelUnknown(model, models(reader, project))
        raise VersionUnknown(model, number, [whole(each["number"]) for each in known])
    return row


def models(reader: Reader, project: str) -> list[str]:
    """Names of the models that have a version."""
    return sorted({str(row["model"]) for row in reader.select("versions", {"project": project})})


def whole(value: object) -> int:
    """An integer column of a row."""
    assert isinstance(value, int)
    return value


def _change(row: Row) -> AliasChange:
    return AliasChange(
        model=str(row["model"]),
        alias=str(row["alias"]),
        number=None if row["number"] is None else whole(row["number"]),
        at_us=whole(row["at_us"]),
        by=str(row["by"]),
        reason=str(row["reason"]),
    )
