"""Whether more rows would help."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.training.samples import StepClock, make_examples
from tests.training.test_workers import Odd

from headrace.definition.model import Split, Training
from headrace.training import families
from headrace.training.families import load_family
from headrace.training.learning_curve import gain_of_doubling, learning_curve
from headrace.training.model import LearningCurve, Trial
from headrace.training.workers import Inline, Workers

ROWS = np.array([500.0, 1000.0, 2000.0, 4000.0])


def test_the_gain_of_a_power_law_is_found_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    curve = 0.9 - 4.0 * ROWS**-0.5
    true = 4.0 * (4000.0**-0.5 - 8000.0**-0.5)
    gain, _ = gain_of_doubling(ROWS, np.tile(curve, (5, 1)))
    assert gain == pytest.approx(true, rel=0.02)
    gain, half = gain_of_doubling(ROWS, curve + rng.normal(scale=0.004, size=(5, 4)))
    assert gain - half <= true <= gain + half


def test_a_flat_or_falling_curve_promises_nothing() -> None:
    assert gain_of_doubling(ROWS, np.full((4, 4), 0.7)) == (0.0, 0.0)
    assert gain_of_doubling(ROWS, np.tile([0.8, 0.79, 0.78, 0.77], (4, 1)))[0] == 0.0


def test_a_candidate_is_fitted_on_parts_of_its_folds() -> None:
    examples, split = make_examples(3_000, "binary"), Split(by="random", folds=4)
    training = Training(families=("lightgbm",), threads=1)
    params = dict(load_family("lightgbm", "binary").defaults()[0]) | {"learning_rate": 0.05, "rounds": 1000}
    trial = Trial(
        number=0, family="lightgbm", params=params, state="done", metric="average_precision", fold_scores=(0.95,) * 4
    )
    made = [
        learning_curve(
            examples, trial, [trial], training, split, (), executor=Inline(StepClock(0.01)), clock=StepClock(0.01)
        )
        for _ in range(2)
    ]
    (found, again) = made
    assert found == again, "it is drawn by the seed"
    assert found is not None
    assert msgspec.json.decode(msgspec.json.encode(found), type=LearningCurve) == found
    assert found.rows == (281, 562, 1125, 2250)
    assert found.scores[0] < found.scores[1] < found.scores[2]
    assert found.scores[3] == pytest.approx(0.95)
    assert found.low <= found.gain <= found.high


def test_too_few_rows_give_no_curve() -> None:
    trial = Trial(number=0, family="linear", params={}, state="done", metric="rmse", fold_scores=(-1.0, -1.0))
    small = make_examples(300, "regression")
    split = Split(by="random", folds=2)
    assert (
        learning_curve(
            small, trial, [trial], Training(), split, (), executor=Inline(StepClock(0.01)), clock=StepClock(0.01)
        )
        is None
    )


def test_a_candidate_that_crashes_on_a_part_leaves_no_curve_and_takes_nothing_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, "odd": f"{Odd.__module__}:Odd"})
    trial = Trial(
        number=0, family="odd", params={"does": "crash"}, state="done", metric="roc_auc", fold_scores=(0.9, 0.9)
    )
    split = Split(by="random", folds=2)
    with Workers(2, time.monotonic, tmp_path) as workers:
        curve = learning_curve(
            make_examples(2_000), trial, [trial], Training(), split, (), executor=workers, clock=time.monotonic
        )
    assert curve is None
