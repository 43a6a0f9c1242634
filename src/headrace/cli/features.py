"""`headrace features`: the training table."""

from __future__ import annotations

from pathlib import Path

from headrace.cli.options import AsJson, Flag, Memory, ProjectPath
from headrace.cli.output import count, near, print_json, print_line
from headrace.cli.run import progress


def build(
    *,
    refresh: Flag = False,
    memory: Memory = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Sources in, the training table out: one row an example, every value as it was known then. A run goes on from it.

    Parameters
    ----------
    refresh
        Read every source again, changed or not.
    """
    from headrace.app import Project

    opened = Project.open(project)
    frame = opened.build_features(progress=progress(as_json), refresh=refresh, memory=memory)
    where = opened.objects.scan_target(frame.ref.key).url
    names = [field.name for field in frame.program.outputs]
    if as_json:
        print_json(
            {
                "rows": frame.rows,
                "holdout_rows": frame.holdout_rows,
                "unlabelled": frame.unlabelled,
                "label_too_early": frame.label_too_early,
                "task": frame.task,
                "classes": frame.classes,
                "features": names,
                "sha256": frame.ref.sha256,
                "table": where,
            }
        )
        return 0
    print_line(f"{count(frame.rows)} examples x {count(len(names))} features, {count(frame.holdout_rows)} held out")
    left_out = {"without a label": frame.unlabelled, "whose label was known too early": frame.label_too_early}
    for why, rows in left_out.items():
        if rows:
            print_line(f"{count(rows)} rows {why} are left out")
    print_line(f"table: {near(Path(where)) if '://' not in where else where}")
    return 0
