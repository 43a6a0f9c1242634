"""`headrace deploy`, `promote`, `rollback`, `deployments`: which versions answer under a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from headrace.cli.options import AsJson, Flag, ProjectPath, Several
from headrace.cli.output import instant, print_json, print_line, print_table, things
from headrace.errors import WrongUse

if TYPE_CHECKING:
    from headrace.operations.deploying import Deploying
    from headrace.serving.model import Deployment, Guard


HOLD: Final = "15m"
LEAST_ROWS: Final = 500


def deploy(
    name: str,
    version: str | None = None,
    *,
    canary: str | None = None,
    shadow: Flag = False,
    split: str | None = None,
    bandit: Flag = False,
    guard: Annotated[tuple[str, ...], Several] = (),
    hold: str = HOLD,
    least_rows: int = LEAST_ROWS,
    fallback: str | None = None,
    constant: str | None = None,
    reason: Annotated[str, Parameter(name=["--reason", "-m"])] = "",
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Let a version answer under a name: all, few at first, some beside others, or unseen.

    Parameters
    ----------
    name
        The deployment; it is made when there is none of that name.
    version
        A number, MODEL@NUMBER or MODEL@ALIAS; the model's champion when left out.
    canary
        Share of entities that it answers first, such as 5%; it then rises by itself while the guards allow it.
    shadow
        Let it answer the same rows, and send nobody its answers.
    split
        Arms and their shares: NAME=SHARE or NUMBER=SHARE, such as 1=50,2=50.
    bandit
        Let the shares of --split follow the outcomes.
    guard
        Of a canary: KIND=LIMIT for errors (share more), latency (times), scores (stability index) or cost (share more);
        KIND=off for none.
    hold
        Of a canary: the least that a share lasts.
    least_rows
        Of a canary: the fewest of its answers before the next share.
    fallback
        Versions that answer, in order, where the one that should cannot, such as 2,1; "none" for nobody.
    constant
        The score where none of these can either; "none" for an error. With --fallback, or alone.
    reason
        What for; kept with the change.
    """
    from headrace.app import Project

    falls_back = fallback is not None or constant is not None
    if sum(bool(each) for each in (canary, shadow, split, falls_back)) > 1 or (falls_back and version is not None):
        raise DeployUnclear
    _check_of_canary(canary, guard, hold, least_rows)
    if bandit and split is None:
        raise OptionAlone("--bandit", "--split")
    if split is not None and version is not None:
        raise VersionBesideSplit(version)
    guards, hold_s = _guards(guard), _hold(hold)
    with Project.open(project) as opened:
        deploying, model = opened.service.deploying(), opened.name
        if falls_back:
            made = _fall_back(deploying, name, fallback, _score(constant), model=model, reason=reason)
        elif split is not None:
            made = _split(deploying, name, _weights(split), model=model, bandit=bandit, reason=reason)
        else:
            wanted = deploying.version(version or model, model=model)
            if canary is not None:
                made = deploying.canary(
                    name,
                    wanted,
                    _percent(canary),
                    guards=guards,
                    hold_s=hold_s,
                    least_rows=least_rows,
                    reason=reason,
                )
            elif shadow:
                made = deploying.shadow(name, wanted, reason=reason)
            else:
                made = deploying.deploy(name, wanted, reason=reason)
        return _tell(deploying, made, as_json=as_json)


def _fall_back(
    deploying: Deploying,
    name: str,
    fallback: str | None,
    constant: float | Literal["none"] | None,
    *,
    model: str,
    reason: str,
) -> Deployment:
    """Versions in order, "none" for nobody, None for who it is now."""
    if fallback is None:
        versions = None
    else:
        numbers = [] if fallback == "none" else [each.strip() for each in fallback.split(",")]
        versions = [deploying.version(each, model=model) for each in numbers]
    return deploying.fall_back(name, versions=versions, constant=constant, reason=reason)


def _split(
    deploying: Deploying, name: str, weights: Mapping[str, float], *, model: str, bandit: bool, reason: str
) -> Deployment:
    """Arms by name; one that is a number is a version, and is called by it."""
    versions = {f"v{arm}": deploying.version(arm, model=model) for arm in weights if arm.isdigit()}
    named = {f"v{arm}" if arm.isdigit() else arm: share for arm, share in weights.items()}
    return deploying.split(name, named, versions, bandit=bandit, reason=reason)


