"""What can go wrong with runs."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.errors import WrongUse


class RunInProgress(WrongUse):
    """Another process runs, or cleans up, the same project."""

    code = "run-in-progress"

    def __init__(self, project: str, *, run: str | None = None, pid: int | None = None) -> None:
        who = f"run {run}" if run else "another process"
        where = f" (process {pid})" if pid else ""
        super().__init__(
            f"{who}{where} is at work on project {project!r}; one at a time is allowed",
            fix="wait until it ends, or stop it: finished stages are kept, and a new run goes on from them",
            project=project,
            run=run,
            pid=pid,
        )


class RunNotFound(WrongUse):
    """No such run."""

    code = "run-not-found"

    def __init__(self, project: str, run: str, *, near: Sequence[str] = ()) -> None:
        hint = f"did you mean {', '.join(near)}? " if near else ""
        super().__init__(
            f"project {project!r} has no run {run!r}",
            fix=f"{hint}headrace runs lists them",
            project=project,
            run=run,
            near=list(near),
        )


class RunInUse(WrongUse):
    """A run that something still needs."""

    code = "run-in-use"

    def __init__(self, run: str, reason: str, *, fix: str) -> None:
        super().__init__(f"run {run!r} cannot be removed: {reason}", fix=fix, run=run, reason=reason)


class NotCanonical(WrongUse):
    """A value that has no canonical JSON: a NaN or an infinity, or a type that JSON does not know."""

    code = "not-canonical"

    def __init__(self, what: str, place: str, problem: str) -> None:
        super().__init__(
            f"{what} cannot be written as canonical JSON: {place or 'the value'} is {problem}",
            fix="use null (None) for what is not a finite number, and plain values or structs otherwise",
            what=what,
            place=place,
            problem=problem,
        )
