"""`headrace bench`: how much a prediction server answers, how fast, and what holds it back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from headrace.cli.options import AsJson, Flag, ProjectPath
from headrace.cli.output import count, print_json, print_line, things
from headrace.governance.users import user_name

if TYPE_CHECKING:
    from headrace.app import Project
    from headrace.serving.loadtest.rows import Rows
    from headrace.serving.loadtest.run import Place, Plan, Report, Stage
    from headrace.serving.loadtest.target import Target
    from headrace.serving.model import Deployment

KEY: Final = "HEADRACE_KEY"
_CROWDED: Final = 0.1
_SERVER_S: Final = 5.0
"""How long a server may take to tell of itself once it is ready."""
_SPARE_S: Final = 300.0
"""How much longer than the test the key holds that is made for it."""
_HEADINGS: Final = ("offered/s", "answered/s", "p50", "p90", "p99", "p99.9", "429/503", "errors")
_WIDTHS: Final = (11, 10, 8, 8, 8, 8, 7, 6)
_PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)


def bench(
    name: str,
    *,
    p99: str | None = None,
    seconds: float = 2.0,
    rate: float | None = None,
    connections: int = 1024,
    generators: int = 1,
    arrivals: Literal["poisson", "constant"] = "poisson",
    rows: Path | None = None,
    seed: int = 0,
    url: str | None = None,
    key_file: Path | None = None,
    yes: Annotated[Flag, Parameter(name=["--yes", "-y"])] = False,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Load a running prediction server until it has enough, and say what the bottleneck is.

    Requests come by a schedule, whatever is answered, at rising rates; a latency counts from when a request was due.
    The key is HEADRACE_KEY or of --key-file; else one is made for the test, where the project's objects are on this
    machine. Every answer is in the log of predictions, under an id that begins with bench-.

    Parameters
    ----------
    name
        The deployment.
    p99
        The latency that 99 of 100 answers should keep, such as 20ms; else [serving] p99.
    seconds
        Of each stage.
    rate
        Ask at this rate alone, once; exit 1 when it is not answered within p99. Else rates are searched.
    connections
        The most that are open at a time; each has one request outstanding.
    generators
        Processes that ask, where one does not get all that the server can answer.
    arrivals
        poisson: as independent users come; constant: evenly spaced.
    rows
        CSV, Parquet or NDJSON of raw rows, as for headrace predict; else the newest of the project's.
    seed
        Of the schedule and of the order of rows.
    url
        Another server than the project's own, such as http://10.0.0.7:8000.
    key_file
        A file with an API key, which is never given on the command line.
    yes
        Load a server that is not on this machine.
    """
    from headrace.app import Project
    from headrace.serving.deployments import Deployments
    from headrace.serving.loadtest.run import load_test

    with Project.open(project) as opened:
        plan = _plan(p99, opened.definition.serving.p99_us, seconds, rate, connections, generators, arrivals, seed)
        deployment = Deployments(opened.objects, opened.name).get(name)
        target = _target(opened, name, url, yes=yes)
        asked = _rows(opened, deployment, rows, seed)
        with _key(opened, deployment, key_file, plan) as (key, made):

            def say_place(place: Place) -> None:
                if not as_json:
                    _print_plan(deployment, target, asked, plan, place, made)

            report = load_test(
                name,
                target,
                key,
                asked,
                plan,
                log=opened.prediction_log,
                is_new_key=made is not None,
                say_place=say_place,
                say_stage=_silent if as_json else _print_stage,
            )
    if as_json:
        print_json(_document(report))
    else:
        _print_verdict(report)
    return 1 if rate is not None and report.within is None else 0


