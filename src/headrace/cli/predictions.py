"""`headrace predictions`: what was answered, its way into the table, and what became true."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.cli.options import AsJson, Flag, ProjectPath
from headrace.cli.output import count, print_error, print_json, print_line, print_table, things
from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.app import Project
    from headrace.serving.log.ship import Shipped
    from headrace.serving.log.table import Logged


def status(*, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """What was answered: how many predictions are shipped and how many wait, what is missing, what is known to be."""
    from headrace.app import Project
    from headrace.serving.log.summary import summary

    with Project.open(project) as opened:
        found = summary(opened.prediction_log, opened.growing, opened.name)
    if as_json:
        print_json(found)
        return 0
    print_line(f"{things(found.shipped, 'prediction')} shipped, {count(found.waiting)} in the log of this host")
    print_line(
        f"{things(found.outcomes, 'truth')}, {count(found.unmatched)} of them about predictions that are not there"
    )
    if found.repeats:
        print_line(f"{things(found.repeats, 'answer')} came again under an id that was there, and left out")
    for reason, n in sorted(found.missing.items()):
        print_line(f"{things(n, 'answer is')} not there: {REASONS[reason]}")
    if found.days:
        print_line()
        rows = [
            (str(one.day), one.deployment, one.arm, count(one.n), count(one.known), f"{one.mean_latency_ms:.2f}")
            for one in found.days
        ]
        print_table(["day", "deployment", "arm", "answers", "known", "mean ms"], rows)
    return 0


TIDY_S = 3600.0
"""How often small files are joined."""
REASONS = {
    "full": "they left while the disk was full, as on_full = gap allows",
    "failed": "they left while the disk refused, as on_full = gap allows",
    "refused": "the disk refused, and they did not leave either",
    "cut": "a power cut took them, which durability process does not promise to survive",
}


def show(
    request_id: str, *, reasons: int = 0, inputs: Flag = False, project: ProjectPath = None, as_json: AsJson = False
) -> int:
    """One request: which version of which deployment answered each row, when, why that one, and from what.

    Parameters
    ----------
    request_id
        As the answer names it.
    reasons
        How many inputs to show that changed the answer most.
    inputs
        Show all of the model's inputs, by name.
    """
    from headrace.app import Project
    from headrace.serving.log.find import find

    with Project.open(project) as opened:
        found = find(opened.prediction_log, opened.growing, opened.name, request_id)
        told = [_told(opened, one, reasons, inputs=inputs) for one in found]
    if as_json:
        print_json(told)
        return 0
    for one in told:
        _print(one)
    return 0


def _told(opened: Project, one: Logged, reasons: int, *, inputs: bool) -> dict[str, Any]:
    """Everything about one answer as data."""
    import msgspec

    from headrace.serving.log.why import assignment

    record, route = one.record, one.route
    told: dict[str, Any] = {
        "request_id": record.request_id,
        "row": record.row,
        "at_us": record.at_us,
        **{name: getattr(route, name) for name in ("deployment", "revision", "arm", "model", "version", "package")},
        "entity": dict(zip(route.sticky, record.entity, strict=False)),
        "scores": record.scores,
        "decision": record.decision,
        "review": record.review,
        "latency_us": record.latency_us,
        "watermark_us": record.watermark_us,
        "trace": record.trace,
        "price_usd": route.price_usd,
        "fallback": route.fallback,
        "shadow": route.shadow,
    }
    revision = opened.service.deployment_revision(route.deployment, route.revision)
    told["assignment"] = None if revision is None else assignment(one, revision)
    if (reasons > 0 or inputs) and route.package:
        from headrace.scoring.scorer import Scorer
        from headrace.serving.log import replay

        scorer = Scorer(opened.registry().package(route.package), route.version)
        named = replay.inputs(one, scorer)
        if inputs:
            told["inputs"] = dict(named)
        if reasons > 0:
            effects = zip(named, replay.effects(one, scorer), strict=True)
            most = sorted(effects, key=lambda pair: -abs(pair[1]))[:reasons]
            told["reasons"] = [
                {"feature": name, "value": value, "effect": effect} for (name, value), effect in most if effect
            ]
    plain: dict[str, Any] = msgspec.to_builtins(told)
    return plain


def _print(one: dict[str, Any]) -> None:
    from headrace.cli.instants import utc

    answered = f"{one['model']}@{one['version']}" if one["package"] else "the deployment's constant"
    entity = ", ".join(f"{name} {value}" for name, value in one["entity"].items())
    arm = f"arm {one['arm']} of revision {one['revision']} of {one['deployment']}"
    lines = [
        ("asked", utc(one["at_us"])),
        ("answered by", f"{answered} ({one['package'][:12]})" if one["package"] else answered),
        ("because", f"{arm}, to which {entity} belongs" if entity else arm),
        ("score", ", ".join(map(repr, one["scores"]))),
        ("decision", "left to people" if one["review"] else str(one["decision"])),
        ("latency", f"{one['latency_us'] / 1000:.2f} ms"),
    ]
    if (why := one["assignment"]) is not None:
        part = f"{why['start']:.6g} ≤ {why['place']:.6f} < {why['end']:.6g}"
        lines.insert(3, ("", f"whose share is {100 * why['weight']:.4g} %: {part}"))
        lines.insert(4, ("", f"since {utc(why['decided_us'])} by {why['by']}: {why['reason']}"))
    if one["fallback"]:
        lines.append(("note", "the arm's own version could not answer: this is a fallback"))
    if one["shadow"]:
        lines.append(("note", "a shadow: it was not sent"))
    if one["watermark_us"] is not None:
        lines.append(("online values", f"as known before {utc(one['watermark_us'])}"))
    if one["trace"] is not None:
        lines.append(("trace", one["trace"]))
    print_line(f"{one['request_id']} row {one['row']}")
    for name, text in lines:
        print_line(f"  {name:<14}{text}")
    for reason in one.get("reasons", ()):
        print_line(f"  {'reason':<14}{reason['feature']} = {reason['value']}: {reason['effect']:+.4g}")
    for name, value in one.get("inputs", {}).items():
        print_line(f"  {'input':<14}{name} = {value}")


def ship_log(*, once: Flag = False, every: str = "60s", project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Move what this host's workers have logged into the table of predictions, until told to stop.

    Each prediction is moved exactly once, whatever is killed, and removed from the log when it is in the table. Every
    hour the small files of the table are joined.

    Parameters
    ----------
    once
        Move what is there and end.
    every
        How long to wait between two times.
    """
    import signal
    import threading
    import time

    from headrace.app import Project
    from headrace.cli.instants import duration_s
    from headrace.serving.log.ship import Shipped, ship, tidy

    pause_s = duration_s(every)
    stop, tidied = threading.Event(), time.monotonic()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with Project.open(project) as opened:
            while True:
                try:
                    done = ship(opened.prediction_log, opened.growing, opened.name)
                except HeadraceError as error:
                    if once:
                        raise
                    print_error(error, as_json=as_json)
                else:
                    if time.monotonic() - tidied >= TIDY_S:
                        tidied = time.monotonic()
                        tidy(opened.growing, opened.name)
                    if once or done != Shipped():
                        _say(done, as_json=as_json)
                if once or stop.wait(pause_s):
                    return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(done: Shipped, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        missing = f", {count(sum(done.missing.values()))} missing" if done.missing else ""
        repeats = f", {things(done.repeats, 'repeat')} left out" if done.repeats else ""
        shipped = f"{things(done.predictions, 'prediction')} and {things(done.outcomes, 'outcome')} shipped"
        print_line(shipped + repeats + missing)
    sys.stdout.flush()


def outcomes(
    file: Path,
    *,
    deployment: str = "",
    sticky: str = "",
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Add truths about predictions: they are joined by the request's id, or by an entity and an instant.

    Each row has `value` (true or false, a number, a class), `known` (when that became known) and either `request_id`
    (and `row`) or the sticky columns and `at`. A truth known later replaces an earlier one; one about a prediction that
    is not there is kept until it is.

    Parameters
    ----------
    file
        CSV, Parquet or NDJSON.
    deployment
        Whose predictions are meant, where rows name entities.
    sticky
        The deployment's sticky columns, with commas between them, where rows name entities.
    """
    from headrace.app import Project, now_us
    from headrace.serving.log.outcomes import read_outcomes
    from headrace.serving.log.writer import LogHeader, LogWriter

    columns = tuple(name.strip() for name in sticky.split(",") if name.strip())
    with Project.open(project) as opened:
        types = opened.request_types() if columns else {}
        found = read_outcomes(file, sticky=columns, deployment=deployment, types=types)
        header = LogHeader(project=opened.name, worker="outcomes")
        writer = LogWriter(opened.prediction_log, header=header, durability="process", on_full="refuse", clock=now_us)
        try:
            for start in range(0, len(found), 10_000):
                writer.append_outcomes(found[start : start + 10_000])
        finally:
            writer.close()
    if as_json:
        print_json({"outcomes": len(found)})
    else:
        print_line(f"{things(len(found), 'outcome')} logged: headrace predictions ship moves them to the predictions")
    return 0


def verify_log(*, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Check every byte of the log that waits on this host; exit 1 if something is damaged."""
    from headrace.app import Project
    from headrace.serving.log.reader import verify

    with Project.open(project) as opened:
        found = verify(opened.prediction_log)
    if as_json:
        problems = [problem.to_dict() for problem in found.problems]
        print_json(
            {
                "epochs": found.epochs,
                "segments": found.segments,
                "predictions": found.predictions,
                "outcomes": found.outcomes,
                "missing": found.missing,
                "torn_bytes": found.torn_bytes,
                "problems": problems,
            }
        )
        return 1 if found.problems else 0
    for problem in found.problems:
        print_line(problem.message)
    held = f"{things(found.predictions, 'prediction')} and {things(found.outcomes, 'outcome')}"
    print_line(f"{held} in {things(found.segments, 'segment')}")
    for reason, n in sorted(found.missing.items()):
        print_line(f"{things(n, 'answer is')} not there: {REASONS[reason]}")
    return 1 if found.problems else 0
