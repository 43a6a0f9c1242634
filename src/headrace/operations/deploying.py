"""Deployments as a person changes them: versions by name, what servers need made ready first, and what came of it.

A change is written as the deployment's next revision, which every server takes up by itself. Whoever changed it waits
until the servers that live say that they answer by it, or why they cannot.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from headrace.registry.model import Version
from headrace.registry.versions import Registry
from headrace.serving import revisions
from headrace.serving.deployments import Deployments, check_name
from headrace.serving.model import GUARDS, Deployment, Guard, Served
from headrace.serving.pulling import ServerState, names_of, servers, tell_changes
from headrace.serving.revisions import Change
from headrace.stores.objects import ObjectStore

WAIT_S: Final = 30.0
_POLL_S: Final = 0.1


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What servers made of a change."""

    servers: int
    """That live."""
    behind: tuple[str, ...]
    """Names of those that do not answer by it yet."""
    failed: dict[str, str]
    """Names of those that cannot, with the reason."""
    seconds: float


class Deploying:
    """The deployments of one project.

    Parameters
    ----------
    prepare
        Makes the online values that a version reads, before it is deployed.
    clock
        Microseconds since 1970 UTC.
    by
        Who changes them.
    sticky
        Request columns that decide on the arm, from the next deploy, canary or split on.
    """

    def __init__(
        self,
        objects: ObjectStore,
        registry: Registry,
        project: str,
        *,
        prepare: Callable[[Version], None],
        clock: Callable[[], int],
        by: str,
        sticky: Sequence[str] = (),
    ) -> None:
        self._objects, self._registry, self._project, self._prepare = objects, registry, project, prepare
        self._clock, self._by, self._sticky = clock, by, tuple(sticky)
        self.stored: Final = Deployments(objects, project)

    def version(self, reference: str, *, model: str) -> Version:
        """A version by number, `MODEL@ALIAS` or `MODEL@NUMBER`; raises as `Registry.get`."""
        return self._registry.get(f"{model}@{reference}" if reference.isdigit() else reference, model=model)

    def deploy(self, name: str, version: Version, *, reason: str = "") -> Deployment:
        """One version answers everybody; the deployment is made when there is none of that name.

        Raises
        ------
        NameInvalid, VersionAnswersAlready, DeploymentMoved
        """
        check_name(name)
        self._prepare(version)
        change = self._change(reason)
        if self.stored.newest(name) == 0:
            made = revisions.begin(served(version), change, project=self._project, name=name, sticky=self._sticky)
        else:
            made = revisions.deploy_whole(self.stored.get(name), served(version), change, sticky=self._sticky)
        return self._write(made)

    def canary(
        self,
        name: str,
        version: Version,
        percent: float,
        *,
        guards: Sequence[Guard] = GUARDS,
        hold_s: float = revisions.HOLD_S,
        least_rows: int = revisions.LEAST_ROWS,
        reason: str = "",
    ) -> Deployment:
        """A version answers few; raises as `revisions.deploy_canary`, and `DeploymentUnknown`."""
        now = self.stored.get(name)
        self._prepare(version)
        change = self._change(reason)
        made = revisions.deploy_canary(
            now,
            served(version),
            percent,
            change,
            hold_s=hold_s,
            least_rows=least_rows,
            guards=guards,
            sticky=self._sticky,
        )
        return self._write(made)

    def fall_back(
        self,
        name: str,
        *,
        versions: Sequence[Version] | None = None,
        constant: float | Literal["none"] | None = None,
        reason: str = "",
    ) -> Deployment:
        """Who answers where an arm cannot, and the score where none can; None: as it is.

        Raises as `revisions.with_fallbacks`, and `DeploymentUnknown`.
        """
        now = self.stored.get(name)
        for version in versions or ():
            self._prepare(version)
        serves = now.fallbacks if versions is None else [served(version) for version in versions]
        score = now.constant if constant is None else None if constant == "none" else constant
        return self._write(revisions.with_fallbacks(now, serves, score, self._change(reason)))

    def split(
        self,
        name: str,
        weights: Mapping[str, float],
        versions: Mapping[str, Version],
        *,
        bandit: bool,
        reason: str = "",
    ) -> Deployment:
        """Arms share the entities; raises as `revisions.deploy_split`, and `DeploymentUnknown`."""
        now = self.stored.get(name)
        for version in versions.values():
            self._prepare(version)
        serves = {arm: served(version) for arm, version in versions.items()}
        change = self._change(reason)
        made = revisions.deploy_split(now, weights, change, serves=serves, bandit=bandit, sticky=self._sticky)
        return self._write(made)

    def shadow(self, name: str, version: Version, *, reason: str = "") -> Deployment:
        """A version answers unseen; raises as `revisions.with_shadow`, and `DeploymentUnknown`."""
        now = self.stored.get(name)
        self._prepare(version)
        return self._write(revisions.with_shadow(now, served(version), self._change(reason)))

    def promote(self, name: str, arm: str | None = None, *, reason: str = "") -> Deployment:
        """A canary, or an arm, answers everybody; raises as `revisions.promote`, and `DeploymentUnknown`."""
        now = self.stored.get(name)
        return self._write(revisions.promote(now, self._change(reason), arm=arm))

    def rollback(self, name: str, *, reason: str = "") -> Deployment:
        """Back to who answered before; raises as `revisions.rollback`, and `DeploymentUnknown`."""
        now, history = self.stored.get(name), self.stored.history(name)
        return self._write(revisions.rollback(now, history, self._change(reason)))

    def wait(self, made: Deployment, *, wait_s: float | None = None) -> Taken:
        """Until every server that lives answers by this revision, or cannot."""
        began, most_s = time.monotonic(), WAIT_S if wait_s is None else wait_s
        while True:
            living = self.servers()
            names = names_of(living)
            behind = [each for each in living if each.revisions.get(made.name, 0) < made.revision]
            key = f"{made.name} {made.revision}"
            failed = {names[each.id]: each.failed[key] for each in behind if key in each.failed}
            took = time.monotonic() - began
            if not behind or failed or took > most_s:
                return Taken(
                    servers=len(living),
                    behind=tuple(names[each.id] for each in behind),
                    failed=failed,
                    seconds=took,
                )
            time.sleep(_POLL_S)

    def servers(self) -> list[ServerState]:
        """The servers that live."""
        return servers(self._objects, self._project, self._clock())

    def _change(self, reason: str) -> Change:
        return Change(at_us=self._clock(), by=self._by, salt=secrets.token_hex(8), reason=reason)

    def _write(self, made: Deployment) -> Deployment:
        self.stored.write(made)
        tell_changes(self._objects, self._project)
        return made


def served(version: Version) -> Served:
    """A version as servers know it."""
    told = version.summary
    million = (told.get("costs") or {}).get("serving") if told.get("currency") == "USD" else None
    price = million / 1e6 if isinstance(million, int | float) else None
    return Served(model=version.model, version=version.number, package=version.package, price_usd=price)
