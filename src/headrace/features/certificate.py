"""What a certificate says. Loads no table engine: it is part of a package."""

from __future__ import annotations

from headrace.features.model import Struct


class Difference(Struct, frozen=True, kw_only=True):
    """Where the row form and the frame differ; never a value."""

    feature: str
    row: int
    """Position in the accepted table of the predicted source."""


class Certificate(Struct, frozen=True, kw_only=True):
    """Rows of history, replayed one by one with the online values as they were, and compared with the frame."""

    format: int = 1
    rows: int
    features: int
    """Of each row: rows · features values were compared."""
    differences: int
    first: tuple[Difference, ...] = ()
    """Some of them."""
    seed: int
    steps: tuple[str, ...]
    """Names of the lookups, windows and expressions that were replayed."""
    program: str = ""
    """SHA-256 of the package's `program.json`."""
    frame: str = ""
    """SHA-256 of the frame that was compared with."""

    @property
    def passed(self) -> bool:
        """Whether every value was the same."""
        return not self.differences