def promote(
    name: str,
    arm: str | None = None,
    *,
    reason: Annotated[str, Parameter(name=["--reason", "-m"])] = "",
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Let a canary, or one arm of several, answer everybody.

    Parameters
    ----------
    name
        The deployment.
    arm
        Which arm; the canary when left out.
    reason
        What for; kept with the change.
    """
    from headrace.app import Project

    with Project.open(project) as opened:
        deploying = opened.service.deploying()
        return _tell(deploying, deploying.promote(name, arm, reason=reason), as_json=as_json)


def rollback(
    name: str,
    *,
    reason: Annotated[str, Parameter(name=["--reason", "-m"])] = "",
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Back to the version that answered everybody before.

    Parameters
    ----------
    name
        The deployment.
    reason
        What for; kept with the change.
    """
    from headrace.app import Project

    with Project.open(project) as opened:
        deploying = opened.service.deploying()
        return _tell(deploying, deploying.rollback(name, reason=reason), as_json=as_json)


def deployments(*, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """What answers under which name, and the servers that live."""
    from headrace.app import Project
    from headrace.serving.pulling import names_of

    with Project.open(project) as opened:
        deploying = opened.service.deploying()
        found = [deploying.stored.get(name) for name in deploying.stored.names()]
        living = deploying.servers()
    if as_json:
        print_json({"deployments": found, "servers": living})
        return 0
    if not found:
        print_line("nothing is deployed yet: headrace deploy NAME")
        return 0
    print_table(
        ["deployment", "revision", "answers", "falls back to", "shadows", "since", "by", "why"],
        [
            [
                each.name,
                str(each.revision),
                _arms(each),
                _fallbacks(each),
                ", ".join(f"v{s.version}" for s in each.shadows),
                instant(each.at_us),
                each.by,
                each.reason,
            ]
            for each in found
        ],
    )
    names = names_of(living)
    for each in living:
        failed = "".join(f"; cannot serve {revision}: {why}" for revision, why in each.failed.items())
        workers = things(each.workers, "worker")
        told = f"{workers}, last heard {instant(each.at_us)}{failed}"
        print_line(f"server {names[each.id]}, which listens on {each.address}: {told}")
    return 0


def history(name: str, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Every change of a deployment: who answered since when, and why.

    Parameters
    ----------
    name
        The deployment.
    """
    from headrace.app import Project

    with Project.open(project) as opened:
        found = opened.service.deploying().stored.history(name)
    if as_json:
        print_json({"deployment": name, "revisions": found})
        return 0
    print_table(
        ["revision", "since", "answers", "verb", "by", "why"],
        [[str(d.revision), instant(d.at_us), _arms(d), d.verb, d.by, d.reason] for d in found],
    )
    return 0


class DeployUnclear(WrongUse):
    """Two ways of deploying at once."""

    code = "deploy-unclear"

    def __init__(self) -> None:
        super().__init__(
            "a version is deployed whole, as a canary, in a split or as a shadow, and fallbacks are set by themselves: "
            "two of them were asked for",
            fix="take one of --canary, --split, --shadow, and --fallback with --constant and no version",
        )


class OptionAlone(WrongUse):
    """An option says more of what is not asked for."""

    code = "deploy-option-alone"

    def __init__(self, option: str, of: str) -> None:
        super().__init__(
            f"{option} says more of {of}, which is not asked for: it would change nothing",
            fix=f"add {of}, or leave {option} out",
            option=option,
        )


class VersionBesideSplit(WrongUse):
    """A version beside a split, which names its own."""

    code = "version-beside-split"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"--split names the versions of its arms itself; found {version[:80]!r} beside it, which would not answer",
            fix="leave it out, or add it to the split with its share",
        )


class ShareInvalid(WrongUse):
    """A share that is none."""

    code = "share-invalid"

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(f"a share should be {expected}, found {text[:40]!r}", fix=f"write {expected}", found=text[:40])


def _check_of_canary(canary: str | None, guard: Sequence[str], hold: str, least_rows: int) -> None:
    """Raise `OptionAlone` where something is said of a canary, and none is asked for."""
    if canary is not None:
        return
    said = {"--guard": bool(guard), "--hold": hold != HOLD, "--least-rows": least_rows != LEAST_ROWS}
    for option, is_said in said.items():
        if is_said:
            raise OptionAlone(option, "--canary")


def _guards(texts: Sequence[str]) -> tuple[Guard, ...]:
    """The usual guards, but for what is said of some."""
    from headrace.serving.experiments.errors import GuardInvalid
    from headrace.serving.model import GUARDS, Guard

    limits: dict[str, float | None] = {each.kind: each.limit for each in GUARDS}
    expected = f"KIND=LIMIT or KIND=off with a kind of {', '.join(limits)}"
    for text in texts:
        kind, _, said = text.partition("=")
        if kind not in limits:
            raise GuardInvalid(text, expected)
        try:
            limits[kind] = found = None if said == "off" else float(said)
        except ValueError:
            raise GuardInvalid(text, expected) from None
        if found is not None and not (isfinite(found) and found >= 0.0):
            raise GuardInvalid(text, "a limit of 0 or more")
    return tuple(Guard(kind=each.kind, limit=limit) for each in GUARDS if (limit := limits[each.kind]) is not None)


def _score(text: str | None) -> float | Literal["none"] | None:
    from headrace.serving.experiments.errors import ConstantInvalid

    if text is None or text == "none":
        return "none" if text == "none" else None
    try:
        return float(text)
    except ValueError:
        raise ConstantInvalid(text[:40]) from None


def _hold(text: str) -> float:
    from headrace.definition.quantities import parse_duration
    from headrace.serving.experiments.errors import CanaryInvalid

    us = parse_duration(text)
    if us is None:
        raise CanaryInvalid("a hold such as 90s, 15m or 2h", repr(text[:40]))
    return us / 1e6


def _percent(text: str) -> float:
    try:
        return float(text.removesuffix("%"))
    except ValueError:
        raise ShareInvalid(text, "a percentage such as 5%") from None


def _weights(text: str) -> dict[str, float]:
    """`a=50,b=50` or `1=0.5,2=0.5` as shares of 1."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        arm, sign, share = part.strip().partition("=")
        if arm in shares:
            raise ShareInvalid(part, "one for each arm")
        try:
            shares[arm] = float(share.removesuffix("%"))
        except ValueError:
            sign = ""
        if not sign or not arm:
            raise ShareInvalid(part, "ARM=SHARE, such as 1=50,2=50")
    total = sum(shares.values())
    return {arm: share / total for arm, share in shares.items()} if abs(total - 100.0) < 1e-6 else shares


def _arms(deployment: Deployment) -> str:
    return ", ".join(f"{arm.name} {100 * arm.weight:g} %" for arm in deployment.arms)


def _fallbacks(deployment: Deployment) -> str:
    steps = [f"v{served.version}" for served in deployment.fallbacks]
    return ", ".join(steps if deployment.constant is None else [*steps, f"{deployment.constant:g}"])


def _tell(deploying: Deploying, made: Deployment, *, as_json: bool) -> int:
    """0: whoever serves answers by it; 1: a server cannot; 3: some do not yet."""
    taken = deploying.wait(made)
    code = 1 if taken.failed else 3 if taken.behind else 0
    if as_json:
        print_json({"deployment": made, "servers": taken})
        return code
    print_line(f"{made.name} revision {made.revision}: {made.reason}")
    print_line(f"  answers    {_arms(made)}")
    if taken.behind:
        print_line(f"  taken up by {taken.servers - len(taken.behind)} of {things(taken.servers, 'server')}")
    if not taken.servers:
        print_line("  no server runs: headrace serve")
    elif taken.failed:
        for server, why in taken.failed.items():
            print_line(f"  NOT served by {server}: {why}")
        print_line(
            f"  there the revision before goes on; the server tries again by itself, or: headrace rollback {made.name}"
        )
    elif taken.behind:
        print_line(f"  NOT taken up after {taken.seconds:.0f} s by {', '.join(taken.behind)}")
        print_line("  they go on by the revision before; headrace deployments shows when they have")
    else:
        who = "1 server answers" if taken.servers == 1 else f"{taken.servers} servers answer"
        print_line(f"  {who} by it, after {taken.seconds:.1f} s")
    return code
