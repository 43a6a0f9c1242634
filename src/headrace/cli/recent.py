"""The list of runs: what is typed all day, so it loads neither an argument parser nor SQLAlchemy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.cli.output import instant, money, print_json, print_line, print_table, seconds

if TYPE_CHECKING:
    from headrace.runs.model import RunRecord


def print_runs(project: str | None = None, *, limit: int = 20, as_json: bool = False) -> int:
    """Print the newest runs."""
    from headrace.app import look
    from headrace.runs.history import list_runs

    with look(project) as (name, reader):
        runs = [] if reader is None else list_runs(reader, name, limit)
    if as_json:
        print_json({"project": name, "runs": runs})
    elif not runs:
        print_line(f"{name} has no runs yet: headrace run")
    else:
        print_table(["run", "started", "state", "took", "cost", "result"], [_row(run) for run in runs])
    return 0


def _row(run: RunRecord) -> list[str]:
    took = seconds((run.ended_us - run.started_us) / 1e6) if run.ended_us else ""
    spent = sum(stage.usage.cost_usd for stage in run.stages if stage.usage and stage.state == "done")
    result = run.error or _result(run.result)
    first = result.splitlines()[0] if result else ""
    return [run.id, instant(run.started_us), run.state, took, money(spent) if spent else "", first]


def _result(result: dict[str, Any]) -> str:
    version = result.get("version")
    return "" if version is None else f"{result.get('model')}@{version}"
