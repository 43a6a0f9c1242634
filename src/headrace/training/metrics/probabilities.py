"""Metrics of how true probabilities are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.training.metrics.basis import Floats, Weighted, mean_of, never


def log_loss(y: NDArray[Any], p: Floats) -> Weighted:
    """Minus the mean logarithm of the probability that was given to what happened."""
    return mean_of(row_log_loss(y, p))


def row_log_loss(y: NDArray[Any], p: Floats) -> Floats:
    """The same by row."""
    own = np.where(y == 1, p, 1.0 - p) if p.ndim == 1 else p[np.arange(len(y)), y]
    loss: Floats = -np.log(np.clip(own, 1e-15, 1.0))
    return loss


def brier(y: NDArray[Any], p: Floats) -> Weighted:
    """Mean squared distance of the probabilities from what happened; over all classes where there are several."""
    if p.ndim == 1:
        return mean_of((p - y) ** 2)
    own = p[np.arange(len(y)), y]
    return mean_of((p * p).sum(axis=1) - 2.0 * own + 1.0)


def brier_skill(y: NDArray[Any], p: Floats) -> Weighted:
    """How much smaller the Brier score is than that of the prevalence given to every row: 1 is perfect, 0 no gain."""
    square, positive = mean_of((p - y) ** 2), mean_of((y == 1).astype(np.float64))

    def skill(weights: Floats) -> float:
        share = positive(weights)
        plain = share * (1.0 - share)
        return 1.0 - square(weights) / plain if plain > 0 else float("nan")

    return skill


def top(k: int) -> Any:
    """Share of rows whose class is among the `k` most probable; of equal ones the first counts as more probable."""

    def prepare(y: NDArray[Any], p: Floats) -> Weighted:
        if p.shape[1] <= k:
            return never
        own = p[np.arange(len(y)), y][:, None]
        before = (p > own) | ((p == own) & (np.arange(p.shape[1])[None, :] < y[:, None]))
        return mean_of((before.sum(axis=1) < k).astype(np.float64))

    return prepare
