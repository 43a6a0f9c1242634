"""The search: its budget, its record, its failures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.definition.model import Budget, Costs, Split, Task, Training
from headrace.training import families
from headrace.training.errors import (
    BudgetTooSmall,
    CurrencyNotPriced,
    FoldsImpossible,
    NothingFitted,
    ReplayDiffers,
    UnknownClass,
    UnknownMetric,
)
from headrace.training.families import Fitted, Params
from headrace.training.families.linear import Linear
from headrace.training.folding import Attempt
from headrace.training.model import SearchResult, Trial
from headrace.training.proposals import Proposer
from headrace.training.search import search

COSTS = Costs(false_positive=1.0, false_negative=5.0)


def run(
    recorder: MemoryRecorder,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    clock: StepClock | None = None,
    task: Task = "binary",
    n: int = 300,
    names: tuple[str, ...] = ("linear", "lightgbm"),
    costs: Costs | None = COSTS,
    by: Any = "time",
    **settings: Any,
) -> SearchResult:
    training = Training(families=names, budget=Budget(seconds=seconds, trials=trials), threads=1, **settings)
    examples = make_examples(n, task)
    clock = clock or StepClock(0.001)
    return search(examples, training, Split(by=by, folds=3), costs, recorder=recorder, clock=clock)


def unmeasured(trials: Sequence[Trial]) -> list[Trial]:
    """Trials without what a clock measured."""
    return [
        msgspec.structs.replace(trial, fit_s=0.0, row_us=None, batch_us=None)
        for trial in trials
        if trial.form != "ensemble"
    ]


def tried(recorder: MemoryRecorder) -> list[bytes]:
    """What is recorded of the trials that were fitted."""
    return [data for name, data in recorder.parts.items() if name.startswith("trial-")]


def test_every_family_s_own_configurations_come_first_then_the_sampler() -> None:
    result = run(MemoryRecorder(), trials=8)
    assert [trial.family for trial in result.trials[:6]] == [
        "linear",
        "lightgbm",
        "linear",
        "lightgbm",
        "linear",
        "lightgbm",
    ]
    plain = [trial for trial in result.trials if trial.form != "ensemble"]
    assert [trial.number for trial in plain] == list(range(11))
    assert [trial.shortened is not None for trial in plain] == [False] * 8 + [True] * 3
    assert result.trials[0].params == {"l2": 1.0, "l1": 0.0}
    first = result.trials[0]
    assert first.state == "done"
    assert first.score == pytest.approx(np.mean(first.fold_scores))
    assert len(first.fold_scores) == result.folds == 3
    assert first.threshold == 1 / 6
    assert first.decision is not None
    assert first.error_cost is not None
    assert first.best_cost is not None
    assert first.best_cost <= first.error_cost
    assert first.model_bytes > 0
    assert first.row_us
    assert first.fit_s > 0
    assert first.train_score is not None
    assert first.train_score > 0.5


@pytest.mark.parametrize(("by", "folds"), [("time", 3), ("random", 1)])
def test_training_rows_are_asked_where_their_folds_differ(by: str, folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a time split of every fold, whose mean is told; folds drawn by lot know theirs about alike."""
    told: list[float | None] = []
    take = Attempt.take

    def heard(attempt: Attempt, fold: int, outcome: Any) -> None:
        told.append(outcome.train_score)
        take(attempt, fold, outcome)

    monkeypatch.setattr(Attempt, "take", heard)
    result = run(MemoryRecorder(), trials=1, by=by, names=("linear",))
    asked = [score for score in told if score is not None]
    assert (len(told), len(asked)) == (3, folds)
    assert result.trials[0].train_score == pytest.approx(np.mean(asked))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("by", ["time", "random", "stratified", "group"])
