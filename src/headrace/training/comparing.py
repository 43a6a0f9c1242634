"""Whether one candidate is better than another by more than the luck of the folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def p_worse(best: Sequence[float], other: Sequence[float]) -> float | None:
    """One-sided p-value of "the other is no worse", by the corrected resampled t-test over the same folds.

    Folds share training rows, so their differences vary less than those of independent samples would: the variance of
    the mean is taken as (1/k + 1/(k - 1)) times that of the differences. Nadeau and Bengio, "Inference for the
    Generalization Error", Machine Learning 52, 2003. None with fewer than two folds in common, or of different numbers.

    Examples
    --------
    >>> round(p_worse([0.80, 0.82, 0.81, 0.79, 0.83], [0.70, 0.75, 0.70, 0.71, 0.72]), 4)
    0.0008
    >>> p_worse([0.5, 0.6], [0.5, 0.6])
    0.5
    """
    from scipy.stats import t

    k = len(best)
    if k < 2 or len(other) != k:
        return None
    gaps = np.asarray(best, np.float64) - np.asarray(other, np.float64)
    mean, variance = float(gaps.mean()), float(gaps.var(ddof=1))
    if variance == 0.0:
        return 0.5 if mean == 0.0 else float(mean < 0.0)
    return float(t.sf(mean / np.sqrt((1 / k + 1 / (k - 1)) * variance), k - 1))
