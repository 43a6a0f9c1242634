"""Differences of cost with less noise: what a covariate from before the arm was drawn explains is taken out.

Deng, Xu, Kohavi, Walker: "Improving the sensitivity of online controlled experiments by utilizing pre-experiment data"
(CUPED), WSDM 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from headrace.serving.experiments.confidence import LEAST, Estimate, Sample, worth
from headrace.serving.model import Outcomes


class Adjusted(NamedTuple):
    """Arms whose covariates have been made equal."""

    theta: float
    """Cost that goes with one unit of the covariate; one for all arms."""
    explained: float
    """Share of the variance within arms that the covariate explains, 0 to 1."""
    means: tuple[Estimate, ...]
    """Of each arm, in order: the mean cost it would have at the mean covariate of all."""


def adjust(arms: Sequence[Outcomes]) -> Adjusted | None:
    """Mean costs at one and the same covariate.

    The covariate must not depend on the arm: the cost of the entity before, or what a version that all arms share
    expected. Else a real difference would be explained away; `balance` watches for that.

    Returns
    -------
    None where an arm has fewer than `LEAST` entities, or the covariate does not vary.

    Examples
    --------
    >>> def arm(shift):  # cost 3 x + shift
    ...     xs = [i % 10 for i in range(1000)]
    ...     ys = [3 * x + shift for x in xs]
    ...     return Outcomes(n=1000, cost_sum=sum(ys), cost_squares=sum(y * y for y in ys), covariate_sum=sum(xs),
    ...                     covariate_squares=sum(x * x for x in xs), product_sum=sum(map(int.__mul__, xs, ys)))
    >>> found = adjust([arm(0), arm(1)])
    >>> found.theta, found.explained, found.means[1].value - found.means[0].value
    (3.0, 1.0, 1.0)
    """
    if not arms or any(arm.n < LEAST for arm in arms):
        return None
    xx = [_centred(arm.covariate_squares, arm.covariate_sum, arm.covariate_sum, arm.n) for arm in arms]
    xy = [_centred(arm.product_sum, arm.covariate_sum, arm.cost_sum, arm.n) for arm in arms]
    yy = [_centred(arm.cost_squares, arm.cost_sum, arm.cost_sum, arm.n) for arm in arms]
    scale = fsum(arm.covariate_squares for arm in arms)
    if fsum(xx) <= 1e-12 * scale or fsum(yy) <= 0.0:  # it does not vary, as far as its sums can tell
        return None
    theta = fsum(xy) / fsum(xx)
    centre = fsum(arm.covariate_sum for arm in arms) / sum(arm.n for arm in arms)
    means = []
    for arm, x, p, y in zip(arms, xx, xy, yy, strict=True):
        value = arm.cost_sum / arm.n - theta * (arm.covariate_sum / arm.n - centre)
        left = max(0.0, y - 2.0 * theta * p + theta * theta * x)
        means.append(Estimate(value, left / (arm.n - 1) / arm.n, arm.n))
    explained = theta * fsum(xy) / fsum(yy)
    return Adjusted(theta, min(1.0, max(0.0, explained)), tuple(means))


def apart(of: Estimate, less: Estimate) -> Estimate:
    """The difference of two adjusted means. That θ and the centre are estimated of both is of lower order."""
    return Estimate(of.value - less.value, of.variance + less.variance, worth(round(of.n), round(less.n)))


def cost(arm: Outcomes) -> Sample:
    """Cost as a sample."""
    return Sample(arm.n, arm.cost_sum, arm.cost_squares)


def covariate(arm: Outcomes) -> Sample:
    """The covariate as a sample."""
    return Sample(arm.n, arm.covariate_sum, arm.covariate_squares)


def _centred(products: float, a: float, b: float, n: int) -> float:
    """Sum of products about the means."""
    return products - a * b / n
