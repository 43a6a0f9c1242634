"""What a stage of a load test is: what generators are told to do, and what came of it."""

from __future__ import annotations

from typing import Final

import msgspec

from headrace.serving.loadtest.arrivals import Pattern
from headrace.serving.loadtest.latencies import Latencies
from headrace.serving.loadtest.search import Found

ANSWERED_SHARE: Final = 0.95
"""A server that answers less than this of what is offered is saturated."""
FAR_SHARE: Final = 0.8
"""With less than this, no stall explains it."""
BUSY: Final = 0.97
"""A generator that is busy for more than this of the time is too slow for the rate."""
LATE_SHARE: Final = 0.01
"""One that sends more than this of its requests late adds to the latencies that it measures."""
_SOME: Final = 2


class Open(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Requests by a schedule, whatever is answered."""

    pattern: Pattern
    rate: float
    """Of this one generator."""
    seconds: float
    seed: int
    phase: float = 0.0
    """In a constant schedule: by which part of the time between two requests the first is later; in [0, 1)."""


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """So many clients that each ask again as soon as they are answered."""

    clients: int
    seconds: float


Order = Open | Closed


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one generator, or several together, made of a stage. `sent = answered + refused + failed`, and what was
    offered and not sent waited for a connection until the end."""

    seconds: float
    offered: int
    """Requests that were due."""
    sent: int
    answered: int
    """With status 200."""
    answered_within: int
    """Of these, before the stage's end."""
    refused: dict[int, int] = {}
    """By status, 429 and 503."""
    failed: dict[str, int] = {}
    """By another status and its code, or what became of the connection."""
    codes: dict[str, int] = {}
    """Of those that were refused: what the server gave as the reason."""
    latencies: Latencies = Latencies()
    """Of what was answered, and of what never was with the time that it had waited by the end; from when it was due."""
    late: int = 0
    """Sent more than a millisecond after they were due, although a connection was free."""
    busy: float
    """Share of the time in which the generator had something to do; of several the busiest's."""
    connections: int = 0
    """Open at the end."""

    def __add__(self, other: Told) -> Told:
        return Told(
            seconds=max(self.seconds, other.seconds),
            offered=self.offered + other.offered,
            sent=self.sent + other.sent,
            answered=self.answered + other.answered,
            answered_within=self.answered_within + other.answered_within,
            refused=_added(self.refused, other.refused),
            failed=_added(self.failed, other.failed),
            codes=_added(self.codes, other.codes),
            latencies=self.latencies + other.latencies,
            late=self.late + other.late,
            busy=max(self.busy, other.busy),
            connections=self.connections + other.connections,
        )

    @property
    def rate(self) -> float:
        """Answers a second, those after the stage's end aside."""
        return self.answered_within / self.seconds

    @property
    def refusals(self) -> int:
        """Of every status."""
        return sum(self.refused.values())

    @property
    def failures(self) -> int:
        """Of every kind."""
        return sum(self.failed.values())

    def percentile(self, p: float) -> float | None:
        """See `Latencies.percentile`."""
        return self.latencies.percentile(p)

    @property
    def is_saturated(self) -> bool:
        """Whether more was asked than the server answers, but for what is under way when any stage ends."""
        return self.refusals > 0 or self._answered_less_than(ANSWERED_SHARE)

    def _answered_less_than(self, share: float) -> bool:
        under_way = _SOME + self.offered / self.seconds * (self.percentile(10) or 0.0)
        return self.answered_within + under_way < share * self.offered

    @property
    def is_generator_full(self) -> bool:
        """Whether the generator had no time left, so that the stage says little of the server."""
        return self.busy > BUSY

    @property
    def is_generator_late(self) -> bool:
        """Whether so much was sent late that the latencies tell of the generator too: they are upper bounds."""
        return self.late > LATE_SHARE * max(self.sent, 1)

    def found(self, p99_s: float) -> Found:
        """What the stage says of its rate."""
        if self.is_generator_full or self._answered_less_than(FAR_SHARE):
            return "far too much"
        if self.is_saturated:
            return "much"
        p99 = self.percentile(99)
        return "slow" if self.failures or p99 is None or p99 > p99_s else "within"


def _added(a: dict, b: dict) -> dict:  # type: ignore[type-arg]
    return {key: a.get(key, 0) + b.get(key, 0) for key in sorted(a.keys() | b.keys())}
