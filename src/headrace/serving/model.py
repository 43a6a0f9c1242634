"""A deployment: which versions answer under a name, to whom, and since when. Plain data, one object in the store."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

SHARES: Final = 1e-9
"""By which the weights of arms may differ from 1 together."""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what servers and commands exchange through the object store."""


class Served(Struct, frozen=True, kw_only=True):
    """A version by its content: all that a server needs to load it."""

    model: str
    version: int
    package: str
    """SHA-256 of the manifest."""
    price_usd: float | None = None
    """Of serving one answer, as it was measured and priced when the version was made."""


class Arm(Struct, frozen=True, kw_only=True):
    """A version that answers, and how many entities it answers."""

    name: str
    """Within the deployment: `v3`, or what `--split` calls it."""
    serves: Served
    weight: float
    """Share of entities, 0 to 1. The arms' weights sum to 1."""


class Guard(Struct, frozen=True, kw_only=True):
    """What a canary must not do worse than the version that it is to replace."""

    kind: Literal["errors", "latency", "scores", "cost"]
    limit: float
    """errors: share of requests more; latency: times the other's mean; scores: population stability index between the
    two; cost: share of the other's mean cost more. Beyond it for certain the canary is taken back."""


GUARDS: Final = (
    Guard(kind="errors", limit=0.01),
    Guard(kind="latency", limit=1.5),
    Guard(kind="scores", limit=0.25),
    Guard(kind="cost", limit=0.0),
)


class Ramp(Struct, frozen=True, kw_only=True):
    """A canary on its way from few entities to all."""

    arm: str
    """The canary. The other arm is what it is to replace."""
    steps: tuple[float, ...]
    """Its weights, rising, the last 1."""
    at: int
    """Place of the weight that it has now."""
    since_us: int
    """When it got it."""
    hold_s: float
    """The least that a weight lasts."""
    least_rows: int
    """The fewest answers of the canary at a weight before the next."""
    guards: tuple[Guard, ...] = GUARDS


class Deployment(Struct, frozen=True, kw_only=True):
    """One revision of a named endpoint."""

    format: int = 1
    project: str
    name: str
    revision: int
    """Counts from 1; every change is the next."""
    arms: tuple[Arm, ...]
    """In order: a canary first, so that an entity that it has once answered stays with it while its weight rises."""
    shadows: tuple[Served, ...] = ()
    """Answer the same rows, without being sent back."""
    ramp: Ramp | None = None
    bandit: bool = False
    """Whether weights follow the outcomes."""
    fallbacks: tuple[Served, ...] = ()
    """Who answers, in order, where an arm cannot."""
    constant: float | None = None
    """The score when none of them can; None: such a request fails."""
    sticky: tuple[str, ...] = ()
    """Request columns that decide on the arm, so that an entity stays with it."""
    salt: str
    """Of the assignment: another experiment draws anew."""
    at_us: int
    by: str
    """Who changed it: a user, or `headrace` where a guard or a ramp did."""
    reason: str
    """What for, in words: `deployed 3 as a canary`, `errors of the canary: …`."""
    verb: Literal["deploy", "promote", "rollback", "ramp", "stop", "weights"]
    facts: dict[str, Any] = {}
    """The evidence of a decision that was taken by itself."""

    @property
    def versions(self) -> tuple[Served, ...]:
        """Everything that a server of it has to load."""
        return (*(arm.serves for arm in self.arms), *self.shadows, *self.fallbacks)


class Counts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What one worker saw of one arm under one revision's weights; sums of several workers' are the arm's. Servers of
    two releases add up what both know."""

    rows: int = 0
    """Answered."""
    failed: int = 0
    """Refused or failed through no fault of the request: not finite, not loaded, out of time."""
    fell_back: int = 0
    """Answered by a fallback in its place."""
    skipped: int = 0
    """Of a shadow: rows that it was not asked for, as the worker had no time."""
    latency_us: tuple[int, ...] = ()
    """Requests by `LATENCY_EDGES_US`, from the whole request to its answer: one place more than edges."""
    latency_sum_us: float = 0.0
    row_sum_us: float = 0.0
    """What the arm itself took for its rows: reading them, and its share of a model call; no waiting for others."""
    row_squares_us: float = 0.0
    scores: tuple[int, ...] = ()
    """Answers by the edges of the incumbent's profile: one place more than edges."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            rows=self.rows + other.rows,
            failed=self.failed + other.failed,
            fell_back=self.fell_back + other.fell_back,
            skipped=self.skipped + other.skipped,
            latency_us=added(self.latency_us, other.latency_us),
            latency_sum_us=self.latency_sum_us + other.latency_sum_us,
            row_sum_us=self.row_sum_us + other.row_sum_us,
            row_squares_us=self.row_squares_us + other.row_squares_us,
            scores=added(self.scores, other.scores),
        )


LATENCY_EDGES_US: Final = (
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
)


class Outcomes(Struct, frozen=True, kw_only=True):
    """Of one arm: what its decisions cost, of the answers whose truth is known."""

    n: int = 0
    """Entities: an entity's answers count as one, by their mean, as they depend on each other."""
    cost_sum: float = 0.0
    cost_squares: float = 0.0
    covariate_sum: float = 0.0
    """Of what was known before the arm was drawn and goes with the cost: the score of a shadow that all arms share, or
    what the entity cost before. Never what the arm itself expects: a better arm expects less, and its gain would be
    taken for luck."""
    covariate_squares: float = 0.0
    product_sum: float = 0.0
    """Of cost times covariate."""


def added(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Two histograms as one."""
    if not a or not b:
        return a or b
    if len(a) != len(b):  # by other edges since: the sum would be of two kinds
        return b
    return tuple(x + y for x, y in zip(a, b, strict=True))
