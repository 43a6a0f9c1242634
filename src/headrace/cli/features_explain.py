"""`headrace features explain`."""

from __future__ import annotations

from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import print_json, print_line, things


def explain(name: str, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """How one feature is made: of what, when it is known, in both forms, and what it costs.

    It is measured on the newest rows of history, after the first check.

    Parameters
    ----------
    name
        The feature, as headrace features lists it.
    """
    from headrace.app import Project

    with Project.open(project) as opened:
        found = opened.explain_feature(name)
    if as_json:
        print_json(found)
        return 0
    one = found.feature
    print_line(f"{one.name}: {one.type}, {one.kind}{'' if one.is_input else ', not itself an input of the model'}")
    print_line(f"  made of   {', '.join(one.needs) or '-'}")
    print_line(f"  known     {one.known}")
    if found.cost is not None:
        cost = found.cost
        measured = f"measured on {things(cost.rows, 'row')} of history"
        print_line(f"  cost      {cost.row_us:.3g} µs a row alone, {cost.columns_us:.3g} µs among many ({measured})")
    if found.tree:
        print_line("  tree")
        for line in found.tree:
            print_line(f"    {line}")
    print_line("  columns form")
    print_line(f"    {found.columns}")
    print_line("  row form")
    for line in found.row.splitlines():
        print_line(f"    {line}")
    for short, meaning in found.names.items():
        print_line(f"    {short:<6} {meaning}")
    return 0
