"""What the newest finished stages of a project left: for those who need its tables, not its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from headrace.errors import WrongUse
from headrace.stores.catalog import Reader

T = TypeVar("T", bound=msgspec.Struct)


class NoOutcome(WrongUse):
    """A stage that was never finished, or whose outcome is gone."""

    code = "no-outcome"

    def __init__(self, stage: str, project: str) -> None:
        super().__init__(
            f"project {project!r} has no outcome of the stage {stage!r}",
            fix="headrace check reads the sources, headrace run does everything",
            stage=stage,
            project=project,
        )


def newest_outcomes(reader: Reader, project: str, stages: Sequence[str], kind: type[T]) -> Mapping[str, T]:
    """Stage name → the outcome of its newest finished execution; raises `NoOutcome`."""
    found: dict[str, T] = {}
    for name in stages:
        where = {"project": project, "name": name, "state": ["done", "cached"]}
        rows = reader.select("stages", where, order_by=["-started_us"], limit=1)
        outcome = None
        if rows:
            outcome = reader.get("outcomes", {"project": project, "fingerprint": rows[0]["fingerprint"]})
        if outcome is None:
            raise NoOutcome(name, project)
        found[name] = msgspec.json.decode(str(outcome["outcome"]), type=kind)
    return found
