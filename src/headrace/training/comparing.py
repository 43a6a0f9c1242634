"""Whether one candidate is better than another by more than the luck of the folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.definition.model import Split


def p_worse(best: Sequence[float], other: Sequence[float], *, ratio: float | None = None) -> float | None:
    """One-sided p-value of "the other is no worse", by the corrected resampled t-test over the same folds.

    Folds share training rows, so their differences vary less than those of independent samples would: the variance of
    the mean is taken as (1/k + `ratio`) times that of the differences. Nadeau and Bengio, "Inference for the
    Generalization Error", Machine Learning 52, 2003. None with fewer than two folds in common, or of different numbers.

    Parameters
    ----------
    ratio : rows asked by rows learnt from, of a fold; None: 1 / (k - 1), as under folds drawn by lot

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
    scores = np.array([best, other], np.float64)
    gaps = scores[0] - scores[1]
    mean, variance = float(gaps.mean()), float(gaps.var(ddof=1))
    # what rounding alone can make, whatever the unit of the scores is
    nothing = max(1e-12 * float(np.abs(scores).max()), 1e-15)
    if variance <= nothing**2:
        return 0.5 if abs(mean) <= nothing else float(mean < 0.0)
    return float(t.sf(mean / np.sqrt((1 / k + (1 / (k - 1) if ratio is None else ratio)) * variance), k - 1))


def p_differs(one: Sequence[float], other: Sequence[float], *, ratio: float | None = None) -> float | None:
    """Two-sided p-value of "they are equal"; parameters and None as of `p_worse`.

    Examples
    --------
    >>> round(p_differs([0.8, 0.82, 0.81, 0.83, 0.8], [0.7, 0.71, 0.69, 0.74, 0.7], ratio=0.25), 4)
    0.0002
    """
    p = p_worse(one, other, ratio=ratio)
    return None if p is None else 2.0 * min(p, 1.0 - p)


def asked_ratio(split: Split, folds: int) -> float:
    """Rows asked by rows learnt from, on the mean over the folds: those of a time split grow."""
    if split.by == "time":
        return float(np.mean(1.0 / np.arange(1, folds + 1)))
    return 1.0 / max(folds - 1, 1)
