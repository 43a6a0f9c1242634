"""How often a holdout has been looked at: each look that informs a choice makes the next one say less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from headrace.stages.model import Workspace
    from headrace.training.model import Evaluation


def count_looks(work: Workspace, evaluation: Evaluation) -> int:
    """The evaluations of this project on the very rows and labels of this one, up to it and with it.

    An evaluation that was found and not made again is no further look. Those whose run was removed and collected are
    not remembered.
    """
    mark, own = f'"holdout":"{evaluation.holdout}"', msgspec.to_builtins(evaluation)
    with work.runner.catalog.read() as reader:
        where = {"project": work.runner.project, "name": "evaluate"}
        rows = reader.select("outcomes", where, order_by=("made_us", "fingerprint"))
    looks = 0
    for row in rows:
        outcome = str(row["outcome"])
        if mark in outcome:
            looks += 1
            if msgspec.json.decode(outcome) == own:
                break
    return max(looks, 1)


def say_looks(looks: int) -> str:
    """What it means, in words."""
    if looks == 1:
        return "first look"
    return f"has been looked at {looks} times: what was changed after a look may suit these rows better than new ones"
