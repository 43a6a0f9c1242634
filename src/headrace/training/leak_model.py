"""What a quick model showed of a split, and which inputs tell too much."""

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


class Untried(Struct, frozen=True, kw_only=True):
    """A leak that could not be looked for."""

    kind: Literal["time", "group"]
    column: str
    why: str

    def __str__(self) -> str:
        return f"by {self.kind}, {self.column}: could not be tried, {self.why}"


class Telling(Struct, frozen=True, kw_only=True):
    """An input that alone tells of the label what it hardly should."""

    column: str
    kind: Literal["label", "id"]
    """It nearly is the label; or it numbers the rows and yet predicts."""
    metric: str
    value: float
    """Of a rule that looks at this input alone, on rows that it was not learnt from."""
    rows: int

    def __str__(self) -> str:
        figure = f"{self.metric.replace('_', ' ')} {self.value:.3f} on {self.rows:,} rows"
        if self.kind == "id":
            return f"{self.column} numbers the rows and yet tells of the label ({figure})"
        return f"{self.column} alone nearly is the label ({figure})"


class Learnt(Struct, frozen=True, kw_only=True):
    """The rows that are learnt from, looked at before anything is fitted."""

    rows: int
    purged: int
    """Rows left out because their label was not known in time, before the holdout began."""
    delay_us: int | None = None
    """Median time from the prediction to its label's being known; None: nothing says."""
    telling: tuple[Telling, ...] = ()
    label: tuple[str, ...] = ()
    """What strikes the eye about the label, in sentences."""
    costs: tuple[str, ...] = ()
    """The same of `[costs]`."""
