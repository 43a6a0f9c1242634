"""What is done to training rows of rare classes, and that probabilities come back to the true prior."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from headrace.scoring.graph import Graph
from headrace.testing.families import CLASSES, LEVELS, family_rows
from headrace.training.families.forest import ExtraTrees, Forest
from headrace.training.families.lightgbm import LightGBM
from headrace.training.families.linear import Linear
from headrace.training.imbalance import STRATEGIES, Corrected, StrategyImpossible, corrected, resample
from headrace.training.trial_worker import EncodedFold, Job, fit_fold

NUMBERS = (None,) * len(LEVELS)


def rare(n: int = 4_000, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows of which about one in twenty is positive, more often where column 0 and 1 are large."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, len(LEVELS))).astype(np.float32)
    p = 1 / (1 + np.exp(-(1.2 * X[:, 0] + 0.8 * X[:, 1] - 3.9)))
    return X, (rng.random(n) < p).astype(np.int64)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("family", [LightGBM(), Linear()])
def test_probabilities_are_those_of_the_true_prior_whatever_was_learnt_from(strategy: str, family: LightGBM) -> None:
    X, y = rare(8_000)
    given = resample(strategy, X, y, NUMBERS, 2, seed=3)
    params = dict(family.defaults()[0])
    if "rounds" in params:
        params |= {"rounds": 30, "num_leaves": 4, "min_data_in_leaf": 100}
    fitted = family.fit(
        given.X, given.y, params, task="binary", n_classes=2, levels=NUMBERS, seed=1, threads=1, weights=given.weights
    )
    asked, truth = rare(20_000, seed=2)
    said = corrected(fitted, given.shift).predict(asked).mean()
    assert abs(said - truth.mean()) < 0.35 * truth.mean()
    if strategy != "none":
        assert fitted.predict(asked).mean() > 3 * truth.mean()


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("family", [LightGBM(), Linear()])
def test_the_corrected_graph_says_what_the_corrected_model_says(task: str, family: LightGBM) -> None:
    X, y = family_rows(2_000, task, seed=1)  # type: ignore[arg-type]
    k = 2 if task == "binary" else CLASSES
    params = dict(family.defaults()[0])
    if "rounds" in params:
        params["rounds"] = 60
    fitted = family.fit(X, y, params, task=task, n_classes=k, levels=LEVELS, seed=1, threads=1)  # type: ignore[arg-type]
    moved = Corrected(fitted, np.array([1.9, 0.06, 1.0, 0.5][:k]))
    asked, _ = family_rows(3_000, task, seed=2, unseen=True)  # type: ignore[arg-type]
    assert np.abs(Graph(moved.to_onnx()).raw(asked) - moved.predict(asked)).max() <= 1e-6
    if k > 2:
        np.testing.assert_allclose(moved.predict(asked).sum(axis=1), 1.0, atol=1e-9)


def test_samplers_change_how_often_a_class_is_seen_and_never_what_it_looks_like() -> None:
    X, y = rare()
    over, under = (resample(name, X, y, NUMBERS, 2, seed=5) for name in ("oversample", "undersample"))
    positives = int(y.sum())
    assert np.bincount(over.y).tolist() == [len(y) - positives] * 2
    assert np.bincount(under.y).tolist() == [positives] * 2
    known = {row.tobytes() for row in X}
    assert all(row.tobytes() in known for row in np.vstack([over.X, under.X]))
    assert {row.tobytes() for row in over.X} == known
    again = resample("undersample", X, y, NUMBERS, 2, seed=5)
    np.testing.assert_array_equal(again.X, under.X)


def test_made_rows_lie_between_neighbours_and_keep_levels() -> None:
    X, y = rare()
    X[:, 3] = np.random.default_rng(0).integers(0, 4, len(X))
    X[::7, 0] = np.nan
    X[::9, 3] = np.nan
    levels = (None, None, None, 4, None, None, None, None)
    made = resample("smote", X, y, levels, 2, seed=5)
    np.testing.assert_array_equal(made.X[: len(X)], X)
    new = made.X[len(X) :]
    assert len(new) == len(y) - 2 * y.sum()
    assert (made.y[len(X) :] == 1).all()
    assert set(np.unique(new[:, 3][~np.isnan(new[:, 3])])) <= {0.0, 1.0, 2.0, 3.0}
    own = X[y == 1]
    for column in (1, 2):
        assert new[:, column].min() >= own[:, column].min() - 1e-5
        assert new[:, column].max() <= own[:, column].max() + 1e-5


def test_what_cannot_be_sampled_says_why() -> None:
    X, y = rare(200)
    with pytest.raises(StrategyImpossible, match="the label is a number"):
        resample("smote", X, y.astype(np.float64), NUMBERS, 0, seed=1)
    one = np.zeros(200, np.int64)
    one[7] = 1
    with pytest.raises(StrategyImpossible, match="a class has 1 training rows in a fold; 2 are needed"):
        resample("smote", X, one, NUMBERS, 2, seed=1)
    with pytest.raises(StrategyImpossible, match="smote takes them"):
        resample("adasyn", X, y, LEVELS, 2, seed=1)
    with pytest.raises(StrategyImpossible, match="no number"):
        resample("smote", X, y, (3,) * len(LEVELS), 2, seed=1)


@pytest.mark.parametrize("strategy", ["weights", "oversample"])
def test_what_stops_early_is_stopped_in_the_world_that_it_learns_in(strategy: str) -> None:
    """Checked rows of the true prior would tell a model of balanced rows to learn on for ever: its scores are far from
    their labels until it knows every training row by heart."""
    X, y = rare(6_000)
    asked, truth = rare(3_000, seed=8)
    fold = EncodedFold(NUMBERS, X, y, asked, truth, np.arange(len(asked)))
    params = dict(LightGBM().defaults()[0]) | {"rounds": 400}
    job = Job(
        family="headrace.training.families.lightgbm:LightGBM",
        params=params,
        task="binary",
        n_classes=2,
        metric="log_loss",
        imbalance=strategy,
        seed=1,
        threads=1,
        limit=1e-5,
    )
    answer = fit_fold(job, 0, fold, time.monotonic)
    plain = fit_fold(replace(job, imbalance="none"), 0, fold, time.monotonic)
    assert answer.settled["rounds"] < 150
    assert -answer.score < -plain.score * 1.15


@pytest.mark.parametrize("strategy", ["undersample", "smote", "weights"])
@pytest.mark.parametrize("family", [ExtraTrees(), Forest()])
def test_a_corrected_forest_agrees_with_its_graph_however_rare_the_class(strategy: str, family: Forest) -> None:
    X, y = rare(6_000)
    y[np.flatnonzero(y == 1)[::4]] = 0
    given = resample(strategy, X, y, NUMBERS, 2, seed=3)
    fitted = family.fit(
        given.X,
        given.y,
        family.defaults()[0],
        task="binary",
        n_classes=2,
        levels=NUMBERS,
        seed=1,
        threads=1,
        weights=given.weights,
    )
    moved = corrected(fitted, given.shift)
    asked, _ = rare(5_000, seed=2)
    graph = Graph(moved.to_onnx())
    assert np.abs(graph.raw(asked) - moved.predict(asked)).max() <= 1e-6
    np.testing.assert_array_equal(
        np.concatenate([graph.raw(asked[i : i + 1]) for i in range(50)]), graph.raw(asked)[:50]
    )
