"""Linear scores under any smooth loss, with a penalty of absolute values, of squares, or both.

One solver for what scikit-learn's own are too slow at: its linear quantile is a linear program (minutes for 10,000 rows
of 50 columns), its logistic elastic net a stochastic descent. A weight is the difference of two that are not negative,
so that its absolute value is smooth and weights end at 0 exactly: L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headrace.training.families.labels import quantile_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Loss = Callable[[Floats], tuple[float, Floats]]
"""Of scores, shape (n, k): the mean loss, and its derivative by each score."""

MOST_STEPS = 200
WIDTHS = (0.3, 0.05, 0.01)
"""Of the smoothing of a quantile's loss, in standard deviations of the label."""
MOST_SCORE = 30.0
"""Of a logarithm of a rate, beyond which no exponential is taken while a step is sought."""


def solve(
    rows: csr_array,
    loss: Loss,
    start: tuple[Floats, Floats],
    *,
    l1: float,
    l2: float,
    steps: int = MOST_STEPS,
) -> tuple[Floats, Floats]:
    """Weights, shape (m, k), and intercepts, shape (k,), of least loss + l1 · sum |w| + l2 / 2 · sum w².

    Parameters
    ----------
    start : weights and intercepts to begin from
    l1, l2 : beside a mean loss: divided by the number of rows
    """
    from scipy.optimize import minimize

    weights, intercepts = start
    shape, size = weights.shape, weights.size
    across = rows.T.tocsr()
    halves = 2 if l1 > 0 else 1
    parts = [np.maximum(weights, 0), np.maximum(-weights, 0)] if l1 > 0 else [weights]

    def of(at: Floats) -> Floats:
        own = at[:size] if halves == 1 else at[:size] - at[size : 2 * size]
        return own.reshape(shape)

    def value(at: Floats) -> tuple[float, Floats]:
        own = of(at)
        mean, slope = loss(rows @ own + at[halves * size :])
        gradient = (across @ slope + l2 * own).ravel()
        total = mean + 0.5 * l2 * float(np.sum(own * own)) + l1 * float(at[: halves * size].sum() if l1 > 0 else 0.0)
        both = [gradient] if halves == 1 else [gradient + l1, l1 - gradient]
        return total, np.concatenate([*both, slope.sum(axis=0)])

    found = minimize(
        value,
        np.concatenate([*(part.ravel() for part in parts), intercepts]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * (2 * size) + [(None, None)] * shape[1] if l1 > 0 else None,
        options={"maxiter": steps},
    ).x
    return of(found), found[halves * size :]


def nothing(rows: csr_array, outputs: int) -> tuple[Floats, Floats]:
    """Weights of 0 to begin from."""
    return np.zeros((rows.shape[1], outputs)), np.zeros(outputs)


def fit_quantile(
    rows: csr_array, y: Floats, quantile: float, weights: NDArray[np.float64] | None, *, l1: float, l2: float
) -> tuple[Floats, Floats]:
    """The linear quantile of standardised labels. The pinball loss is smoothed, less and less, and each stage begins
    where the one before ended (by convolution with a logistic density: Fernandes, Guerre and Horta, "Smoothing Quantile
    Regressions", JBES 2021); at last the intercept is put where the residuals have the quantile."""
    from scipy.special import expit

    heavy = shares(len(y), weights)
    found = nothing(rows, 1)
    found[1][0] = quantile_of(y, quantile, weights)
    for width in WIDTHS:

        def loss(scores: Floats, width: float = width) -> tuple[float, Floats]:
            above = y - scores[:, 0]
            each = quantile * above + width * np.logaddexp(0.0, -above / width)
            return float(heavy @ each), (heavy * (expit(-above / width) - quantile))[:, None]

        found = solve(rows, loss, found, l1=l1, l2=l2, steps=60)
    return found[0], np.array([quantile_of(y - (rows @ found[0])[:, 0], quantile, weights)])


def squares(y: Floats, weights: NDArray[np.float64] | None) -> Loss:
    """Half the squared error."""
    heavy = shares(len(y), weights)

    def loss(scores: Floats) -> tuple[float, Floats]:
        error = scores[:, 0] - y
        return 0.5 * float(heavy @ (error * error)), (heavy * error)[:, None]

    return loss


def rates(y: Floats, weights: NDArray[np.float64] | None, start: float) -> Loss:
    """Minus the logarithm of the likelihood of counts; `start` is added to every score."""
    heavy = shares(len(y), weights)

    def loss(scores: Floats) -> tuple[float, Floats]:
        score = np.minimum(scores[:, 0] + start, MOST_SCORE)
        rate = np.exp(score)
        return float(heavy @ (rate - y * score)), (heavy * (rate - y))[:, None]

    return loss


def chances(y: NDArray[np.integer], outputs: int, weights: NDArray[np.float64] | None) -> Loss:
    """Minus the logarithm of the probability of what happened: of one score (two classes) or one a class."""
    heavy = shares(len(y), weights)
    truth = np.asarray(y == 1, np.float64)[:, None] if outputs == 1 else np.eye(outputs)[y]

    def loss(scores: Floats) -> tuple[float, Floats]:
        if outputs == 1:
            lost = np.logaddexp(0.0, scores) - truth * scores
            p = 0.5 * (1.0 + np.tanh(0.5 * scores))
        else:
            scores = scores - scores.max(axis=1, keepdims=True)
            each = np.exp(scores)
            whole = each.sum(axis=1, keepdims=True)
            p, lost = each / whole, (np.log(whole[:, 0]) - (truth * scores).sum(axis=1))[:, None]
        return float(heavy @ lost[:, 0]), heavy[:, None] * (p - truth)

    return loss


def shares(n: int, weights: NDArray[np.float64] | None) -> Floats:
    """Of each row, adding up to 1."""
    return np.full(n, 1.0 / n) if weights is None else weights / weights.sum()
