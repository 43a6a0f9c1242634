"""Reading a source in increments: a snapshot is the one before with what is new behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from headrace.data.errors import FilesRewritten
from headrace.data.increment import Parts, new_files
from headrace.data.model import Increment, Snapshot, SourceState
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.runs.fingerprint import canonical
from headrace.runs.model import StageContext
from headrace.stages.model import Workspace
from headrace.stages.reading import read_source, reading_part

if TYPE_CHECKING:
    from headrace.runs.runner import Run

_LOOKED_AT: Final = 50
"""Earlier readings among which one that was read alike is looked for."""


class _Plan(NamedTuple):
    """What to read, and what to append it to."""

    base: Snapshot | None
    added: Parts
    again: str | None = None
    is_nothing: bool = False
    """The base is all there is."""


def read_increment(run: Run, work: Workspace, source: Source, locked: Mapping[str, Type], *, refresh: bool) -> Snapshot:
    """The source as it was read before, with what is new behind it.

    Raises
    ------
    FilesRewritten : everything must be read again, and what was read before is gone.
    """
    from headrace.data.snapshot import until_still
    from headrace.data.state import source_state

    how = {"source": reading_part(source), "types": locked}
    digest = hashlib.sha256(canonical(how, f"how source {source.name!r} is read")).hexdigest()
    newest, base = (None, None) if refresh else _before(work, source.name, digest)

    def read(state: SourceState) -> Snapshot:
        plan = _plan(run, source, state, base, newest, refresh=refresh)
        if plan.is_nothing and base is not None and base.increment is not None:
            told, compute = base.increment, partial(_as_before, base)
        else:
            seen = () if plan.base is None or plan.base.increment is None else plan.base.increment.seen
            told = Increment(
                reading=digest,
                base=None if plan.base is None else _content(plan.base),
                added=plan.added,
                seen=tuple(dict.fromkeys((*seen, *plan.added))),
                again=plan.again,
            )
            now = msgspec.structs.replace(state, parts=plan.added)
            compute = partial(read_source, work, source, locked, now, base=plan.base, increment=told)
        return run.stage(
            f"read {source.name}",
            depends={**how, "base": told.base, "added": told.added, "again": told.again},
            rooms=("data", "language"),
            compute=compute,
            kind=Snapshot,
        )

    state = partial(source_state, source, work.root, work.environment, may_match_none=base is not None)
    return until_still(state, read)


def _plan(
    run: Run, source: Source, state: SourceState, base: Snapshot | None, newest: Increment | None, *, refresh: bool
) -> _Plan:
    is_by_column = source.incremental is not None and source.incremental.column is not None
    if state.volatile and not is_by_column:  # a web server that does not tell whether a file has changed
        _refuse_lost(source, state, newest, None)
        return _Plan(None, state.parts, run.id)
    if refresh or state.volatile:
        return _Plan(base, state.parts, run.id)
    known = None if base is None else base.increment
    if is_by_column:  # a file: all changed, or nothing
        return _Plan(base, state.parts, is_nothing=known is not None and known.added == state.parts)
    _refuse_lost(source, state, newest, known)
    added = state.parts if base is None else new_files(source, state, base)
    if added is None:
        return _Plan(None, state.parts)
    return _Plan(base, added, is_nothing=not added)


def _refuse_lost(source: Source, state: SourceState, newest: Increment | None, known: Increment | None) -> None:
    """What the newest reading had read is in the base, or still there."""
    kept = {name for name, _, _ in (*state.parts, *(() if known is None else known.seen))}
    if gone := sorted({name for name, _, _ in (() if newest is None else newest.seen)} - kept):
        raise FilesRewritten(source.name, [], gone)


def _before(work: Workspace, source: str, reading: str) -> tuple[Increment | None, Snapshot | None]:
    """What the newest reading says of itself, and the newest snapshot that was read alike; mostly they are one."""
    newest = None
    for snapshot in _earlier(work, source):
        newest = newest or snapshot.increment
        if snapshot.increment is not None and snapshot.increment.reading == reading:
            return newest, snapshot
    return newest, None


def _earlier(work: Workspace, source: str) -> Iterator[Snapshot]:
    """The source's snapshots that are still there, newest first."""
    project = work.definition.project.name
    where: dict[str, Any] = {"project": project, "name": f"read {source}", "state": ["done", "cached"]}
    met = set()
    with work.runner.catalog.read() as reader:
        for row in reader.select("stages", where, order_by=["-started_us"], limit=_LOOKED_AT):
            fingerprint = str(row["fingerprint"])
            outcome = reader.get("outcomes", {"project": project, "fingerprint": fingerprint})
            if fingerprint in met or outcome is None:
                continue
            met.add(fingerprint)
            try:
                snapshot = msgspec.json.decode(str(outcome["outcome"]), type=Snapshot)
            except msgspec.DecodeError:
                continue
            if work.runner.objects.exists(snapshot.ref.key):
                yield snapshot


def _content(snapshot: Snapshot) -> str:
    parts = [snapshot.ref, snapshot.malformed]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _as_before(base: Snapshot, _: StageContext) -> Snapshot:
    return base
