"""The run, stage by stage: reading this page is reading the mission.

    sources → snapshots → contracts → features as known then → their certificate → candidates under one budget
            → the choice in money → one compiled package → one look at the holdout → a signed version

Each stage is a function of typed values; `runs` skips what is done, meters the rest, and commits each outcome whole.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.stages.automatic import keep_what_pays, propose_features
from headrace.stages.certificate import certify_frame
from headrace.stages.compiling import compile_chosen, learn_from_all
from headrace.stages.learning import (
    as_here,
    ask_for_more_rows,
    choose,
    find_candidates,
    gather,
    look_at_holdout,
)
from headrace.stages.looks import count_looks
from headrace.stages.model import Checked, ContractBroken, Outcome, Workspace
from headrace.stages.nested import validate_procedure, with_procedure
from headrace.stages.rows import look_at_rows, with_learnt
from headrace.stages.sources import check_sources
from headrace.stages.splitting import settle_split
from headrace.stages.versions import register, write_run_page

if TYPE_CHECKING:
    from headrace.features.certificate import Certificate
    from headrace.features.label import Label
    from headrace.features.model import Frame
    from headrace.runs.runner import Run


def run_pipeline(work: Workspace, *, refresh: bool = False) -> Outcome:
    """The whole mission, once."""
    started = time.monotonic()
    work = as_here(work)
    with work.runner.run(work.definition_sha256) as run:
        checked, label = _label(run, work, refresh=refresh)
        work, advice = settle_split(run, work, checked, label)
        automatic = None
        if work.definition.features.auto:
            proposed = propose_features(run, work, checked)
            work, frame, automatic = keep_what_pays(run, work, checked, label, proposed)
        else:
            frame = _gather(run, work, checked, label)
        certificate = certify_frame(run, checked, frame)
        learnt = look_at_rows(run, work, frame)
        trials = find_candidates(run, work, frame)
        choice = choose(run, work, trials)
        compiled = compile_chosen(run, work, frame, trials, choice)
        learning = ask_for_more_rows(run, work, frame, trials, choice)
        procedure = validate_procedure(run, work, frame)
        looked = look_at_holdout(run, work, frame, compiled, trials, choice, learning)
        evaluation = with_learnt(with_procedure(looked, procedure), learnt)
        packed = learn_from_all(run, work, frame, trials, choice, compiled)
        version = register(run, work, checked, frame, certificate, trials, choice, packed, evaluation)
        looks = count_looks(work, looked)
        page = write_run_page(run, work, frame, trials, choice, evaluation, version, automatic, looks, advice, learnt)
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
            automatic=automatic,
            holdout_looks=looks,
            split=advice,
            nested=procedure,
        )
        run.finish(outcome.summary())
    return outcome


def frame_only(work: Workspace, *, refresh: bool = False) -> tuple[Checked, Frame]:
    """The run up to the frame; nothing is trained; of proposed features it has all."""
    with work.runner.run(work.definition_sha256) as run:
        return _whole_frame(run, work, refresh=refresh)


def certify_only(
    work: Workspace, *, rows: int | None = None, seed: int | None = None, refresh: bool = False
) -> tuple[Frame, Certificate]:
    """The run up to the certificate of its features; nothing is trained; of proposed features it has all."""
    with work.runner.run(work.definition_sha256) as run:
        checked, frame = _whole_frame(run, work, refresh=refresh)
        return frame, certify_frame(run, checked, frame, rows=rows, seed=seed)


def check_only(work: Workspace, *, refresh: bool = False, only: Sequence[str] = ()) -> Checked:
    """The run up to the contracts, of some sources or (left empty) all; a broken one is in the reports.

    It is raised only where something else than a person asked for the run, and settles with it.
    """
    with work.runner.run(work.definition_sha256) as run:
        checked = check_sources(run, work, refresh=refresh, only=only)
        broken = [report for report in checked.reports if not report.passed]
        if broken and work.runner.ticket is not None:
            raise ContractBroken(broken, page=checked.page)
        return checked


def _label(run: Run, work: Workspace, *, refresh: bool) -> tuple[Checked, Label]:
    """Sources → snapshots → contracts, and what is predicted."""
    from headrace.features.build import label_of

    definition = work.definition
    checked = check_sources(run, work, refresh=refresh)
    broken = [report for report in checked.reports if not report.passed]
    if broken:
        raise ContractBroken(broken, page=checked.page)
    return checked, label_of(definition, checked.types[definition.project.source])


def _whole_frame(run: Run, work: Workspace, *, refresh: bool) -> tuple[Checked, Frame]:
    """Features as known then, those that are proposed with them."""
    checked, label = _label(run, work, refresh=refresh)
    work, _ = settle_split(run, work, checked, label)
    if work.definition.features.auto:
        work = replace(work, definition=propose_features(run, work, checked).definition)
    return checked, _gather(run, work, checked, label)


def _gather(run: Run, work: Workspace, checked: Checked, label: Label) -> Frame:
    """Features as known then."""
    from headrace.features.build import build_program

    return gather(run, work, build_program(work.definition, checked.types), label, checked)
