"""One deployment as a worker answers it: who gets which arm, and every arm's loaded version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from headrace.scoring.bodies import Values
from headrace.serving.assignment import arm_chooser
from headrace.serving.http.responses import encode
from headrace.serving.model import Deployment
from headrace.serving.versions import Version


class Slot:
    """An arm and its version, with what every answer of it begins with."""

    __slots__ = ("arm", "entity", "prefix", "version")

    def __init__(self, deployment: Deployment, arm: str, version: Version) -> None:
        self.arm, self.version = arm, version
        served = version.served
        told = {"deployment": deployment.name, "arm": arm, "model": served.model, "version": served.version}
        self.prefix: Final = encode(told)[:-1]
        self.entity: Final = version.entity_places(deployment.sticky)


class Endpoint:
    """A deployment whose versions are loaded.

    Parameters
    ----------
    versions : by content id, all that the deployment names
    """

    def __init__(self, deployment: Deployment, versions: Mapping[str, Version]) -> None:
        self.deployment: Final = deployment
        self.name: Final = deployment.name
        self.slots: Final = [Slot(deployment, arm.name, versions[arm.serves.package]) for arm in deployment.arms]
        self.shadows: Final = [
            Slot(deployment, f"shadow-v{s.version}", versions[s.package]) for s in deployment.shadows
        ]
        self.fallbacks: Final = [
            Slot(deployment, f"fallback-v{s.version}", versions[s.package]) for s in deployment.fallbacks
        ]
        self.constant: Final = deployment.constant
        request = self.slots[0].version.scorer.program.request
        places = self.slots[0].entity
        self.sticky: Final = {request[place].name: request[place].type for place in places}
        """The columns that name an entity, with their types."""
        self._choose = arm_chooser(deployment.arms, deployment.salt)
        first = self.slots[0].version.scorer.program.request
        self.alike: Final = all(slot.version.scorer.program.request == first for slot in self.slots)
        """Whether a row read for one arm is a row for every other."""

    def place(self, slot: Slot, values: Values, request_id: bytes) -> tuple[int, Sequence[object]]:
        """The arm of the entity that a row, read for `slot`, is about, and the entity's key; without a key the
        request's own id decides."""
        entity = [values[place] for place in slot.entity]
        return self._choose(entity or [request_id]), entity
