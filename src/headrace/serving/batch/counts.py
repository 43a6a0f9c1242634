"""What is counted of batches: by workers since they last said so, by the supervisor since it began."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, Literal, TypeVar

import msgspec

from headrace.serving.batch.messages import Format
from headrace.serving.model import added

EDGES_S: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Of the seconds from a whole batch to its answer: the longest may take five minutes."""
_Key = TypeVar("_Key", bound=str)
Outcome = Literal["answered", "refused", "left"]
"""`left`: whoever had asked was gone before the answer was."""
OUTCOMES: Final[tuple[Outcome, ...]] = ("answered", "refused", "left")


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what is counted."""


class FormatCounts(Struct, frozen=True, kw_only=True):
    """Of the batches that came in one format."""

    outcomes: dict[Outcome, int] = {}
    rows: int = 0
    """Of those that were answered."""
    took: tuple[int, ...] = ()
    """Those that were answered, by `EDGES_S`: one place more than edges."""
    took_sum_s: float = 0.0

    def __add__(self, other: FormatCounts) -> FormatCounts:
        return FormatCounts(
            outcomes=_both(self.outcomes, other.outcomes),
            rows=self.rows + other.rows,
            took=added(self.took, other.took),
            took_sum_s=self.took_sum_s + other.took_sum_s,
        )


class BatchCounts(Struct, frozen=True, kw_only=True):
    """Of all batches."""

    formats: dict[Format, FormatCounts] = {}
    """By what they came in."""
    reasons: dict[str, int] = {}
    """Those that were refused, by the code of the error."""

    def __add__(self, other: BatchCounts) -> BatchCounts:
        formats = dict(self.formats)
        for name, counts in other.formats.items():
            formats[name] = formats.get(name, FormatCounts()) + counts
        return BatchCounts(formats=formats, reasons=_both(self.reasons, other.reasons))

    @classmethod
    def of_answered(cls, name: Format, *, rows: int, took_s: float) -> BatchCounts:
        """One that was answered."""
        took = [0] * (len(EDGES_S) + 1)
        took[bisect_left(EDGES_S, took_s)] = 1
        return cls(
            formats={name: FormatCounts(outcomes={"answered": 1}, rows=rows, took=tuple(took), took_sum_s=took_s)}
        )

    @classmethod
    def of_refused(cls, name: Format, code: str) -> BatchCounts:
        """One that was answered with an error."""
        return cls(formats={name: FormatCounts(outcomes={"refused": 1})}, reasons={code: 1})

    @classmethod
    def of_left(cls, name: Format) -> BatchCounts:
        """One that nobody waited for any more."""
        return cls(formats={name: FormatCounts(outcomes={"left": 1})})


class BatchProcess(Struct, frozen=True, kw_only=True):
    """The process that reads batches, as its keeper sees it."""

    answers: bool
    """Whether it does, at the moment."""
    restarts: int
    """How often it was begun again."""


def _both(a: dict[_Key, int], b: dict[_Key, int]) -> dict[_Key, int]:
    return {key: a.get(key, 0) + b.get(key, 0) for key in {**a, **b}}
