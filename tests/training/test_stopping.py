"""A search ends where one more trial is expected to save less than it costs."""

from __future__ import annotations

import numpy as np
import pytest
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.definition.model import Budget, Costs, Split, Training
from headrace.training.families.linear import Linear
from headrace.training.model import SearchResult
from headrace.training.search import search
from headrace.training.stopping import FEWEST, Worth, expected_saving

COSTS = Costs(false_positive=1.0, false_negative=5.0)


@pytest.mark.parametrize(("shape", "saves"), [("a floor", 1 / (61 * 62)), ("a tail that thins out", 1 / 61)])
def test_the_expected_saving_is_a_little_more_than_what_a_next_draw_saves_on_the_mean(shape: str, saves: float) -> None:
    """Of 1,000 searches of 60 draws each: uniform ones, and exponential ones turned over."""
    rng = np.random.default_rng(7)
    draws = rng.uniform(3.0, 4.0, (1_000, 60)) if shape == "a floor" else -rng.exponential(size=(1_000, 60))
    said = np.array([expected_saving(row.tolist(), 60) for row in draws])
    assert saves < said.mean() < 2.5 * saves
    gap = np.diff(np.sort(draws, axis=1)[:, :2], axis=1)[:, 0]  # what the draws say without the subsets
    assert said.std() / said.mean() < 0.8 * gap.std() / gap.mean()


def test_too_few_draws_say_nothing_and_more_draws_promise_less() -> None:
    costs = np.linspace(1.0, 2.0, 60).tolist()
    assert expected_saving(costs[: FEWEST - 1], FEWEST - 1) is None
    assert expected_saving(costs[:1], 100) is None
    few, many = expected_saving(costs, 60), expected_saving(costs, 600)
    assert few is not None
    assert many is not None
    assert 0 < many < few


@pytest.fixture(autouse=True)
def one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of one penalty: of more settings most draws would be given up as worse, and say little."""
    space, defaults = Linear().space(), Linear().defaults()
    monkeypatch.setattr(Linear, "space", lambda _: {"l2": space["l2"]})
    monkeypatch.setattr(Linear, "defaults", lambda _: [{"l2": each["l2"]} for each in (defaults[0], defaults[2])])


def searched(worth: Worth | None, *, recorder: MemoryRecorder | None = None, trials: int | None = None) -> SearchResult:
    training = Training(
        families=("linear",),
        budget=Budget(seconds=None if trials else 60.0, trials=trials),
        threads=1,
        search="random",
    )
    return search(
        make_examples(300),
        training,
        Split(by="random", folds=3),
        COSTS,
        recorder=recorder or MemoryRecorder(),
        clock=StepClock(0.002),
        worth=worth,
    )


def test_a_search_that_costs_more_than_it_saves_ends_and_says_so() -> None:
    dear = searched(Worth(predictions=1.0, second=10.0))
    assert FEWEST < len(dear.trials) < FEWEST + 10
    assert dear.stopped.startswith(f"after {len([t for t in dear.trials if t.form != 'ensemble'])} trials one more was")
    assert " USD and to cost " in dear.stopped
    cheap = searched(Worth(predictions=1e9, second=1e-12))
    assert len(cheap.trials) > 2 * len(dear.trials)
    assert searched(None).stopped == ""


def test_a_budget_in_trials_is_spent_whatever_it_costs() -> None:
    assert len(searched(Worth(predictions=1.0, second=10.0), trials=40).trials) >= 40


def test_a_search_that_was_killed_ends_where_it_would_have() -> None:
    worth = Worth(predictions=1.0, second=10.0)
    whole = searched(worth)
    recorder = MemoryRecorder(kill_after=12)
    with pytest.raises(KeyboardInterrupt):
        searched(worth, recorder=recorder)
    again = searched(worth, recorder=MemoryRecorder(recorder))
    assert abs(len(again.trials) - len(whole.trials)) <= 1
    assert again.stopped
