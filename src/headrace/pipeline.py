"""The run, stage by stage: reading this page is reading the mission.

    sources → snapshots → contracts → features as known then → candidates under one budget → the choice in money
            → one compiled package → one look at the holdout → a signed version

Each stage is a function of typed values; `runs` skips what is done, meters the rest, and commits each outcome whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as library_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from headrace.data.model import CheckedSource, QualityReport, Snapshot, SourceState, Table
from headrace.definition.lock import Lock
from headrace.definition.lockfile import read_lock, write_lock
from headrace.definition.model import Definition, Source
from headrace.errors import CheckFailed
from headrace.features.model import Encoder, Frame, Program
from headrace.language.types import Type
from headrace.runs.model import ObjectRef, StageContext
from headrace.scoring.model import Decision, Lineage
from headrace.stores.durable import make_folder, write_file
from headrace.training.model import Choice, Evaluation, SearchResult

if TYPE_CHECKING:
    from headrace.cost.prices import PriceBook
    from headrace.features.label import Label
    from headrace.registry.model import Version
    from headrace.registry.versions import Registry
    from headrace.runs.runner import Run, Runner
    from headrace.training.data import TrainingData


DATA: Final = ("data", "language")
FEATURES: Final = ("features", "language")
TRAINING: Final = ("training", "features", "scoring", "pipeline")


@dataclass(frozen=True)
class Workspace:
    """What a run works with; `app` opens it."""

    definition: Definition
    definition_sha256: str
    root: Path
    environment: Mapping[str, str]
    lock_path: Path
    reports: Path
    """Folder for pages."""
    runner: Runner
    registry: Registry
    prices: PriceBook
    clock: Callable[[], int]
    """Microseconds since 1970."""


@dataclass(frozen=True)
class Checked:
    """What the sources brought, and the page about it."""

    sources: Mapping[str, CheckedSource]
    types: Mapping[str, Mapping[str, Type]]
    """Types of the accepted tables."""
    snapshots: Mapping[str, Snapshot]
    page: Path

    @property
    def reports(self) -> list[QualityReport]:
        """One a source, in the definition's order."""
        return [checked.report for checked in self.sources.values()]

    @property
    def tables(self) -> dict[str, Table]:
        """The accepted tables."""
        return {name: checked.table for name, checked in self.sources.items()}


class ContractBroken(CheckFailed):
    """A rule with `on_fail = "fail"` failed: nothing is trained on such data."""

    code = "contract-broken"

    def __init__(self, broken: Sequence[QualityReport], *, page: Path) -> None:
        said = [
            f"{report.source}: {rule.rule} failed in {rule.failed:,} of {report.read:,} rows"
            + ("" if rule.first_row is None else f", first in row {rule.first_row:,}")
            for report in broken
            for rule in report.rules
            if not rule.passed and rule.on_fail == "fail"
        ]
        super().__init__(
            "the contract is broken: " + "; ".join(said),
            fix=f'correct the source, or say on_fail = "quarantine" for the rule; {page} shows everything',
            sources=[report.source for report in broken],
            page=str(page),
        )


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen candidate, fitted on all training rows and compiled."""

    onnx: ObjectRef
    encoder: Encoder
    decision: Decision
    profile: ObjectRef
    label_spread: float
    library: ObjectRef
    """The library's own answers on the holdout, float64 by row: what the compiled package must agree with."""


class Page(msgspec.Struct, frozen=True):
    """A page for people, stored."""

    page: ObjectRef


class Registered(msgspec.Struct, frozen=True):
    """The version that a run made."""

    number: int


