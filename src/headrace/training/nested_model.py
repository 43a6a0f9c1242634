"""What the whole procedure was found to be worth: search, choice and fit, done again without parts of the rows."""

from __future__ import annotations

from headrace.training.model import Interval, Struct


class Without(Struct, frozen=True, kw_only=True):
    """The procedure without one part of the training rows, and what it made of that part."""

    learnt: int
    """Rows that it had."""
    asked: int
    """Rows of the part."""
    family: str = ""
    trials: int = 0
    promised: float | None = None
    """The metric of its choice out of fold, among the rows that it had."""
    found: float | None = None
    """The same metric on the part."""
    error_cost: float | None = None
    """Mean cost of an error on the part, as it decides; None without [costs]."""
    note: str = ""
    """Why it came to nothing; empty: it did not."""


class Nested(Struct, frozen=True, kw_only=True):
    """All parts together. An interval is none where fewer than two parts could be asked."""

    metric: str
    higher_is_better: bool
    budget: str
    """That each part's search had, in words."""
    parts: tuple[Without, ...]
    found: Interval | None = None
    """The metric of the procedure, on the mean over the parts, with its 95 % interval."""
    optimism: Interval | None = None
    """By how much its choice's own figure out of fold was better than what was found."""
    error_cost: Interval | None = None
