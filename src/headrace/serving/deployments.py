"""Deployments in the object store: every revision is kept, and the newest is the one that answers.

Revision n of a deployment is the object `serving/PROJECT/deployments/NAME/N.json`, put only if it is absent: of two who
change a deployment at once one is first, and the other is told. What servers read is `NAME/newest`, which says the
newest number; whoever finds that it lags behind moves it on, so a writer that died between the two leaves nothing odd.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from headrace.serving.errors import DeploymentMoved, DeploymentUnknown, DeploymentUnreadable, NameInvalid
from headrace.serving.model import Deployment
from headrace.stores.errors import ObjectNotFound
from headrace.stores.objects import ObjectStore

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DIGITS: Final = 9


class Deployments:
    """The deployments of one project."""

    def __init__(self, objects: ObjectStore, project: str) -> None:
        self._objects = objects
        self._prefix = f"serving/{project}/deployments/"

    def names(self) -> list[str]:
        """Of every deployment, sorted."""
        listed = (info.key.removeprefix(self._prefix).partition("/") for info in self._objects.list(self._prefix))
        return sorted({name for name, _, rest in listed if rest == "newest"})

    def get(self, name: str) -> Deployment:
        """The revision that answers; raises `DeploymentUnknown`."""
        number = self.newest(name)
        if number == 0:
            raise DeploymentUnknown(name, self.names())
        return self.revision(name, number)

    def newest(self, name: str) -> int:
        """The number of the revision that answers; 0: there is no such deployment. Raises `DeploymentUnreadable`."""
        check_name(name)
        try:
            return self._number(name, self._objects.get(self._newest(name)))
        except ObjectNotFound:
            return 0

    def revision(self, name: str, number: int) -> Deployment:
        """One revision; raises `ObjectNotFound` or `DeploymentUnreadable`."""
        key = self._key(name, number)
        try:
            found = msgspec.json.decode(self._objects.get(key), type=Deployment)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DeploymentUnreadable(key, str(error)) from error
        if found.format != 1:
            raise DeploymentUnreadable(key, f"it has format {found.format}, this release reads format 1")
        return found

    def history(self, name: str) -> list[Deployment]:
        """Every revision, oldest first: who served what, since when, and why. Raises `DeploymentUnknown`."""
        number = self.newest(name)
        if number == 0:
            raise DeploymentUnknown(name, self.names())
        return [self.revision(name, each) for each in range(1, number + 1)]

    def at(self, name: str, t_us: int) -> Deployment | None:
        """The revision that answered at an instant; None before the first. Order is by number, whatever clocks did."""
        found = None
        for each in self.history(name):
            if each.at_us <= t_us:
                found = each
        return found

    def write(self, revision: Deployment) -> None:
        """Make it the newest revision; its number is one more than that of the one that it was made from.

        Raises
        ------
        DeploymentMoved : there is another of that number.
        """
        name, number = revision.name, revision.revision
        check_name(name)
        data = msgspec.json.encode(revision, order="deterministic")
        key = self._key(name, number)
        if not self._objects.put_if_absent(key, data) and self._objects.get(key) != data:
            self._move(name, number)
            raise DeploymentMoved(name, number)
        self._move(name, number)

    def _move(self, name: str, number: int) -> None:
        """See that `newest` is not behind revision `number`."""
        key, data = self._newest(name), str(number).encode()
        while True:
            try:
                found, tag = self._objects.get_tagged(key)
            except ObjectNotFound:
                if self._objects.put_if_absent(key, data):
                    return
                continue
            if self._number(name, found) >= number or self._objects.replace(key, data, expected=tag):
                return

    def _number(self, name: str, data: bytes) -> int:
        if not (data.isdigit() and len(data) <= _DIGITS):
            raise DeploymentUnreadable(self._newest(name), "it is no number of a revision")
        return int(data)

    def _newest(self, name: str) -> str:
        return f"{self._prefix}{name}/newest"

    def _key(self, name: str, number: int) -> str:
        return f"{self._prefix}{name}/{number:0{_DIGITS}d}.json"


def check_name(name: str) -> None:
    """Raise `NameInvalid` unless it can name a deployment, in paths of objects and in addresses."""
    if not NAME.fullmatch(name):
        raise NameInvalid(name)


def wanted_packages(deployments: Sequence[Deployment]) -> dict[str, str]:
    """Content id → `MODEL@VERSION` of everything that these deployments need loaded."""
    wanted: dict[str, str] = {}
    for each in deployments:
        for served in each.versions:
            wanted[served.package] = f"{served.model}@{served.version}"
    return wanted
