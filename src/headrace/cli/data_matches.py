"""`headrace data matches`: fuzzy duplicates, why they are taken for one, and what people say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.cli.options import AsJson, Flag, ProjectPath
from headrace.cli.output import count, print_json, print_line, print_table, things


def matches(
    source: str,
    *,
    limit: int | None = None,
    review: Flag = False,
    same: tuple[int, int] | None = None,
    different: tuple[int, int] | None = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Rows that the newest check of a source took for one, with the evidence in bits; or your answer on two rows.

    Parameters
    ----------
    source
        The source's name.
    limit
        At most so many clusters or pairs; 20 on a terminal when left out.
    review
        Instead, the pairs nearest to the threshold that nobody has answered for.
    same
        Two rows that are one, whatever the weights say; holds from the next check on.
    different
        Two rows that are not.
    """
    from headrace.app import Project

    opened = Project.open(project)
    if same is not None or different is not None:
        for rows, is_same in ((same, True), (different, False)):
            if rows is not None:
                opened.answer_match(source, rows, same=is_same)
        answers = {"source": source, "same": same, "different": different}
        if as_json:
            print_json(answers)
        else:
            print_line("kept in headrace.matches, beside headrace.toml: headrace check applies it")
        return 0
    shown = limit if limit is not None or as_json else 20
    found = opened.matches(source, review=review, limit=shown)
    if as_json:
        print_json(found)
        return 0
    told = found["told"]
    further = "row" if told["extra"] == 1 else "rows"
    print_line(
        f"{source}: {things(told['rows'], 'row')}, {things(told['compared'], 'pair')} compared, "
        f"{things(told['clusters'], 'cluster')}, {count(told['extra'])} further {further}"
    )
    for note in told["notes"]:
        print_line(f"note: {note}")
    for one in found["clusters"]:
        _print_rows(f"cluster {one['cluster']}", [(_row(row), row["cells"]) for row in one["rows"]])
        for pair in one["pairs"]:
            print_line(f"  {_evidence(pair, told['prior_bits'])}")
    for pair in found["review"]:
        _print_rows("pair", [(f"row {pair[side]}", pair["cells"][side]) for side in ("left", "right")])
        print_line(f"  {_evidence(pair, told['prior_bits'])}")
    return 0


def _print_rows(title: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
    names = list(rows[0][1])
    print_line("")
    print_table([title, *names], [[place, *(_cell(cells[name]) for name in names)] for place, cells in rows])


def _row(row: dict[str, Any]) -> str:
    return f"row {row['row']}" + (" stays" if row["stays"] else "")


def _cell(value: object) -> str:
    return "" if value is None else str(value)[:40]


def _evidence(pair: dict[str, Any], prior: float) -> str:
    parts = [f"{one['column']} {one['level']} {one['bits']:+.1f}" for one in pair["evidence"]]
    parts += [f"related {pair['related']:+.1f}"] if pair["related"] else []
    said = f", said to be {pair['answer']}" if pair["answer"] else ""
    rows = f"{pair['left']} and {pair['right']}"
    return f"{rows}: probability {pair['probability']:.4f}{said} = prior {prior:+.1f}, {', '.join(parts)} bits"
