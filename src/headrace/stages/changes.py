"""What a snapshot changed: compared with the contract, and with the newest snapshot that was accepted before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from headrace.data.model import Before, CheckedSource, Shape, Snapshot, Table, Watched
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.runs.model import ObjectRef, StageContext
from headrace.stages.model import Workspace

if TYPE_CHECKING:
    from headrace.runs.runner import Run

ROOMS: Final = ("data", "language")
_STAGE: Final = "watch"


def watch(
    run: Run,
    work: Workspace,
    source: Source,
    snapshot: Snapshot,
    checked: CheckedSource,
    locked: Mapping[str, Type],
    needed: Mapping[str, Table],
) -> CheckedSource:
    """The outcome of the check with what the snapshot changed."""
    before = _before(work, snapshot)

    def compute(ctx: StageContext) -> Watched:
        return _watched(source, snapshot, checked.report.passed, locked, needed, before, ctx)

    watched = run.stage(
        f"{_STAGE} {source.name}",
        depends={
            "source": source,
            "snapshot": {"ref": snapshot.ref, "files": snapshot.files, "malformed": snapshot.malformed},
            "types": locked,
            "needed": needed,
            "before": before,
            "passed": checked.report.passed,
        },
        rooms=ROOMS,
        compute=compute,
        kind=Watched,
    )
    report = msgspec.structs.replace(checked.report, changes=watched.changes, drift=watched.drift)
    return msgspec.structs.replace(checked, report=report)


def _watched(
    source: Source,
    snapshot: Snapshot,
    has_passed: bool,
    locked: Mapping[str, Type],
    needed: Mapping[str, Table],
    before: Before | None,
    ctx: StageContext,
) -> Watched:
    from headrace.data.align import base_types
    from headrace.data.changes import find_changes, find_drift, new_parts
    from headrace.data.check import row_places, scan
    from headrace.data.shape import take_shape

    base = base_types(source, locked)
    raw = scan(snapshot.ref, ctx)
    statics = {name: scan(table.ref, ctx) for name, table in needed.items()}
    whole = take_shape(raw, source, base, statics)
    earlier = None if before is None else _read_shape(before.shape, ctx)
    part = None if before is None else new_parts(snapshot.files, before.files)
    now = whole
    if part is not None:
        malformed = None if snapshot.malformed is None else scan(snapshot.malformed, ctx)
        places = row_places(snapshot, malformed)
        now = take_shape(raw, source, base, statics, [places[name] for name in part])
    changes = find_changes(source, base, now, earlier, is_part=part is not None)
    kept = ctx.keep_bytes(msgspec.json.encode(whole), "shapes", ".json")
    return Watched(
        snapshot=snapshot.ref.sha256,
        before=before,
        this=Before(shape=kept, files=snapshot.files, rows=snapshot.rows),
        changes=changes,
        drift=() if earlier is None else find_drift(now, earlier),
        part=part or (),
        accepted=has_passed and all(change.policy != "fail" for change in changes),
    )


def newest_shape(work: Workspace, source: str, ctx: StageContext) -> Shape | None:
    """The shape of the newest accepted snapshot; None when there is none."""
    newest = next((one for one in _watched_before(work, source) if one.accepted), None)
    return None if newest is None else _read_shape(newest.this.shape, ctx)


def _read_shape(ref: ObjectRef, ctx: StageContext) -> Shape:
    return msgspec.json.decode(ctx.fetch(ref), type=Shape)


def _before(work: Workspace, snapshot: Snapshot) -> Before | None:
    """What to compare a snapshot with: what it was compared with when it was first seen, whatever came since.

    A snapshot that is seen for the first time is compared with the newest accepted one."""
    seen = list(_watched_before(work, snapshot.source))
    same = [one for one in seen if one.snapshot == snapshot.ref.sha256]
    if same:
        return same[-1].before
    return next((one.this for one in seen if one.accepted), None)


def _watched_before(work: Workspace, source: str) -> list[Watched]:
    """Every comparison of the source that is still recorded, the newest run first."""
    project = work.definition.project.name
    found: list[Watched] = []
    read: dict[str, Watched | None] = {}
    with work.runner.catalog.read() as reader:
        where = {"project": project, "name": f"{_STAGE} {source}", "state": ["done", "cached"]}
        for row in reader.select("stages", where, order_by=["-started_us"]):
            fingerprint = str(row["fingerprint"])
            if fingerprint not in read:
                outcome = reader.get("outcomes", {"project": project, "fingerprint": fingerprint})
                read[fingerprint] = None if outcome is None else _decoded(str(outcome["outcome"]))
            if (one := read[fingerprint]) is not None:
                found.append(one)
    return found


def _decoded(text: str) -> Watched | None:
    """A recorded comparison; None when an earlier version recorded it in another form."""
    try:
        return msgspec.json.decode(text, type=Watched)
    except msgspec.DecodeError:
        return None
