"""When a search has found enough: one more trial is expected to save less than it costs.

Of draws alike, the last of n is the best with a chance of 1 / n, and is then better by the distance between the best
and the second: so whatever their distribution, it is expected to save E[second - best] / n. That distance, of the draws
at hand, is one number with much luck in it; here it is the mean over all subsets of two thirds of them, which is a
little more than of all. A sampler that learns draws better than alike, by less and less as it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Final

FEWEST: Final = 20
"""Draws of the sampler before anything is decided."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a better model saves, and what the search for it costs; one currency."""

    predictions: float
    """Made until the model is trained anew."""
    second: float
    """Price of a second of the search."""


def expected_saving(costs: Sequence[float], draws: int) -> float | None:
    """By how much one more draw is expected to lower the least of the costs; None where too little is known.

    Parameters
    ----------
    costs : of the draws that were judged to the end
    draws : all of them, those included that were given up as worse on the way
    """
    if draws < FEWEST or len(costs) < 2:
        return None
    best = sorted(costs)
    size = 2 * draws // 3
    subsets = comb(draws, size)
    total = before = 0.0
    for place, cost in enumerate(best):
        # subsets whose second best is this one: any one of the `place` before it, and none of the others
        total += (place * cost - before) * (comb(draws - place - 1, size - 2) / subsets)
        before += cost
    return total / size
