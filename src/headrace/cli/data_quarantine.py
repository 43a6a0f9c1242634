"""`headrace data quarantine` and `headrace data replay`: rows that were set aside, and their way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import count, instant, near, print_json, print_line, print_table, things
from headrace.errors import WrongUse

if TYPE_CHECKING:
    from headrace.data.correction_log import Correction

_SHOWN = 40
"""Characters of a cell in a table."""

Output: TypeAlias = Annotated[
    Path | None, Parameter(name=["--output", "-o"], help="A .csv or .parquet file to write, to be corrected.")
]


class TwoWishes(WrongUse):
    """A file to replay and a correction to withdraw at once."""

    code = "two-wishes"

    def __init__(self) -> None:
        super().__init__(
            "expected a file to replay or a correction to withdraw, found both",
            fix="headrace data replay SOURCE FILE, or headrace data replay SOURCE --withdraw NUMBER",
        )


def quarantine(
    source: str,
    *,
    rule: str | None = None,
    limit: int | None = None,
    output: Output = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """The rows that the newest check of a source set aside, with their reasons and places.

    Parameters
    ----------
    source
        The source's name.
    rule
        Only rows that broke this rule: min:amount, or min for every column's.
    limit
        At most so many rows; 20 on a terminal when left out.
    """
    from headrace.app import Project
    from headrace.data.workplace import OURS, rows_aside, write_rows

    opened = Project.open(project)
    shown = limit if limit is not None or output is not None or as_json else 20
    rows = rows_aside(opened.newest_check(source), opened.objects, rule=rule, limit=shown)
    if output is not None:
        write_rows(rows, output)
    if as_json:
        written = None if output is None else str(output)
        print_json({"source": source, "rows": rows.to_dicts() if output is None else rows.height, "file": written})
    elif output is not None:
        print_line(f"{things(rows.height, 'row')} of {source} in {near(output.absolute())}")
        print_line(f"correct them there, then: headrace data replay {source} {near(output.absolute())}")
    elif rows.is_empty():
        print_line(f"no row of {source} is set aside" + ("" if rule is None else f" by {rule}"))
    else:
        columns = [name for name in rows.columns if name not in OURS]
        table = [
            [str(row["_row"]), "; ".join(row["_reasons"]), *(_cell(row[name]) for name in columns), _cell(row["_text"])]
            for row in rows.iter_rows(named=True)
        ]
        print_table(["row", "reasons", *columns, "text"], table)
    return 0


def _cell(value: str | None) -> str:
    text = "" if value is None else " ".join(value.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def replay(
    source: str,
    file: Path | None = None,
    *,
    withdraw: int | None = None,
    reason: str = "",
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Hand corrected rows back: the next check applies them. Without a file, lists what was handed back.

    Parameters
    ----------
    source
        The source's name.
    file
        A file that data quarantine wrote, with its cells corrected.
    withdraw
        The number of a correction to take back.
    reason
        Why, for those who come after.
    """
    from headrace.app import Project, now_us
    from headrace.data import correction_log

    if file is not None and withdraw is not None:
        raise TwoWishes
    opened = Project.open(project)
    if withdraw is not None:
        taken = correction_log.withdraw(opened.catalog, opened.name, source, withdraw, clock=now_us)
        _told(taken, f"correction {taken.number} of {source} is withdrawn", as_json=as_json)
    elif file is not None:
        made = opened.replay(source, file, reason=reason)
        said = f"correction {made.number} of {source}: {things(made.rows, 'row')}, applied by the next headrace check"
        _told(made, said, as_json=as_json)
    else:
        with opened.catalog.read() as reader:
            found = correction_log.corrections(reader, opened.name, source)
        if as_json:
            print_json({"source": source, "corrections": found})
        elif not found:
            print_line(f"no row of {source} was corrected")
        else:
            print_table(["correction", "made", "rows", "state", "reason"], [_row(one) for one in found])
    return 0


def _told(correction: Correction, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(correction)
    else:
        print_line(text)


def _row(one: Correction) -> list[str]:
    state = "in force" if one.withdrawn_us is None else f"withdrawn {instant(one.withdrawn_us)}"
    return [str(one.number), instant(one.made_us), count(one.rows), state, one.reason]
