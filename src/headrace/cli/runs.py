"""`headrace runs` and `headrace show`: what was run, what it used, what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.options import AsJson, Flag, ProjectPath
from headrace.cli.output import count, instant, money, print_json, print_line, print_table, seconds, size, things
from headrace.cli.recent import print_runs
from headrace.cli.result import print_result
from headrace.errors import WrongUse

if TYPE_CHECKING:
    from headrace.runs.model import StageRecord

GRACE_S = 3600


class NoRuns(WrongUse):
    """Nothing was run yet."""

    code = "no-runs"

    def __init__(self, project: str) -> None:
        super().__init__(f"project {project!r} has no runs yet", fix="headrace run", project=project)


def list_runs(*, limit: int = 20, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """What has been run, newest first.

    Parameters
    ----------
    limit
        At most so many.
    """
    return print_runs(project, limit=limit, as_json=as_json)


def show(run: str = "last", *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """One run: its stages, what each used and cost, and its result.

    Parameters
    ----------
    run
        The run's name, or the beginning of it; `last` is the newest.
    """
    from headrace.app import look
    from headrace.runs.history import get_run, list_runs

    with look(project) as (name, reader):
        if reader is None or not list_runs(reader, name, 1):
            raise NoRuns(name)
        record = get_run(reader, name, run)
    if as_json:
        print_json(record)
        return 0
    print_line(f"run {record.id}  {record.state}  started {instant(record.started_us)}")
    if record.error:
        print_line(record.error)
    print_table(
        ["stage", "state", "wall", "CPU", "memory", "read", "written", "rows", "rows/s", "cost"],
        [_stage(s) for s in record.stages],
    )
    if record.result:
        print_result(record.result)
    return 0


def _stage(stage: StageRecord) -> list[str]:
    u = stage.usage
    if u is None:
        return [stage.name, stage.state, *[""] * 8]
    used = [seconds(u.wall_s), seconds(u.cpu_s), size(u.peak_memory_bytes), size(u.bytes_in), size(u.bytes_out)]
    rows = u.rows_out or u.rows_in
    rate = count(rows / u.wall_s) if rows and u.wall_s else ""
    return [stage.name, stage.state, *used, count(rows), rate, money(u.cost_usd)]


def remove(run: str, *, force: Flag = False, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Forget a run; `headrace runs gc` then frees what only it needed.

    Parameters
    ----------
    run
        The run's name, or the beginning of it; `last` is the newest.
    force
        Also when it registered a version that no alias names.
    """
    from headrace.app import Project
    from headrace.runs.history import remove_run

    opened = Project.open(project)
    removed = remove_run(opened.catalog, opened.name, run, force=force)
    if as_json:
        print_json({"removed": removed})
    else:
        print_line(f"run {removed} is forgotten; headrace runs gc frees its space")
    return 0


def collect(*, grace_minutes: float = GRACE_S / 60, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Delete stored data that no kept run and no version needs.

    Parameters
    ----------
    grace_minutes
        Younger data is kept: a run in progress may be about to refer to it.
    """
    from headrace.app import WORKDIR, Project, now_us
    from headrace.runs.collect import collect_garbage

    opened = Project.open(project)
    done = collect_garbage(
        opened.catalog,
        opened.objects,
        opened.name,
        now_us=now_us(),
        grace_us=round(grace_minutes * 60e6),
        workdir=opened.root / WORKDIR,
    )
    if as_json:
        print_json(done._asdict())
    else:
        print_line(f"deleted {things(done.objects, 'object')}, {size(done.bytes)}")
    return 0
