"""Whether more rows would help."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.training.samples import StepClock, make_examples
from tests.training.test_workers import Odd

from headrace.definition.model import Budget, Split, Training
from headrace.training import families
from headrace.training.families import load_family
from headrace.training.learning_curve import gain_of_doubling, learning_curve
from headrace.training.model import LearningCurve, Trial
from headrace.training.trial_worker import FoldAnswer, Job
from headrace.training.workers import Inline, OutOfTime, Workers

NO_SECONDS = Budget(trials=20)
ROWS = np.array([500.0, 1000.0, 2000.0, 4000.0])


def test_the_gain_of_a_power_law_is_found_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    curve = 0.9 - 4.0 * ROWS**-0.5
    true = 4.0 * (4000.0**-0.5 - 8000.0**-0.5)
    gain, _ = gain_of_doubling(ROWS, np.tile(curve, (5, 1)))
    assert gain == pytest.approx(true, rel=0.02)
    gain, half = gain_of_doubling(ROWS, curve + rng.normal(scale=0.004, size=(5, 4)))
    assert gain - half <= true <= gain + half


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_the_label_is_nothing_to_the_curve(unit: float) -> None:
    rows = np.array([100.0, 200.0, 400.0, 800.0])
    loss = 1.0 + 2.0 * (rows / 100.0) ** -0.7
    scores = -np.outer([1.0, 1.01, 0.99], loss)
    gain, _ = gain_of_doubling(rows, scores * unit)
    assert gain / unit == pytest.approx(2.0 * (8.0**-0.7 - 16.0**-0.7), rel=1e-6)


def test_a_flat_or_falling_curve_promises_nothing() -> None:
    assert gain_of_doubling(ROWS, np.full((4, 4), 0.7)) == (0.0, 0.0)
    assert gain_of_doubling(ROWS, np.tile([0.8, 0.79, 0.78, 0.77], (4, 1)))[0] == 0.0


def test_a_candidate_is_fitted_on_parts_of_its_folds() -> None:
    examples, split = make_examples(3_000, "binary"), Split(by="random", folds=4)
    training = Training(families=("lightgbm",), threads=1)
    params = dict(load_family("lightgbm", "binary").defaults()[0]) | {"learning_rate": 0.05, "rounds": 1000}
    trial = Trial(
        number=0,
        family="lightgbm",
        params=params,
        state="done",
        metric="average_precision",
        fold_scores=(0.95,) * 4,
        fit_s=25.0,  # more than there is need of
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


class Told:
    """An executor of so many places in which a fit takes the seconds that it is told to, or those that it may."""

    def __init__(self, width: int, *needs: float) -> None:
        self.width, self.needs = width, needs
        self.took: list[float] = []
        self.at_once = 0
        self._numbers = count()
        self._under_way: dict[int, float] = {}

    @property
    def free(self) -> int:
        return self.width - len(self._under_way)

    def give(self, folds: object) -> None:
        pass

    def start(self, job: Job, part: int) -> int:
        assert job.seconds is not None
        number = next(self._numbers)
        self._under_way[number] = min(self.needs[part % 3], job.seconds)
        self.at_once = max(self.at_once, len(self._under_way))
        return number

    def wait(self, until: float | None) -> Mapping[int, FoldAnswer]:
        if not self._under_way:
            raise OutOfTime
        number = min(self._under_way, key=lambda each: self._under_way[each])
        self.took.append(self._under_way.pop(number))
        nothing = np.zeros(0)
        score = 0.9 - 0.1 / len(self.took)
        return {number: FoldAnswer(nothing, score, 0.0, {}, self.took[-1], self.took[-1], b"", b"", None)}


def curve_of(executor: Told, *, fit_s: float, folds: int = 5, budget: Budget = NO_SECONDS) -> LearningCurve | None:
    trial = Trial(
        number=0,
        family="linear",
        params={},
        state="done",
        metric="roc_auc",
        fold_scores=(0.9,) * folds,
        fit_s=fit_s,
    )
    split = Split(by="random", folds=folds)
    return learning_curve(
        make_examples(3_000),
        trial,
        [trial],
        Training(budget=budget),
        split,
        (),
        executor=executor,
        clock=lambda: 0.0,
    )


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("needs", [(0.1, 0.2, 0.4), (0.5, 0.8, 1.2), (3.0, 3.0, 3.0), (0.1, 0.2, 90.0), (60.0,) * 3])
def test_parts_never_take_longer_together_than_the_candidate_s_own_fits(needs: tuple[float, ...], width: int) -> None:
    executor = Told(width, *needs)  # a fold of the candidate's own took 2 s
    curve_of(executor, fit_s=10.0)
    assert sum(executor.took) <= 10.0
    assert executor.at_once <= width


@pytest.mark.parametrize("width", [1, 2])
def test_parts_take_no_more_than_a_share_of_a_budget_in_seconds(width: int) -> None:
    executor = Told(width, 0.1, 0.2, 0.4)
    curve_of(executor, fit_s=10.0, budget=Budget(seconds=40.0))
    assert 0 < sum(executor.took) <= 0.05 * 40.0 * width
    short = Told(width, 0.1, 0.2, 0.4)
    curve_of(short, fit_s=10.0, budget=Budget(seconds=1.0))  # a second is always there
    assert 0 < sum(short.took) <= 1.0


def test_with_little_time_the_curve_is_of_fewer_folds_and_never_of_fits_that_were_cut() -> None:
    whole = curve_of(Told(1, 0.1, 0.2, 0.4), fit_s=10.0)
    assert whole is not None
    some = Told(1, 0.7, 0.9, 1.5)  # 3.1 s a fold
    fewer = curve_of(some, fit_s=10.0)
    assert fewer is not None
    assert len(some.took) >= 9
    assert fewer.rows == whole.rows
    assert curve_of(Told(1, 1.0, 1.9, 1.9), fit_s=10.0) is None
    assert curve_of(Told(1, 60.0, 60.0, 60.0), fit_s=10.0) is None
