"""`headrace data explain`: why an entity that is made from several sources is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import print_json, print_line, print_table
from headrace.errors import WrongUse

if TYPE_CHECKING:
    from headrace.app import Project
    from headrace.data.combine.explain import Explanation


class NothingCombined(WrongUse):
    """The source whose entities are asked for cannot be told."""

    code = "nothing-combined"

    def __init__(self, asked: str | None, known: list[str]) -> None:
        if not known:
            message, fix = "no source of the definition combines others", 'write from = ["crm", "billing"] in a source'
        else:
            message = "several sources combine others" if asked is None else f"source {asked!r} does not combine others"
            fix = f"--source {' or --source '.join(known)}"
        super().__init__(message, fix=fix, source=asked, known=known)


def explain(*key: str, source: str | None = None, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """One entity of the newest check: each value, the row it is of, by which rule, and what lost and why.

    Parameters
    ----------
    key
        The entity's key; several words when the key has several columns.
    source
        The source that combines others; may be left out when there is one.
    """
    from headrace.app import Project

    with Project.open(project) as opened:
        explanation = opened.explain(_source(opened, source), key)
    if as_json:
        print_json(explanation)
    else:
        _tell(explanation)
    return 0


def _source(opened: Project, asked: str | None) -> str:
    known = [one.name for one in opened.definition.sources if one.combine is not None]
    if asked in known:
        return asked
    if asked is None and len(known) == 1:
        return known[0]
    raise NothingCombined(asked, known)


def _tell(explanation: Explanation) -> None:
    rows = ", ".join(f"{one.place} ({one.source})" for one in explanation.rows)
    print_line(f"{explanation.source}, entity {explanation.entity}: from {rows}")
    if explanation.quarantined:
        print_line(f"quarantined by {', '.join(explanation.quarantined)}")
    print_line()
    table = []
    for one in explanation.columns:
        table.append([one.column, _text(one.value), one.source or "", one.place, one.rule])
        table += [["", f"not {_text(lost.value)}", lost.source, lost.place, lost.why] for lost in one.lost]
    print_table(["column", "value", "source", "row", "why"], table)


def _text(value: str | None) -> str:
    return "" if value is None else value.replace("\n", "\\n")
