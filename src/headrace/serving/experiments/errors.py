"""Why an arm, a canary or an experiment cannot be as it was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.errors import WrongUse


class WeightsInvalid(WrongUse):
    """Weights of arms that are no division of the entities."""

    code = "weights-invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"expected two or more arms with weights above 0 that sum to 1; {reason}",
            fix="for example --split 3=50,4=50",
            reason=reason,
        )


class ArmUnknown(WrongUse):
    """The deployment has no arm of that name."""

    code = "arm-unknown"

    def __init__(self, deployment: str, arm: str, known: Sequence[str]) -> None:
        super().__init__(
            f"deployment {deployment!r} has no arm {arm!r}; it has {', '.join(known)}",
            fix="name one of them",
            deployment=deployment,
            arm=arm,
            known=list(known),
        )


class ArmNamesClash(WrongUse):
    """Two versions under one name of an arm."""

    code = "arm-names-clash"

    def __init__(self, deployment: str, arm: str) -> None:
        super().__init__(
            f"two versions of deployment {deployment!r} would both be arm {arm!r}",
            fix="give one of them another name",
            deployment=deployment,
            arm=arm,
        )


class VersionAnswersAlready(WrongUse):
    """The version is an arm of the deployment, or its shadow, as it is."""

    code = "version-answers-already"

    def __init__(self, deployment: str, version: str, what: str) -> None:
        super().__init__(
            f"{version} is {what} of deployment {deployment!r} already",
            fix="deploy another version, or leave it as it is",
            deployment=deployment,
            version=version,
        )


class CanaryInvalid(WrongUse):
    """Shares of a canary that cannot be."""

    code = "canary-invalid"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"expected {expected}, found {found}", fix="for example --canary 5%", expected=expected, found=found
        )


class GuardInvalid(WrongUse):
    """A guard of a canary that there is not, or a limit that is none."""

    code = "guard-invalid"

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(
            f"expected a guard as {expected}, found {text[:80]!r}",
            fix="for example --guard scores=0.5 --guard latency=off",
            expected=expected,
            found=text[:80],
        )


class ConstantInvalid(WrongUse):
    """A score that is no number."""

    code = "constant-invalid"

    def __init__(self, found: float | str) -> None:
        super().__init__(
            f"the score where nobody can answer is a finite number, found {found!r}",
            fix='give one, or "none"',
            found=found,
        )


class RampRuns(WrongUse):
    """Another canary is on its way."""

    code = "ramp-runs"

    def __init__(self, deployment: str, arm: str) -> None:
        super().__init__(
            f"arm {arm!r} of deployment {deployment!r} is a canary on its way, and there is one at a time",
            fix=f"headrace promote {deployment} or headrace rollback {deployment} first",
            deployment=deployment,
            arm=arm,
        )


class SplitRuns(WrongUse):
    """The deployment is divided among arms, so a canary would have none to replace."""

    code = "split-runs"

    def __init__(self, deployment: str, arms: Sequence[str]) -> None:
        super().__init__(
            f"a canary replaces the one version that answers; deployment {deployment!r} is split into "
            f"{', '.join(arms)}",
            fix=f"end the split first: headrace promote {deployment} --arm NAME, or headrace rollback {deployment}",
            deployment=deployment,
            arms=list(arms),
        )


class NothingToPromote(WrongUse):
    """One version answers everybody, or it was not said which of several is meant."""

    code = "nothing-to-promote"

    def __init__(self, deployment: str, arms: Sequence[str]) -> None:
        one = len(arms) == 1
        super().__init__(
            f"{arms[0]} answers all of deployment {deployment!r} already"
            if one
            else f"deployment {deployment!r} is split into {', '.join(arms)}, and no arm was named",
            fix=f"headrace deploy {deployment} VERSION --canary 5%"
            if one
            else f"headrace promote {deployment} --arm {arms[-1]}",
            deployment=deployment,
            arms=list(arms),
        )


class NothingToRollBackTo(WrongUse):
    """No earlier revision had one version that answered everybody."""

    code = "nothing-to-roll-back-to"

    def __init__(self, deployment: str, revision: int, why: str) -> None:
        super().__init__(
            f"revision {revision} of deployment {deployment!r} cannot be rolled back: {why}",
            fix=f"headrace deploy {deployment} VERSION puts a version there by its number",
            deployment=deployment,
            revision=revision,
        )


class PlanInvalid(WrongUse):
    """A part of an experiment's plan that cannot be."""

    code = "experiment-plan-invalid"

    def __init__(self, option: str, expected: str, found: str) -> None:
        super().__init__(
            f"{option} should be {expected}, found {found[:40]!r}",
            fix="state the plan before the first look, and the same at every look",
            option=option,
        )
