"""`headrace experiment`: what an experiment says now, as text, as JSON and as a page; and to do what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import count, near, print_json, print_line, print_table

if TYPE_CHECKING:
    from headrace.app import Project
    from headrace.serving.experiments.log_evidence import LogEvidence
    from headrace.serving.experiments.model import ArmStatus, Difference, Evidence, Plan, Status
    from headrace.serving.model import Deployment


def status(
    name: str,
    *,
    mature: str = "1d",
    worth: float = 0.0,
    days: int | None = None,
    page: Path | None = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """What the arms of a deployment cost, what that says, and when it will be clear. It may be looked at at any time.

    Read from predictions and outcomes that are shipped. Exit 1: entities do not come as the weights say.

    Parameters
    ----------
    name
        The deployment.
    mature
        How long after a day's end its outcomes have come; later days wait. State it before you look, as the next two.
    worth
        The least difference of cost an entity that matters; arms that are nearer for certain are the same.
    days
        Days of outcomes after which it stops, whatever is known.
    page
        Write the page here too.
    """
    from headrace.app import Project, now_us

    with Project.open(project) as opened:
        plan = _plan(opened, mature, worth, days)
        evidence = _evidence(opened, name)
        return show(evidence, name, plan, now_us=now_us(), page=page, as_json=as_json)


def settle(
    name: str,
    *,
    mature: str = "1d",
    worth: float = 0.0,
    days: int | None = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Do what the outcomes say, if they say it for certain: ship, stop, give a bandit's arms their shares, take back
    a canary that costs more. Nothing else is done, so it may run at any time and as often as one likes.

    Parameters
    ----------
    name
        The deployment.
    mature
        As for the status.
    worth
        As for the status.
    days
        As for the status.
    """
    from headrace.app import Project, now_us

    with Project.open(project) as opened:
        plan = _plan(opened, mature, worth, days)
        made, why = _settled(_evidence(opened, name), name, plan, now_us())
        if made is not None:
            opened.service.deploying().stored.write(made)
            opened.service.tell_servers()
    if as_json:
        print_json({"deployment": name, "changed": made is not None, "reason": why, "revision": made})
    elif made is None:
        print_line(f"{name} stays as it is: {why}")
    else:
        print_line(f"{name} revision {made.revision}: {why}")
    return 0


def _settled(evidence: LogEvidence, name: str, plan: Plan, now_us: int) -> tuple[Deployment | None, str]:
    """The next revision, if any, and why or why not."""
    from headrace.serving import rollout
    from headrace.serving.experiments.evaluate import evaluate
    from headrace.serving.revisions import SERVER, Change

    deployment = evidence.deployment(name)
    if deployment.ramp is not None or deployment.bandit:
        made = rollout.decide(deployment, {}, evidence.costs(name), now_us)
        if made is None or made.verb not in ("rollback", "weights"):  # whether a canary climbs is the servers' to say
            return None, "no cost calls for another revision"
        return made, made.reason
    found = evaluate(deployment, evidence.counts(name), evidence.outcomes(name), plan, now_us)
    change = Change(at_us=max(now_us, deployment.at_us + 1), by=SERVER, salt=deployment.salt)
    return rollout.settle(deployment, found, change), found.reason


def _plan(opened: Project, mature: str, worth: float, days: int | None) -> Plan:
    from headrace.definition.quantities import parse_duration
    from headrace.serving.experiments.errors import PlanInvalid
    from headrace.serving.experiments.model import Plan

    mature_us = parse_duration(mature)
    if mature_us is None:
        raise PlanInvalid("--mature", "a duration such as 12h or 3d", mature)
    if not worth >= 0.0:
        raise PlanInvalid("--worth", "an amount of 0 or more", f"{worth:g}")
    if days is not None and days < 1:
        raise PlanInvalid("--days", "1 or more", str(days))
    costs = opened.definition.costs
    return Plan(
        maturity_s=mature_us / 1e6, worth=worth, most_days=days, currency="" if costs is None else costs.currency
    )


def _evidence(opened: Project, name: str) -> LogEvidence:
    """From the log, at the project's costs, for the task of the versions that are deployed."""
    from headrace.scoring.model import Decision
    from headrace.scoring.package import decode_json
    from headrace.serving.experiments.costs import pricing
    from headrace.serving.experiments.evaluate import ordered
    from headrace.serving.experiments.log_evidence import LogEvidence

    stored, registry = opened.service.deploying().stored, opened.registry()
    serves = ordered(stored.get(name))[0].serves
    version = registry.get(f"{serves.model}@{serves.version}", model=serves.model)
    task = decode_json(registry.read(version), "decision.json", Decision).task
    return LogEvidence(stored, opened.growing, opened.name, cost=pricing(task, opened.definition.costs))


def show(
    evidence: Evidence, name: str, plan: Plan, *, now_us: int, page: Path | None = None, as_json: bool = False
) -> int:
    """Judge the experiment now, print what it says, and write its page if one is asked for.

    Returns
    -------
    1 where it is not to be believed, else 0.
    """
    from headrace.serving.experiments.evaluate import evaluate

    status = evaluate(evidence.deployment(name), evidence.counts(name), evidence.outcomes(name), plan, now_us)
    if page is not None:
        from headrace.serving.experiments.page import experiment_page

        page.write_text(experiment_page(status, evidence.history(name)), encoding="utf-8")
    if as_json:
        print_json(status)
    else:
        print_status(status)
        if page is not None:
            print_line(f"page: {near(page)}")
    return 1 if status.decision == "invalid" else 0


def print_status(status: Status) -> None:
    """The decision, then the evidence."""
    from headrace.serving.experiments.page import verdict

    print_line(f"{status.name}: {verdict(status)}")
    print_line(f"  {status.reason}")
    if status.days_left is not None:
        print_line(f"  about {status.days_left:.3g} more days at this pace, if arms differ as they seem to")
    print_line()
    headings = ["arm", "version", "weight", "entities", "waiting", "counted", "cost an entity", "difference", ""]
    print_table(headings, [_row(arm, status.currency) for arm in status.arms])
    print_line()
    for guardrail in status.guardrails:
        print_line(f"  {guardrail.state:<7} {guardrail.words}")
    if status.covariate is not None:
        print_line(f"  {status.covariate.words}")
    come = "do not come" if status.decision == "invalid" else "come"
    print_line(f"  entities {come} as the weights say: p = {status.sample_ratio.p:.3g}")
    for note in status.notes:
        print_line(f"  note: {note}")
    print_line(f"  rule: {status.rule}")


def _row(arm: ArmStatus, currency: str) -> list[str]:
    return [
        arm.name,
        arm.version,
        f"{100 * arm.weight:.3g} %",
        count(arm.entities),
        count(arm.waiting),
        count(arm.n),
        "" if arm.mean is None else f"{arm.mean:.4g} {currency}{_span(arm.low, arm.high)}".strip(),
        "" if arm.difference is None else _apart(arm.difference),
        "" if arm.difference is None else arm.difference.verdict,
    ]


def _apart(found: Difference) -> str:
    return f"{found.value:+.3g}{_span(found.low, found.high)}"


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:.4g}, {high:.4g}]"
