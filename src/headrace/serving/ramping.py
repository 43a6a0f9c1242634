"""What one server has seen under the weights of now, and what it decides by it.

Every server decides by its own counts: they are of both arms at the same time, so they are fair, if fewer than all.
Whose decision is stored first is the next revision; the others find it there, and begin to count anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.serving.model import Counts, Deployment
from headrace.serving.rollout import decide

SETTLE_S: Final = 5.0
"""After a change, what workers say may still be of the revision before: it is not counted."""


class Ramping:
    """Counts of one server by deployment, begun anew with every revision."""

    def __init__(self) -> None:
        self._revisions: dict[str, tuple[int, float]] = {}
        """Of each deployment, and since when by a clock that never goes back."""
        self._counts: dict[str, dict[str, Counts]] = {}

    def add(self, deployment: str, arm: str, counts: Counts) -> None:
        """What a worker saw since it said so last."""
        seen = self._counts.setdefault(deployment, {})
        seen[arm] = seen.get(arm, Counts()) + counts

    def counts(self, deployment: str) -> dict[str, Counts]:
        """Name of an arm → what was seen of it under the revision of now."""
        return dict(self._counts.get(deployment, {}))

    def turn(self, deployments: Sequence[Deployment], now_us: int, monotonic_s: float) -> list[Deployment]:
        """The revisions that what was seen calls for, each to be stored if it is the first of its number.

        Parameters
        ----------
        deployments : as this server answers by them
        """
        made = []
        for each in deployments:
            known = self._revisions.get(each.name)
            if known is None or known[0] != each.revision:
                self._revisions[each.name] = known = (each.revision, monotonic_s)
            if monotonic_s - known[1] < SETTLE_S:
                self._counts.pop(each.name, None)
                continue
            then = decide(each, self.counts(each.name), {}, now_us)
            if then is not None:
                made.append(then)
        gone = self._revisions.keys() - {each.name for each in deployments}
        for name in gone:
            del self._revisions[name]
            self._counts.pop(name, None)
        return made
