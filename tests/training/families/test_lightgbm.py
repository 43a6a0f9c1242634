"""LightGBM: the suite, and what its thresholds and missing values mean."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.scoring.graph import Graph
from headrace.testing.families import FamilySuite
from headrace.training.families import Family
from headrace.training.families.lightgbm import LightGBM


class TestLightGBM(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return LightGBM()

    def test_neighbouring_float32_values_take_the_library_s_branches(self) -> None:
        """A float64 threshold between two neighbours would round to either of them; rounded down it divides them."""
        rng = np.random.default_rng(0)
        steps = rng.integers(0, 12, (4_000, 3))
        X = (np.float32(1.0) + steps * np.spacing(np.float32(1.0))).astype(np.float32)
        assert [len(np.unique(column)) for column in X.T] == [12, 12, 12]
        y = steps @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=len(X))
        family = LightGBM()
        fitted = family.fit(
            X, y, family.defaults()[0], task="regression", n_classes=0, levels=[None] * 3, seed=0, threads=1
        )
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-5 * np.std(y)

    def test_missing_values_are_zero_where_training_had_none(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(loc=1.0, size=(2_000, 2)).astype(np.float32)
        y = (X[:, 0] > 0).astype(np.int64)
        family = LightGBM()
        fitted = family.fit(
            X, y, family.defaults()[0], task="binary", n_classes=2, levels=[None, None], seed=0, threads=1
        )
        X[::2, 0] = np.nan
        X[::3, 1] = np.nan
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-6