def test_every_task_is_searched_under_every_split(task: Task, by: str) -> None:
    result = run(MemoryRecorder(), trials=2, task=task, costs=None, by=by)
    assert [trial.state for trial in result.trials[:2]] == ["done", "done"]
    assert result.higher_is_better == (task == "binary")
    if task != "binary":  # log loss and rmse, turned so that higher is better
        assert all(trial.score is not None and trial.score < 0 for trial in result.trials)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_killed_search_goes_on_to_the_very_trials_of_an_undisturbed_one(sampler: str) -> None:
    whole = run(MemoryRecorder(), trials=14, n=200, search=sampler)
    for killed_at in (1, 5, 9, 13):
        recorder = MemoryRecorder(kill_after=killed_at)
        with pytest.raises(KeyboardInterrupt):
            run(recorder, trials=14, n=200, search=sampler)
        resumed = MemoryRecorder(recorder)
        result = run(resumed, trials=14, n=200, search=sampler)
        assert unmeasured(result.trials) == unmeasured(whole.trials)
        assert len(tried(resumed)) == 14


def test_a_resumed_search_keeps_what_it_measured_and_fits_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = MemoryRecorder()
    first = run(recorder, trials=7)
    monkeypatch.setattr(Linear, "fit", None)
    again = run(MemoryRecorder(recorder), trials=7)
    assert again.trials[:7] == first.trials[:7]
    assert unmeasured(again.trials) == unmeasured(first.trials)


@pytest.mark.parametrize("in_seconds", [False, True])
def test_a_search_that_was_killed_after_its_last_trial_proposes_nothing_again(
    in_seconds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = MemoryRecorder()
    first = run(recorder, trials=7)
    monkeypatch.setattr(Proposer, "propose", None)
    killed = MemoryRecorder({name: data for name, data in recorder.parts.items() if name.startswith("trial-")})
    killed.blobs = recorder.blobs
    spent_s = msgspec.json.decode(tried(recorder)[-1])["spent_s"]
    again = run(killed, seconds=spent_s) if in_seconds else run(killed, trials=7)
    assert unmeasured(again.trials) == unmeasured(first.trials)


def test_a_record_of_another_search_is_refused() -> None:
    recorder = MemoryRecorder()
    run(recorder, trials=11)
    with pytest.raises(ReplayDiffers):
        run(MemoryRecorder(recorder), trials=12, seed=1)


def test_another_seed_searches_elsewhere() -> None:
    one, two = (run(MemoryRecorder(), trials=11, seed=seed).trials[10].params for seed in (0, 1))
    assert one != two


def test_seconds_end_the_search_and_a_resumed_one_spends_only_the_rest() -> None:
    recorder = MemoryRecorder()
    run(recorder, seconds=3.0, clock=StepClock(0.001))
    assert len(tried(recorder)) >= 2
    spent = msgspec.json.decode(tried(recorder)[-1])["spent_s"]
    assert spent <= 3.0 + 0.5
    clock = StepClock(0.001)
    resumed = MemoryRecorder(recorder)
    resumed.parts = dict(list(recorder.parts.items())[:2])
    run(resumed, seconds=3.0, clock=clock)
    before = msgspec.json.decode(tried(recorder)[1])["spent_s"]
    shorter_forms = 3 * 0.402  # the looks at the clock that time their rows, once the search is over
    assert clock.now <= 3.0 - before + 0.5 + shorter_forms
    used_up = MemoryRecorder(recorder)
    run(used_up, seconds=spent)
    assert used_up.parts.keys() == recorder.parts.keys()


def test_a_budget_too_small_for_one_fit_is_an_error_that_says_so() -> None:
    with pytest.raises(BudgetTooSmall, match="1e-06 s ended"):
        run(MemoryRecorder(), seconds=1e-6)


class Broken:
    """A family that never fits."""

    tasks: frozenset[Task] = frozenset({"binary"})
    compiles = True
    bags = False

    def restore(self, kept: bytes) -> Fitted:
        raise NotImplementedError

    def defaults(self) -> Sequence[Params]:
        return ({"a": 1.0}, {"a": 2.0})

    def space(self) -> Mapping[str, Any]:
        from optuna.distributions import FloatDistribution

        return {"a": FloatDistribution(0.0, 5.0)}

    def fit(self, *_: Any, **__: Any) -> Fitted:
        raise RuntimeError("no luck\nwith a second line")


class Wrong(Linear):
    """A family whose graph is not its model."""

    def fit(self, X: NDArray[np.float32], y: NDArray[Any], *args: Any, **settings: Any) -> Fitted:
        fitted = super().fit(X, y, *args, **settings)

        class Off:
            settled = fitted.settled
            keep = fitted.keep

            def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
                return np.clip(fitted.predict(X) + 2e-6, 0, 1)

            def to_onnx(self) -> bytes:
                return fitted.to_onnx()

        return Off()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        families, "FAMILIES", {**families.FAMILIES, "broken": f"{__name__}:Broken", "wrong": f"{__name__}:Wrong"}
    )


