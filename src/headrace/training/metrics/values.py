"""Metrics of predicted values; one that these rows leave undefined is NaN, whatever the weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headrace.training.metrics.basis import Floats, Weighted, mean_of, never, weighted_sum


def rmse(y: Floats, value: Floats) -> Weighted:
    """Root of the mean squared error."""
    return mean_of((value - y) ** 2, root=True)


def mae(y: Floats, value: Floats) -> Weighted:
    """Mean absolute error."""
    return mean_of(np.abs(value - y))


def median_absolute_error(y: Floats, value: Floats) -> Weighted:
    """Median absolute error; between two middle rows their mean."""
    error = np.abs(value - y)
    order = np.argsort(error, kind="stable")
    ordered = error[order]

    def median(weights: Floats) -> float:
        reached = np.cumsum(weights[order])
        half = reached[-1] / 2.0
        low, high = np.searchsorted(reached, half, side="left"), np.searchsorted(reached, half, side="right")
        return float((ordered[low] + ordered[min(high, len(ordered) - 1)]) / 2.0)

    return median


def r2(y: Floats, value: Floats) -> Weighted:
    """Share of the label's variance that is explained; undefined where the label is the same in all rows."""
    error = (value - y) ** 2
    # about the middle, so that the rounding of a mean is no variance of labels that are all alike
    off = y - np.median(y) if len(y) else y
    mean = mean_of(off)

    def explained(weights: Floats) -> float:
        spread = weighted_sum(weights, (off - mean(weights)) ** 2)
        return 1.0 - weighted_sum(weights, error) / spread if spread > 0 else float("nan")

    return explained


def mape(y: Floats, value: Floats) -> Weighted:
    """Mean absolute error as a share of the label; undefined when a label is 0."""
    if not np.all(y != 0):
        return never
    with np.errstate(over="ignore"):
        return mean_of(np.abs(value - y) / np.abs(y))


def smape(y: Floats, value: Floats) -> Weighted:
    """Mean absolute error as a share of the mean of label and prediction, between 0 and 2; 0 of 0 is no error."""
    both = (np.abs(y) + np.abs(value)) / 2.0
    return mean_of(np.divide(np.abs(value - y), both, out=np.zeros(len(both)), where=both > 0))


def wape(y: Floats, value: Floats) -> Weighted:
    """The sum of absolute errors as a share of the sum of the labels' sizes."""
    error, size = np.abs(value - y), np.abs(y)

    def share(weights: Floats) -> float:
        whole = weighted_sum(weights, size)
        return weighted_sum(weights, error) / whole if whole > 0 else float("nan")

    return share


def rmsle(y: Floats, value: Floats) -> Weighted:
    """Root of the mean squared difference of ln(1 + x); predictions below 0 count as 0; undefined of labels below 0."""
    if not np.all(y >= 0):
        return never
    return mean_of((np.log1p(np.maximum(value, 0.0)) - np.log1p(y)) ** 2, root=True)


def pinball(quantile: float) -> Callable[[Floats, Floats], Weighted]:
    """Mean pinball loss: least for predictions that are this quantile of the label."""

    def prepare(y: Floats, value: Floats) -> Weighted:
        return mean_of(np.maximum(quantile * (y - value), (quantile - 1.0) * (y - value)))

    return prepare


def poisson_deviance(y: Floats, value: Floats) -> Weighted:
    """For counts. Undefined of labels below 0 or predictions not above 0."""
    if not (np.all(y >= 0) and np.all(value > 0)):
        return never
    with np.errstate(over="ignore"):
        ratio = np.divide(y, value, out=np.ones(len(y)), where=y > 0)
    return mean_of(2.0 * (y * np.log(ratio) - y + value))


def tweedie_deviance(y: Floats, value: Floats) -> Weighted:
    """Of power 1.5, for amounts of which many are 0. Undefined of labels below 0 or predictions not above 0."""
    if not (np.all(y >= 0) and np.all(value > 0)):
        return never
    return mean_of(2.0 * (-4.0 * np.sqrt(y) + 2.0 * y / np.sqrt(value) + 2.0 * np.sqrt(value)))


def gamma_deviance(y: Floats, value: Floats) -> Weighted:
    """For amounts above 0. Undefined of labels or predictions not above 0."""
    if not (np.all(y > 0) and np.all(value > 0)):
        return never
    with np.errstate(over="ignore"):
        return mean_of(2.0 * (np.log(value) - np.log(y) + y / value - 1.0))
