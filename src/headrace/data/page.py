"""The quality page of a run: what every source promised, what it brought, and what was done to every row."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.data.model import QualityReport
from headrace.pages.render import render


def quality_page(project: str, reports: Sequence[QualityReport]) -> str:
    """One HTML page for all sources.

    Parameters
    ----------
    project
        The project's name.
    reports
        One a source; at least one.
    """
    total = sum(r.read for r in reports)
    return render(
        "data/quality.html.j2",
        project=project,
        reports=reports,
        read=total,
        accepted=sum(r.accepted for r in reports),
        repaired=sum(r.repaired for r in reports),
        quarantined=sum(r.quarantined for r in reports),
        passed=all(r.passed for r in reports),
    )
