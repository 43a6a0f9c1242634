"""`headrace schedule`: runs that start by themselves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from headrace.cli.options import AsJson, Flag, ProjectPath
from headrace.cli.output import instant, print_json, print_line, print_table
from headrace.errors import WrongUse

if TYPE_CHECKING:
    from headrace.operations.loop import Log
    from headrace.operations.times import Time

NEXT = 5


class NoSchedule(WrongUse):
    """The definition has no [schedule]."""

    code = "no-schedule"

    def __init__(self, project: str) -> None:
        super().__init__(
            f"project {project!r} has no schedule",
            fix='write [schedule] with cron = "0 5 * * *" or when = "new_files" in headrace.toml',
            project=project,
        )


def show(*, limit: int = 20, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """When the project runs next, and what became of its last times.

    Parameters
    ----------
    limit
        At most so many of the last times.
    """
    from itertools import islice

    from headrace.app import Project, now_us
    from headrace.operations.due import times_after
    from headrace.operations.times import list_times

    with Project.open(project) as opened:
        schedule = opened.definition.schedule
        if schedule is None:
            raise NoSchedule(opened.name)
        with opened.catalog.read() as reader:
            times = list_times(reader, opened.name, limit)
    coming = list(islice(times_after(schedule, now_us()), NEXT)) if schedule.cron else []
    if as_json:
        print_json({"project": opened.name, "schedule": schedule, "next_us": coming, "times": times})
        return 0
    print_line(f"{opened.name}: {schedule.do} {' and '.join(schedule.cron) or 'when new files come'} ({schedule.zone})")
    for due_us in coming:
        print_line(f"  next {instant(due_us)}")
    if schedule.when is not None:
        print_line("  and when new files have come")
    if times:
        print_line()
        print_table(["time", "cause", "state", "tries", "run", "why"], [_row(time) for time in times])
    return 0


def _row(time: Time) -> list[str]:
    when = instant(time.due_us) + (f" to {instant(time.until_us)} ({time.times} times)" if time.times > 1 else "")
    why = (time.error or "").splitlines()
    return [when, time.cause, time.state, str(time.tries) if time.tries else "", time.run or "", why[0] if why else ""]


def run(*, once: Flag = False, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Run the project at its times, until told to stop (SIGTERM or Ctrl-C): catch up, wait for the next, try again.

    It stays in the foreground and says what it does, one event a line; as JSON where it does not write to a terminal.

    Parameters
    ----------
    once
        End as soon as nothing is due; exit 1 when a run failed.
    """
    import random
    import signal
    import threading
    import time
    from functools import partial

    from headrace.app import Project
    from headrace.operations.arrivals import Arrivals, files_digest
    from headrace.operations.child import attempt
    from headrace.operations.loop import Loop

    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with Project.open(project) as opened:
            schedule = opened.definition.schedule
            if schedule is None:
                raise NoSchedule(opened.name)
            look = partial(files_digest, opened.definition.sources, opened.root, opened.environment)
            watch = Arrivals(look, settle_s=schedule.settle_us / 1e6, monotonic=time.monotonic)
            loop = Loop(
                times=opened.schedule_times(),
                schedule=schedule,
                attempt=partial(
                    attempt,
                    project=opened.path,
                    environment=opened.environment,
                    timeout_s=None if schedule.timeout_us is None else schedule.timeout_us / 1e6,
                    stop=stop,
                ),
                log=_log(as_json).bind(project=opened.name),
                monotonic=time.monotonic,
                wait=stop.wait,
                random=random.SystemRandom().random,
                arrivals=watch if schedule.when == "new_files" else None,
            )
            all_done = loop.run(once=once)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if all_done or not once else 1


def attempt(cause: str, due_us: int, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """One try of one time, as `headrace schedule run` starts it in a process of its own.

    Parameters
    ----------
    cause
        time or files.
    due_us
        Which time: microseconds since 1970 UTC, as `headrace schedule --json` shows it.
    """
    import signal

    from headrace.app import Project
    from headrace.cli.run import progress
    from headrace.operations.times import TimeSettled

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service that is stopped: the run says interrupted
    with Project.open(project) as opened:
        schedule = opened.definition.schedule
        if schedule is None:
            raise NoSchedule(opened.name)
        times = opened.schedule_times()
        time = times.get(cause, due_us)
        if time is None:
            raise TimeSettled(None)
        ticket = times.ticket(time)
        if schedule.do == "check":
            opened.check(progress=progress(as_json), ticket=ticket)
        else:
            opened.run(progress=progress(as_json), ticket=ticket)
        settled = times.get(cause, due_us)
    if as_json:
        print_json({"time": settled})
    else:
        print_line(f"{cause} {instant(due_us)}: {settled.state if settled else 'gone'}")
    return 0


def _log(as_json: bool) -> Any:
    """Events on standard output: lines for people on a terminal, else JSON."""
    import structlog

    for_people = sys.stdout.isatty() and not as_json
    last: Any = structlog.dev.ConsoleRenderer() if for_people else structlog.processors.JSONRenderer()
    stamps = structlog.processors.TimeStamper(fmt="iso", utc=not for_people)
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(sys.stdout),
        processors=[structlog.processors.add_log_level, stamps, last],
        wrapper_class=structlog.BoundLogger,
    )
    return log
