"""Metrics of the order into which a score brings rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headrace.training.metrics.basis import Cumulative, Floats

NAN = float("nan")


def average_precision(ranked: Cumulative) -> float:
    """Mean precision over the positives, each at its own place."""
    hits, total = ranked
    if hits[-1] <= 0:
        return NAN
    precision = np.maximum(total, 1e-300)
    np.divide(hits, precision, out=precision)
    return float(np.sum(np.multiply(_steps(hits), precision, out=precision)) / hits[-1])


def roc_auc(ranked: Cumulative) -> float:
    """How often a positive is ranked before a negative; a tie counts half."""
    hits, false = ranked.hits, ranked.total - ranked.hits
    if hits[-1] <= 0 or false[-1] <= 0:
        return NAN
    parts = _steps(false)
    parts[0] *= hits[0]
    parts[1:] *= hits[1:] + hits[:-1]
    parts /= 2
    return float(np.sum(parts) / (hits[-1] * false[-1]))


def _steps(cumulative: Floats) -> Floats:
    """What each place adds."""
    steps = cumulative.copy()
    steps[1:] -= cumulative[:-1]
    return steps


def gini(ranked: Cumulative) -> float:
    """2 AUC - 1."""
    return 2.0 * roc_auc(ranked) - 1.0


def ks(ranked: Cumulative) -> float:
    """Kolmogorov-Smirnov: the largest gap between the shares of positives and of negatives found."""
    hits, false = ranked.hits, ranked.total - ranked.hits
    if hits[-1] <= 0 or false[-1] <= 0:
        return NAN
    return float(np.max(hits / hits[-1] - false / false[-1], initial=0.0))


def found_at(ranked: Cumulative, share: float) -> float:
    """Weight of the positives among the first `share` of rows; of a run of ties its mean part."""
    hits, total = ranked
    looked = share * total[-1]
    place = int(np.searchsorted(total, looked, side="right"))
    if place == 0:
        return float(np.interp(looked, [0.0, total[0]], [0.0, hits[0]]))
    return float(np.interp(looked, total[place - 1 : place + 1], hits[place - 1 : place + 1]))


def precision_at(share: float) -> Callable[[Cumulative], float]:
    """Share of positives among the first rows."""
    return lambda ranked: found_at(ranked, share) / (share * float(ranked.total[-1]))


def recall_at(share: float) -> Callable[[Cumulative], float]:
    """Share of all positives that the first rows hold."""
    return lambda ranked: found_at(ranked, share) / float(ranked.hits[-1]) if ranked.hits[-1] > 0 else NAN


def lift_at(share: float) -> Callable[[Cumulative], float]:
    """How many times more positives the first rows hold than as many rows drawn by chance."""
    found = recall_at(share)
    return lambda ranked: found(ranked) / share


def recall_at_precision(least: float) -> Callable[[Cumulative], float]:
    """The largest recall of any threshold whose precision is at least so much; 0 when there is none."""

    def value(ranked: Cumulative) -> float:
        hits, total = ranked
        if hits[-1] <= 0:
            return NAN
        good = hits >= least * total
        return float(np.max(hits[good], initial=0.0) / hits[-1])

    return value


def macro_roc_auc(ranked: tuple[Cumulative, ...]) -> float:
    """The mean AUC of each class against the rest, over the classes that are there."""
    areas = np.array([roc_auc(one) for one in ranked])
    areas = areas[np.isfinite(areas)]
    return float(areas.mean()) if len(areas) else NAN