@dataclass(frozen=True)
class Outcome:
    """What a run made, for people and for `--json`."""

    run: str
    version: Version
    choice: Choice
    evaluation: Evaluation
    reports: Sequence[QualityReport]
    quality_page: Path
    run_page: Path
    wall_s: float
    cost_usd: float
    stages_done: int
    """Stages that were computed, not found."""

    def summary(self) -> dict[str, Any]:
        """What `run --json` prints, and what the run record keeps."""
        chosen = next(c for c in self.choice.candidates if c.trial == self.choice.trial)
        return {
            "run": self.run,
            "model": self.version.model,
            "version": self.version.number,
            "aliases": list(self.version.aliases),
            "package": self.version.package,
            "family": chosen.family,
            "reason": self.choice.reason,
            "metrics": {m.name: m.value for m in self.evaluation.metrics},
            "cost_per_million": None
            if chosen.money is None
            else {**msgspec.to_builtins(chosen.money), "total": chosen.money.total},
            "currency": self.choice.currency,
            "stages_computed": self.stages_done,
            "wall_s": round(self.wall_s, 3),
            "cost_usd": self.cost_usd,
            "pages": {"run": str(self.run_page), "quality": str(self.quality_page)},
        }


def run_pipeline(work: Workspace, *, refresh: bool = False) -> Outcome:
    """The whole mission, once."""
    from headrace.features.build import build_program, label_of

    started = time.monotonic()
    definition = work.definition
    with work.runner.run(work.definition_sha256) as run:
        checked = check_sources(run, work, refresh=refresh)
        broken = [report for report in checked.reports if not report.passed]
        if broken:
            raise ContractBroken(broken, page=checked.page)
        label = label_of(definition, checked.types[definition.project.source])
        program = build_program(definition, checked.types)
        frame = gather(run, work, program, label, checked)
        trials = find_candidates(run, work, frame)
        choice = choose(run, work, trials)
        compiled = compile_chosen(run, work, frame, trials, choice)
        evaluation = look_at_holdout(run, work, frame, compiled)
        version = register(run, work, checked, frame, trials, choice, compiled, evaluation)
        page = _write_run_page(run, work, frame, trials, choice, evaluation, version)
        outcome = Outcome(
            run=run.id,
            version=version,
            choice=choice,
            evaluation=evaluation,
            reports=checked.reports,
            quality_page=checked.page,
            run_page=page,
            wall_s=time.monotonic() - started,
            cost_usd=run.cost_usd,
            stages_done=run.stages_done,
        )
        run.finish(outcome.summary())
    return outcome


def check_only(work: Workspace, *, refresh: bool = False) -> Checked:
    """The run up to the contracts; a broken one is in the reports, not raised."""
    with work.runner.run(work.definition_sha256) as run:
        return check_sources(run, work, refresh=refresh)


def check_sources(run: Run, work: Workspace, *, refresh: bool) -> Checked:
    """Read every source, freeze its types, hold it against its contract; static tables that others join come first."""
    from headrace.data.align import table_types
    from headrace.data.state import source_state

    lock = freeze_types(work)
    sources: dict[str, CheckedSource] = {}
    types: dict[str, Mapping[str, Type]] = {}
    snapshots: dict[str, Snapshot] = {}
    for source in in_join_order(work.definition.sources):
        locked = lock.types(source.name)
        types[source.name] = table_types(source, locked, {join.source: types[join.source] for join in source.joins})
        state = source_state(source, work.root, work.environment)
        again = run.id if refresh or state.volatile else None
        snapshots[source.name] = run.stage(
            f"read {source.name}",
            depends={"source": _reading_part(source), "state": state, "types": locked, "again": again},
            rooms=DATA,
            compute=partial(_read, work, source, locked, state),
            kind=Snapshot,
        )
        joined = {join.source: sources[join.source].table for join in source.joins}
        sources[source.name] = run.stage(
            f"check {source.name}",
            depends={"source": source, "snapshot": _content(snapshots[source.name]), "types": locked, "joined": joined},
            rooms=DATA,
            compute=partial(_check, snapshots[source.name], source, locked, joined),
            kind=CheckedSource,
        )
    in_order = {source.name: sources[source.name] for source in work.definition.sources}
    page = _write_quality_page(run, work, [found.report for found in in_order.values()])
    return Checked(in_order, types, snapshots, page)


def _read(
    work: Workspace, source: Source, locked: Mapping[str, Type], state: SourceState, ctx: StageContext
) -> Snapshot:
    from headrace.data.snapshot import take_snapshot  # loads Polars: not for a run that has nothing to do

    return take_snapshot(source, work.root, work.environment, locked, state, ctx)


