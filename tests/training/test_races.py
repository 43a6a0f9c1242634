"""Strategies against imbalance are raced, and adopted only where they win beyond chance."""

from __future__ import annotations

import dataclasses
import re

import msgspec
import numpy as np
import pytest
from tests.training.samples import MemoryRecorder, StepClock, make_examples
from tests.training.test_search import COSTS, run

from headrace.cost.prices import load_prices
from headrace.definition.model import Budget, Costs, Selection, Split, Training
from headrace.scoring.model import Decision
from headrace.training.answers import Answers
from headrace.training.calibration import decide
from headrace.training.data import Examples
from headrace.training.metrics import metric_of
from headrace.training.model import Trial, is_candidate
from headrace.training.races import race
from headrace.training.search import search
from headrace.training.select import select

STRATEGIES = ("none", "weights", "undersample", "smote")


def rare(n: int = 3_000) -> tuple[Examples, np.ndarray]:
    """Rows of which one in twenty is positive, and what an ideal model says of them."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=n)
    p = 1 / (1 + np.exp(-(1.5 * z - 3.9)))
    return dataclasses.replace(make_examples(n), y=(rng.random(n) < p).astype(np.int64)), p


def answers(scores: np.ndarray) -> Answers:
    n = len(scores)
    return Answers(np.arange(n), np.repeat(np.arange(5), n // 5), scores)


def decided(examples: Examples, scores: np.ndarray, costs: Costs | None) -> Decision:
    fold = answers(scores).fold
    return decide(examples.y, scores, fold, task="binary", classes=examples.classes, costs=costs).decision


@pytest.mark.parametrize("costs", [Costs(false_positive=1.0, false_negative=20.0), None])
def test_what_is_worse_is_not_adopted_and_what_is_better_beyond_chance_is(costs: Costs | None) -> None:
    examples, good = rare()
    bad = np.clip(good * np.exp(4.0 * np.random.default_rng(4).normal(size=len(good))), 0, 1)

    def of(plain: np.ndarray, other: np.ndarray) -> tuple[float, bool]:
        result = race(
            examples,
            metric_of("average_precision", "binary"),
            costs,
            against=1,
            plain=(answers(plain), decided(examples, plain, costs)),
            other=(answers(other), decided(examples, other, costs)),
            seed=0,
        )
        assert result.low <= result.won <= result.high
        assert result.measure == ("cost" if costs else "average_precision")
        return result.won, result.adopted

    won, adopted = of(bad, good)
    assert won > 0
    assert adopted
    won, adopted = of(good, bad)
    assert won < 0
    assert not adopted
    assert of(good, good) == (0.0, False)


def test_each_strategy_is_tried_once_on_the_best_first_model() -> None:
    result = run(MemoryRecorder(), trials=8, n=600, imbalance=STRATEGIES)
    raced = [trial for trial in result.trials if trial.imbalance != "none"]
    assert [trial.imbalance for trial in raced] == ["weights", "undersample", "smote"]
    assert [trial.number for trial in raced] == [2, 3, 4]
    best = max(result.trials[:2], key=lambda trial: trial.score or 0.0)
    for trial in raced:
        assert (trial.family, trial.params) == (best.family, best.params)
        assert trial.race is not None
        assert trial.race.against == best.number
        assert trial.race.measure == "cost"
        assert is_candidate(trial) == trial.race.adopted
    members = {member.trial for trial in result.trials for member in trial.members}
    assert not members & {trial.number for trial in raced if not is_candidate(trial)}


def test_a_strategy_that_was_not_adopted_is_not_chosen_however_good_its_score() -> None:
    result = run(MemoryRecorder(), trials=3, imbalance=("none", "weights"), names=("linear",))
    raced = result.trials[1]
    assert raced.race is not None
    lost = msgspec.structs.replace(raced, score=99.0, race=msgspec.structs.replace(raced.race, adopted=False))
    trials = (result.trials[0], lost)

    def chosen(trials: tuple[Trial, ...]) -> int:
        return select(
            msgspec.structs.replace(result, trials=trials),
            selection=Selection(),
            costs=COSTS,
            prices=load_prices(),
            threads=1,
            at_us=1_790_000_000_000_000,
        ).trial

    assert chosen(trials) == 0
    won = msgspec.structs.replace(lost, race=msgspec.structs.replace(raced.race, adopted=True))
    assert chosen((result.trials[0], won)) == 1


def test_a_strategy_that_cannot_be_is_noted_and_the_search_goes_on() -> None:
    result = run(MemoryRecorder(), trials=4, task="regression", costs=None, imbalance=("none", "smote"))
    raced = [trial for trial in result.trials if trial.imbalance == "smote"]
    assert [trial.state for trial in raced] == ["failed"]
    assert re.search("smote: the label is a number", raced[0].note)
    assert len([trial for trial in result.trials if trial.state == "done"]) >= 2


def test_a_killed_search_with_strategies_goes_on_to_the_very_trials() -> None:
    settings = {"trials": 9, "n": 300, "imbalance": STRATEGIES}
    whole = run(MemoryRecorder(), **settings)  # type: ignore[arg-type]
    recorder = MemoryRecorder(kill_after=3)
    with pytest.raises(KeyboardInterrupt):
        run(recorder, **settings)  # type: ignore[arg-type]
    again = run(MemoryRecorder(recorder), **settings)  # type: ignore[arg-type]
    assert [(t.number, t.imbalance, t.score, t.race) for t in again.trials] == [
        (t.number, t.imbalance, t.score, t.race) for t in whole.trials
    ]


def test_halving_lets_about_a_third_go_on() -> None:
    result = run(MemoryRecorder(), trials=30, n=400, search="halving", names=("lightgbm",), by="random")
    drawn = result.trials[5:30]
    ended = [trial for trial in drawn if "best third" in trial.note]
    assert len(drawn) / 2 < len(ended) < len(drawn)
    assert all(1 <= len(trial.fold_scores) < 3 for trial in ended)


def test_a_grid_is_walked_in_an_order_of_its_own_without_repeats() -> None:
    training = Training(families=("linear",), budget=Budget(trials=100), threads=1, search="grid")
    result = search(
        make_examples(200),
        training,
        Split(by="random", folds=3),
        None,
        recorder=MemoryRecorder(),
        clock=StepClock(0.001),
    )
    points = [tuple(trial.params.items()) for trial in result.trials[2:] if trial.form != "ensemble"]
    assert points
    assert len(points) == len(set(points))


def test_strategies_are_raced_on_a_model_that_may_be_registered() -> None:
    result = run(MemoryRecorder(), trials=4, n=600, imbalance=("none", "weights"), names=("knn", "linear"))
    assert [trial.family for trial in result.trials if trial.imbalance == "weights"] == ["linear"]


def test_a_strategy_that_was_never_raced_is_no_candidate() -> None:
    result = run(MemoryRecorder(), trials=3, imbalance=("none", "weights"), names=("linear",))
    raced = result.trials[1]
    assert raced.imbalance == "weights"
    assert not is_candidate(msgspec.structs.replace(raced, race=None))


def test_a_first_score_of_zero_is_a_score() -> None:
    """Of a rare class the first trials may find nothing, a score of 0; what is worse than that is not the best."""
    notes = MemoryRecorder()
    run(notes, trials=4, n=300, metric="mcc", names=("linear",), costs=None)
    best = [float(note.split("mcc ")[1].split()[0]) for note in notes.notes if "mcc " in note]
    assert best == sorted(best)
