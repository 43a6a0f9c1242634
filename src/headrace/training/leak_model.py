"""What a quick model showed of a split."""

from __future__ import annotations

from typing import Literal

from headrace.training.model import Struct


class Leak(Struct, frozen=True, kw_only=True):
    """What a random split would say, and what an honest one says, of the same rows."""

    kind: Literal["time", "group"]
    column: str
    metric: str
    drawn: float
    """The score after learning from rows drawn at random."""
    honest: float
    """The score after learning from as many rows that were before, or of other groups."""
    share: float
    """By what share of the honest loss (log loss, or absolute error) the drawn one is smaller."""
    shown: bool
    """Whether it is more than chance and matters."""
    rows: int
    """That were asked."""

    def __str__(self) -> str:
        other = "earlier rows" if self.kind == "time" else f"rows of other {self.column}"
        return (
            f"a quick model scores {self.metric} {self.drawn:.3f} on {self.rows:,} rows when it learns from rows drawn "
            f"at random, and {self.honest:.3f} on the same rows when it learns from as many {other}"
        )
