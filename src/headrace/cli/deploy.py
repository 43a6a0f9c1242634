"""`headrace deploy`, `promote`, `rollback`, `deployments`: which versions answer under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.options import AsJson, Flag, ProjectPath
from headrace.cli.output import instant, print_json, print_line, print_table
from headrace.errors import WrongUse

if TYPE_CHECKING:
    from headrace.operations.deploying import Deploying
    from headrace.serving.model import Deployment


def deploy(
    name: str,
    version: str | None = None,
    *,
    canary: str | None = None,
    shadow: Flag = False,
    split: str | None = None,
    bandit: Flag = False,
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
    reason
        What for; kept with the change.
    """
    from headrace.app import Project

    if sum(bool(each) for each in (canary, shadow, split)) > 1:
        raise DeployUnclear
    with Project.open(project) as opened:
        deploying = opened.deploying()
        if split is not None:
            weights = _weights(split)
            versions = {
                arm if not arm.isdigit() else f"v{arm}": deploying.version(arm, model=opened.name)
                for arm in weights
                if arm.isdigit()
            }
            named = {f"v{arm}" if arm.isdigit() else arm: share for arm, share in weights.items()}
            made = deploying.split(name, named, versions, bandit=bandit, reason=reason)
        else:
            wanted = deploying.version(version or opened.name, model=opened.name)
            if canary is not None:
                made = deploying.canary(name, wanted, _percent(canary), reason=reason)
            elif shadow:
                made = deploying.shadow(name, wanted, reason=reason)
            else:
                made = deploying.deploy(name, wanted, reason=reason)
        return _tell(deploying, made, as_json=as_json)


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
        deploying = opened.deploying()
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
        deploying = opened.deploying()
        return _tell(deploying, deploying.rollback(name, reason=reason), as_json=as_json)


def deployments(*, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """What answers under which name, and the servers that live."""
    from headrace.app import Project

    with Project.open(project) as opened:
        deploying = opened.deploying()
        found = [deploying.stored.get(name) for name in deploying.stored.names()]
        living = deploying.servers()
    if as_json:
        print_json({"deployments": found, "servers": living})
        return 0
    if not found:
        print_line("nothing is deployed yet: headrace deploy NAME")
        return 0
    print_table(
        ["deployment", "revision", "answers", "shadows", "since", "by", "why"],
        [
            [
                each.name,
                str(each.revision),
                _arms(each),
                ", ".join(f"v{s.version}" for s in each.shadows),
                instant(each.at_us),
                each.by,
                each.reason,
            ]
            for each in found
        ],
    )
    for each in living:
        failed = "".join(f"; cannot serve {revision}: {why}" for revision, why in each.failed.items())
        print_line(f"server {each.address}: {each.workers} workers, last heard {instant(each.at_us)}{failed}")
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
        found = opened.deploying().stored.history(name)
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
            "a version is deployed whole, as a canary, in a split or as a shadow: two of them were asked for",
            fix="take one of --canary, --split and --shadow",
        )


class ShareInvalid(WrongUse):
    """A share that is none."""

    code = "share-invalid"

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(f"a share should be {expected}, found {text[:40]!r}", fix=f"write {expected}", found=text[:40])


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


def _tell(deploying: Deploying, made: Deployment, *, as_json: bool) -> int:
    """0: whoever serves answers by it; 1: a server cannot; 3: some do not yet."""
    taken = deploying.wait(made)
    code = 1 if taken.failed else 3 if taken.behind else 0
    if as_json:
        print_json({"deployment": made, "servers": taken})
        return code
    print_line(f"{made.name} revision {made.revision}: {made.reason}")
    print_line(f"  answers    {_arms(made)}")
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
        print_line(
            f"  {taken.servers} server{'s' if taken.servers > 1 else ''} answer by it, after {taken.seconds:.1f} s"
        )
    return code
