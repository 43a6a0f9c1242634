"""Balanced ensembles: which rows each model sees, that they are one graph, and that they say true probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from tests.training.samples import MemoryRecorder, StepClock, make_examples
from tests.training.test_imbalance import NUMBERS, rare

from headrace.definition.model import Budget, Costs, Split, Training
from headrace.features.encoder import encode_columns
from headrace.scoring.graph import Graph
from headrace.testing.families import CLASSES, LEVELS, family_rows
from headrace.training.families.forest import ExtraTrees
from headrace.training.families.lightgbm import LightGBM
from headrace.training.families.linear import Linear
from headrace.training.fit import fit_chosen
from headrace.training.imbalance import StrategyImpossible, corrected
from headrace.training.learn import BALANCED, MOST_MODELS, Rows, balanced_samples, learn
from headrace.training.search import search

SMALL = {"rounds": 30, "num_leaves": 4, "min_data_in_leaf": 100}


def test_every_model_sees_all_rare_rows_and_as_many_others_and_together_they_see_all() -> None:
    y = np.repeat([0, 1, 2], [70, 9, 20])
    samples = balanced_samples(y, 3, seed=1)
    assert len(samples) == 8
    for sample in samples:
        assert np.bincount(y[sample]).tolist() == [9, 9, 9]
        assert len(np.unique(sample)) == 27
    assert len(np.unique(np.concatenate(samples))) == 99
    assert len(balanced_samples(np.repeat([0, 1], [1_000, 10]), 2, seed=1)) == MOST_MODELS
    assert len(balanced_samples(np.repeat([0, 1], [10, 10]), 2, seed=1)) == 2


@pytest.mark.parametrize("family", [LightGBM(), Linear(), ExtraTrees()])
def test_a_balanced_ensemble_is_one_graph_and_says_probabilities_of_the_true_prior(family: LightGBM) -> None:
    X, y = rare(8_000)
    params = dict(family.defaults()[0])
    if "rounds" in params:
        params |= SMALL
    fitted, shift = learn(
        BALANCED, family, Rows(X, y), params, task="binary", n_classes=2, levels=NUMBERS, seed=1, threads=1
    )
    asked, truth = rare(20_000, seed=2)
    answers = corrected(fitted, shift).predict(asked)
    assert abs(answers.mean() - truth.mean()) < 0.35 * truth.mean()
    assert np.abs(Graph(fitted.to_onnx()).raw(asked) - answers).max() <= 1e-6


def test_of_several_classes_too() -> None:
    X, y = family_rows(3_000, "multiclass", seed=1)
    params = dict(LightGBM().defaults()[0]) | SMALL
    fitted, _ = learn(
        BALANCED,
        LightGBM(),
        Rows(X, y),
        params,
        task="multiclass",
        n_classes=CLASSES,
        levels=LEVELS,
        seed=1,
        threads=1,
        check=Rows(*family_rows(600, "multiclass", seed=3)),
    )
    asked, truth = family_rows(3_000, "multiclass", seed=2)
    answers = fitted.predict(asked)
    np.testing.assert_allclose(answers.mean(axis=0), np.bincount(truth) / len(truth), atol=0.03)
    assert np.abs(Graph(fitted.to_onnx()).raw(asked) - answers).max() <= 1e-6
    assert 1 <= fitted.settled["rounds"] <= 30


def test_a_label_that_is_a_number_cannot_be_balanced() -> None:
    X, y = family_rows(100, "regression", seed=1)
    with pytest.raises(StrategyImpossible, match="a number, not a class"):
        learn(
            BALANCED,
            Linear(),
            Rows(X, y),
            {"l2": 1.0},
            task="regression",
            n_classes=0,
            levels=LEVELS,
            seed=1,
            threads=1,
        )


def test_it_is_raced_like_the_others_and_packed_as_one_graph() -> None:
    recorder = MemoryRecorder()
    examples, split = make_examples(600), Split(by="random", folds=3)
    training = Training(families=("lightgbm",), budget=Budget(trials=2), threads=1, imbalance=("none", BALANCED))
    costs = Costs(false_positive=1.0, false_negative=20.0)
    result = search(examples, training, split, costs, recorder=recorder, clock=StepClock(0.001))
    trial = next(trial for trial in result.trials if trial.imbalance == BALANCED)
    assert trial.state == "done"
    assert trial.form == "refit"
    assert trial.race is not None
    assert trial.race.against == 0
    fitted = fit_chosen(examples, trial, training, split, trials=result.trials, fetch=recorder.fetch)
    X = encode_columns(fitted.encoder, make_examples(300, seed=4).rows)
    assert np.abs(Graph(fitted.onnx).raw(X) - fitted.predict(X)).max() <= 1e-6
