"""`headrace features`: what the model sees, the training table, and the proof that both forms are one."""

from __future__ import annotations

from pathlib import Path

from headrace.cli.options import AsJson, Flag, Memory, ProjectPath
from headrace.cli.output import count, near, print_json, print_line, print_table, things
from headrace.cli.run import progress


def list_features(*, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """What the model sees, and when each of it is known."""
    from headrace.app import Project

    with Project.open(project) as opened:
        features = opened.features()
    if as_json:
        print_json({"features": features})
        return 0
    rows = [
        (one.name, one.type, one.kind, ", ".join(one.needs) or "-", one.known, "yes" if one.is_input else "no")
        for one in features
    ]
    print_table(["name", "type", "kind", "made of", "known", "input"], rows)
    inputs = sum(one.is_input for one in features)
    print_line(f"{count(len(features))} columns and features, {count(inputs)} of them inputs of the model")
    return 0


def certify(
    *,
    rows: int | None = None,
    seed: int | None = None,
    refresh: Flag = False,
    memory: Memory = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Replay rows of the training table one by one, with the online values as they were: exit 1 when a value differs.

    Every version carries the certificate of its features; this makes one without training.

    Parameters
    ----------
    rows
        How many rows are drawn; 1,000 when left out.
    seed
        Draws others.
    refresh
        Read every source again, changed or not.
    """
    from headrace.app import Project
    from headrace.stages.certificate import FeaturesDiffer

    with Project.open(project) as opened:
        try:
            found = opened.certify(rows=rows, seed=seed, progress=progress(as_json), refresh=refresh, memory=memory)
        except FeaturesDiffer as error:
            if not as_json:
                raise
            print_json({"passed": False, **error.facts})
            return 1
    if as_json:
        print_json({"passed": True, "certificate": found})
        return 0
    values = f"{things(found.rows, 'row')} x {things(found.features, 'feature')}"
    print_line(f"{values} replayed one by one with the online values as they were: all equal, to the bit")
    print_line(f"program {found.program[:12]}, training table {found.frame[:12]}")
    return 0


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
    print_line(
        f"{things(frame.rows, 'example')} x {things(len(names), 'feature')}, {count(frame.holdout_rows)} held out"
    )
    left_out = {"without a label": frame.unlabelled, "whose label was known too early": frame.label_too_early}
    for why, rows in left_out.items():
        if rows:
            print_line(f"{things(rows, 'row')} {why} {'is' if rows == 1 else 'are'} left out")
    print_line(f"table: {near(Path(where)) if '://' not in where else where}")
    return 0
