"""LightGBM: the suite, and what its thresholds and missing values mean."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.scoring.graph import Graph
from headrace.testing.families import FamilySuite
from headrace.training.families import Family
from headrace.training.families.lightgbm import FittedTrees, LightGBM, read_trees


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

    def test_trees_without_a_split_are_compiled_among_others_and_alone(self) -> None:
        """A class of few rows is not split for, beside one that is; in noise of few rows nothing is."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 2)).astype(np.float32)
        y = np.where(X[:, 0] > 0, 1, 0)
        y[:2] = 2
        family = LightGBM()
        params = {**family.defaults()[0], "rounds": 5, "lambda_l1": 5.0}
        fitted = family.fit(X, y, params, task="multiclass", n_classes=3, levels=[None] * 2, seed=0, threads=1)
        assert isinstance(fitted, FittedTrees)
        splits = [len(tree.feature) for tree in read_trees(fitted.text, 3)]
        assert min(splits) == 0
        assert max(splits) > 0
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-6
        fitted = family.fit(
            X * 0, X[:, 0], params, task="regression", n_classes=0, levels=[None] * 2, seed=0, threads=1
        )
        assert isinstance(fitted, FittedTrees)
        assert [len(tree.feature) for tree in read_trees(2 * fitted.text, 1)] == [0, 0]
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-6