def _check(
    snapshot: Snapshot,
    source: Source,
    locked: Mapping[str, Type],
    joined: Mapping[str, Table],
    ctx: StageContext,
) -> CheckedSource:
    from headrace.data.check import check

    return check(snapshot, source, locked, joined, ctx)


def gather(run: Run, work: Workspace, program: Program, label: Label, checked: Checked) -> Frame:
    """One row a labelled example, every value as it was known when its prediction was asked for."""
    definition = work.definition
    needed = {program.source, *(step.source for step in program.steps if hasattr(step, "source"))}
    tables = {name: table for name, table in checked.tables.items() if name in needed}

    def compute(ctx: StageContext) -> Frame:
        from headrace.features.frame import assemble

        return assemble(program, definition, tables, ctx)

    return run.stage(
        "assemble",
        depends={
            "program": program,
            "project": definition.project,
            "label_known": label.known_after,
            "split": definition.split,
            "tables": tables,
        },
        rooms=FEATURES,
        compute=compute,
        kind=Frame,
    )


def find_candidates(run: Run, work: Workspace, frame: Frame) -> SearchResult:
    """Candidates under one budget, each under the same folds; the holdout is not touched."""
    definition = work.definition

    def compute(ctx: StageContext) -> SearchResult:
        from headrace.training.search import search

        return search(
            _rows(ctx, frame, definition).train,
            definition.training,
            definition.split,
            definition.costs,
            recorder=ctx,
            clock=time.monotonic,
        )

    return run.stage(
        "search",
        depends={"frame": frame, "training": definition.training, "split": definition.split, "costs": definition.costs},
        rooms=TRAINING,
        compute=compute,
        kind=SearchResult,
    )


def choose(run: Run, work: Workspace, trials: SearchResult) -> Choice:
    """The one candidate, in money where there are costs, and what it gives up."""
    definition = work.definition

    def compute(_: StageContext) -> Choice:
        from headrace.training.select import select

        return select(
            trials,
            selection=definition.selection,
            costs=definition.costs,
            prices=work.prices,
            threads=definition.training.threads,
            at_us=work.clock(),
        )

    return run.stage(
        "select",
        depends={
            "trials": trials,
            "selection": definition.selection,
            "costs": definition.costs,
            "prices": work.prices.prices,
        },
        rooms=("training", "cost"),
        compute=compute,
        kind=Choice,
    )


def compile_chosen(run: Run, work: Workspace, frame: Frame, trials: SearchResult, choice: Choice) -> Compiled:
    """Fit the choice on all training rows, calibrate and set its threshold out of fold, compile it to one graph."""
    definition = work.definition
    trial = next(t for t in trials.trials if t.number == choice.trial)
    decision = trial.decision
    assert decision is not None, "a trial that is done has a decision"

    def compute(ctx: StageContext) -> Compiled:
        from headrace.features.encoder import encode_columns
        from headrace.features.profile import profile_frame
        from headrace.training.fit import fit_chosen

        data = _rows(ctx, frame, definition)
        fitted = fit_chosen(data.train, trial, definition.training)
        answers = fitted.predict(encode_columns(fitted.encoder, data.holdout.rows))
        return Compiled(
            onnx=ctx.keep_bytes(fitted.onnx, "graphs", ".onnx"),
            encoder=fitted.encoder,
            decision=decision,
            profile=ctx.keep_bytes(profile_frame(frame.program, data.train.rows), "profiles", ".json"),
            label_spread=fitted.label_spread,
            library=ctx.keep_bytes(answers.tobytes(), "answers", ".f64"),
        )

    return run.stage(
        "compile",
        depends={
            "frame": frame,
            "family": trial.family,
            "params": trial.params,
            "decision": decision,
            "training": {
                "seed": definition.training.seed,
                "threads": definition.training.threads,
                "metric": trials.metric,
            },
            "split": definition.split,
            "costs": definition.costs,
        },
        rooms=TRAINING,
        compute=compute,
        kind=Compiled,
    )


