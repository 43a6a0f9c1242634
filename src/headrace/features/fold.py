"""What decays, folded event by event in the order in which events became known: plain Python, for streams.

`headrace.features.decay` has the same over history; a test holds the two equal to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from headrace.features.finish import sums_of
from headrace.features.limbs import LIMB, MASK, unscaled
from headrace.features.model import WindowStep
from headrace.features.weights import weight
from headrace.language.types import Type


@dataclass(frozen=True, slots=True)
class Folded:
    """What one half-life keeps of a key."""

    tile: int
    """Of the newest event."""
    count_before: float
    """What the tiles before have left in it."""
    total_before: float
    count: int
    """Of the tile itself, exactly."""
    whole: int
    """The sum of its values as whole numbers at the step's scale."""


class Fold:
    """Folds the events of one step."""

    def __init__(self, step: WindowStep) -> None:
        self._half_lives = [(half_life // hop, hop) for _, half_life, hop in step.half_lives]
        self._scale = step.scale
        self._is_float = step.value_type is Type.FLOAT
        self._sums = sums_of(step)

    def add(self, kept: tuple[Folded, ...] | None, value: Any, known_us: int) -> tuple[Folded, ...]:
        """What is kept after one more event.

        Parameters
        ----------
        kept
            Of the key's events before; None: there are none.
        value
            In the row form; one that counts. Anything when no sums are taken.
        known_us
            Not before the tile of the newest event.
        """
        whole = 0
        if self._sums:
            whole = round(math.ldexp(value, self._scale)) if self._is_float else int(value)
        found = []
        for place, (tiles, hop) in enumerate(self._half_lives):
            tile = known_us // hop
            before = kept[place] if kept is not None else Folded(tile, 0.0, 0.0, 0, 0)
            if tile > before.tile:
                count, total = self._now(before)
                left = weight(tile - before.tile, tiles)
                before = Folded(tile, count * left, total * left, 0, 0)
            found.append(Folded(tile, before.count_before, before.total_before, before.count + 1, before.whole + whole))
        return tuple(found)

    def columns(self, kept: tuple[Folded, ...]) -> list[Any]:
        """The last columns of `finish.kinds_of`."""
        columns: list[Any] = []
        for one in kept:
            count, total = self._now(one)
            columns += [one.tile, count, total] if self._sums else [one.tile, count]
        return columns

    def _now(self, one: Folded) -> tuple[float, float]:
        total = unscaled(one.whole >> LIMB, one.whole & MASK, self._scale) if self._sums else 0.0
        return one.count_before + float(one.count), one.total_before + total
