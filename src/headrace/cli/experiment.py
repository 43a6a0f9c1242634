"""`headrace experiment`: what an experiment says now, as text, as JSON and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.output import count, near, print_json, print_line, print_table

if TYPE_CHECKING:
    from headrace.serving.experiments.model import ArmStatus, Difference, Evidence, Plan, Status


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
