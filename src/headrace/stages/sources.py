"""Sources → snapshots → contracts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from headrace.data.correction_log import active
from headrace.data.model import (
    Association,
    CheckedSource,
    Combined,
    Compared,
    QualityReport,
    RuleResult,
    Sketch,
    Snapshot,
    SourceState,
    Table,
)
from headrace.definition.lock import Lock
from headrace.definition.lockfile import read_lock, write_lock
from headrace.definition.model import Fresh, Source
from headrace.language.types import Type
from headrace.runs.model import ObjectRef, StageContext
from headrace.stages.changes import watch
from headrace.stages.combine import combine_sources, types_as_read
from headrace.stages.increments import read_increment
from headrace.stages.model import Checked, Page, Workspace
from headrace.stages.pages import lay_out
from headrace.stages.reading import read_source, reading_part
from headrace.stores.catalog import Row

if TYPE_CHECKING:
    from headrace.runs.runner import Run

T = TypeVar("T", bound=msgspec.Struct)

ROOMS: Final = ("data", "language")


def check_sources(run: Run, work: Workspace, *, refresh: bool, only: Sequence[str] = ()) -> Checked:
    """Read every source, freeze its types, hold it against its contract; sources that others need come first.

    Parameters
    ----------
    only
        Names of the sources to check, with those that they need; all when empty.
    """
    from headrace.data.align import table_types

    lock = freeze_types(work)
    sources: dict[str, CheckedSource] = {}
    types: dict[str, Mapping[str, Type]] = {}
    snapshots: dict[str, Snapshot] = {}
    combined: dict[str, Combined] = {}
    wanted = [source for source in work.definition.sources if not only or source.name in only]
    for source in in_join_order(wanted, work.definition.sources):
        locked = types_as_read(source, lock, types)
        types[source.name] = table_types(source, locked, {name: types[name] for name in source.needs})
        if source.combine is not None:
            combined[source.name] = combine_sources(run, work, source, sources, snapshots)
            snapshots[source.name] = combined[source.name].snapshot
        else:
            snapshots[source.name] = _snapshot(run, work, source, locked, refresh=refresh)
        with work.runner.catalog.read() as reader:
            corrected = active(reader, work.definition.project.name, source.name)
        needed = {name: sources[name].table for name in source.needs}
        sources[source.name] = run.stage(
            f"check {source.name}",
            depends={
                "source": source,
                "snapshot": _content(snapshots[source.name]),
                "types": locked,
                "joined": needed,
                "corrections": corrected,
            },
            rooms=ROOMS,
            compute=partial(_check, snapshots[source.name], source, locked, needed, corrected),
            kind=CheckedSource,
        )
        if source.match is not None:
            sources[source.name] = _matched(run, work, source, sources[source.name], snapshots[source.name])
        if source.distributions:
            sources[source.name] = _compared(run, work, source, sources[source.name])
        if source.combine is None:  # of an entity, each member is watched
            checked = sources[source.name]
            sources[source.name] = watch(run, work, source, snapshots[source.name], checked, locked, needed)
        if source.fresh is not None:
            sources[source.name] = _dated(sources[source.name], source.fresh, work.clock())
    in_order = {source.name: sources[source.name] for source in work.definition.sources if source.name in sources}
    told = _tell_of_label(run, work, in_order)
    page = write_quality_page(run, work, [found.report for found in in_order.values()], told, combined)
    return Checked(in_order, types, snapshots, page, combined)


def _snapshot(run: Run, work: Workspace, source: Source, locked: Mapping[str, Type], *, refresh: bool) -> Snapshot:
    """The source as it is now; read only if it looks other than when it was read last."""
    from headrace.data.snapshot import until_still
    from headrace.data.state import source_state

    if source.incremental is not None:
        return read_increment(run, work, source, locked, refresh=refresh)

    def read(state: SourceState) -> Snapshot:
        again = run.id if refresh or state.volatile else _last_refresh(work, state)
        snapshot = run.stage(
            f"read {source.name}",
            depends={"source": reading_part(source), "state": state, "types": locked, "again": again},
            rooms=ROOMS,
            compute=partial(read_source, work, source, locked, state),
            kind=Snapshot,
        )
        if refresh:
            _note_refresh(work, state, run.id)
        return snapshot

    return until_still(partial(source_state, source, work.root, work.environment), read)


class Refreshed(msgspec.Struct, frozen=True):
    """A reading that was asked for although the source looked the same."""

    state: SourceState
    run: str


def _last_refresh(work: Workspace, state: SourceState) -> str | None:
    """The run that last read a source again which still looks as it did: what was read before it is out of date."""
    with work.runner.catalog.read() as reader:
        row = reader.get("source_states", {"project": work.definition.project.name, "source": state.source})
    if row is None:
        return None
    refreshed = msgspec.json.decode(str(row["state"]), type=Refreshed)
    return refreshed.run if refreshed.state == state else None


def _note_refresh(work: Workspace, state: SourceState, run: str) -> None:
    owner: Row = {"project": work.definition.project.name, "source": state.source}
    seen: Row = {"state": msgspec.json.encode(Refreshed(state, run)).decode(), "seen_us": work.clock()}
    with work.runner.catalog.write() as writer:
        if not writer.insert_if_absent("source_states", {**owner, **seen}):
            writer.update("source_states", owner, seen)


def _check(
    snapshot: Snapshot,
    source: Source,
    locked: Mapping[str, Type],
    joined: Mapping[str, Table],
    corrections: Sequence[ObjectRef],
    ctx: StageContext,
) -> CheckedSource:
    from headrace.data.check import check

    return check(snapshot, source, locked, joined, ctx, corrections)


def _matched(run: Run, work: Workspace, source: Source, checked: CheckedSource, snapshot: Snapshot) -> CheckedSource:
    """The outcome without the rows that are about what another row is about."""
    from headrace.data.matching.answers import FILE, read_answers
    from headrace.data.matching.model import MatchedSource

    answers = read_answers(work.root / FILE, source.name)

    def compute(ctx: StageContext) -> MatchedSource:
        from headrace.data.matching.source import match_source

        return match_source(source, checked, snapshot, answers, ctx)

    matched = run.stage(
        f"match {source.name}",
        depends={
            "match": source.match,
            "derive": source.derive,
            "checked": checked,
            "snapshot": _content(snapshot),
            "answers": answers,
        },
        rooms=ROOMS,
        compute=compute,
        kind=MatchedSource,
    )
    return matched.checked


def freeze_types(work: Workspace) -> Lock:
    """The types of every source as read; those not frozen yet are inferred and written to headrace.lock."""
    lock = read_lock(work.lock_path) if work.lock_path.exists() else Lock()
    missing = [s for s in work.definition.sources if s.combine is None and not _is_frozen(s, lock)]
    if missing:
        from headrace.data.infer import infer_types

        found = {source.name: infer_types(source, work.root, work.environment) for source in missing}
        lock = msgspec.structs.replace(lock, sources={**lock.sources, **found})
        write_lock(work.lock_path, lock)
        lock = read_lock(work.lock_path)  # in the file's order of columns: a later run has no other
    return lock


def _dated(checked: CheckedSource, fresh: Fresh, now_us: int) -> CheckedSource:
    """The outcome with the verdict on its age, which depends on the clock and so is no part of what is stored."""
    from headrace.data.table_rules import fresh_result

    result, warning = fresh_result(fresh, checked.newest_us, now_us)
    return _with_results(checked, [result], [] if warning is None else [warning])


def _with_results(checked: CheckedSource, rules: Sequence[RuleResult], warnings: Sequence[str] = ()) -> CheckedSource:
    """The outcome with further verdicts, which depend on more than the snapshot and its contract."""
    report = checked.report
    report = msgspec.structs.replace(report, rules=(*report.rules, *rules), warnings=(*report.warnings, *warnings))
    return msgspec.structs.replace(checked, report=report)


def _compared(run: Run, work: Workspace, source: Source, checked: CheckedSource) -> CheckedSource:
    """The outcome with what its rules about distributions say beside the last snapshot accepted before."""
    reference = _last_accepted(work, source.name, checked.table)

    def compute(ctx: StageContext) -> Compared:
        from headrace.data.check import scan
        from headrace.data.distribution import compare

        return compare(source, scan(checked.table.ref, ctx), reference)

    compared = run.stage(
        f"compare {source.name}",
        depends={"rules": source.distributions, "table": checked.table, "reference": reference},
        rooms=ROOMS,
        compute=compute,
        kind=Compared,
    )
    return _with_results(checked, compared.rules)


def _last_accepted(work: Workspace, source: str, table: Table) -> tuple[Sketch, ...]:
    """The sketches of the last table accepted before this one was first seen; none when there is no such table.

    Before it was *first* seen: a run that is repeated compares with the same table again."""
    project = work.definition.project.name
    accepted: tuple[Sketch, ...] = ()
    with work.runner.catalog.read() as reader:

        def outcomes(stage: str, kind: type[T]) -> Iterator[tuple[str, T]]:
            where = {"project": project, "name": f"{stage} {source}", "state": ["done", "cached"]}
            read: dict[str, T | None] = {}
            for row in reader.select("stages", where, order_by=["started_us"]):
                fingerprint = str(row["fingerprint"])
                if fingerprint not in read:
                    found = reader.get("outcomes", {"project": project, "fingerprint": fingerprint})
                    read[fingerprint] = None if found is None else _decoded(str(found["outcome"]), kind)
                if (outcome := read[fingerprint]) is not None:
                    yield str(row["run_id"]), outcome

        refused = {
            run
            for run, compared in outcomes("compare", Compared)
            if any(not rule.passed and rule.on_fail == "fail" for rule in compared.rules)
        }
        for run, checked in outcomes("check", CheckedSource):
            if checked.table.ref == table.ref:
                break
            if checked.report.passed and checked.sketches and run not in refused:
                accepted = checked.sketches
    return accepted


def _decoded(text: str, kind: type[T]) -> T | None:
    """A recorded outcome; None when an earlier version recorded it in another form."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        return None


