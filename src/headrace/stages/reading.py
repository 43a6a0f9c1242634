"""One reading of a source: what decides it, and doing it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from headrace.data.model import Increment, Snapshot, SourceState
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.runs.model import StageContext
from headrace.stages.changes import newest_shape
from headrace.stages.model import Workspace


def reading_part(source: Source) -> dict[str, Any]:
    """What of a source decides its snapshot: the contract may change without reading again."""
    declared = {name: [rule.type, rule.reads_text] for name, rule in source.columns if rule.type or rule.reads_text}
    names = (
        "name",
        "read",
        "format",
        "query",
        "headers",
        "version",
        "separator",
        "sheet",
        "rows",
        "fields",
        "skip",
        "missing",
        "rename",
    )
    must_be_there = source.schema.breaking == "fail"
    return {**{name: getattr(source, name) for name in names}, "columns": declared, "must_be_there": must_be_there}


def read_source(
    work: Workspace,
    source: Source,
    locked: Mapping[str, Type],
    state: SourceState,
    ctx: StageContext,
    *,
    base: Snapshot | None = None,
    increment: Increment | None = None,
) -> Snapshot:
    """A snapshot of the source in `state`; see `headrace.data.snapshot.take_snapshot`."""
    from headrace.data.snapshot import take_snapshot

    before = partial(newest_shape, work, source.name, ctx)
    return take_snapshot(
        source, work.root, work.environment, locked, state, ctx, before, base=base, increment=increment
    )