def _plan(
    p99: str | None,
    own_p99_us: int,
    seconds: float,
    rate: float | None,
    connections: int,
    generators: int,
    arrivals: Literal["poisson", "constant"],
    seed: int,
) -> Plan:
    from headrace.definition.quantities import parse_duration
    from headrace.serving.loadtest.errors import LoadInvalid
    from headrace.serving.loadtest.run import MOST_REQUESTS, Plan

    p99_us = own_p99_us if p99 is None else parse_duration(p99)
    if not p99_us:
        raise LoadInvalid("--p99", "a duration such as 20ms or 1s", p99 or "0s")
    if not 0.1 <= seconds <= 600:
        raise LoadInvalid("--seconds", "0.1 to 600", f"{seconds:g}")
    if rate is not None and not 0.1 <= rate <= 1e7:
        raise LoadInvalid("--rate", "0.1 to 10,000,000 requests a second", f"{rate:g}")
    if not 1 <= connections <= 60_000:
        raise LoadInvalid("--connections", "1 to 60,000", str(connections))
    if not 1 <= generators <= min(64, connections):
        raise LoadInvalid("--generators", "1 to 64, and no more than connections", str(generators))
    if rate is not None and rate * seconds > generators * MOST_REQUESTS:
        expected = f"so few that a stage has no more than {MOST_REQUESTS:,} requests for each generator"
        raise LoadInvalid("--rate", expected, f"{rate:g} for {seconds:g} s")
    if not 0 <= seed < 2**63:
        raise LoadInvalid("--seed", "0 or more, below 2^63", str(seed))
    return Plan(
        p99_s=p99_us / 1e6,
        seconds=seconds,
        rate=rate,
        connections=connections,
        generators=generators,
        pattern=arrivals,
        seed=seed,
    )


def _target(opened: Project, name: str, url: str | None, *, yes: bool) -> Target:
    from headrace.serving.loadtest.errors import NotThisMachine
    from headrace.serving.loadtest.target import parse_url

    target = _own_server(opened, name) if url is None else parse_url(url)
    if not target.is_loopback and not yes:
        raise NotThisMachine(str(target))
    return target


def _own_server(opened: Project, name: str) -> Target:
    """Where a server of the project is; one that has just begun tells of itself a moment later."""
    from headrace.app import now_us
    from headrace.serving.loadtest.errors import NoServer
    from headrace.serving.loadtest.target import choose
    from headrace.serving.pulling import servers

    until = time.monotonic() + _SERVER_S
    while True:
        try:
            return choose(name, servers(opened.objects, opened.name, now_us()))
        except NoServer:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _rows(opened: Project, deployment: Deployment, path: Path | None, seed: int) -> Rows:
    from headrace.serving.loadtest.errors import NoRows

    found = opened.service.rows_to_ask(deployment, path, seed=seed)
    if not found.bodies:
        raise NoRows("the project's newest check" if path is None else str(path))
    return found


@contextmanager
def _key(opened: Project, deployment: Deployment, path: Path | None, plan: Plan) -> Iterator[tuple[str, str | None]]:
    """The API key, and what is said of one that was made for the test and ends with it."""
    from headrace.serving.loadtest.errors import KeyMissing

    given = _given_key(opened.environment, path)
    if given is not None:
        yield given, None
        return
    if not opened.service.has_own_objects:
        raise KeyMissing(deployment.name)
    keys = opened.service.api_keys()
    lifetime_us = round((plan.most_s + _SPARE_S) * 1e6)
    text, key = keys.create(
        verbs=("predict",),
        deployments=(deployment.name,),
        lifetime_us=lifetime_us,
        by=user_name(),
        note="headrace bench",
    )
    opened.service.tell_servers()
    try:
        yield text, key.id
    finally:
        keys.revoke(key.id)
        opened.service.tell_servers()


def _given_key(environment: Mapping[str, str], path: Path | None) -> str | None:
    from headrace.serving.loadtest.errors import KeyFileUnreadable, KeyInvalid

    if path is None:
        given = environment.get(KEY, "").strip()
        if given and not (given.isascii() and given.isprintable()):
            raise KeyInvalid(KEY)
        return given or None
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is not text"
        raise KeyFileUnreadable(str(path), why) from error
    if not lines:
        raise KeyFileUnreadable(str(path), "it is empty")
    if not (lines[0].isascii() and lines[0].isprintable()):
        raise KeyInvalid(str(path))
    return lines[0]


def _silent(_: Stage) -> None:
    pass


def _print_plan(deployment: Deployment, target: Target, rows: Rows, plan: Plan, place: Place, key: str | None) -> None:
    arms = ", ".join(f"{arm.name} ({arm.serves.model}@{arm.serves.version})" for arm in deployment.arms)
    print_line(f"{deployment.name} at {target}: {arms}; {_place(place, plan)}")
    with_key = "your key" if key is None else f"key {key}, made for this test and revoked after it"
    print_line(f"{things(len(rows.bodies), 'row')} of {things(rows.entities, 'entity')}, {rows.said}; {with_key}")
    if len(deployment.arms) > 1:
        print_line("note: what this test is answered counts in the shares, guards and costs of the arms")
    if crowded := [f"{share:.0%} of core {core}" for core, share in place.others.items() if share > _CROWDED]:
        print_line(f"note: other processes have {', '.join(crowded)}: what is measured is less than the server can do")
    stages = "one stage" if plan.stages == 1 else f"at most {plan.stages} stages"
    print_line(
        f"{stages} of {plan.seconds:g} s, {plan.most_s:.0f} s in all; "
        f"p99 should be within {_time(plan.p99_s)}; latencies from when a request was due"
    )
    print_line()
    _print_cells(_HEADINGS)


