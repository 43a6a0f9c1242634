"""Nearest neighbours: the suite, and whom they take for near."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.testing.families import FamilySuite
from headrace.training.families import Family
from headrace.training.families.knn import MOST_ROWS, FittedNeighbours, NearestNeighbours


class TestNearestNeighbours(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return NearestNeighbours()

    def test_neighbours_are_those_that_scikit_learn_finds(self) -> None:
        from sklearn.neighbors import KNeighborsRegressor

        rng = np.random.default_rng(0)
        X = rng.normal(size=(600, 4)).astype(np.float32)
        y = X @ np.array([1.0, 2.0, -1.0, 0.0]) + rng.normal(size=len(X))
        params = {"neighbours": 7, "nearer_more": False}
        fitted = NearestNeighbours().fit(
            X, y, params, task="regression", n_classes=0, levels=[None] * 4, seed=0, threads=1
        )
        assert isinstance(fitted, FittedNeighbours)
        plain = KNeighborsRegressor(7).fit(fitted.design, y)
        asked = rng.normal(size=(50, 4)).astype(np.float32)
        design = fitted.steps.design(fitted.steps.rows(asked))
        expected = (7 * plain.predict(design) + y.mean()) / 8
        np.testing.assert_allclose(fitted.predict(asked), expected, rtol=1e-9)

    def test_of_many_rows_some_are_kept(self) -> None:
        X = np.arange(MOST_ROWS + 500, dtype=np.float32)[:, None]
        y = (X[:, 0] > 9_000).astype(np.int64)
        fitted = NearestNeighbours().fit(
            X, y, NearestNeighbours().defaults()[0], task="binary", n_classes=2, levels=[None], seed=0, threads=1
        )
        assert isinstance(fitted, FittedNeighbours)
        assert len(fitted.design) == MOST_ROWS
        asked = np.array([[100.0], [20_000.0]], np.float32)
        low, high = fitted.predict(asked)
        assert low < 0.05
        assert high > 0.95
