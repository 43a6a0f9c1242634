"""Trials in flight: what is tried and compared depends on numbers, never on which fit ended first."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import count
from typing import Any

import msgspec
import pytest
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.definition.model import Budget, Split, Training
from headrace.training.candidates import Bench
from headrace.training.flight import NO_TIME
from headrace.training.folding import Attempt
from headrace.training.model import SearchResult, Trial
from headrace.training.proposals import Proposal, Proposer
from headrace.training.search import search
from headrace.training.trial_worker import EncodedFold, Job, fit_fold
from headrace.training.workers import Folds, Outcome, OutOfTime

ORDERS = (0, 1, 2, 3, 4)


class AnyOrder:
    """Fits several folds at a time, which end in an order drawn by lot, one or more together.

    Parameters
    ----------
    ends_after : fits after which the time is over, as for one who waits for a fit that does not end
    """

    def __init__(self, order: int, *, width: int = 2, ends_after: int | None = None) -> None:
        self.width = width
        self._lot = random.Random(order)
        self._clock = StepClock(0.0)
        self._folds: Folds = ()
        self._encoded: dict[int, EncodedFold] = {}
        self._begun: dict[int, tuple[Job, int]] = {}
        self._numbers = count()
        self._ends_after = ends_after
        self.most = 0
        """Fits that were under way together."""
        self.ended: list[int] = []

    @property
    def free(self) -> int:
        return self.width - len(self._begun)

    def give(self, folds: Folds) -> None:
        self._folds, self._encoded = folds, {}

    def start(self, job: Job, fold: int) -> int:
        number = next(self._numbers)
        self._begun[number] = (job, fold)
        self.most = max(self.most, len(self._begun))
        return number

    def wait(self, until: float | None) -> Mapping[int, Outcome]:
        if self._ends_after is not None and len(self.ended) >= self._ends_after:
            raise OutOfTime
        numbers = self._lot.sample(sorted(self._begun), self._lot.randint(1, len(self._begun)))
        self.ended += numbers
        return {number: self._fit(*self._begun.pop(number)) for number in numbers}

    def _fit(self, job: Job, fold: int) -> Outcome:
        if fold not in self._encoded:
            self._encoded[fold] = self._folds[fold]
        return fit_fold(job, fold, self._encoded[fold], self._clock)


def run(executor: AnyOrder, recorder: MemoryRecorder, budget: Budget, **settings: Any) -> SearchResult:
    training = Training(families=("linear", "lightgbm"), budget=budget, threads=1, **settings)
    split = Split(by="random", folds=3)
    examples = make_examples(300)
    return search(examples, training, split, None, recorder=recorder, clock=StepClock(0.001), executor=executor)


def numbers(result: SearchResult) -> list[Trial]:
    """The trials without what a clock measured, and without what times decide."""
    return [
        msgspec.structs.replace(trial, fit_s=0.0, row_us=None, batch_us=None)
        for trial in result.trials
        if trial.form != "ensemble"
    ]


@pytest.mark.parametrize("sampler", ["tpe", "halving"])
def test_the_trials_are_the_same_in_whatever_order_fits_end(sampler: str) -> None:
    found, orders = [], set()
    for order in ORDERS:
        executor = AnyOrder(order)
        found.append(numbers(run(executor, MemoryRecorder(), Budget(trials=14), search=sampler)))
        assert executor.most == 2
        orders.add(tuple(executor.ended[:12]))
    assert len(orders) == len(ORDERS)
    assert all(trials == found[0] for trials in found)


def test_fits_of_several_trials_are_under_way_together() -> None:
    executor = AnyOrder(0, width=4)
    run(executor, MemoryRecorder(), Budget(trials=6))
    assert executor.most == 4  # a trial has three folds


def test_the_next_trial_is_drawn_while_every_place_is_taken_and_begun_when_one_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = AnyOrder(0)
    drawn: list[int] = []
    begun: list[int] = []
    draw, begin = Proposer.propose, Bench.attempt

    def propose(proposer: Proposer) -> Proposal | None:
        drawn.append(executor.free)
        return draw(proposer)

    def attempt(bench: Bench, *given: Any) -> Attempt:
        begun.append(executor.free)
        return begin(bench, *given)

    monkeypatch.setattr(Proposer, "propose", propose)
    monkeypatch.setattr(Bench, "attempt", attempt)
    run(executor, MemoryRecorder(), Budget(trials=12), search="random")
    assert drawn.count(0) > 6, "places do not wait for proposals"
    assert len(drawn) == len(begun) == 12, "none is drawn beyond the budget"
    assert 0 not in begun, "how long a trial may take is decided when it begins"


def test_a_killed_search_goes_on_to_the_same_trials_in_whatever_order_fits_end() -> None:
    whole = run(AnyOrder(0), MemoryRecorder(), Budget(trials=12))
    for order in ORDERS:
        recorder = MemoryRecorder(kill_after=3 + order)
        with pytest.raises(KeyboardInterrupt):
            run(AnyOrder(order), recorder, Budget(trials=12))
        resumed = run(AnyOrder(order + 10), MemoryRecorder(recorder), Budget(trials=12))
        assert numbers(resumed) == numbers(whole)


def test_when_the_time_is_over_what_had_ended_is_kept_and_what_is_older_is_noted() -> None:
    orders = 0
    for order in range(12):
        recorder = MemoryRecorder()
        executor = AnyOrder(order, width=3, ends_after=11)
        result = run(executor, recorder, Budget(seconds=1_000.0))
        whole = [trial for trial in result.trials if trial.form != "ensemble" and trial.shortened is None]
        assert [trial.number for trial in whole] == list(range(len(whole)))
        assert len([name for name in recorder.parts if name.startswith("trial-")]) == len(whole)
        asked = [len(trial.fold_scores) > 0 for trial in whole]
        assert asked[-1], "nothing is noted after the last trial that had ended"
        assert sum(asked) >= 2
        assert all(trial.note == NO_TIME and trial.state == "pruned" for trial in whole if not trial.fold_scores)
        orders += not all(asked)
    assert orders, "at least once an older trial had not ended"
