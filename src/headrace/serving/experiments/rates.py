"""Rates of yes and no, rare ones too, with bounds that are exact at every look and every size of the sample.

The evidence that a rate is above p is e(p) = Σ w · r^s / (1 + (r − 1) p)^n over a few r > 1: after s of n, the mean of
several bets. While the rate is at most p, every term is a supermartingale that begins at 1, so that by Ville's
inequality e(p) ever reaches 1/α with a chance of at most α; r < 1 bets on less. This is the sub-Bernoulli bound of
Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
Statistics 2021, arXiv:1810.08240, with a discrete mixture; the rate may change, if its mean so far is meant.
"""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from typing import Final, NamedTuple

from headrace.serving.experiments.confidence import Interval

_BETS: Final = 11
_STRONGEST: Final = 2.0
"""ln r of the first bet; each further one is half as strong: together they suit 10 to 10⁷ observations."""
_STEPS: Final = 50
_GOLDEN: Final = (sqrt(5.0) - 1.0) / 2.0


def _mixture(sign: float) -> tuple[tuple[float, float, float], ...]:
    """(ln w, ln r, r − 1) of every bet; the weights fall as 1 / (k + 2) and sum to 1."""
    whole = sum(1.0 / (k + 2) for k in range(_BETS))
    strengths = [sign * _STRONGEST * 0.5**k for k in range(_BETS)]
    return tuple((-log((k + 2) * whole), s, exp(s) - 1.0) for k, s in enumerate(strengths))


_MORE: Final = _mixture(1.0)
_LESS: Final = _mixture(-1.0)


class Rate(NamedTuple):
    """`hits` of `n`."""

    n: int
    hits: int

    @property
    def share(self) -> float:
        """Of none 0."""
        return self.hits / self.n if self.n else 0.0


def evidence_above(rate: Rate, p: float) -> float:
    """ln e(p) that the rate is above p; falls in p."""
    return _evidence(rate, p, _MORE)


def evidence_below(rate: Rate, p: float) -> float:
    """ln e(p) that the rate is below p; rises in p."""
    return _evidence(rate, p, _LESS)


def _evidence(rate: Rate, p: float, bets: tuple[tuple[float, float, float], ...]) -> float:
    terms = [weight + rate.hits * strength - rate.n * log1p(more * p) for weight, strength, more in bets]
    most = max(terms)
    return most + log(sum(exp(term - most) for term in terms))


def bounds(rate: Rate, *, alpha: float = 0.05) -> Interval:
    """What the rate is between, at every look at once.

    Parameters
    ----------
    alpha : the chance that it is ever outside, α/2 on either side

    Examples
    --------
    >>> low, high = bounds(Rate(n=1_000, hits=2))
    >>> round(low, 5), round(high, 5)
    (0.0, 0.00996)
    >>> bounds(Rate(n=0, hits=0))
    Interval(low=0.0, high=1.0)
    """
    return Interval(lowest(rate, alpha=alpha / 2.0), highest(rate, alpha=alpha / 2.0))


def lowest(rate: Rate, *, alpha: float) -> float:
    """What the rate is at least, at every look at once, but for a chance of α."""
    if rate.hits == 0:
        return 0.0
    wanted = -log(alpha)
    low, high = 0.0, rate.share
    if evidence_above(rate, low) < wanted:
        return 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if evidence_above(rate, middle) >= wanted:
            low = middle
        else:
            high = middle
    return low


def highest(rate: Rate, *, alpha: float) -> float:
    """What the rate is at most, at every look at once, but for a chance of α."""
    if rate.hits == rate.n:
        return 1.0
    wanted = -log(alpha)
    low, high = rate.share, 1.0
    if evidence_below(rate, high) < wanted:
        return 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if evidence_below(rate, middle) >= wanted:
            high = middle
        else:
            low = middle
    return high


def difference_bounds(of: Rate, less: Rate, *, alpha: float = 0.05) -> Interval:
    """What the one rate less the other is between, at every look at once: the union of both rates' bounds at α/2.

    >>> low, high = difference_bounds(Rate(500, 25), Rate(9_500, 95))
    >>> 0.0 < low < 0.04 < high
    True
    """
    mine, theirs = bounds(of, alpha=alpha / 2.0), bounds(less, alpha=alpha / 2.0)
    return Interval(mine.low - theirs.high, mine.high - theirs.low)


def p_more(of: Rate, than: Rate, *, by: float = 0.0) -> float:
    """The p-value of "the one rate is at most the other plus `by`", valid at every look.

    For every value q of the other rate, the evidence that the one is above q + by times the evidence that the other is
    below q is a supermartingale if the sentence is true of q; the least over q counts, found by golden section as the
    logarithm is convex in q. Both arms' rows tell, so it needs half as many as bounds of either would.

    Examples
    --------
    >>> p_more(Rate(600, 30), Rate(11_400, 114), by=0.01) < 0.01
    True
    >>> p_more(Rate(500, 5), Rate(9_500, 95), by=0.01)
    1.0
    """
    if not than.n or of.share <= than.share + by:
        return 1.0

    def evidence(q: float) -> float:
        return evidence_above(of, q + by) + evidence_below(than, q)

    low, high = 0.0, max(0.0, 1.0 - by)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = evidence(left), evidence(right)
    for _ in range(_STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = evidence(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = evidence(right)
    return p_of(min(at_left, at_right))


def p_of(evidence: float) -> float:
    """From the logarithm of an e-value to a p-value."""
    return 1.0 if evidence <= 0.0 else exp(-evidence)
