"""Linear scores of least smooth loss with a penalty of squares, by Newton's method on dense and one-hot columns apart.

Tables have few columns and many rows: then a handful of steps with the whole second derivative end where a hundred
with the first do not, and its matrix is cheap: numbers by products of dense blocks, levels of categories by sums over
rows (compare scikit-learn's `newton-cholesky`, which knows no such blocks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Curved = Callable[[Floats], tuple[float, Floats, Floats]]
"""Of scores, shape (n,): the mean loss, its derivative by each score, and its second one, not negative."""

MOST_COLUMNS: Final = 1_500
"""With more, a step costs more than it is worth."""
MOST_STEPS: Final = 30
SMALL: Final = 1e-7
"""A gradient of the mean loss, columns being about 1 in size, that is as good as none."""
CHUNK: Final = 16_384
LEAST_DESCENT: Final = 1e-4
HALVINGS: Final = 30


@dataclass(frozen=True, slots=True)
class Blocks:
    """The columns that weights belong to: first dense ones, then a 1 for each category's level."""

    dense: Floats
    """Shape (n, d)."""
    levels: csr_array
    """Shape (n, c)."""

    @property
    def width(self) -> int:
        """d + c."""
        return int(self.dense.shape[1] + self.levels.shape[1])

    def times(self, weights: Floats) -> Floats:
        """Scores, shape (n,), of weights, shape (d + c,)."""
        d = self.dense.shape[1]
        scores: Floats = self.dense @ weights[:d] + self.levels @ weights[d:]
        return scores

    def across(self, slope: Floats) -> Floats:
        """The sum of the rows, each times its slope: shape (d + c,)."""
        return np.concatenate([slope @ self.dense, self.levels.T @ slope])

    def gram(self, heavy: Floats) -> Floats:
        """The sum of the rows' outer products with themselves, each times its weight: shape (d + c, d + c)."""
        d, width = self.dense.shape[1], self.width
        found = np.zeros((width, width))
        for start in range(0, len(self.dense), CHUNK):
            dense, levels = self.dense[start : start + CHUNK], self.levels[start : start + CHUNK]
            weighted = dense * heavy[start : start + CHUNK, None]
            found[:d, :d] += dense.T @ weighted
            if levels.shape[1]:
                found[d:, :d] += levels.T @ weighted
                scaled = levels.copy()
                scaled.data = heavy[start : start + CHUNK].repeat(np.diff(levels.indptr))
                found[d:, d:] += (levels.T @ scaled).toarray()
        found[:d, d:] = found[d:, :d].T
        return found


def descend(blocks: Blocks, loss: Curved, start: float, *, l2: float) -> tuple[Floats, float]:
    """Weights, shape (d + c,), and the intercept, of least loss + l2 / 2 · sum w².

    Parameters
    ----------
    start : an intercept to begin from, with weights of 0
    l2 : beside a mean loss: divided by the number of rows; above 0
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    weights, intercept = np.zeros(blocks.width), start
    scores = np.full(len(blocks.dense), intercept)
    mean, slope, curve = loss(scores)
    for _ in range(MOST_STEPS):
        gradient = np.append(blocks.across(slope) + l2 * weights, slope.sum())
        if np.abs(gradient).max() <= SMALL:
            break
        second = np.empty((len(gradient), len(gradient)))
        second[:-1, :-1] = blocks.gram(curve)
        second[-1, :-1] = second[:-1, -1] = blocks.across(curve)
        second[-1, -1] = curve.sum()
        diagonal = np.einsum("ii->i", second)
        diagonal[:-1] += l2
        diagonal += 1e-12 * max(float(diagonal.max()), 1e-300)  # where rounding would leave it without a root
        try:
            step = -cho_solve(cho_factor(second, check_finite=False), gradient, check_finite=False)
        except LinAlgError:
            break
        along = blocks.times(step[:-1]) + step[-1]
        whole, promised = mean + 0.5 * l2 * float(weights @ weights), float(gradient @ step)
        for halved in range(HALVINGS):
            share = 0.5**halved
            tried = weights + share * step[:-1]
            found = loss(scores + share * along)
            if found[0] + 0.5 * l2 * float(tried @ tried) <= whole + LEAST_DESCENT * share * promised:
                break
        else:
            break
        weights, intercept = tried, intercept + share * float(step[-1])
        scores = scores + share * along
        mean, slope, curve = found
    return weights, intercept


def squares(y: Floats, heavy: Floats) -> Curved:
    """Half the squared error; `heavy` are the rows' shares, as in all of these."""

    def loss(scores: Floats) -> tuple[float, Floats, Floats]:
        error = scores - y
        return 0.5 * float(heavy @ (error * error)), heavy * error, heavy

    return loss


def chances(truth: Floats, heavy: Floats) -> Curved:
    """Minus the logarithm of the probability of what happened, of two classes."""

    def loss(scores: Floats) -> tuple[float, Floats, Floats]:
        p = 0.5 * (1.0 + np.tanh(0.5 * scores))
        lost = float(heavy @ (np.logaddexp(0.0, scores) - truth * scores))
        return lost, heavy * (p - truth), heavy * (p * (1.0 - p))

    return loss


def rates(y: Floats, heavy: Floats, start: float, most: float) -> Curved:
    """Minus the logarithm of the likelihood of counts; `start` is added to scores; none counts above `most`."""

    def loss(scores: Floats) -> tuple[float, Floats, Floats]:
        score = np.minimum(scores + start, most)
        rate = np.exp(score)
        return float(heavy @ (rate - y * score)), heavy * (rate - y), heavy * rate

    return loss
