"""`headrace models`: versions, aliases, and what was champion when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.cli.instants import instant_us
from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import figure, instant, money, print_json, print_line, print_table
from headrace.governance.users import user_name
from headrace.registry.summary import read_summary

if TYPE_CHECKING:
    from headrace.registry.model import Version


def list_versions(model: str | None = None, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Registered versions, newest first.

    Parameters
    ----------
    model
        The model's name; the project's own when left out.
    """
    from headrace.app import Project

    opened = Project.open(project)
    registry = opened.registry()
    versions = registry.list() if model is None else registry.list(model)
    if as_json:
        print_json({"model": model or opened.name, "versions": versions})
    elif not versions:
        print_line(f"{model or opened.name} has no versions yet: headrace run")
    else:
        print_table(
            ["version", "aliases", "family", "metric", "cost / million", "made", "package"], [_row(v) for v in versions]
        )
    return 0


def _row(version: Version) -> list[str]:
    s = read_summary(version)
    return [
        f"{version.model}@{version.number}",
        ", ".join(version.aliases),
        s.family or "",
        "" if s.value is None or s.low is None or s.high is None else f"{s.metric} {_interval(s.value, s.low, s.high)}",
        "" if s.cost_per_million is None else money(s.cost_per_million, s.currency),
        instant(version.created_us),
        version.package[:12],
    ]


def show(reference: str, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """One version: where it comes from, how good it is, what it costs.

    Parameters
    ----------
    reference
        MODEL@ALIAS, MODEL@NUMBER, or MODEL for its champion.
    """
    from headrace.app import Project

    version = Project.open(project).registry().get(reference)
    if as_json:
        print_json(version)
        return 0
    print_line(f"{version.model}@{version.number}  {', '.join(version.aliases)}")
    for name, value in _facts(version).items():
        print_line(f"  {name:<18} {value}")
    return 0


def _facts(version: Version) -> dict[str, Any]:
    facts: dict[str, Any] = {"package": version.package, "signer": version.signer, "run": version.run}
    facts["made"] = instant(version.created_us)
    s = read_summary(version)
    facts |= {"family": s.family, "trial": s.trial, "rule": s.rule, "holdout rows": s.holdout_rows}
    facts |= {"positive": s.positive} if s.positive is not None else {}
    facts |= {"threshold": s.threshold} if s.threshold is not None else {}
    facts |= {m.name.replace("_", " "): _interval(m.value, m.low, m.high) for m in s.metrics}
    if s.cost_per_million is not None:
        facts["cost a million"] = money(s.cost_per_million, s.currency)
    return facts


def _interval(value: float, low: float, high: float) -> str:
    return f"{figure(value)} [{figure(low)}, {figure(high)}]"


def compare(first: str, second: str, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Two versions side by side.

    Parameters
    ----------
    first
        MODEL@ALIAS or MODEL@NUMBER.
    second
        The other one.
    """
    from headrace.app import Project

    registry = Project.open(project).registry()
    a, b = registry.get(first), registry.get(second)
    difference = registry.compare(a, b)
    if as_json:
        print_json({"first": a, "second": b, "difference": difference})
        return 0
    left, right = _facts(a), _facts(b)
    rows = [[name, str(left.get(name, "")), str(right.get(name, ""))] for name in left | right]
    print_table(["", f"{a.model}@{a.number}", f"{b.model}@{b.number}"], rows)
    return 0


def promote(
    reference: str, alias: str = "champion", *, reason: str = "", project: ProjectPath = None, as_json: AsJson = False
) -> int:
    """Point an alias at a version; predictions that name the alias use it from then on.

    Parameters
    ----------
    reference
        MODEL@NUMBER (or another alias of it).
    alias
        Which name to move.
    reason
        Kept with the change.
    """
    from headrace.app import Project

    registry = Project.open(project).registry()
    version = registry.get(reference)
    registry.promote(version.model, version.number, alias, by=user_name(), reason=reason)
    return _moved(version.model, alias, version.number, as_json=as_json)


def rollback(
    model: str, alias: str = "champion", *, reason: str = "", project: ProjectPath = None, as_json: AsJson = False
) -> int:
    """Point an alias back at the version that it named before.

    Parameters
    ----------
    model
        The model's name.
    alias
        Which name to move.
    reason
        Kept with the change.
    """
    from headrace.app import Project

    registry = Project.open(project).registry()
    change = registry.rollback(model, alias, by=user_name(), reason=reason)
    return _moved(model, alias, change.number, as_json=as_json)


def _moved(model: str, alias: str, number: int | None, *, as_json: bool) -> int:
    if as_json:
        print_json({"model": model, "alias": alias, "version": number})
    else:
        print_line(f"{model}@{alias} is now version {number}")
    return 0


def verify(reference: str, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Check every byte and the signature of a version, and that it answers as when it was made.

    Parameters
    ----------
    reference
        MODEL@ALIAS or MODEL@NUMBER.
    """
    from headrace.app import Project
    from headrace.scoring.scorer import Scorer

    registry = Project.open(project).registry()
    version = registry.get(reference)
    registry.verify(version)
    golden = Scorer(registry.read(version), version.number).golden  # has been asked, or there would be no scorer
    rows = 0 if golden is None else golden.rows
    if as_json:
        print_json({"version": version.number, "package": version.package, "verified": True, "golden_rows": rows})
    else:
        print_line(f"{version.model}@{version.number} is whole and signed by {version.signer}")
        if golden is None:
            print_line("  it is of a release that wrote no golden rows: what it answers was not compared")
        else:
            print_line(f"  {rows} golden rows are answered as when it was made")
    return 0


def export(reference: str, folder: Path, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Write a version's files into a folder, verified first.

    Parameters
    ----------
    reference
        MODEL@ALIAS or MODEL@NUMBER.
    folder
        Made if it is not there; must be empty.
    """
    from headrace.app import Project

    registry = Project.open(project).registry()
    version = registry.get(reference)
    registry.export(version, folder)
    if as_json:
        print_json({"version": version.number, "folder": str(folder)})
    else:
        print_line(f"{version.model}@{version.number} is in {folder}")
    return 0


def at(model: str, when: str, alias: str = "champion", *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """What an alias named at an instant.

    Parameters
    ----------
    model
        The model's name.
    when
        ISO 8601, for example 2026-11-23T10:00:00Z.
    alias
        Which name.
    """
    from headrace.app import Project

    t_us = instant_us(when)
    version = Project.open(project).registry().at(model, alias, t_us)
    number = None if version is None else version.number
    if as_json:
        print_json({"model": model, "alias": alias, "at": when, "version": number})
    else:
        print_line(f"{model}@{alias} was {'nothing' if number is None else f'version {number}'} at {when}")
    return 0 if number is not None else 1
