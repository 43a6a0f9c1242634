"""Linear models."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.testing.families import FamilySuite
from headrace.training.families import Family
from headrace.training.families.linear import CLIP, Design, FittedLinear, Linear


class TestLinear(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return Linear()


def test_one_wild_value_does_not_steer_the_linear_design() -> None:
    X = np.array([[0.0], [1.0], [2.0], [3e38], [np.nan]], np.float32)
    design = Design.learn(X[:3], [None])
    rows = design.rows(X).toarray()
    assert rows[3, 0] == CLIP
    assert rows[4, 0] == 0.0  # the median is the mean here


def rows_of_which_few_matter(n: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 30)).astype(np.float32)
    return X, X[:, :4] @ [1.0, -1.0, 0.5, 0.8] + rng.normal(size=n)


@pytest.mark.parametrize(("task", "n_classes"), [("regression", 0), ("binary", 2), ("multiclass", 3)])
def test_an_elastic_net_is_scikit_learn_s_and_leaves_weights_out(task: Task, n_classes: int) -> None:
    from sklearn.linear_model import ElasticNet, LogisticRegression

    X, score = rows_of_which_few_matter(1_500)
    y: Any = {"regression": score, "binary": (score > 0).astype(int), "multiclass": np.digitize(score, [-0.8, 0.8])}[
        task
    ]
    params = {"l2": 5.0, "l1": 30.0 / 1_500**0.5}
    fitted = Linear().fit(X, y, params, task=task, n_classes=n_classes, levels=[None] * 30, seed=0, threads=1)
    assert isinstance(fitted, FittedLinear)
    design = fitted.design.rows(X).toarray()
    if task == "regression":
        own = (y - y.mean()) / y.std()
        other = (
            ElasticNet(alpha=35.0 / len(y), l1_ratio=30 / 35, tol=1e-9, max_iter=10_000).fit(design, own).coef_[:, None]
        )
    else:
        settings = {"penalty": "elasticnet", "solver": "saga", "l1_ratio": 30 / 35, "C": 1 / 35.0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            other = LogisticRegression(**settings, tol=1e-8, max_iter=10_000).fit(design, y).coef_.T
    np.testing.assert_allclose(fitted.weights, other, atol=2e-3)
    assert (fitted.weights[:4] != 0).any(axis=1).all()
    assert np.mean(fitted.weights[4:] == 0) > 0.5
    plain = Linear().fit(X, y, {"l2": 5.0}, task=task, n_classes=n_classes, levels=[None] * 30, seed=0, threads=1)
    assert isinstance(plain, FittedLinear)
    assert (plain.weights != 0).all()


def test_a_linear_quantile_is_the_linear_program_s() -> None:
    from sklearn.linear_model import QuantileRegressor

    X, y = rows_of_which_few_matter(400)
    aim = Objective(kind="quantile", quantile=0.8)
    fitted = Linear().fit(
        X, y, {"l2": 1e-2}, task="regression", n_classes=0, levels=[None] * 30, seed=0, threads=1, objective=aim
    )
    assert isinstance(fitted, FittedLinear)
    design = fitted.design.rows(X).toarray()
    exact = QuantileRegressor(quantile=0.8, alpha=0.0).fit(design, y)
    loss = [
        float(np.mean(np.maximum(0.8 * (y - p), -0.2 * (y - p)))) for p in (fitted.predict(X), exact.predict(design))
    ]
    assert loss[0] == pytest.approx(loss[1], rel=5e-3)
    assert np.mean(y <= fitted.predict(X)) == pytest.approx(0.8, abs=0.005)
