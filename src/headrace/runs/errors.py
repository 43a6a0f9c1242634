"""What can go wrong with runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from headrace.errors import TroubleOutside, WrongUse


class RunInProgress(WrongUse):
    """Another process runs, or cleans up, the same project, here or on another machine that shares the catalog."""

    code = "run-in-progress"

    def __init__(
        self,
        project: str,
        *,
        run: str | None = None,
        pid: int | None = None,
        who: str | None = None,
        since_us: int | None = None,
        term_s: float | None = None,
    ) -> None:
        name = f"run {run}" if run else who or "another process"
        where = f" (process {pid})" if pid else ""
        since = f" since {_instant(since_us)}" if since_us else ""
        until = f"; it gives signs of life, and holds the project until {term_s:g} s after the last" if term_s else ""
        super().__init__(
            f"{name}{where} is at work on project {project!r}{since}{until}; one at a time is allowed",
            fix="wait until it ends, or stop it: finished stages are kept, and a new run goes on from them",
            project=project,
            run=run,
            pid=pid,
            **({} if who is None else {"who": who, "since_us": since_us, "term_s": term_s}),
        )


class NoSize(WrongUse):
    """What should be a size of memory is none."""

    code = "no-size"

    def __init__(self, where: str, text: str) -> None:
        super().__init__(
            f"{where}: expected a size such as 4GB, found {text!r}",
            fix="write a number and a unit: kB, MB, GB or TB; KiB, MiB, GiB or TiB",
            where=where,
        )


class MemoryTooSmall(WrongUse):
    """The limit is less than what any run takes."""

    code = "memory-too-small"

    def __init__(self, where: str, text: str, limit: int, least: int) -> None:
        super().__init__(
            f"{where}: a run needs at least {least / 10**9:g} GB, found {text}",
            fix=f"allow at least {least / 10**9:g} GB; without a limit a run takes what the machine has free",
            where=where,
            limit_bytes=limit,
            least_bytes=least,
        )


class NotEnoughMemory(WrongUse):
    """A stage needs more than the limit, as is found out before it begins."""

    code = "not-enough-memory"

    def __init__(self, what: str, *, needed: int, limit: int, why: str, fix: str) -> None:
        super().__init__(
            f"{what} needs about {needed / 10**9:.2f} GB, the limit is {limit / 10**9:.2f} GB: {why}",
            fix=f"allow it (--memory {-(-needed // 10**9)}GB), or {fix}",
            needed_bytes=needed,
            limit_bytes=limit,
        )


class LeaseLost(TroubleOutside):
    """The process was stopped or cut off for so long that another took the project over; it wrote nothing since."""

    code = "lease-lost"

    def __init__(self, project: str, token: int, *, by: str | None) -> None:
        super().__init__(
            f"project {project!r} was taken over{f' by {by}' if by else ''} while this process gave no sign of life",
            fix="nothing is lost: finished stages are kept; run again when the other has ended",
            project=project,
            token=token,
            by=by,
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


def _instant(us: int) -> str:
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
