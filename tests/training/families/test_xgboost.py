"""XGBoost: the suite, and what its branches and missing values mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.scoring.graph import Graph
from headrace.testing.families import FamilySuite
from headrace.training.families import Family
from headrace.training.families.xgboost import XGBoost


class TestXGBoost(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return XGBoost()

    def test_a_value_that_is_a_split_goes_right_as_in_the_library(self) -> None:
        """XGBoost asks `x < split`, the graph `x <=`: whole numbers, zero among them, are splits themselves."""
        rng = np.random.default_rng(0)
        X = rng.integers(-3, 4, (3_000, 3)).astype(np.float32)
        y = X @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=len(X))
        params = dict(XGBoost().defaults()[0]) | {"rounds": 40}
        fitted = XGBoost().fit(X, y, params, task="regression", n_classes=0, levels=[None] * 3, seed=0, threads=1)
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-5 * np.std(y)

    def test_the_largest_numbers_can_be_learnt_from(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(500, 2)).astype(np.float32)
        X[::3, 0] = np.finfo(np.float32).max
        X[1::3, 0] = -np.finfo(np.float32).max
        y = (X[:, 0] > 1e30).astype(np.int64)
        fitted = XGBoost().fit(
            X, y, XGBoost().defaults()[0], task="binary", n_classes=2, levels=[None] * 2, seed=0, threads=1
        )
        answer = fitted.predict(X)
        assert np.mean((answer > 0.5) == y) == 1.0
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - answer).max() <= 1e-6

    @pytest.mark.parametrize(("task", "y"), [("binary", np.zeros(60, np.int64)), ("regression", np.full(60, 3.5))])
    def test_one_label_is_answered_as_it_is(self, task: Any, y: Any) -> None:
        X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
        fitted = XGBoost().fit(
            X, y, XGBoost().defaults()[0], task=task, n_classes=2, levels=[None] * 2, seed=0, threads=1
        )
        np.testing.assert_allclose(fitted.predict(X), y, atol=1e-12)
        np.testing.assert_allclose(Graph(fitted.to_onnx()).raw(X), y, atol=1e-12)
