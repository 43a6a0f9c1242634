"""Folds as matrices: what encodings learn, they learn from the fold's own training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.data.model import Field
from headrace.definition.model import Budget, Encoding, Split, Task, Training
from headrace.features.encodings.plan import count_inputs
from headrace.features.encodings.targets import Parts, Past
from headrace.language.types import Type
from headrace.training.data import Examples
from headrace.training.fit import fit_chosen
from headrace.training.folding import EncodedFolds
from headrace.training.lessons import PARTS, labels_of
from headrace.training.metrics import measure, metric_of
from headrace.training.search import search
from headrace.training.splits import make_folds

BY: Sequence[Any] = ("time", "random", "stratified", "group")
TARGET = [Encoding(name="city", kinds=("target",), smoothing=0.5), Encoding(name="count", kinds=("frequency",))]


def folds_of(examples: Examples, split: Split, encodings: Sequence[Encoding] = TARGET) -> EncodedFolds:
    metric = metric_of("roc_auc", "binary")
    return EncodedFolds(examples, make_folds(examples, split), metric, split=split, encodings=encodings)


@pytest.mark.parametrize("by", BY)
def test_validation_labels_and_values_reach_no_encoding(by: Any) -> None:
    """Under a time split neither; where folds are drawn by lot, levels are those of all training rows, labels never."""
    examples, split = make_examples(400), Split(by=by, folds=3)
    folds = make_folds(examples, split)
    before = [fold.X_train.copy() for fold in folds_of(examples, split)]
    for number, fold in enumerate(folds):
        y = examples.y.copy()
        y[fold.validation] = 1 - y[fold.validation]
        rows = examples.rows.with_columns(city=pl.lit("elsewhere"), count=pl.lit(77, pl.Int64))
        if by != "time":
            rows = examples.rows
        mixed = pl.concat([examples.rows, rows])[
            np.where(np.isin(np.arange(400), fold.validation), np.arange(400) + 400, np.arange(400)).tolist()
        ]
        changed = Examples(**{**fields(examples), "y": y, "rows": mixed})
        metric = metric_of("roc_auc", "binary")
        (encoded,) = EncodedFolds(changed, [fold], metric, split=split, encodings=TARGET)
        np.testing.assert_array_equal(encoded.X_train, before[number])


def fields(examples: Examples) -> dict[str, Any]:
    return {name: getattr(examples, name) for name in examples.__slots__}


@pytest.mark.parametrize("by", BY)
def test_a_key_without_meaning_is_worth_nothing_in_training_as_in_validation(by: Any) -> None:
    n = 12_000
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    time = np.arange(n, dtype=np.int64)
    examples = Examples(
        task="binary",
        classes=("false", "true"),
        outputs=(Field(name="key", type=Type.CATEGORY),),
        rows=pl.DataFrame({"key": [f"k{key}" for key in rng.integers(0, 3_000, n)]}),
        y=y,
        time_us=time,
        label_known_us=time + 20,
        groups=rng.integers(0, 50, n),
    )
    metric = metric_of("roc_auc", "binary")
    for fold in folds_of(examples, Split(by=by, folds=2), [Encoding(name="key", kinds=("target",), smoothing=1.0)]):
        for X, labels in ((fold.X_train, fold.y_train), (fold.X_validation, fold.y_validation)):
            assert measure(metric, labels, X[:, 0].astype(np.float64), "binary") == pytest.approx(0.5, abs=0.025)


def test_rows_are_kept_apart_as_the_split_says() -> None:
    examples = make_examples(300)
    past = labels_of(examples, Split(by="time")).apart
    assert isinstance(past, Past)
    assert past.known_us is not None
    np.testing.assert_array_equal(past.known_us, examples.label_known_us)
    for by in BY[1:]:
        parts = labels_of(examples, Split(by=by)).apart
        assert isinstance(parts, Parts)
        assert set(parts.number) == set(range(PARTS))
        if by == "group":
            homes = {group: set(parts.number[examples.groups == group]) for group in range(7)}
            assert all(len(home) == 1 for home in homes.values()), "a group stays whole"
        if by == "stratified":
            positives = np.bincount(parts.number[examples.y == 1])
            assert positives.max() - positives.min() <= 1


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_target_has_an_input_for_each_of_several_classes(task: Task) -> None:
    examples, split = make_examples(300, task), Split(by="time", folds=2)
    metric = metric_of(None, task)
    folds = EncodedFolds(examples, make_folds(examples, split), metric, split=split, encodings=TARGET)
    width = count_inputs(examples.outputs, TARGET, examples.classes)
    assert width == len(examples.outputs) + (3 if task == "multiclass" else 0)
    at = [field.name for field in examples.outputs].index("city")
    shares = slice(at, at + width - len(examples.outputs) + 1)
    for fold in folds:
        assert fold.X_train.shape[1] == fold.X_validation.shape[1] == len(fold.levels) == width
        for X in (fold.X_train[:, shares], fold.X_validation[:, shares]):
            assert np.isfinite(X).all()
            if task == "multiclass":
                np.testing.assert_allclose(X.sum(axis=1), 1.0, rtol=1e-6)


def test_a_search_with_encodings_compiles_what_it_tried() -> None:
    training = Training(families=("linear", "lightgbm"), budget=Budget(trials=2), threads=1)
    recorder, clock = MemoryRecorder(), StepClock(0.001)
    split = Split(by="random", folds=2)
    result = search(make_examples(400), training, split, None, recorder=recorder, clock=clock, encodings=TARGET)
    assert [trial.state for trial in result.trials[:2]] == ["done", "done"]
    candidate = fit_chosen(
        make_examples(400), result.trials[1], training, split, TARGET, trials=result.trials, fetch=recorder.fetch
    )
    assert [column.name for column in candidate.encoder.columns] == [
        *("speed", "count_frequency", "city_target", "open")
    ]
