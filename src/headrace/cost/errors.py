"""What can go wrong with prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace.errors import WrongUse


class PriceMistake(NamedTuple):
    """One thing wrong with a price book."""

    line: int | None
    """Line of the file, from 1; None where TOML gives none."""
    key: str
    problem: str


class PriceBookInvalid(WrongUse):
    """A price book that cannot be used; every mistake is listed."""

    code = "price-book-invalid"

    def __init__(self, path: str, mistakes: Sequence[PriceMistake]) -> None:
        self.mistakes = tuple(mistakes)
        lines = (f"{path}:{m.line or 1}: {m.key}: {m.problem}" for m in self.mistakes)
        super().__init__(
            "the price book cannot be used:\n" + "\n".join(lines),
            fix="correct these places; headrace/cost/prices.toml is an example of the form",
            path=path,
            mistakes=[m._asdict() for m in self.mistakes],
        )


class PriceMissing(WrongUse):
    """No price of a unit holds at the instant asked for."""

    code = "price-missing"

    def __init__(self, unit: str, at: str) -> None:
        super().__init__(
            f"the price book has no price a unit of {unit!r} in effect at {at}",
            fix=f'add a [[prices]] row with PricingUnit = "{unit}" and an EffectiveFrom not after that day',
            unit=unit,
            at=at,
        )