def _place(place: Place, plan: Plan) -> str:
    if not place.workers:
        return "its processes are not on this machine, or not this user's to see"
    several = "s" if len(place.workers) > 1 else ""
    on = f"worker{several} {', '.join(map(str, place.workers))} on {_cores(place.worker_cores)}"
    asks = "generator" if plan.generators == 1 else f"{plan.generators} generators"
    if place.generator_cores:
        return f"{on}, {asks} on {_cores(place.generator_cores)}"
    own = "its" if plan.generators == 1 else "their"
    return f"{on}, {asks} without a core of {own} own: latencies are no finer than 1 ms"


def _cores(cores: tuple[int, ...]) -> str:
    if len(cores) == 1:
        return f"core {cores[0]}"
    is_range = len(cores) > 2 and cores[-1] - cores[0] == len(cores) - 1
    return f"cores {cores[0]}-{cores[-1]}" if is_range else f"cores {', '.join(map(str, cores))}"


def _print_stage(stage: Stage) -> None:
    told = stage.told
    _print_cells(
        (
            f"{stage.clients} clients" if stage.rate is None else _rate(stage.rate),
            _rate(told.rate),
            *(_time(told.percentile(p)) for p in _PERCENTILES),
            count(told.refusals),
            count(told.failures),
        ),
        _mark(stage),
    )


def _mark(stage: Stage) -> str:
    if stage.rate is None:
        return ""
    marks = []
    if stage.told.is_saturated and (stage.told.refusals or not stage.told.is_generator_full):
        marks.append("saturated")
    elif not stage.told.is_saturated and stage.found != "within":
        marks.append("too slow")
    if stage.told.is_generator_full:
        marks.append("generator full")
    elif stage.told.is_generator_late:
        marks.append(f"{stage.told.late / stage.told.sent:.0%} sent late")
    return ", ".join(marks)


def _print_cells(cells: tuple[str, ...], mark: str = "") -> None:
    line = "  ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    print_line(f"{line}  {mark}".rstrip())


def _print_verdict(report: Report) -> None:
    print_line()
    if report.saturation is not None:
        print_line(f"saturation: {_rate(report.saturation)} requests a second")
    elif report.plan.rate is None:
        print_line("saturation: not reached")
    bound = _time(report.plan.p99_s)
    if report.within is not None:
        print_line(f"p99 within {bound}: up to {_rate(report.within)} requests a second")
    else:
        print_line(f"p99 within {bound}: at no rate that was tried")
    print_line(f"bottleneck: {report.bottleneck.sentence}")
    print_line(f"the generator could send about {_rate(report.generator_most)} a second here")
    print_line(
        f"the log of predictions now holds {things(report.answered, 'answer')} of this test: "
        f"request ids begin with {report.ids}-"
    )
    if report.logged is not None and report.logged > report.answered:
        print_line(f"others asked meanwhile: {things(report.logged - report.answered, 'answer was')} not this test's")


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    ms = seconds * 1e3
    if ms >= 1000:
        return f"{seconds:.3g} s"
    return f"{ms:.0f} ms" if ms >= 99.5 else f"{ms:.2g} ms" if ms < 1 else f"{ms:.3g} ms"


def _document(report: Report) -> dict[str, object]:
    """The report, its latencies as percentiles."""
    import msgspec

    document: dict[str, object] = msgspec.to_builtins(report)
    document["stages"] = [_stage_document(stage) for stage in report.stages]
    return document


def _stage_document(stage: Stage) -> dict[str, object]:
    import msgspec

    told = msgspec.to_builtins(stage.told, str_keys=True)
    told.pop("latencies")
    told["answered_a_second"] = stage.told.rate
    told["latency_ms"] = {
        f"p{p:g}": None if (found := stage.told.percentile(p)) is None else 1e3 * found for p in _PERCENTILES
    }
    return {
        "clients": stage.clients,
        "rate": stage.rate,
        "found": stage.found,
        "is_generator_late": stage.told.is_generator_late,
        **told,
        "use": msgspec.to_builtins(stage.use, str_keys=True),
    }
