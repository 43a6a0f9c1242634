"""Newton's method on dense and one-hot columns ends where scikit-learn's solvers end."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from headrace.training.families import newton
from headrace.training.families.linear import Design
from headrace.training.families.newton import Blocks, descend
from headrace.training.families.penalised import shares

Floats = NDArray[np.float64]


def table(n: int, seed: int = 0) -> tuple[NDArray[np.float32], Design, Floats]:
    """Numbers with gaps and two categories, one of them wide; and scores that depend on all."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 4)) * [1.0, 50.0, 1e-3, 1.0]
    codes = np.column_stack([rng.integers(0, 5, n), np.minimum(rng.geometric(0.08, n), 40) - 1])
    score = numbers[:, 0] + 0.02 * numbers[:, 1] + 0.4 * (codes[:, 0] - 2) + 0.05 * codes[:, 1]
    X = np.column_stack([numbers, codes]).astype(np.float32)
    X[rng.random(n) < 0.1, 2] = np.nan
    X[rng.random(n) < 0.05, 5] = np.nan
    return X, Design.learn(X, [None, None, None, None, 5, 40]), score - score.mean()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l2", [1e-2, 1.0, 300.0])
def test_it_ends_where_scikit_learn_ends(l2: float, weighted: bool) -> None:
    X, design, score = table(3_000)
    rng = np.random.default_rng(1)
    weights = rng.choice([1.0, 8.0], len(X)) if weighted else None
    heavy, whole = shares(len(X), weights), len(X) if weights is None else float(weights.sum())
    rows, blocks = design.rows(X).toarray(), design.blocks(X)

    truth = (rng.random(len(X)) < 1 / (1 + np.exp(-2 * score))).astype(np.float64)
    found, intercept = descend(blocks, newton.chances(truth, heavy), 0.0, l2=l2 / whole)
    model = LogisticRegression(C=1 / l2, solver="newton-cholesky", tol=1e-9).fit(rows, truth, sample_weight=weights)
    assert blocks.times(found) + intercept == pytest.approx(model.decision_function(rows), abs=2e-3)

    y = score + rng.normal(size=len(X))
    found, intercept = descend(blocks, newton.squares(y, heavy), float(heavy @ y), l2=l2 / whole)
    ridge = Ridge(alpha=l2).fit(rows, y, sample_weight=weights)
    assert blocks.times(found) + intercept == pytest.approx(ridge.predict(rows), abs=1e-5)

    counts = rng.poisson(np.exp(0.5 * score)).astype(np.float64)
    found, intercept = descend(blocks, newton.rates(counts, heavy, 0.1, 30.0), 0.0, l2=l2 / len(X))
    poisson = PoissonRegressor(alpha=l2 / len(X), solver="newton-cholesky", tol=1e-9).fit(
        rows, counts, sample_weight=weights
    )
    assert np.exp(blocks.times(found) + intercept + 0.1) == pytest.approx(poisson.predict(rows), rel=2e-3)


def test_the_gram_matrix_is_that_of_the_whole_rows() -> None:
    X, design, _ = table(newton.CHUNK + 500)
    blocks, rows = design.blocks(X), design.rows(X).toarray()
    heavy = np.random.default_rng(2).random(len(X))
    assert blocks.gram(heavy) == pytest.approx(rows.T @ (rows * heavy[:, None]), rel=1e-9, abs=1e-9)
    assert blocks.across(heavy) == pytest.approx(rows.T @ heavy, rel=1e-9, abs=1e-9)


def test_classes_that_a_column_tells_apart_end_at_a_finite_slope() -> None:
    x = np.linspace(-1, 1, 400)
    from scipy.sparse import csr_array

    blocks = Blocks(x[:, None], csr_array((400, 0)))
    heavy = shares(400, None)
    found, _ = descend(blocks, newton.chances((x > 0).astype(np.float64), heavy), 0.0, l2=1e-6 / 400)
    assert 50 < found[0] < 1e6
    assert np.isfinite(found).all()


def test_columns_that_repeat_and_constants_do_no_harm() -> None:
    rng = np.random.default_rng(3)
    from scipy.sparse import csr_array

    x = rng.normal(size=500)
    dense = np.column_stack([x, x, np.zeros(500), x * 1e-9])
    y = (x + rng.normal(size=500) > 0).astype(np.float64)
    blocks = Blocks(dense, csr_array((500, 0)))
    found, _ = descend(blocks, newton.chances(y, shares(500, None)), 0.0, l2=1.0 / 500)
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[2] == 0.0
