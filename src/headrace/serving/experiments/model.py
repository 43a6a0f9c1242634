"""What an experiment is given and what it says: plain data, printed as JSON as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

from headrace.serving.model import GUARDS, Counts, Deployment, Guard, Outcomes, Struct

DAY_US: Final = 86_400_000_000

Decision = Literal["ship", "stop", "go on", "invalid"]
Verdict = Literal["better", "worse", "same", "open"]


class Cohort(Struct, frozen=True, kw_only=True):
    """The entities that an arm answered first on one day, and what is known of them by now."""

    day: int
    """Days since 1970-01-01, UTC."""
    entities: int
    """All of them, each once."""
    known: Outcomes = Outcomes()
    """Of those whose outcome has come."""


class Plan(Struct, frozen=True, kw_only=True):
    """What was laid down before the first entity came: changed later, the promises no longer hold."""

    alpha: float = 0.05
    """The chance that the experiment ever says of equal arms that they differ."""
    best_at: int = 5_000
    """Entities at which differences are told soonest."""
    maturity_s: float = 86_400.0
    """After a day's end its entities' outcomes have come, as far as they ever will; before, the day is left out."""
    worth: float = 0.0
    """The least difference of cost an entity that matters: arms nearer than that for certain are the same. 0: every
    difference matters."""
    most_days: int | None = None
    """Days of outcomes after which it stops, whatever is known."""
    adjust: bool = True
    """Whether a covariate that is there may be used."""
    guards: tuple[Guard, ...] = tuple(guard for guard in GUARDS if guard.kind != "cost")
    sample_ratio: float = 0.001
    """The p-value of the arms' numbers of entities below which nothing is believed."""
    currency: str = ""


class SampleRatio(Struct, frozen=True, kw_only=True):
    """Whether entities came as the weights say."""

    p: float
    entities: dict[str, int]
    weights: dict[str, float]


class Difference(Struct, frozen=True, kw_only=True):
    """Of an arm's mean cost from the first arm's; below 0 it is cheaper."""

    value: float
    low: float | None
    """None: not known yet."""
    high: float | None
    p: float
    """Of "there is none"; valid at every look."""
    verdict: Verdict
    adjusted: bool
    """Whether the covariate was taken out."""


class ArmStatus(Struct, frozen=True, kw_only=True):
    """One arm."""

    name: str
    version: str
    weight: float
    entities: int
    """That it answered first."""
    waiting: int
    """Of days that are not mature."""
    missing: int
    """Of mature days, without an outcome."""
    n: int
    """Of mature days, with one: what the figures are of."""
    mean: float | None
    """Cost an entity."""
    low: float | None
    high: float | None
    difference: Difference | None
    """Of the first arm None."""


class Guardrail(Struct, frozen=True, kw_only=True):
    """What an arm must not do worse than the first, whatever it costs."""

    kind: str
    arm: str
    found: float | None
    limit: float
    p: float
    """After Holm's correction for all guardrails; valid at every look."""
    state: Literal["fine", "near", "broken"]
    words: str


class Covariate(Struct, frozen=True, kw_only=True):
    """What was known of entities before their arm was drawn."""

    used: bool
    explained: float
    """Share of the cost's variance that it explains."""
    balance: float
    """p-value of "it is the same in all arms"."""
    words: str


class Look(Struct, frozen=True, kw_only=True):
    """What an arm's difference was when one more day was mature."""

    day: int
    arm: str
    n: int
    """Entities with an outcome, of both arms."""
    value: float
    low: float | None
    high: float | None


class Status(Struct, frozen=True, kw_only=True):
    """What an experiment says now, and why."""

    name: str
    revision: int
    at_us: int
    decision: Decision
    arm: str
    """Which arm should answer all; while it goes on, the first."""
    reason: str
    rule: str
    """When it stops, in words."""
    arms: tuple[ArmStatus, ...]
    """The first is the one that the others are compared with."""
    sample_ratio: SampleRatio
    guardrails: tuple[Guardrail, ...]
    covariate: Covariate | None
    days: int
    """That are mature."""
    days_left: float | None
    """At the present pace, if the difference is as it seems now; None: cannot be told."""
    looks: tuple[Look, ...]
    notes: tuple[str, ...]
    """What else a reader should know before believing it."""
    alpha: float = 0.05
    currency: str = ""


class Evidence(Protocol):
    """Where a deployment and what is known of it are read from."""

    def deployment(self, name: str) -> Deployment:
        """The revision that answers now."""
        ...

    def counts(self, name: str) -> Mapping[str, Counts]:
        """Name of an arm → what the servers saw of it under the revision that answers now."""
        ...

    def outcomes(self, name: str) -> Mapping[str, Sequence[Cohort]]:
        """Name of an arm → its cohorts under the revision that answers now, in any order, each day once."""
        ...

    def history(self, name: str) -> Sequence[Deployment]:
        """Every revision, oldest first."""
        ...
