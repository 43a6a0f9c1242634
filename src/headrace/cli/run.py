"""`headrace run` and `headrace check`."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.options import AsJson, Flag, Memory, ProjectPath
from headrace.cli.output import count, figure, money, near, print_json, print_line, seconds, things

if TYPE_CHECKING:
    from headrace.data.model import Change, Combined, QualityReport, RuleResult
    from headrace.runs.model import Progress
    from headrace.stages.model import Outcome
    from headrace.training.automatic_model import Automatic


def run(*, refresh: Flag = False, memory: Memory = None, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """Sources in, a chosen, priced, signed model version out; what was done before is not done again.

    Parameters
    ----------
    refresh
        Read every source again, changed or not.
    """
    from headrace.app import Project

    opened = Project.open(project)
    outcome = opened.run(progress=progress(as_json), refresh=refresh, memory=memory)
    if as_json:
        print_json(outcome.summary())
    else:
        _tell(outcome)
    return 0


def check(
    *,
    source: list[str] | None = None,
    refresh: Flag = False,
    memory: Memory = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Read the sources and hold them against their contracts: exit 1 when one is broken.

    Parameters
    ----------
    source
        Only this source, and those that it needs; may be given several times.
    refresh
        Read every source again, changed or not.
    """
    from headrace.app import Project

    opened = Project.open(project)
    checked = opened.check(progress=progress(as_json), refresh=refresh, sources=source or (), memory=memory)
    passed = all(report.passed for report in checked.reports)
    kept_apart = {name: source.quarantine for name, source in checked.sources.items()}
    aside = {name: opened.objects.scan_target(ref.key).url for name, ref in kept_apart.items() if ref is not None}
    if as_json:
        print_json(
            {
                "passed": passed,
                "page": str(checked.page),
                "quarantine": aside,
                "sources": checked.reports,
                "combined": checked.combined,
            }
        )
    else:
        for report in checked.reports:
            print_line(_ledger(report))
            for line in (*_failures(report), *_changes(report)):
                print_line(line)
        for name, combined in checked.combined.items():
            _tell_combined(name, combined)
        for name, place in aside.items():
            print_line(f"rows kept apart of {name}: {near(Path(place)) if '://' not in place else place}")
        print_line(f"page: {near(checked.page)}")
    return 0 if passed else 1


def progress(as_json: bool) -> Progress:
    """Where a run that is started here says how far it is."""
    from headrace.cli.interruption import Heeding
    from headrace.runs.progress import LiveProgress, PlainProgress, SilentProgress

    if as_json:
        return Heeding(SilentProgress())
    return Heeding(LiveProgress() if sys.stderr.isatty() else PlainProgress())


def _ledger(report: QualityReport) -> str:
    verdict = f"broken: {', '.join(report.broken)}" if report.broken else "holds"
    kept = f"{count(report.accepted)} accepted + {count(report.repaired)} repaired"
    kept += f" + {count(report.replayed)} replayed" if report.replayed else ""
    rows = things(report.read, "row")
    return f"{report.source:<12} {rows} = {kept} + {count(report.quarantined)} quarantined  ({verdict})"


def _tell_combined(name: str, combined: Combined) -> None:
    """What became of the rows that an entity is made from, and where they disagree."""
    for member in combined.members:
        kept = f"{things(member.entities, 'entity')} + {count(member.merged)} merged"
        rows = f"{things(member.rows, 'row')} of {member.source}"
        print_line(f"{name:<12} {rows} = {kept} + {count(member.quarantined)} quarantined")
    for conflict in combined.conflicts:
        values = f"{things(conflict.values, 'value')} of {things(conflict.entities, 'entity')}"
        print_line(f"{name:<12} {conflict.column}: {values} lost by {conflict.rule}")


def _proposed(automatic: Automatic) -> str:
    """How many families were tried and which are kept."""
    tried = sum(one.state != "not tried" for one in automatic.tried)
    kept = [one.name for one in automatic.tried if one.state == "kept"]
    if not tried:
        return "none were tried"
    return f"{len(kept)} of {tried} families that were tried pay" + (f": {', '.join(kept)}" if kept else "")


_TOLD = 12
"""Broken rules that are told of one source; the page has them all."""


def _failures(report: QualityReport) -> list[str]:
    """The rules that rows or the table broke, the ones that stop a run first."""
    failed = sorted((rule for rule in report.rules if not rule.passed), key=lambda rule: rule.on_fail != "fail")
    lines = [f"  {rule.on_fail:<10} {rule.rule}: {_found(rule)}" for rule in failed[:_TOLD]]
    if len(failed) > _TOLD:
        lines.append(f"  and {len(failed) - _TOLD} more rules")
    return lines


