"""Nested validation: every row is asked about by a search that had never seen it."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.training.samples import HOUR, MemoryRecorder, StepClock, make_examples

from headrace.cost.prices import load_prices
from headrace.definition.model import Budget, Costs, Selection, Split, Training
from headrace.training import nested as nesting
from headrace.training.data import Examples
from headrace.training.families.linear import Linear
from headrace.training.nested import Procedure, nested, procedure_verdict
from headrace.training.nested_model import Nested
from headrace.training.workers import Inline

COSTS = Costs(false_positive=1.0, false_negative=5.0)


class Here(Inline):
    """Fits in this process, as a context."""

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""


def run(
    examples: Examples,
    *,
    parts: int = 3,
    trials: int = 9,
    by: Any = "random",
    recorder: MemoryRecorder | None = None,
    names: tuple[str, ...] = ("linear",),
    metric: str | None = "roc_auc",
    costs: Costs = COSTS,
) -> Nested:
    procedure = Procedure(
        training=Training(families=names, budget=Budget(trials=trials), threads=1, metric=metric),
        split=Split(by=by, folds=3),
        costs=costs if examples.task == "binary" else None,
        selection=Selection(),
        encodings=(),
        prices=load_prices(),
        at_us=1_790_000_000_000_000,
    )
    clock = StepClock(0.001)
    return nested(
        examples, procedure, parts, recorder=recorder or MemoryRecorder(), clock=clock, executor=lambda: Here(clock)
    )


def test_parts_share_the_budget_and_every_row_is_asked_once() -> None:
    found = run(make_examples(300), trials=9)
    assert found.budget == "3 trials"
    assert [one.trials for one in found.parts] == [3, 3, 3]
    assert sum(one.asked for one in found.parts) == 300
    assert all(one.learnt == 300 - one.asked for one in found.parts)
    assert found.found is not None
    assert found.found.value == pytest.approx(np.mean([one.found for one in found.parts]))
    assert found.found.low < found.found.value < found.found.high
    assert found.found.value > 0.7
    assert found.error_cost is not None
    assert found.error_cost.value > 0


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_are_validated_too(task: Any) -> None:
    found = run(make_examples(240, task), metric=None, parts=2, trials=2)
    assert not found.higher_is_better
    assert found.optimism is not None
    assert found.error_cost is None


def test_under_a_split_by_time_each_part_is_asked_by_the_past_alone() -> None:
    examples = make_examples(400)
    seen: list[tuple[int, int]] = []
    plain = nesting._without

    def spy(examples: Examples, fold: Any, *rest: Any) -> Any:
        assert examples.time_us is not None
        assert examples.label_known_us is not None
        first = examples.time_us[fold.validation].min()
        assert (examples.label_known_us[fold.train] < first).all()
        seen.append((len(fold.train), len(fold.validation)))
        return plain(examples, fold, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nesting, "_without", spy)
        found = run(examples, by="time", trials=3)
    assert [one.learnt for one in found.parts] == sorted(learnt for learnt, _ in seen)
    assert len(seen) == 3


def test_a_capacity_is_of_the_rows_learnt_from_though_all_that_are_asked_are_of_one_instant() -> None:
    """As rows that are taken once a month are."""
    examples = make_examples(320)
    month = np.arange(320, dtype=np.int64) // 80 * 30 * 24 * HOUR
    monthly = dataclasses.replace(examples, time_us=month, label_known_us=month + HOUR)
    found = run(monthly, by="time", trials=3, costs=msgspec.structs.replace(COSTS, capacity_per_day=1.0))
    assert [one.note.partition(":")[0] for one in found.parts] == ["capacity-without-rate", "", ""]
    assert found.error_cost is not None


def test_choosing_among_labels_of_pure_chance_is_seen_to_flatter() -> None:
    """What is chosen for the best of many figures looks better than chance; what is found is chance."""
    rng = np.random.default_rng(3)
    gaps, found = [], []
    for seed in range(4):
        examples = make_examples(150, seed=seed)
        chance = dataclasses.replace(examples, y=rng.permutation(examples.y))
        one = run(chance, names=("lightgbm", "linear"), trials=24)
        assert one.found is not None
        assert one.optimism is not None
        gaps.append(one.optimism.value)
        found.append(one.found.value)
    assert np.mean(gaps) > 0.02
    assert np.mean(found) == pytest.approx(0.5, abs=0.07)


def test_a_killed_validation_goes_on_part_by_part_and_trial_by_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = make_examples(200)
    whole = run(examples)
    recorder = MemoryRecorder(kill_after=6)  # 3 trials and a part, then two trials of the next
    with pytest.raises(KeyboardInterrupt):
        run(examples, recorder=recorder)
    resumed = MemoryRecorder(recorder)
    again = run(examples, recorder=resumed)
    assert again == whole
    assert len(resumed.parts) == 12
    monkeypatch.setattr(Linear, "fit", None)
    assert run(examples, recorder=MemoryRecorder(resumed)) == whole


def test_a_part_without_which_nothing_can_be_learnt_is_named() -> None:
    examples = make_examples(120)
    y = np.zeros(120, np.int64)
    y[30:] = np.arange(90) % 2  # the first block in time has one class
    found = run(dataclasses.replace(examples, y=y), by="time", parts=4, trials=4, metric="log_loss")
    assert found.parts
    named = run(dataclasses.replace(examples, y=np.where(np.arange(120) < 100, 0, y)), by="group", trials=3)
    failed = [one for one in named.parts if one.note]
    assert all(one.found is None for one in failed)
    verdict = procedure_verdict(named)
    assert ("came to nothing" in verdict.says) == bool(failed)


def test_the_verdict_asks_for_a_look_only_where_the_figure_flattered_beyond_chance() -> None:
    found = run(make_examples(300))
    assert found.optimism is not None
    verdict = procedure_verdict(found)
    assert "3 trials each" in verdict.says
    flattered = msgspec.structs.replace(found.optimism, low=0.01)
    assert procedure_verdict(msgspec.structs.replace(found, optimism=flattered)).level == "look"
    honest = msgspec.structs.replace(found.optimism, low=-0.01)
    assert procedure_verdict(msgspec.structs.replace(found, optimism=honest)).level == "good"
