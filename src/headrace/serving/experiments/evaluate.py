"""What an experiment says now: sample ratio, money with its confidence sequence, guardrails, the decision and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from headrace.serving.experiments import cuped, sample_ratio
from headrace.serving.experiments.cohorts import mature, together
from headrace.serving.experiments.compare import Compared, compare, looks_of
from headrace.serving.experiments.confidence import Interval, interval, mean
from headrace.serving.experiments.holm import holm
from headrace.serving.experiments.model import (
    ArmStatus,
    Cohort,
    Decision,
    Difference,
    Guardrail,
    Plan,
    SampleRatio,
    Status,
)
from headrace.serving.experiments.rates import Rate, p_more
from headrace.serving.experiments.remaining import days_left
from headrace.serving.guards import percent, sentence, watch
from headrace.serving.model import Arm, Counts, Deployment, Outcomes
from headrace.serving.revisions import version_of

_UNKNOWN_ALIKE = 0.001
"""p-value below which arms' shares of known outcomes are said to differ."""


def evaluate(
    deployment: Deployment,
    counts: Mapping[str, Counts],
    outcomes: Mapping[str, Sequence[Cohort]],
    plan: Plan,
    now_us: int,
) -> Status:
    """Judge the arms of a deployment, as often as one likes.

    Parameters
    ----------
    counts, outcomes : name of an arm → what is known of it under this revision's weights: of times with other weights
        arms had other days, and what differs between days would be taken for theirs

    Returns
    -------
    Of arms that are equal it says "ship" or "stop" for their difference with a chance of at most `plan.alpha`, over
    all looks together.
    """
    arms = ordered(deployment)
    ready, waiting = mature(outcomes, plan.maturity_s, now_us)
    known = {arm.name: together(c.known for c in ready.get(arm.name, ())) for arm in arms}
    entities = {arm.name: sum(c.entities for c in outcomes.get(arm.name, ())) for arm in arms}
    ratio = _sample_ratio(arms, entities)
    found, covariate = compare([known[arm.name] for arm in arms], plan)
    guardrails = _guardrails(arms, counts, plan)
    statuses = tuple(
        ArmStatus(
            name=arm.name,
            version=version_of(arm.serves),
            weight=arm.weight,
            entities=entities[arm.name],
            waiting=waiting.get(arm.name, 0),
            missing=sum(c.entities - c.known.n for c in ready.get(arm.name, ())),
            n=known[arm.name].n,
            mean=cuped.cost(known[arm.name]).mean if known[arm.name].n else None,
            low=_finite(_own(known[arm.name], plan).low),
            high=_finite(_own(known[arm.name], plan).high),
            difference=None if place == 0 else _difference(found[place - 1], plan),
        )
        for place, arm in enumerate(arms)
    )
    days = len({c.day for each in ready.values() for c in each})
    decision, chosen, reason = _decide(statuses, ratio, guardrails, days, plan)
    return Status(
        name=deployment.name,
        revision=deployment.revision,
        at_us=now_us,
        decision=decision,
        arm=chosen,
        reason=reason,
        rule=rule(plan, len(arms)),
        arms=statuses,
        sample_ratio=ratio,
        guardrails=guardrails,
        covariate=covariate,
        days=days,
        days_left=days_left(found, plan, days) if decision == "go on" else None,
        looks=looks_of(arms, ready, plan),
        notes=_notes(arms, ready),
        alpha=plan.alpha,
        currency=plan.currency,
    )


def ordered(deployment: Deployment) -> list[Arm]:
    """The arms, the one that others are compared with first: of a ramp the one that is to be replaced."""
    arms = list(deployment.arms)
    if deployment.ramp is not None:
        arms.sort(key=lambda arm: arm.name == deployment.ramp.arm if deployment.ramp else False)
    return arms


def rule(plan: Plan, arms: int) -> str:
    """The stopping rule in words."""
    of = f" (each of {arms - 1} at {percent(plan.alpha / (arms - 1))})" if arms > 2 else ""
    said = (
        f"Ship an arm whose cost an entity is below the first's, with its whole {percent(1 - plan.alpha)} confidence "
        f"sequence{of}, if no guardrail of it is near its limit. Stop if every other arm is above for certain"
    )
    said += f", or nearer than {plan.worth:g} for certain" if plan.worth else ""
    said += ", or has broken a guardrail"
    said += f", or after {plan.most_days} days of outcomes" if plan.most_days is not None else ""
    return (
        f"{said}. Believe nothing once the entities do not come as the weights say (p < {plan.sample_ratio:g}). "
        "It may be looked at as often as one likes."
    )


def _own(known: Outcomes, plan: Plan) -> Interval:
    return interval(mean(cuped.cost(known)), alpha=plan.alpha, best_at=plan.best_at)


def _sample_ratio(arms: Sequence[Arm], entities: Mapping[str, int]) -> SampleRatio:
    weights = {arm.name: arm.weight for arm in arms}
    p = sample_ratio.p_value(list(entities.values()), list(weights.values())) if len(arms) > 1 else 1.0
    return SampleRatio(p=p, entities=dict(entities), weights=weights)


