"""Several sources → one entity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from headrace.data.model import CheckedSource, Combined, Snapshot
from headrace.definition.lock import Lock
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.runs.model import StageContext
from headrace.stages.model import Workspace

if TYPE_CHECKING:
    from headrace.runs.runner import Run

ROOMS: Final = ("data", "language")


def combine_sources(
    run: Run,
    work: Workspace,
    source: Source,
    checked: Mapping[str, CheckedSource],
    snapshots: Mapping[str, Snapshot],
) -> Combined:
    """The entities that the accepted rows of the sources in `from` tell of."""
    members = [work.definition.source(name) for name in source.members]

    def compute(ctx: StageContext) -> Combined:
        from headrace.data.combine.stage import combine_members

        return combine_members(source, members, checked, snapshots, ctx)

    made_from = [
        {
            "source": member.name,
            "event_time": member.event_time,
            "table": checked[member.name].table,
            "quarantine": checked[member.name].quarantine,
            "read": checked[member.name].report.read,
            "snapshot": snapshots[member.name].ref,
            "files": snapshots[member.name].files,
        }
        for member in members
    ]
    return run.stage(
        f"combine {source.name}",
        depends={"source": source.name, "combine": source.combine, "members": made_from},
        rooms=ROOMS,
        compute=compute,
        kind=Combined,
    )


def types_as_read(source: Source, lock: Lock, tables: Mapping[str, Mapping[str, Type]]) -> Mapping[str, Type]:
    """A source's types before its contract: locked, or those of the tables it is made from.

    Parameters
    ----------
    tables
        Types of the accepted tables, of the sources in `from` at least.
    """
    if source.combine is None:
        return lock.types(source.name)
    from headrace.data.combine.columns import entity_columns

    return {column.name: column.type for column in entity_columns(source.name, source.combine, tables)}