def look_at_holdout(run: Run, work: Workspace, frame: Frame, compiled: Compiled) -> Evaluation:
    """Score the holdout once, with the compiled graph itself; a package that disagrees with its library stops here."""
    definition = work.definition

    def compute(ctx: StageContext) -> Evaluation:
        import numpy as np

        from headrace.features.encoder import encode_columns
        from headrace.training.evaluate import Holdout, evaluate

        holdout = _rows(ctx, frame, definition).holdout
        library = np.frombuffer(ctx.fetch(compiled.library), np.float64)
        return evaluate(
            Holdout(
                X=encode_columns(compiled.encoder, holdout.rows),
                y=holdout.y,
                library=library.reshape(len(holdout), -1) if frame.task == "multiclass" else library,
                features=tuple(field.name for field in frame.program.outputs),
            ),
            ctx.fetch(compiled.onnx),
            compiled.decision,
            metric=definition.training.metric,
            costs=definition.costs,
            label_spread=compiled.label_spread,
            seed=definition.training.seed,
        )

    return run.stage(
        "evaluate",
        depends={
            "frame": frame,
            "compiled": compiled,
            "split": definition.split,
            "costs": definition.costs,
            "metric": definition.training.metric,
        },
        rooms=TRAINING,
        compute=compute,
        kind=Evaluation,
    )


def register(
    run: Run,
    work: Workspace,
    checked: Checked,
    frame: Frame,
    trials: SearchResult,
    choice: Choice,
    compiled: Compiled,
    evaluation: Evaluation,
) -> Version:
    """Pack, sign and number the version; a project's first version becomes its champion."""
    from headrace.registry.card import model_card
    from headrace.registry.summary import version_summary

    definition = work.definition
    trial = next(t for t in trials.trials if t.number == choice.trial)
    lineage = Lineage(
        definition_sha256=work.definition_sha256,
        snapshots={name: snapshot.ref.sha256 for name, snapshot in checked.snapshots.items()},
        tables={name: table.ref.sha256 for name, table in checked.tables.items()},
        frame=frame.ref.sha256,
        trial=trial.number,
        family=trial.family,
        params=trial.params,
        libraries={name: library_version(name) for name in ("lightgbm", "numpy", "onnx", "polars", "scikit-learn")},
        headrace=library_version("headrace"),
    )
    source = definition.source(definition.project.source)
    contract = {"source": source, "types": checked.types[source.name]}

    def compute(ctx: StageContext) -> Registered:
        files = {
            "model.onnx": ctx.fetch(compiled.onnx),
            "program.json": msgspec.json.encode(frame.program),
            "encoder.json": msgspec.json.encode(compiled.encoder),
            "decision.json": msgspec.json.encode(compiled.decision),
            "contract.json": msgspec.json.encode(contract),
            "profile.json": ctx.fetch(compiled.profile),
            "lineage.json": msgspec.json.encode(lineage, order="sorted"),
            "README.md": model_card(definition, frame.program, compiled.decision, evaluation, choice, lineage).encode(),
        }
        made = work.registry.register(frame.program.model, files, run.id, version_summary(evaluation, choice))
        return Registered(made.number)

    made = run.stage(
        "register",
        depends={
            "compiled": compiled,
            "evaluation": evaluation,
            "choice": choice,
            "lineage": lineage,
            "contract": contract,
            "program": frame.program,
        },
        rooms=("registry", "scoring", "pipeline"),
        compute=compute,
        kind=Registered,
    )
    version = work.registry.get(f"{frame.program.model}@{made.number}")
    if not any("champion" in other.aliases for other in work.registry.list(version.model)):
        work.registry.promote(version.model, version.number, by=f"run {run.id}", reason="the first version")
        version = work.registry.get(f"{version.model}@{version.number}")
    return version


