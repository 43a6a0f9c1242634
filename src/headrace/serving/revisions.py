"""The next revision of a deployment, as a person asks for it: whole, canary, split, shadow, promoted, rolled back.

Pure: a revision and what is wanted give the next revision or an error; `deployments` stores it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, isfinite
from typing import Any, Final, Literal

import msgspec

from headrace.serving.experiments.errors import (
    ArmNamesClash,
    ArmUnknown,
    CanaryInvalid,
    ConstantInvalid,
    NothingToPromote,
    NothingToRollBackTo,
    RampRuns,
    SplitRuns,
    VersionAnswersAlready,
    WeightsInvalid,
)
from headrace.serving.model import GUARDS, SHARES, Arm, Deployment, Guard, Ramp, Served, Struct

STEPS: Final = (0.01, 0.05, 0.25, 0.5, 1.0)
"""Weights of a canary that nothing else is said of, from the first one that is asked for on."""
HOLD_S: Final = 900.0
LEAST_ROWS: Final = 500
SERVER: Final = "headrace"
"""Who changes a deployment where no person does."""

Verb = Literal["deploy", "promote", "rollback", "ramp", "stop", "weights"]


class Change(Struct, frozen=True, kw_only=True):
    """When, by whom and what for; the part of a revision that no function here can know."""

    at_us: int
    by: str
    salt: str
    """Drawn at random; taken where whoever has been answered by an arm need not stay with it."""
    reason: str = ""
    """In words; empty: the function says what it does."""


def begin(
    serves: Served,
    change: Change,
    *,
    project: str,
    name: str,
    sticky: Sequence[str] = (),
    fallbacks: Sequence[Served] = (),
    constant: float | None = None,
) -> Deployment:
    """The first revision: one version answers everybody."""
    return Deployment(
        project=project,
        name=name,
        revision=1,
        arms=(_arm(serves, None),),
        fallbacks=tuple(fallbacks),
        constant=constant,
        sticky=tuple(sticky),
        salt=change.salt,
        at_us=change.at_us,
        by=change.by,
        reason=change.reason or f"deployed {version_of(serves)}",
        verb="deploy",
    )


def deploy_whole(
    deployment: Deployment,
    serves: Served,
    change: Change,
    *,
    name: str | None = None,
    sticky: Sequence[str] | None = None,
) -> Deployment:
    """One version answers everybody from now on; a canary, a split or a bandit ends.

    Parameters
    ----------
    sticky : columns that decide on the arm from now on; None: those of now

    Raises
    ------
    VersionAnswersAlready : it does so now, by these columns.
    """
    columns = deployment.sticky if sticky is None else tuple(sticky)
    if len(deployment.arms) == 1 and deployment.arms[0].serves == serves and columns == deployment.sticky:
        raise VersionAnswersAlready(deployment.name, version_of(serves), "the one that answers all")
    said = f"deployed {version_of(serves)}"
    return whole(deployment, _arm(serves, name), change, "deploy", said, sticky=columns)


def deploy_canary(
    deployment: Deployment,
    serves: Served,
    percent: float,
    change: Change,
    *,
    name: str | None = None,
    steps: Sequence[float] = STEPS,
    hold_s: float = HOLD_S,
    least_rows: int = LEAST_ROWS,
    guards: Sequence[Guard] = GUARDS,
    sticky: Sequence[str] | None = None,
) -> Deployment:
    """A version answers few entities, and more from step to step, while the guards watch it.

    Parameters
    ----------
    percent : of the entities, above 0 and below 100
    steps : later weights; those up to `percent` are left out, and 1 is the last
    sticky : as for `deploy_whole`

    Raises
    ------
    CanaryInvalid, RampRuns, SplitRuns, VersionAnswersAlready, ArmNamesClash
    """
    first = percent / 100.0
    if not 0.0 < first < 1.0:
        raise CanaryInvalid("a canary's share above 0 % and below 100 %", f"{percent:g} %")
    if list(steps) != sorted(set(steps)) or not steps or not 0.0 < steps[0] <= steps[-1] <= 1.0:
        raise CanaryInvalid("steps that rise from above 0 to at most 1", ", ".join(f"{step:g}" for step in steps))
    if not (isfinite(hold_s) and hold_s >= 0.0 and least_rows >= 0):
        raise CanaryInvalid("a hold and a least number of rows of 0 or more", f"{hold_s:g} s and {least_rows} rows")
    if deployment.ramp is not None:
        raise RampRuns(deployment.name, deployment.ramp.arm)
    if len(deployment.arms) > 1:
        raise SplitRuns(deployment.name, [arm.name for arm in deployment.arms])
    [incumbent] = deployment.arms
    if incumbent.serves == serves:
        raise VersionAnswersAlready(deployment.name, version_of(serves), "the one that answers all")
    canary = _arm(serves, name)
    if canary.name == incumbent.name:
        raise ArmNamesClash(deployment.name, canary.name)
    weights = (first, *(step for step in steps if first < step < 1.0), 1.0)
    ramp = Ramp(
        arm=canary.name,
        steps=weights,
        at=0,
        since_us=change.at_us,
        hold_s=hold_s,
        least_rows=least_rows,
        guards=tuple(guards),
    )
    return following(
        deployment,
        change,
        "deploy",
        f"deployed {version_of(serves)} as a canary of {percent:g} %",
        arms=canary_arms(canary, incumbent, first),
        shadows=_but(deployment.shadows, [serves]),
        ramp=ramp,
        bandit=False,
        sticky=deployment.sticky if sticky is None else tuple(sticky),
        salt=change.salt,
    )


def deploy_split(
    deployment: Deployment,
    weights: Mapping[str, float],
    change: Change,
    *,
    serves: Mapping[str, Served] | None = None,
    bandit: bool = False,
    sticky: Sequence[str] | None = None,
) -> Deployment:
    """Arms share the entities; the first is the one that the others are compared with.

    Parameters
    ----------
    weights : name of an arm → its share; two or more, above 0, summing to 1
    serves : what arms answer with that the deployment has not yet
    bandit : whether weights follow the outcomes from then on
    sticky : as for `deploy_whole`

    Raises
    ------
    WeightsInvalid, ArmUnknown, ArmNamesClash, RampRuns
    """
    if deployment.ramp is not None:
        raise RampRuns(deployment.name, deployment.ramp.arm)
    known = {arm.name: arm.serves for arm in deployment.arms} | dict(serves or {})
    for name in weights:
        if name not in known:
            raise ArmUnknown(deployment.name, name, sorted(known))
    if len(weights) < 2:
        raise WeightsInvalid(f"found {len(weights)} of them")
    if not all(isfinite(weight) and weight > 0.0 for weight in weights.values()):
        raise WeightsInvalid("found one that is not above 0")
    if abs(fsum(weights.values()) - 1.0) > SHARES:
        raise WeightsInvalid(f"found a sum of {fsum(weights.values()):g}")
    if len({known[name] for name in weights}) < len(weights):
        raise ArmNamesClash(deployment.name, list(weights)[-1])
    arms = tuple(Arm(name=name, serves=known[name], weight=weight) for name, weight in weights.items())
    said = ", ".join(f"{arm.name} ({version_of(arm.serves)}) {100 * arm.weight:g} %" for arm in arms)
    return following(
        deployment,
        change,
        "deploy",
        f"split into {said}{', weights follow outcomes' if bandit else ''}",
        arms=arms,
        shadows=_but(deployment.shadows, [arm.serves for arm in arms]),
        ramp=None,
        bandit=bandit,
        sticky=deployment.sticky if sticky is None else tuple(sticky),
        salt=change.salt,
    )


def with_shadow(deployment: Deployment, serves: Served, change: Change) -> Deployment:
    """A version answers the same rows beside the others, and nobody sees its answers.

    Raises
    ------
    VersionAnswersAlready : it is an arm, or a shadow.
    """
    if serves in deployment.shadows:
        raise VersionAnswersAlready(deployment.name, version_of(serves), "a shadow")
    if any(arm.serves == serves for arm in deployment.arms):
        raise VersionAnswersAlready(deployment.name, version_of(serves), "an arm")
    said = f"deployed {version_of(serves)} as a shadow"
    return following(deployment, change, "deploy", said, shadows=(*deployment.shadows, serves))


def with_fallbacks(
    deployment: Deployment, fallbacks: Sequence[Served], constant: float | None, change: Change
) -> Deployment:
    """Who answers, in order, where an arm cannot; and the score where none of them can, None for none.

    Raises
    ------
    ConstantInvalid : a score that is no finite number
    """
    if constant is not None and not isfinite(constant):
        raise ConstantInvalid(constant)
    steps = [version_of(each) for each in fallbacks] + ([] if constant is None else [f"the score {constant:g}"])
    said = f"falls back to {', then '.join(steps)}" if steps else "falls back to nobody"
    return following(deployment, change, "deploy", said, fallbacks=tuple(fallbacks), constant=constant)


def without_shadows(deployment: Deployment, change: Change) -> Deployment:
    """No version answers unseen any longer."""
    return following(deployment, change, "deploy", "ended the shadows", shadows=())


def promote(deployment: Deployment, change: Change, *, arm: str | None = None) -> Deployment:
    """A canary, or the named arm of a split, answers everybody.

    Raises
    ------
    NothingToPromote, ArmUnknown
    """
    names = [each.name for each in deployment.arms]
    if arm is None and deployment.ramp is not None:
        arm = deployment.ramp.arm
    if arm is not None and arm not in names:
        raise ArmUnknown(deployment.name, arm, names)
    if arm is None or len(names) == 1:
        raise NothingToPromote(deployment.name, names)
    chosen = arm_of(deployment, arm)
    return whole(deployment, chosen, change, "promote", f"promoted {version_of(chosen.serves)} to all")


def rollback(deployment: Deployment, history: Sequence[Deployment], change: Change) -> Deployment:
    """Back to the version that answered everybody before.

    While a canary is on its way that is the version it was to replace. Otherwise it is that of the newest earlier
    revision with one arm. Done twice it goes back two versions, never forward again.

    Parameters
    ----------
    history : earlier revisions, in any order; the present one among them does no harm

    Raises
    ------
    NothingToRollBackTo : no earlier version answered everybody; or a guard took a canary back just now, so that to go
        back once more is hardly what is meant.
    """
    if deployment.ramp is not None:
        incumbent = other_arm(deployment, deployment.ramp.arm)
        said = f"took the canary {deployment.ramp.arm} back; {version_of(incumbent.serves)} answers all"
        return whole(deployment, incumbent, change, "rollback", said)
    if deployment.verb == "rollback" and deployment.by == SERVER:
        raise NothingToRollBackTo(deployment.name, deployment.revision, f"it is a rollback itself: {deployment.reason}")
    by_number = {each.revision: each for each in history}
    now = deployment.arms[0].serves if len(deployment.arms) == 1 else None
    place = _origin(deployment, by_number)
    for number in sorted((n for n in by_number if n < place.revision), reverse=True):
        earlier = by_number[number]
        if len(earlier.arms) == 1 and earlier.arms[0].serves != now:
            arm = earlier.arms[0]
            said = f"rolled back to {version_of(arm.serves)} of revision {number}"
            return whole(deployment, arm, change, "rollback", said)
    raise NothingToRollBackTo(deployment.name, deployment.revision, "no other version answered all before it")


def _origin(revision: Deployment, by_number: Mapping[int, Deployment]) -> Deployment:
    """The revision that a rollback went back to, and of that one if it is a rollback too; else the revision itself."""
    while revision.verb == "rollback":
        earlier = (by_number[n] for n in sorted(by_number, reverse=True) if n < revision.revision)
        same = [e for e in earlier if len(e.arms) == 1 and e.arms[0].serves == revision.arms[0].serves]
        if not same:
            break
        revision = same[0]
    return revision


def whole(deployment: Deployment, arm: Arm, change: Change, verb: Verb, said: str, **more: Any) -> Deployment:
    """The revision in which this arm answers everybody, without ramp and bandit."""
    return following(
        deployment,
        change,
        verb,
        said,
        arms=(msgspec.structs.replace(arm, weight=1.0),),
        shadows=_but(deployment.shadows, [arm.serves]),
        ramp=None,
        bandit=False,
        **more,
    )


def following(deployment: Deployment, change: Change, verb: Verb, said: str, **parts: Any) -> Deployment:
    """The next revision: what is not among `parts` stays as it is; facts are its own. It is never of an instant before
    the one that it follows, whatever the clock says."""
    return msgspec.structs.replace(
        deployment,
        revision=deployment.revision + 1,
        at_us=max(change.at_us, deployment.at_us + 1),
        by=change.by,
        reason=change.reason or said,
        verb=verb,
        **({"facts": {}} | parts),
    )


def canary_arms(canary: Arm, incumbent: Arm, weight: float) -> tuple[Arm, Arm]:
    """The canary first, so that whom it has answered stays with it."""
    return (
        msgspec.structs.replace(canary, weight=weight),
        msgspec.structs.replace(incumbent, weight=1.0 - weight),
    )


def arm_of(deployment: Deployment, name: str) -> Arm:
    """The arm of that name; raises `ArmUnknown`."""
    for arm in deployment.arms:
        if arm.name == name:
            return arm
    raise ArmUnknown(deployment.name, name, [arm.name for arm in deployment.arms])


def other_arm(deployment: Deployment, name: str) -> Arm:
    """Of two arms the one that is not of that name."""
    [other] = [arm for arm in deployment.arms if arm.name != name]
    return other


def version_of(serves: Served) -> str:
    """`MODEL@VERSION`."""
    return f"{serves.model}@{serves.version}"


def _arm(serves: Served, name: str | None) -> Arm:
    return Arm(name=name or f"v{serves.version}", serves=serves, weight=1.0)


def _but(shadows: Sequence[Served], arms: Sequence[Served]) -> tuple[Served, ...]:
    return tuple(each for each in shadows if each not in arms)