def _found(rule: RuleResult) -> str:
    """How many rows broke a rule and where the first one is; of a rule of the table, what it found."""
    if rule.kind in ("rows", "sum", "distribution", "fresh"):
        return rule.detail
    rows = things(rule.failed, "row")
    return f"{rows}, {rule.detail}" if rule.detail else rows


def _changes(report: QualityReport) -> list[str]:
    """What the snapshot changed, and the line that would settle it."""
    lines = []
    for one in report.changes:
        if one.policy != "accept":
            lines.append(f"  {one.impact} change ({one.policy}): {one.message}")
            if one.fix:
                lines.append(f"    write in [sources.{report.source}{_section(one)}]: {one.fix}")
    return lines


def _section(change: Change) -> str:
    return "" if change.fix.startswith("rename = ") else ".columns"


def verdict_lines(verdicts: Iterable[Mapping[str, str]]) -> list[str]:
    """Whether the model is to be believed: what asks for a look is marked."""
    marks = {"good": " ", "look": "!", "bad": "!"}
    return [f"{marks.get(one['level'], ' ')} {one['topic'].replace('_', ' '):<26} {one['says']}" for one in verdicts]


def next_commands(version: str, aliases: Collection[str]) -> tuple[str, ...]:
    """What a person types after a run; of a version that is not the champion, what makes it so."""
    model = version.partition("@")[0]
    if "champion" not in aliases:
        return (
            f"headrace models compare {model}@champion {version}",
            f"headrace models promote {version}",
            "headrace show last",
        )
    return (
        f"headrace models show {model}@champion",
        f"headrace predict {model}@champion ROWS.csv -o scores.parquet",
        "headrace show last",
    )


def _tell(outcome: Outcome) -> None:
    """What a person wants to know at the end of a run, and what to type next."""
    from headrace.stages.looks import say_looks

    version, choice, evaluation = outcome.version, outcome.choice, outcome.evaluation
    for report in outcome.reports:
        print_line(_ledger(report))
    print_line()
    name = f"{version.model}@{version.number}"
    print_line(f"{name}{' (' + ', '.join(version.aliases) + ')' if version.aliases else ''}: {choice.reason}")
    if evaluation.positive is not None:
        print_line(f"  {'positive':<26} {evaluation.positive!r}: what a probability is of, and what yes means")
    for metric in evaluation.metrics[:4]:
        label = metric.name.replace("_", " ")
        interval = f"{figure(metric.low)} to {figure(metric.high)}"
        print_line(f"  {label:<26} {figure(metric.value)}   95 % interval {interval}")
    for line in verdict_lines({"topic": v.topic, "level": v.level, "says": v.says} for v in evaluation.verdicts):
        print_line(line)
    chosen = next(c for c in choice.candidates if c.trial == choice.trial)
    if chosen.money is not None:
        parts = {"errors": chosen.money.errors, "serving": chosen.money.serving, "training": chosen.money.training}
        split = ", ".join(f"{part} {money(value, choice.currency)}" for part, value in parts.items())
        print_line(f"  {'cost a million predictions':<26} {money(chosen.money.total, choice.currency)}   ({split})")
    if chosen.by_request is not None and chosen.by_batch is not None:
        prices = f"{money(chosen.by_request)} by the request, {money(chosen.by_batch)} in batches"
        print_line(f"  {'serving a million':<26} {prices}")
    if outcome.split is not None and (outcome.split.leaks or outcome.split.column):
        by = outcome.split.by if outcome.split.column is None else f"{outcome.split.by}, {outcome.split.column}"
        print_line(f"  {'split':<26} by {by}: {outcome.split.reason}")
    print_line(f"  {'holdout':<26} {say_looks(outcome.holdout_looks)}")
    if outcome.automatic is not None:
        print_line(f"  {'proposed features':<26} {_proposed(outcome.automatic)}")
    print_line(
        f"  {'this run':<26} {seconds(outcome.wall_s)}, {money(outcome.cost_usd)}, "
        f"{things(outcome.stages_done, 'stage')} computed"
    )
    print_line(f"  {'package':<26} {version.package}")
    print_line(f"  {'pages':<26} {near(outcome.run_page)}, {near(outcome.quality_page)}")
    print_line()
    print_line("next:")
    for command in next_commands(name, version.aliases):
        print_line(f"  {command}")