def _difference(found: Compared, plan: Plan) -> Difference:
    low, high = found.bounds
    if high < 0.0:
        verdict = "better"
    elif low > 0.0:
        verdict = "worse"
    elif -plan.worth < low and high < plan.worth:
        verdict = "same"
    else:
        verdict = "open"
    return Difference(
        value=found.value,
        low=_finite(low),
        high=_finite(high),
        p=found.p,
        verdict=verdict,  # type: ignore[arg-type]  # one of the four
        adjusted=found.adjusted,
    )


def _guardrails(arms: Sequence[Arm], counts: Mapping[str, Counts], plan: Plan) -> tuple[Guardrail, ...]:
    first = arms[0].name
    questions = max(1, len(plan.guards) * (len(arms) - 1))
    seen = [
        watch(
            guard,
            arm.name,
            first,
            (counts.get(arm.name, Counts()), counts.get(first, Counts())),
            (Outcomes(), Outcomes()),
            alpha=plan.alpha / questions,
        )
        for arm in arms[1:]
        for guard in plan.guards
        if guard.kind != "cost"  # that is what the experiment itself is about
    ]
    made = []
    for each, p in zip(seen, holm([each.p for each in seen]), strict=True):
        state = "broken" if p <= plan.alpha else "near" if each.is_near else "fine"
        made.append(
            Guardrail(
                kind=each.kind,
                arm=each.arm,
                found=each.found,
                limit=each.limit,
                p=p,
                state=state,  # type: ignore[arg-type]  # one of the three
                words=sentence(each, broken=state == "broken"),
            )
        )
    return tuple(made)


def _decide(
    arms: Sequence[ArmStatus], ratio: SampleRatio, guardrails: Sequence[Guardrail], days: int, plan: Plan
) -> tuple[Decision, str, str]:
    """What to do, with which arm, and why."""
    first = arms[0].name
    if ratio.p < plan.sample_ratio:
        said = ", ".join(f"{n:,} of {name}" for name, n in ratio.entities.items())
        wanted = " : ".join(f"{100 * weight:g} %" for weight in ratio.weights.values())
        return "invalid", first, f"entities do not come as the weights say: {said} at {wanted}; p = {ratio.p:.2g}"
    broken = {each.arm: each.words for each in guardrails if each.state == "broken"}
    near = {each.arm: each.words for each in guardrails if each.state == "near"}
    out: list[str] = []
    better: list[tuple[float, ArmStatus]] = []
    held: list[str] = []
    for arm in arms[1:]:
        assert arm.difference is not None
        words = _words(arm, first, plan)
        if arm.name in broken:
            out.append(broken[arm.name])
        elif arm.difference.verdict == "better":
            better.append((arm.difference.value, arm))
            if arm.name in near:
                held.append(f"{words}, but {near[arm.name]}")
        elif arm.difference.verdict != "open":
            out.append(words)
    free = [(value, arm) for value, arm in better if arm.name not in near]
    if free:
        _, best = min(free, key=lambda pair: pair[0])
        return "ship", best.name, _words(best, first, plan)
    if len(out) == len(arms) - 1 and out:
        return "stop", first, "; ".join(out)
    if plan.most_days is not None and days >= plan.most_days:
        return "stop", first, "; ".join([f"no arm is better for certain after {days} days of outcomes", *held, *out])
    if len(arms) == 1:
        return "go on", first, "one version answers all: there is nothing to compare"
    return "go on", first, "; ".join([*held, *out, *(_words(a, first, plan) for a in arms[1:] if _is_open(a, broken))])


def _is_open(arm: ArmStatus, broken: Mapping[str, str]) -> bool:
    return arm.name not in broken and arm.difference is not None and arm.difference.verdict == "open"


def _words(arm: ArmStatus, first: str, plan: Plan) -> str:
    """`v4 costs 0.031 to 0.052 USD less an entity than v3, for certain at every look`."""
    found = arm.difference
    assert found is not None
    if found.low is None or found.high is None:
        return f"too little is known of {arm.name} or {first} yet"
    unit = f" {plan.currency}" if plan.currency else ""
    match found.verdict:
        case "better":
            return f"{arm.name} costs {-found.high:.3g} to {-found.low:.3g}{unit} less an entity than {first}"
        case "worse":
            return f"{arm.name} costs {found.low:.3g} to {found.high:.3g}{unit} more an entity than {first}"
        case "same":
            return f"{arm.name} costs the same as {first}, to less than {plan.worth:g}{unit} an entity"
        case _:
            return f"{arm.name} costs {_signed(found.low)} to {_signed(found.high)}{unit} an entity beside {first}"


def _signed(value: float) -> str:
    return f"{value:+.3g}"


def _notes(arms: Sequence[Arm], ready: Mapping[str, Sequence[Cohort]]) -> tuple[str, ...]:
    """Whether outcomes come as often of every arm: if not, who is known differs, and so may the cost of the known."""
    known = {
        arm.name: Rate(
            sum(c.entities for c in ready.get(arm.name, ())), sum(c.known.n for c in ready.get(arm.name, ()))
        )
        for arm in arms
    }
    first = known[arms[0].name]
    notes = []
    for arm in arms[1:]:
        other = known[arm.name]
        if min(p_more(first, other), p_more(other, first)) * 2.0 < _UNKNOWN_ALIKE:
            notes.append(
                f"the outcome is known of {percent(other.share)} of the entities of {arm.name} and of "
                f"{percent(first.share)} of {arms[0].name}: a difference in cost may be one of who is known"
            )
    return tuple(notes)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
