"""Intervals of means that hold at every look at once, and p-values that may be looked at at any time.

A confidence interval holds 95 % of the time at one size of the sample that was fixed before. Looked at every day it
fails far more often. A confidence *sequence* fails at most 5 % of the time at any look, however many there are.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt
from typing import Final, NamedTuple

BEST_AT: Final = 5_000
"""Observations at which a sequence is narrowest, if nothing else is said; 1,000 to 20,000 changes little."""
LEAST: Final = 100
"""Observations of an arm from which its mean is taken to be about normal; below, nothing is said of it."""


class Interval(NamedTuple):
    """From `low` to `high`; either may be infinite."""

    low: float
    high: float


class Sample(NamedTuple):
    """What is known of independent values: their number, sum and sum of squares."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Of no values 0."""
        return self.total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """Of the values, unbiased; of fewer than two 0."""
        return max(0.0, self.squares - self.total * self.total / self.n) / (self.n - 1) if self.n > 1 else 0.0


class Estimate(NamedTuple):
    """Something about normal: a mean, or a difference of means."""

    value: float
    variance: float
    """Of the estimate itself, so of a mean that of the values over their number."""
    n: float
    """Observations that it is worth: of two arms of equal size their sum, of others less (`worth`)."""


def worth(n: int, m: int) -> float:
    """Observations in equal arms that would tell as much as n and m do: 4 / (1/n + 1/m).

    The sequence's time is the information there is. Counting all rows of a large arm beside a small one would have it
    narrowest when the small one has hardly begun.

    >>> worth(500, 500), round(worth(100, 1_900))
    (1000.0, 380)
    """
    return 4.0 * n * m / (n + m)


def mean(sample: Sample) -> Estimate | None:
    """The mean; None of fewer than `LEAST` values."""
    return Estimate(sample.mean, sample.variance / sample.n, sample.n) if sample.n >= LEAST else None


def difference(of: Sample, less: Sample, *, times: float = 1.0) -> Estimate | None:
    """The mean of the one less `times` the mean of the other; None of fewer than `LEAST` values of either.

    Whether a ratio of means is above `times` is asked this way: the difference has no denominator that may be near 0
    (Fieller, 1954).
    """
    if of.n < LEAST or less.n < LEAST:
        return None
    variance = of.variance / of.n + times * times * less.variance / less.n
    return Estimate(of.mean - times * less.mean, variance, worth(of.n, less.n))


def ratio(of: Sample, to: Sample) -> Estimate | None:
    """The ratio of two means, with the variance of the delta method; None where it says nothing.

    Deng, Knoblich, Lu: "Applying the Delta Method in Metric Analytics", KDD 2018, of independent samples.
    """
    if of.n < LEAST or to.n < LEAST or to.mean == 0.0:
        return None
    found = of.mean / to.mean
    variance = (of.variance / of.n + found * found * to.variance / to.n) / (to.mean * to.mean)
    return Estimate(found, variance, worth(of.n, to.n))


def tuned(alpha: float, best_at: float = BEST_AT) -> float:
    """The mixture's scale ρ², such that the sequence is narrowest at `best_at` observations.

    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: "Time-uniform central limit theory and asymptotic confidence
    sequences", arXiv:2103.06476, appendix on the choice of ρ.
    """
    return (-2.0 * log(alpha) + log(-2.0 * log(alpha) + 1.0)) / best_at


def interval(estimate: Estimate | None, *, alpha: float = 0.05, best_at: float = BEST_AT) -> Interval:
    """The asymptotic confidence sequence at this look, on both sides.

    Parameters
    ----------
    alpha : the chance that the truth is ever outside, over all looks
    best_at : must not change between looks

    Returns
    -------
    All numbers, where there is no estimate or it has no spread.

    Notes
    -----
    Equation 9 of arXiv:2103.06476: the half-width is σ √(2 (nρ² + 1) / (n²ρ²) · ln(√(nρ² + 1) / α)). The variance is
    estimated, so the promise is for samples that are not small: hence `LEAST`.

    Examples
    --------
    >>> low, high = interval(mean(Sample(n=10_000, total=500.0, squares=500.0)))  # 500 of 10,000 cost 1
    >>> round(low, 4), round(high, 4)
    (0.0433, 0.0567)
    """
    if estimate is None or estimate.variance <= 0.0:
        return Interval(-inf, inf)
    spread = estimate.n * tuned(alpha, best_at)
    half = sqrt(estimate.variance * 2.0 * (spread + 1.0) / spread * log(sqrt(spread + 1.0) / alpha))
    return Interval(estimate.value - half, estimate.value + half)


def lower_bound(estimate: Estimate | None, *, alpha: float = 0.05, best_at: float = BEST_AT) -> float:
    """What the truth is above, at every look at once: the sequence on one side, so nearer than that of both.

    Proposition on one-sided sequences of arXiv:2103.06476 (its equation 134):
    σ √(2 (nρ² + 1) / (n²ρ²) · ln(1 + √(nρ² + 1) / (2α))).

    Examples
    --------
    >>> cost = mean(Sample(n=10_000, total=500.0, squares=500.0))
    >>> interval(cost).low < lower_bound(cost) < 0.05
    True
    """
    if estimate is None or estimate.variance <= 0.0:
        return -inf
    spread = estimate.n * tuned(2.0 * alpha, best_at)
    half = sqrt(estimate.variance * 2.0 * (spread + 1.0) / spread * log(1.0 + sqrt(spread + 1.0) / (2.0 * alpha)))
    return estimate.value - half


def p_differs(estimate: Estimate | None, *, alpha: float = 0.05, best_at: float = BEST_AT) -> float:
    """The p-value of "the truth is 0", valid at every look: that it is ever ≤ α has a chance of at most α.

    The least level whose sequence excludes 0, with ρ² as for `alpha`.

    >>> p_differs(Estimate(0.0, 1e-6, 10_000))
    1.0
    >>> p_differs(Estimate(0.01, 1e-6, 10_000)) < 1e-9
    True
    """
    if estimate is None or estimate.variance <= 0.0:
        return 1.0
    spread = estimate.n * tuned(alpha, best_at)
    return min(1.0, sqrt(spread + 1.0) * exp(-_evidence(estimate, spread)))


def p_above(estimate: Estimate | None, *, alpha: float = 0.05, best_at: float = BEST_AT) -> float:
    """The p-value of "the truth is at most 0", valid at every look.

    >>> p_above(Estimate(-0.01, 1e-6, 10_000))
    1.0
    >>> p_above(Estimate(0.005, 1e-6, 10_000)) < p_differs(Estimate(0.005, 1e-6, 10_000))
    True
    """
    if estimate is None or estimate.variance <= 0.0 or estimate.value <= 0.0:
        return 1.0
    spread = estimate.n * tuned(2.0 * alpha, best_at)
    evidence = _evidence(estimate, spread)
    if evidence > 600.0:  # beyond what a float holds
        return 0.0
    return min(1.0, sqrt(spread + 1.0) / (2.0 * max(exp(evidence) - 1.0, 1e-12)))


def _evidence(estimate: Estimate, spread: float) -> float:
    """Half the square of the standardised estimate, shrunk by the mixture."""
    return estimate.value * estimate.value / estimate.variance * spread / (2.0 * (spread + 1.0))
