"""What becomes of a deployment: by hand, or by itself where a ramp, a guard or a bandit decides.

`decide` is pure: the revision, what was seen under it, and the time give the next revision or none. It takes one step
at most, and a clock alone never moves a ramp: answers must be there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from headrace.serving.experiments import cuped, thompson
from headrace.serving.experiments.confidence import LEAST
from headrace.serving.experiments.model import Status
from headrace.serving.guards import ALPHA, COST_ALPHA, Watched, sentence, watch
from headrace.serving.model import Arm, Counts, Deployment, Outcomes, Ramp
from headrace.serving.revisions import (
    SERVER,
    Change,
    arm_of,
    begin,
    canary_arms,
    deploy_canary,
    deploy_split,
    deploy_whole,
    following,
    other_arm,
    promote,
    rollback,
    version_of,
    whole,
    with_shadow,
    without_shadows,
)

__all__ = [
    "Change",
    "begin",
    "decide",
    "deploy_canary",
    "deploy_split",
    "deploy_whole",
    "promote",
    "rollback",
    "settle",
    "watched",
    "with_shadow",
    "without_shadows",
]

BANDIT_EVERY_S: Final = 3_600.0
"""The least time between two weights of a bandit."""
BANDIT_LEAST_MOVE: Final = 0.01
"""The least change of a weight that is worth a revision."""
CLOCKS_APART_S: Final = 60.0
"""By which clocks of hosts may differ; a weight that was set later than that has been set by a clock that was wrong."""
_US: Final = 1e6


def decide(
    deployment: Deployment, counts: Mapping[str, Counts], outcomes: Mapping[str, Outcomes], now_us: int
) -> Deployment | None:
    """The next revision, if what was seen calls for one.

    Parameters
    ----------
    counts : name of an arm → what all servers saw of it under this revision's weights
    outcomes : name of an arm → what its decisions cost: of a canary, for the entities that came under these weights;
        of a bandit, since the split was made

    Returns
    -------
    None: it stays as it is. Else a revision with `verb` "rollback" (a guard is broken), "ramp" (the next weight),
    "promote" (the last weight, and the ramp is done) or "weights" (a bandit's).
    """
    if deployment.ramp is not None:
        return _climb(deployment, deployment.ramp, counts, outcomes, now_us)
    if deployment.bandit and len(deployment.arms) > 1:
        return _shift(deployment, outcomes, now_us)
    return None


def watched(
    deployment: Deployment, counts: Mapping[str, Counts], outcomes: Mapping[str, Outcomes]
) -> tuple[Watched, ...]:
    """What the guards of a ramp see now, in their order; without a ramp none."""
    ramp = deployment.ramp
    if ramp is None:
        return ()
    than = other_arm(deployment, ramp.arm).name
    both = (counts.get(ramp.arm, Counts()), counts.get(than, Counts()))
    costs = (outcomes.get(ramp.arm, Outcomes()), outcomes.get(than, Outcomes()))
    levels = {"cost": COST_ALPHA}
    return tuple(
        watch(guard, ramp.arm, than, both, costs, alpha=levels.get(guard.kind, ALPHA)) for guard in ramp.guards
    )


def _climb(
    deployment: Deployment,
    ramp: Ramp,
    counts: Mapping[str, Counts],
    outcomes: Mapping[str, Outcomes],
    now_us: int,
) -> Deployment | None:
    seen = watched(deployment, counts, outcomes)
    canary, incumbent = arm_of(deployment, ramp.arm), other_arm(deployment, ramp.arm)
    rows = counts.get(ramp.arm, Counts()).rows
    facts: dict[str, Any] = {"rows": rows, "weight": ramp.steps[ramp.at], "guards": _plain(seen)}
    change = _change(deployment, now_us)
    broken = [each for each in seen if each.state == "broken"]
    if broken:
        said = "; ".join(sentence(each, broken=True) for each in broken)
        said += f"; {version_of(incumbent.serves)} answers all again"
        return whole(deployment, incumbent, change, "rollback", said, facts=facts)
    held_s = (now_us - ramp.since_us) / _US
    if held_s < -CLOCKS_APART_S:
        again = msgspec.structs.replace(ramp, since_us=now_us)
        said = f"the clock went back by {-held_s:.0f} s: {canary.name} keeps its weight for {ramp.hold_s:g} s from now"
        return following(deployment, change, "ramp", said, ramp=again, facts=facts)
    if held_s < ramp.hold_s or rows < ramp.least_rows or any(each.state == "near" for each in seen):
        return None
    weight = ramp.steps[ramp.at + 1] if ramp.at + 1 < len(ramp.steps) else 1.0
    facts["held_s"] = held_s
    so_far = f"{rows:,} answers of {canary.name} at {100 * canary.weight:g} %, no guard near its limit"
    if weight >= 1.0:
        said = f"{so_far}: {version_of(canary.serves)} answers all"
        return whole(deployment, canary, change, "promote", said, facts=facts)
    return following(
        deployment,
        change,
        "ramp",
        f"{so_far}: now {100 * weight:g} %",
        arms=canary_arms(canary, incumbent, weight),
        ramp=msgspec.structs.replace(ramp, at=ramp.at + 1, since_us=now_us),
        facts=facts,
    )


def _shift(deployment: Deployment, outcomes: Mapping[str, Outcomes], now_us: int) -> Deployment | None:
    since_s = (now_us - deployment.at_us) / _US
    if -CLOCKS_APART_S <= since_s < BANDIT_EVERY_S:
        return None
    found = [outcomes.get(arm.name, Outcomes()) for arm in deployment.arms]
    if any(each.n < LEAST for each in found):  # equal weights now would undo what was learnt before
        return None
    weights = thompson.weights([cuped.cost(each) for each in found])
    if max(abs(w - arm.weight) for w, arm in zip(weights, deployment.arms, strict=True)) < BANDIT_LEAST_MOVE:
        return None
    arms = tuple(_weighed(arm, w) for arm, w in zip(deployment.arms, weights, strict=True))
    facts = {
        arm.name: {"weight": arm.weight, "entities": each.n, "mean_cost": cuped.cost(each).mean}
        for arm, each in zip(arms, found, strict=True)
    }
    said = ", ".join(
        f"{arm.name} {100 * arm.weight:.3g} % at {cuped.cost(each).mean:.4g}"
        for arm, each in zip(arms, found, strict=True)
    )
    said = f"weights follow the cost an entity: {said}"
    return following(deployment, _change(deployment, now_us), "weights", said, arms=arms, facts=facts)


def _plain(value: object) -> Any:
    """As it is after it has been stored: lists for tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _weighed(arm: Arm, weight: float) -> Arm:
    return msgspec.structs.replace(arm, weight=weight)


def _change(deployment: Deployment, now_us: int) -> Change:
    """By the server itself; the salt stays, so that entities stay with their arms."""
    return Change(at_us=now_us, by=SERVER, salt=deployment.salt)


def settle(deployment: Deployment, status: Status, change: Change) -> Deployment | None:
    """What an experiment decided, done: "ship" promotes its arm, "stop" leaves the first one alone; else None, and so
    where the deployment has been changed since it was judged.

    Raises
    ------
    ArmUnknown : the status is of another deployment
    """
    if status.revision != deployment.revision:
        return None
    facts = {"experiment": _plain(status)}
    arm = arm_of(deployment, status.arm)
    if status.decision == "ship":
        return whole(deployment, arm, change, "promote", status.reason, facts=facts)
    if status.decision == "stop":
        return whole(deployment, arm, change, "stop", status.reason, facts=facts)
    return None