def freeze_types(work: Workspace) -> Lock:
    """The types of every source as read; those not frozen yet are inferred and written to headrace.lock."""
    lock = read_lock(work.lock_path) if work.lock_path.exists() else Lock()
    missing = [source for source in work.definition.sources if not _is_frozen(source, lock)]
    if missing:
        from headrace.data.infer import infer_types

        found = {source.name: infer_types(source, work.root, work.environment) for source in missing}
        lock = msgspec.structs.replace(lock, sources={**lock.sources, **found})
        write_lock(work.lock_path, lock)
        lock = read_lock(work.lock_path)  # in the file's order of columns: a later run has no other
    return lock


def _is_frozen(source: Source, lock: Lock) -> bool:
    """Whether the lock knows the source, under the names that it has after `rename`."""
    columns = lock.sources.get(source.name)
    return columns is not None and all(new in columns for _, new in source.rename)


def in_join_order(sources: Sequence[Source]) -> list[Source]:
    """Sources after those that they join; the reader has refused circles."""
    by_name = {source.name: source for source in sources}
    ordered: dict[str, Source] = {}

    def add(source: Source) -> None:
        for join in source.joins:
            add(by_name[join.source])
        ordered.setdefault(source.name, source)

    for source in sources:
        add(source)
    return list(ordered.values())


def _reading_part(source: Source) -> dict[str, Any]:
    """What of a source decides its snapshot: the contract may change without reading again."""
    declared = {name: [rule.type, rule.zone, rule.missing] for name, rule in source.columns}
    names = ("name", "read", "format", "query", "separator", "missing", "rename")
    return {**{name: getattr(source, name) for name in names}, "columns": declared}


def _content(snapshot: Snapshot) -> dict[str, Any]:
    """What of a snapshot decides what follows: its bytes, not when and where they were read."""
    return {"ref": snapshot.ref, "malformed": snapshot.malformed, "columns": snapshot.columns, "rows": snapshot.rows}


def _rows(ctx: StageContext, frame: Frame, definition: Definition) -> TrainingData:
    """The frame's rows, divided."""
    import polars as pl

    from headrace.training.data import divide

    url, options = ctx.scan(frame.ref)
    ctx.count(rows_in=frame.rows)
    return divide(frame, pl.read_parquet(url, storage_options=options or None), definition.split)


def _write_quality_page(run: Run, work: Workspace, reports: Sequence[QualityReport]) -> Path:
    name = work.definition.project.name

    def compute(ctx: StageContext) -> Page:
        from headrace.data.page import quality_page

        return Page(ctx.keep_bytes(quality_page(name, reports).encode(), "reports", ".html"))

    page = run.stage(
        "quality page",
        depends={"reports": list(reports), "project": name},
        rooms=("pages", "data"),
        compute=compute,
        kind=Page,
    )
    return _lay_out(work, page.page, "quality.html")


def _write_run_page(
    run: Run,
    work: Workspace,
    frame: Frame,
    trials: SearchResult,
    choice: Choice,
    evaluation: Evaluation,
    version: Version,
) -> Path:
    counts = [
        ("rows with a label", frame.rows),
        ("held out for the one last look", frame.holdout_rows),
        ("without a label: counted, never trained on", frame.unlabelled),
        ("label known before the prediction was asked for: left out", frame.label_too_early),
    ]
    name = f"{version.model}@{version.number}"

    def compute(ctx: StageContext) -> Page:
        from headrace.training.page import run_page

        page = run_page(
            project=work.definition.project.name,
            version=name,
            trials=trials.trials,
            choice=choice,
            evaluation=evaluation,
            counts=counts,
            classes=frame.classes,
        )
        return Page(ctx.keep_bytes(page.encode(), "reports", ".html"))

    page = run.stage(
        "run page",
        depends={"trials": trials, "choice": choice, "evaluation": evaluation, "counts": counts, "version": name},
        rooms=("pages", "training"),
        compute=compute,
        kind=Page,
    )
    return _lay_out(work, page.page, f"version-{version.number}.html")


def _lay_out(work: Workspace, page: ObjectRef, name: str) -> Path:
    """A copy of the page where a person finds it."""
    path = work.reports / name
    data = work.runner.objects.get_verified(page.key, page.sha256)
    if not path.exists() or path.read_bytes() != data:
        make_folder(work.reports)
        write_file(path, data)
    return path
