"""Why an arm answered: where the entity stands between 0 and 1, and which part of that the revision gave to the arm."""

from __future__ import annotations

from headrace.serving.assignment import entity_place
from headrace.serving.log.table import Logged
from headrace.serving.model import Deployment, Struct


class Assignment(Struct, frozen=True, kw_only=True):
    """How a revision of a deployment came to an arm for one entity."""

    place: float
    """Of the entity, in [0, 1): the same on every worker and host."""
    start: float
    end: float
    """The arm's part, start included."""
    weight: float
    decided_us: int
    """Since when the revision was."""
    by: str
    reason: str


def assignment(one: Logged, revision: Deployment) -> Assignment | None:
    """The arm's part of the revision that answered; None for an arm that the revision does not have, as a shadow.

    An entity whose place lies outside the part is a sign that something answered which should not have.
    """
    start = 0.0
    for arm in revision.arms:
        end = start + arm.weight
        if arm.name == one.route.arm and not one.route.shadow:
            last = arm is revision.arms[-1]
            return Assignment(
                place=entity_place(revision.salt, one.record.entity),
                start=start,
                end=1.0 if last else end,
                weight=arm.weight,
                decided_us=revision.at_us,
                by=revision.by,
                reason=revision.reason,
            )
        start = end
    return None
