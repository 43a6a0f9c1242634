"""`headrace data`: what the newest check of every source found."""

from __future__ import annotations

from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import count, print_json, print_table


def sources(*, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """The sources, and what the newest check made of their rows."""
    from headrace.app import Project

    opened = Project.open(project)
    reports = [opened.newest_check(source.name).report for source in opened.definition.sources]
    if as_json:
        ledgers = [
            {name: getattr(r, name) for name in ("source", "read", "accepted", "repaired", "replayed", "quarantined")}
            for r in reports
        ]
        print_json({"sources": ledgers})
    else:
        headings = ["source", "read", "accepted", "repaired", "replayed", "quarantined", "contract"]
        print_table(
            headings,
            [
                [r.source, *map(count, (r.read, r.accepted, r.repaired, r.replayed, r.quarantined)), _verdict(r.broken)]
                for r in reports
            ],
        )
    return 0


def _verdict(broken: list[str]) -> str:
    return f"broken: {', '.join(broken)}" if broken else "holds"