def _is_frozen(source: Source, lock: Lock) -> bool:
    """Whether the lock knows the source, under the names that it has after `rename`."""
    columns = lock.sources.get(source.name)
    return columns is not None and all(new in columns for _, new in source.rename)


def in_join_order(sources: Sequence[Source], every: Sequence[Source]) -> list[Source]:
    """Sources after those that they need or are made from, which are among `every`; the reader has refused circles."""
    by_name = {source.name: source for source in every}
    ordered: dict[str, Source] = {}

    def add(source: Source) -> None:
        for name in (*source.members, *source.needs):
            add(by_name[name])
        ordered.setdefault(source.name, source)

    for source in sources:
        add(source)
    return list(ordered.values())


def _content(snapshot: Snapshot) -> dict[str, Any]:
    """What of a snapshot decides what follows: its bytes, not when and where they were read."""
    return {"ref": snapshot.ref, "malformed": snapshot.malformed, "columns": snapshot.columns, "rows": snapshot.rows}


class Told(msgspec.Struct, frozen=True):
    """What the columns of the project's source tell of the label."""

    source: str
    columns: tuple[Association, ...] = ()


def _tell_of_label(run: Run, work: Workspace, sources: Mapping[str, CheckedSource]) -> Told | None:
    """Each column of the project's source beside the label; None without a label that its columns can give."""
    project = work.definition.project
    checked = sources.get(project.source)
    if checked is None or project.label is None or not checked.report.passed:
        return None
    label, table = project.label, checked.table

    def compute(ctx: StageContext) -> Told:
        from headrace.data.association import associations
        from headrace.language.errors import ExpressionError

        url, options = ctx.scan(table.ref)
        fields = {field.name: field.type for field in table.fields}
        try:
            return Told(table.source, associations(url, options, fields, label))
        except ExpressionError:  # the run says what is wrong with the label; a check is of the data alone
            return Told(table.source)

    depends = {"table": table.ref, "fields": table.fields, "label": label}
    return run.stage("tell of the label", depends=depends, rooms=ROOMS, compute=compute, kind=Told)


def write_quality_page(
    run: Run,
    work: Workspace,
    reports: Sequence[QualityReport],
    told: Told | None,
    combined: Mapping[str, Combined],
) -> Path:
    project = work.definition.project
    later = [name for name, rule in work.definition.source(project.source).columns if rule.known is not None]

    def compute(ctx: StageContext) -> Page:
        from headrace.data.page import quality_page

        associations = {} if told is None else {told.source: told.columns}
        page = quality_page(project.name, reports, associations, label=project.label, later=later, combined=combined)
        return Page(ctx.keep_bytes(page.encode(), "reports", ".html"))

    page = run.stage(
        "quality page",
        depends={
            "reports": list(reports),
            "project": project.name,
            "told": told,
            "combined": combined,
            "label": project.label,
            "later": later,
        },
        rooms=("pages", "data"),
        compute=compute,
        kind=Page,
    )
    return lay_out(work, page.page, "quality.html")