@pytest.mark.usefixtures("broken")
def test_a_failing_family_is_noted_and_the_search_goes_on_without_it() -> None:
    result = run(MemoryRecorder(), trials=9, names=("broken", "linear"))
    failed = [trial for trial in result.trials if trial.family == "broken"]
    assert [trial.number for trial in failed] == [0, 2]
    assert all(trial.state == "failed" and trial.note == "RuntimeError: no luck" for trial in failed)
    assert sum(trial.state == "done" for trial in result.trials) >= 2
    assert sum(trial.form != "ensemble" for trial in result.trials) == 9


@pytest.mark.usefixtures("broken")
def test_when_every_trial_fails_the_error_holds_their_notes() -> None:
    with pytest.raises(NothingFitted, match=r"all 2 trials failed.*no luck"):
        run(MemoryRecorder(), trials=50, names=("broken",))


@pytest.mark.usefixtures("broken")
def test_a_trial_whose_graph_disagrees_with_its_library_is_failed() -> None:
    result = run(MemoryRecorder(), trials=2, names=("wrong", "linear"))
    assert [trial.state for trial in result.trials] == ["failed", "done"]
    assert "from its library" in result.trials[0].note


def test_a_clearly_worse_trial_is_ended_but_never_a_family_s_first() -> None:
    result = run(MemoryRecorder(), trials=12, n=600)
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert trial.number > 1
        assert 2 <= len(trial.fold_scores) < result.folds
        assert trial.score is None
        assert "clearly worse" in trial.note
    assert {trial.family for trial in result.trials if trial.state == "done"} >= {"linear", "lightgbm"}


def test_what_cannot_be_is_refused_before_anything_is_fitted() -> None:
    recorder = MemoryRecorder()
    with pytest.raises(UnknownMetric):
        run(recorder, trials=1, metric="rmse")
    with pytest.raises(CurrencyNotPriced, match="EUR"):
        run(recorder, trials=1, costs=Costs(currency="EUR"))
    with pytest.raises(UnknownClass, match="'z'"):
        run(recorder, trials=1, task="multiclass", costs=Costs(matrix=(("a", "z", 1.0),)))
    assert not recorder.parts


def test_folds_without_a_positive_row_are_not_asked() -> None:
    examples = make_examples(120)
    y = examples.y.copy()
    y[:40] = np.arange(40) % 2
    y[40:80] = 0
    examples = dataclasses.replace(examples, y=y)
    training = Training(families=("linear",), budget=Budget(trials=1), threads=1)
    split = Split(by="time", folds=5)
    result = search(examples, training, split, None, recorder=MemoryRecorder(), clock=StepClock(0.001))
    assert result.folds == 3
    none = dataclasses.replace(examples, y=np.where(np.arange(120) < 20, y, 0))
    with pytest.raises(FoldsImpossible, match="average_precision is undefined"):
        search(none, training, split, None, recorder=MemoryRecorder(), clock=StepClock(0.001))


def test_ten_rows_are_searched() -> None:
    result = run(MemoryRecorder(), trials=4, n=10, task="regression", costs=None)
    assert any(trial.state == "done" for trial in result.trials)


def test_progress_says_the_best_so_far() -> None:
    recorder = MemoryRecorder()
    run(recorder, trials=2)
    assert recorder.notes[-1].startswith("trials: 2 trials, best average_precision 0.")
