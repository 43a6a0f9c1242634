"""What the servers of a project count of a deployment's arms under one revision: each tells it in an object of its own.

A server rewrites its object as its counts grow; whoever judges reads those of all. One that begins again is another
server, and what it counted in the life before stays: nothing that was told is lost, and nothing is there twice. With
the next revision all of them begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from headrace.serving.model import Counts, Deployment, Struct
from headrace.stores.errors import ObjectNotFound
from headrace.stores.objects import ObjectStore


class Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What one server counted under one revision."""

    since_us: int
    """The instant of the revision: a deployment that was taken away and made anew counts them from 1 again."""
    arms: dict[str, Counts]


class Tallies:
    """Of one project, as one server tells and reads them; not for several threads at a time."""

    def __init__(self, objects: ObjectStore, project: str) -> None:
        self._objects, self._prefix = objects, f"serving/{project}/counts/"
        self._last: dict[str, tuple[str, Told]] = {}
        """By deployment: what was told last, and where."""

    def tell(self, server: str, deployment: Deployment, arms: Mapping[str, Counts]) -> None:
        """Name of an arm → what this server counted of it since it answers by this revision."""
        key = f"{self._of(deployment)}{server}.json"
        told = Told(since_us=deployment.at_us, arms=dict(arms))
        if self._last.get(deployment.name) != (key, told):
            self._objects.put(key, msgspec.json.encode(told))
            self._last[deployment.name] = key, told

    def read(self, deployment: Deployment) -> dict[str, dict[str, Counts]]:
        """Server → what it told of this revision; what is not of its form is nothing."""
        found = {}
        prefix = self._of(deployment)
        for info in self._objects.list(prefix):
            with suppress(ObjectNotFound, msgspec.DecodeError, UnicodeDecodeError):
                told = msgspec.json.decode(self._objects.get(info.key), type=Told)
                if told.since_us == deployment.at_us:
                    found[info.key.removeprefix(prefix).removesuffix(".json")] = told.arms
        return found

    def sweep(self, deployment: Deployment) -> None:
        """Take away what was told of the revisions before this one."""
        here = self._of(deployment)
        for info in list(self._objects.list(f"{self._prefix}{deployment.name}/")):
            if info.key < here:
                self._objects.delete(info.key)

    def _of(self, deployment: Deployment) -> str:
        return f"{self._prefix}{deployment.name}/{deployment.revision:09d}/"


def together(told: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Several servers' counts as one."""
    found: dict[str, Counts] = {}
    for arms in told:
        for arm, counts in arms.items():
            found[arm] = found.get(arm, Counts()) + counts
    return found
