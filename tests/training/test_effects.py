"""Effects of features on single answers: exact where a library gives them, close to it where they are estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.scoring.graph import Graph
from headrace.training.effects import MOST_FEATURES, Explains, exact_effects, sampled_effects
from headrace.training.families import Fitted, load_family
from headrace.training.imbalance import corrected
from headrace.training.model import Effects

NAMES = ("strong", "weak", "level", "gappy", "noise")
LEVELS: Sequence[int | None] = (None, None, 3, None, None)
Tasks = pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])


def rows(task: Task, n: int = 600) -> tuple[NDArray[np.float32], NDArray[Any]]:
    rng = np.random.Generator(np.random.PCG64(0))
    X = rng.normal(size=(n, 5)).astype(np.float32)
    X[:, 2] = rng.integers(0, 3, n)
    score = 2.0 * X[:, 0] - 0.5 * X[:, 1] + (X[:, 2] == 1) + X[:, 3]
    X[rng.random(n) < 0.1, 3] = np.nan
    if task == "regression":
        return X, 100.0 + 10.0 * score.astype(np.float64)
    return X, np.digitize(score, [0.0] if task == "binary" else [-1.5, 1.5]).astype(np.int64)


def fit(family: str, task: Task, X: NDArray[np.float32], y: NDArray[Any]) -> Fitted:
    found = load_family(family, task)
    params = dict(found.defaults()[0])
    if "rounds" in params:
        params["rounds"] = 40
    return found.fit(X, y, params, task=task, n_classes=3, levels=LEVELS, seed=0, threads=1)


def shares(scores: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
    """The answers that scores mean."""
    if task == "regression":
        return scores[:, 0]
    if task == "binary":
        return np.asarray(1.0 / (1.0 + np.exp(-scores[:, 0])))
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def by_name(found: Effects | None) -> dict[str, Any]:
    assert found is not None
    return {one.feature: one for one in found.features}


@Tasks
@pytest.mark.parametrize("family", ["lightgbm", "catboost", "xgboost", "linear", "additive"])
def test_what_columns_add_sums_to_the_score(family: str, task: Task) -> None:
    X, y = rows(task)
    model = fit(family, task, X, y)
    assert isinstance(model, Explains)
    parts = model.contributions(X[:50])
    assert parts.shape == (50, 3 if task == "multiclass" else 1, 6)
    assert shares(parts.sum(axis=2), task) == pytest.approx(model.predict(X[:50]), rel=1e-4, abs=1e-5)


@Tasks
@pytest.mark.parametrize("family", ["lightgbm", "linear"])
def test_the_strongest_feature_stands_first_and_its_trend_is_that_of_the_label(family: str, task: Task) -> None:
    X, y = rows(task)
    model = fit(family, task, X, y)
    found = exact_effects([(1.0, model)], model.to_onnx(), X, NAMES, task)
    assert found is not None
    assert found.method == ("linear" if family == "linear" else "tree")
    assert (found.unit, found.rows) == ("label" if task == "regression" else "log-odds", 200)
    assert found.features[0].feature == "strong"
    effects = by_name(found)
    assert len(effects["strong"].effects) == len(effects["strong"].places) == 200
    assert any(place is None for place in effects["gappy"].places)
    if task == "multiclass":
        assert effects["strong"].trend is None
    else:
        assert effects["strong"].trend > 0.9
        assert effects["weak"].trend < -0.8


def test_a_weight_brought_back_to_the_true_prior_changes_no_effect_and_an_ensemble_has_no_exact_ones() -> None:
    X, y = rows("binary")
    model = fit("lightgbm", "binary", X, y)
    plain = exact_effects([(1.0, model)], model.to_onnx(), X, NAMES, "binary")
    moved = corrected(model, np.array([0.8, 0.2]))
    assert exact_effects([(1.0, moved)], moved.to_onnx(), X, NAMES, "binary") == plain
    assert exact_effects([(0.5, model), (0.5, model)], model.to_onnx(), X, NAMES, "binary") is None
    forest = fit("extra_trees", "binary", X, y)
    assert exact_effects([(1.0, forest)], forest.to_onnx(), X, NAMES, "binary") is None


class Wrapped:
    """A linear model whose answers are made of its scores in another way."""

    explained_by = "linear"

    def __init__(self, model: Any, made: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
        self.model, self.made = model, made

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.made(self.model.predict(X) / 100.0)

    def contributions(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(self.model.contributions(X) / 100.0)


def test_parts_that_are_not_what_the_answers_are_made_of_are_not_shown() -> None:
    X, y = rows("regression")
    model = fit("linear", "regression", X, y)
    odd: Any = Wrapped(model, np.sqrt)
    assert exact_effects([(1.0, odd)], model.to_onnx(), X, NAMES, "regression") is None
    counted: Any = Wrapped(model, np.exp)
    found = exact_effects([(1.0, counted)], model.to_onnx(), X, NAMES, "regression")
    assert found is not None
    assert found.unit == "logarithm"


@pytest.mark.parametrize("family", ["lightgbm", "catboost", "xgboost", "linear", "additive"])
def test_of_counts_the_logarithm_is_what_parts_sum_to(family: str) -> None:
    X, y = rows("regression")
    counts = np.random.Generator(np.random.PCG64(1)).poisson(np.exp((y - 100.0) / 20.0)).astype(np.float64)
    objective = Objective(kind="poisson")
    found = load_family(family, "regression")
    params = dict(found.defaults()[0])
    if "rounds" in params:
        params["rounds"] = 40
    model = found.fit(
        X, counts, params, task="regression", n_classes=0, levels=LEVELS, seed=0, threads=1, objective=objective
    )
    effects = exact_effects([(1.0, model)], model.to_onnx(), X, NAMES, "regression")
    assert effects is not None
    assert effects.unit == "logarithm"
    assert effects.features[0].feature == "strong"


@Tasks
def test_estimates_from_answers_are_near_the_exact_ones(task: Task) -> None:
    X, y = rows(task)
    model = fit("linear", task, X, y)
    exact = by_name(exact_effects([(1.0, model)], model.to_onnx(), X, NAMES, task))
    graph = Graph(model.to_onnx())
    found = sampled_effects(lambda X: graph.raw(X).astype(np.float64), X, NAMES, task, NAMES, row_us=10.0, seed=0)
    assert found is not None
    assert found.method == "sampled"
    assert found.features[0].feature == "strong"
    if task != "multiclass":  # a class's share is asked, not its score
        for name, one in by_name(found).items():
            assert one.size == pytest.approx(exact[name].size, rel=0.25, abs=0.2)


def test_estimates_add_up_to_how_far_answers_are_from_those_they_started_at() -> None:
    X, _ = rows("regression", 300)

    def predict(X: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(np.where(X[:, 0] > 0, 10.0, 0.0) * (X[:, 2] + 1) + np.nan_to_num(X[:, 3]), np.float64)

    found = sampled_effects(predict, X, NAMES, "regression", NAMES, row_us=1.0, seed=1)
    effects = by_name(found)
    assert "noise" not in effects, "what changes nothing is not shown"
    total = np.sum([one.effects for one in effects.values()], axis=0)
    asked = predict(X[np.linspace(0, 299, 150).astype(int)])
    assert np.mean(asked - total) == pytest.approx(predict(X).mean(), rel=0.1)
    assert np.corrcoef(total, asked)[0, 1] > 0.95


def test_of_many_features_those_that_matter_are_asked_one_by_one_and_the_others_together() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    X = rng.normal(size=(100, 60)).astype(np.float32)
    names = [f"x{column}" for column in range(60)]
    asked = ["x59", "x3", *(name for name in names if name not in ("x59", "x3"))]
    found = sampled_effects(
        lambda X: np.asarray(X[:, 59] + 0.5 * X[:, 50], np.float64), X, names, "regression", asked, row_us=1.0, seed=0
    )
    effects = by_name(found)
    assert list(effects) == ["x59", "30 others"]
    assert set(effects["30 others"].places) == {None}
    assert effects["30 others"].trend is None
    assert len(effects) <= MOST_FEATURES
