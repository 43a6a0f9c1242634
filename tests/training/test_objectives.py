"""Counts and quantiles through the search: who learns them, what they are measured by, what the package answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.definition.model import Budget, Objective, Split, Training
from headrace.features.encoder import encode_columns
from headrace.scoring.decision import Decider
from headrace.scoring.graph import Graph
from headrace.training.answers import unpack_answers
from headrace.training.conformal import with_uncertainty
from headrace.training.data import Examples
from headrace.training.errors import ObjectiveNotLearnt, TargetUnusable
from headrace.training.evaluate import Holdout, evaluate
from headrace.training.families import FAMILIES, load_family, usual_families
from headrace.training.fit import fit_chosen
from headrace.training.measure import agreement_limit
from headrace.training.model import SearchResult
from headrace.training.search import search

COUNTS = Objective(kind="poisson")
LATE = Objective(kind="quantile", quantile=0.9)
SPLIT = Split(by="random", folds=3)


def parcels(n: int, *, seed: int = 0, counts: bool = False) -> Examples:
    """Values whose spread depends on the rows, or counts, mostly small."""
    examples = make_examples(n, "regression", seed=seed)
    rng = np.random.default_rng(seed + 50)
    if counts:
        return dataclasses.replace(examples, y=rng.poisson(np.exp(examples.y - 1.0)).astype(np.float64))
    return dataclasses.replace(examples, y=examples.y + rng.exponential(np.exp(0.5 * examples.y)))


def run(examples: Examples, objective: Objective, **settings: Any) -> tuple[SearchResult, Training, MemoryRecorder]:
    training = Training(budget=Budget(trials=6), threads=1, objective=objective, **settings)
    recorder = MemoryRecorder()
    return search(examples, training, SPLIT, None, recorder=recorder, clock=StepClock(0.001)), training, recorder


@pytest.mark.parametrize(("objective", "metric"), [(COUNTS, "poisson_deviance"), (LATE, "pinball_90")])
def test_a_search_is_measured_by_what_is_learnt_and_the_best_together_are_packed(
    objective: Objective, metric: str
) -> None:
    counts = objective.kind == "poisson"
    examples, further = parcels(12_000, counts=counts), parcels(2_000, seed=9, counts=counts)
    result, training, recorder = run(examples, objective, families=("linear", "lightgbm", "mlp"))
    assert result.metric == metric
    assert not result.higher_is_better
    assert all(trial.state == "done" for trial in result.trials[:3])
    together = result.trials[-1]
    assert together.form == "ensemble"
    fitted = fit_chosen(examples, together, training, SPLIT, trials=result.trials, fetch=recorder.fetch)
    X = encode_columns(fitted.encoder, further.rows)
    answer = fitted.predict(X)
    raw = Graph(fitted.onnx).raw(X)
    assert np.abs(raw - answer).max() <= agreement_limit("regression", fitted.label_spread)
    if counts:
        assert answer.min() > 0
        assert answer.mean() == pytest.approx(further.y.mean(), rel=0.2)
    else:
        assert np.mean(further.y <= answer) == pytest.approx(0.9, abs=0.03)

    assert together.answers is not None
    assert together.decision is not None
    asked = unpack_answers(recorder.fetch(together.answers))
    decision = with_uncertainty(
        together.decision, examples.y[asked.rows], asked.scores, asked.fold, coverage=0.8, least=0.0 if counts else None
    )
    low, high = Decider(decision).uncertainty.intervals(answer)
    assert np.mean((low <= further.y) & (further.y <= high)) > 0.77
    if counts:
        assert low.min() == 0.0
        assert Decider(decision).uncertainty.interval(float(answer.min()))[0] == 0.0
    found = evaluate(
        Holdout(X, further.y, answer, [column.name for column in fitted.encoder.columns]),
        fitted.onnx,
        decision,
        metric="pinball_97.5",
        quantile=objective.quantile,
        costs=None,
        label_spread=fitted.label_spread,
    )
    assert {"pinball_97.5", metric} <= {interval.name for interval in found.metrics}
    if counts:
        assert found.below is None
    else:
        assert found.below is not None
        assert found.below.share.low < 0.9 < found.below.share.high
        assert found.below.share.value == pytest.approx(np.mean(further.y <= answer))
        assert found.below.gain.low > 0.1


def test_a_family_that_cannot_learn_it_is_refused_when_named_and_left_out_else() -> None:
    assert usual_families(LATE) == ("linear", "lightgbm", "mlp", "catboost")
    assert usual_families(COUNTS) == usual_families()
    with pytest.raises(
        ObjectiveNotLearnt, match=r"extra_trees does not learn the objective quantile.*catboost"
    ) as caught:
        run(parcels(200), LATE, families=("linear", "extra_trees"))
    assert caught.value.fix == "take extra_trees out of [training] families, or leave `families` out"


def test_every_family_says_what_it_learns() -> None:
    for name in FAMILIES:
        assert "mean" in load_family(name, "regression").objectives


def test_labels_that_are_no_counts_are_refused() -> None:
    with pytest.raises(TargetUnusable, match=r"below 0 in [0-9]+ of 200 rows"):
        run(parcels(200), COUNTS)
    with pytest.raises(TargetUnusable, match="quantile is an objective of values"):
        run(make_examples(200, "binary"), LATE)
