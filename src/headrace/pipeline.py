"""The run, stage by stage: reading this page is reading the mission.

    sources → snapshots → contracts → features as known then → candidates under one budget → the choice in money
            → one compiled package → one look at the holdout → a signed version

Each stage is a function of typed values; `runs` skips what is done, meters the rest, and commits each outcome whole.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.stages.learning import choose, compile_chosen, find_candidates, gather, look_at_holdout
from headrace.stages.model import Checked, ContractBroken, Outcome, Workspace
from headrace.stages.sources import check_sources
from headrace.stages.versions import register, write_run_page

if TYPE_CHECKING:
    from headrace.features.model import Frame
    from headrace.runs.runner import Run


def run_pipeline(work: Workspace, *, refresh: bool = False) -> Outcome:
    """The whole mission, once."""
    started = time.monotonic()
    with work.runner.run(work.definition_sha256) as run:
        checked, frame = _frame(run, work, refresh=refresh)
        trials = find_candidates(run, work, frame)
        choice = choose(run, work, trials)
        compiled = compile_chosen(run, work, frame, trials, choice)
        evaluation = look_at_holdout(run, work, frame, compiled)
        version = register(run, work, checked, frame, trials, choice, compiled, evaluation)
        page = write_run_page(run, work, frame, trials, choice, evaluation, version)
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


def frame_only(work: Workspace, *, refresh: bool = False) -> tuple[Checked, Frame]:
    """The run up to the frame; nothing is trained."""
    with work.runner.run(work.definition_sha256) as run:
        return _frame(run, work, refresh=refresh)


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


def _frame(run: Run, work: Workspace, *, refresh: bool) -> tuple[Checked, Frame]:
    """Sources → snapshots → contracts → features as known then."""
    from headrace.features.build import build_program, label_of

    definition = work.definition
    checked = check_sources(run, work, refresh=refresh)
    broken = [report for report in checked.reports if not report.passed]
    if broken:
        raise ContractBroken(broken, page=checked.page)
    label = label_of(definition, checked.types[definition.project.source])
    program = build_program(definition, checked.types)
    return checked, gather(run, work, program, label, checked)
