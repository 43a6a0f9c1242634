"""What was tried of proposed features, and what became of it."""

from __future__ import annotations

from typing import Literal

from headrace.training.model import Struct


class Tried(Struct, frozen=True, kw_only=True):
    """One family of proposed features."""

    name: str
    why: str
    """What suggested it."""
    inputs: int
    """Inputs that it adds to the model."""
    state: Literal["kept", "left out", "failed", "not tried"]
    gain: float | None = None
    """With priced errors, by how much a million predictions become cheaper; else by how much the metric becomes better.
    Out of fold, over the families kept before."""
    low: float | None = None
    high: float | None = None
    """Its 95 % bootstrap interval."""
    cost: float | None = None
    """What a million predictions with the family cost more, in USD: serving, and fitting spread over a month of
    predictions."""
    reason: str
    """Why it was kept or not, in words."""


class Automatic(Struct, frozen=True, kw_only=True):
    """All families, in the order in which they were tried."""

    candidate: str
    """The family of the fixed model that they were tried with."""
    measure: str
    """What the gain is in."""
    rows: int
    folds: int
    tried: tuple[Tried, ...]
    text: str = ""
    """The features that are kept, as sections of a definition."""
    spent_s: float = 0.0
    """Of a budget in seconds; 0: it is in trials."""

    @property
    def kept(self) -> frozenset[str]:
        """Names of the families that are kept."""
        return frozenset(one.name for one in self.tried if one.state == "kept")
