"""What this server counts under the weights of now, and when it judges by what all servers have counted.

Each server tells the store what it counted; each looks at the sum, and so all of them judge by the same numbers: a
guard is as certain with ten servers as with one, and no server lets a canary climb that fails on another. Whose
decision is stored first is the next revision; the others find it there, and begin to count anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from headrace.serving.model import Counts, Deployment
from headrace.serving.rollout import decide
from headrace.serving.tallies import together

SETTLE_S: Final = 5.0
"""After a change, what workers say may still be of the revision before: it is not counted."""
LOOK_S: Final = 1.0
"""Between two looks at what all have counted, times the servers that there are: so the store is not asked more often a
second by more of them."""
LONGEST_LOOK_S: Final = 5.0


@dataclass(eq=False)
class _Counting:
    """Of one deployment."""

    deployment: Deployment
    since: float
    """When this server took it up, by a clock that never goes back."""
    is_settled: bool = False
    """Whether all that is counted is of this revision."""
    next: float = 0.0
    """When it is looked at again, by the same clock."""
    counts: dict[str, Counts] = field(default_factory=dict)


class Ramping:
    """Counts of one server by deployment, begun anew with every revision."""

    def __init__(self) -> None:
        self._counting: dict[str, _Counting] = {}

    def add(self, deployment: str, arm: str, counts: Counts) -> None:
        """What a worker saw since it said so last."""
        if (counting := self._counting.get(deployment)) is not None:
            counting.counts[arm] = counting.counts.get(arm, Counts()) + counts

    def counts(self, deployment: str) -> dict[str, Counts]:
        """Name of an arm → what this server saw of it under the revision of now."""
        counting = self._counting.get(deployment)
        return {} if counting is None else dict(counting.counts)

    def begin(self, deployments: Sequence[Deployment], monotonic_s: float) -> list[Deployment]:
        """Count anew for every revision that is; which ones are new.

        Parameters
        ----------
        deployments : as this server answers by them
        """
        new = []
        for each in deployments:
            counting = self._counting.get(each.name)
            if counting is None or counting.deployment != each:
                self._counting[each.name] = _Counting(each, monotonic_s)
                new.append(each)
            elif not counting.is_settled:
                counting.counts.clear()
                counting.is_settled = monotonic_s - counting.since >= SETTLE_S
        for name in self._counting.keys() - {each.name for each in deployments}:
            del self._counting[name]
        return new

    def climbing(self) -> list[Deployment]:
        """Those with a canary, of which is counted by now."""
        every = self._counting.values()
        return [each.deployment for each in every if each.is_settled and each.deployment.ramp is not None]

    def due(self, monotonic_s: float) -> list[Deployment]:
        """Those of them that are to be looked at now; where nothing comes of it, it is after the longest time again."""
        found = [each for each in self.climbing() if monotonic_s >= self._counting[each.name].next]
        for each in found:
            self._counting[each.name].next = monotonic_s + LONGEST_LOOK_S
        return found

    def judge(
        self, deployment: Deployment, told: Sequence[Mapping[str, Counts]], now_us: int, monotonic_s: float
    ) -> Deployment | None:
        """The revision that what was seen calls for, if any, to be stored if it is the first of its number.

        Parameters
        ----------
        deployment : one that was due
        told : what each server has told of it
        """
        self._counting[deployment.name].next = monotonic_s + min(LOOK_S * len(told), LONGEST_LOOK_S)
        return decide(deployment, together(told), {}, now_us)
