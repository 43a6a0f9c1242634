"""`headrace data profile`: what the accepted columns of the newest check look like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import count, near, print_json, print_line, print_table

if TYPE_CHECKING:
    from headrace.data.model import ColumnProfile, QualityReport

Output = Annotated[
    Path | None, Parameter(name=["--output", "-o"], help="Write the page of these sources here, as HTML.")
]
_SHOWN_LEVELS = 3


def profile(
    source: str | None = None, *, output: Output = None, project: ProjectPath = None, as_json: AsJson = False
) -> int:
    """What each accepted column looks like: missing and different values, extremes, frequent levels, personal data.

    Parameters
    ----------
    source
        One source; all of them when left out.
    """
    from headrace.app import Project

    opened = Project.open(project)
    names = [one.name for one in opened.definition.sources] if source is None else [source]
    reports = [opened.newest_check(name).report for name in names]
    if output is not None:
        from headrace.data.page import quality_page

        output.write_text(quality_page(opened.name, reports), encoding="utf-8")
    if as_json:
        print_json({report.source: {"rows": _rows(report), "columns": report.columns} for report in reports})
        return 0
    for report in reports:
        accepted = _rows(report)
        print_line(f"{report.source}: {count(accepted)} accepted {'row' if accepted == 1 else 'rows'}")
        headings = ["column", "type", "missing", "different", "from", "to", "mean", "most frequent", "personal data"]
        print_table(headings, [_row(column, accepted) for column in report.columns])
        print_line()
    if output is not None:
        print_line(f"page: {near(output.absolute())}")
    return 0


def _rows(report: QualityReport) -> int:
    return report.accepted + report.repaired + report.replayed


def _row(column: ColumnProfile, rows: int) -> list[str]:
    about = "" if column.distinct_error is None else "≈"
    levels = [f"{level} {share / rows:.0%}" for level, share in column.top[:_SHOWN_LEVELS]] if rows else []
    return [
        column.name,
        column.type,
        f"{column.nulls / rows:.1%}" if rows else "",
        "" if column.distinct is None else f"{about}{count(column.distinct)}",
        "" if column.personal else column.minimum or "",
        "" if column.personal else column.maximum or "",
        "" if column.mean is None else f"{column.mean:.6g}",
        ", ".join(levels),
        column.personal[0].kind if column.personal else "",
    ]
