"""Weights of arms that follow what they cost: each as often as it is likely to be the cheapest.

Thompson: "On the likelihood that one unknown probability exceeds another in view of the evidence of two samples",
Biometrika 1933; here for any number of arms with a normal posterior of the mean, and a share that no arm goes below.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, exp, pi, sqrt
from typing import Final

from headrace.serving.experiments.confidence import LEAST, Sample

FLOOR: Final = 0.05
"""The least share of an arm, so that what it costs is still learnt, and entities can be weighed by their chance."""
_POINTS: Final = 400
_REACH: Final = 8.0


def chances_of_least(costs: Sequence[Sample]) -> list[float]:
    """The chance of each arm that its mean cost is the least, under normal posteriors N(mean, variance / n).

    By quadrature rather than by drawing: the same sums give the same chances on every host.

    Examples
    --------
    >>> same = Sample(1_000, 100.0, 100.0)
    >>> chances_of_least([same, same])
    [0.5, 0.5]
    >>> [round(c, 3) for c in chances_of_least([same, same, Sample(1_000, 60.0, 60.0)])]
    [0.0, 0.0, 0.999]
    """
    spread = [sqrt(max(c.variance, 1e-300) / max(c.n, 1)) for c in costs]
    found = []
    for i, (one, width) in enumerate(zip(costs, spread, strict=True)):
        chance = 0.0
        for point in range(_POINTS):
            z = _REACH * ((2 * point + 1) / _POINTS - 1.0)
            at = one.mean + z * width
            dearer = 1.0
            for j, (other, theirs) in enumerate(zip(costs, spread, strict=True)):
                if j != i:
                    dearer *= 0.5 - 0.5 * erf((at - other.mean) / (theirs * sqrt(2.0)))
            chance += exp(-0.5 * z * z) * dearer
        found.append(chance * 2.0 * _REACH / _POINTS / sqrt(2.0 * pi))
    whole = sum(found)
    return [round(chance / whole, 9) for chance in found] if whole > 0.0 else [1.0 / len(costs)] * len(costs)


def weights(costs: Sequence[Sample], *, floor: float = FLOOR) -> list[float]:
    """The share of entities of each arm, which is the propensity of whoever comes next.

    Equal until each arm has `LEAST` outcomes. `floor` is at most 1 / arms.

    Examples
    --------
    >>> weights([Sample(1_000, 100.0, 100.0), Sample(1_000, 300.0, 300.0)])
    [0.95, 0.05]
    >>> weights([Sample(1_000, 100.0, 100.0), Sample(20, 0.0, 0.0)])
    [0.5, 0.5]
    """
    k = len(costs)
    if any(c.n < LEAST for c in costs):
        return [1.0 / k] * k
    least = min(floor, 1.0 / k)
    return [round(least + (1.0 - k * least) * chance, 9) for chance in chances_of_least(costs)]
