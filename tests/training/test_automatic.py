"""Proposed features: those that pay are kept, the others are not, on every run the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.training.samples import MemoryRecorder, StepClock

from headrace.data.model import Field
from headrace.definition.model import Budget, Costs, Definition, Encoding, Features, Project, Split, Training
from headrace.features.automatic.model import Family
from headrace.language.types import Type
from headrace.stages.automatic import with_the_rest
from headrace.training.automatic import Share, Variant, _Trials, try_families
from headrace.training.automatic_model import Automatic
from headrace.training.data import Examples

COSTS = Costs(false_positive=1.0, false_negative=3.0)
NAMES = ("noise", "ratio", "again", "city means")
FAMILIES = tuple(Family(name=name, why=f"because of {name}", adds=Features()) for name in NAMES)
BASE = (Field(name="a", type=Type.FLOAT), Field(name="city", type=Type.CATEGORY))
COLUMNS = {name: Field(name=name, type=Type.FLOAT) for name in ("noise", "ratio", "again")}


def examples(n: int = 4_000) -> Examples:
    """The label rests on a ratio of which only one part is an input, and on a city among many."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=n), rng.uniform(0.2, 2.0, n)
    city = rng.integers(0, 150, n)
    score = a / b + rng.normal(size=150)[city] * 1.5 + 0.2 * rng.normal(size=n)
    columns: dict[str, Any] = {"a": a, "city": [f"c{c}" for c in city], "noise": rng.normal(size=n), "ratio": a / b}
    return Examples(
        task="binary",
        classes=("false", "true"),
        outputs=(*BASE, *COLUMNS.values()),
        rows=pl.DataFrame(columns | {"again": a / b}),
        y=(score > 1.0).astype(np.int64),
    )


def variant(families: Sequence[Family]) -> Variant:
    names = {family.name for family in families}
    if "broken" in names:
        raise ValueError("no such thing")
    encodings = (Encoding(name="city", kinds=("codes", "target")),) if "city means" in names else ()
    return Variant((*BASE, *(field for name, field in COLUMNS.items() if name in names)), encodings)


def tried(
    recorder: MemoryRecorder,
    families: Sequence[Family] = FAMILIES,
    *,
    costs: Costs | None = COSTS,
    cost: float = 0.0,
    share: Share | None = None,
    clock: StepClock | None = None,
    names: tuple[str, ...] = ("linear", "lightgbm"),
) -> Automatic:
    return try_families(
        examples(),
        families,
        variant,
        lambda _, family: 1e9 if family.name == "city means" and cost else cost,
        training=Training(families=names, threads=1),
        share=share or Share(len(families), None),
        split=Split(by="random", folds=3),
        costs=costs,
        recorder=recorder,
        clock=clock or StepClock(0.001),
    )


@pytest.mark.parametrize("costs", [COSTS, None])
def test_what_pays_is_kept_and_noise_and_repetition_are_not(costs: Costs | None) -> None:
    found = tried(MemoryRecorder(), costs=costs)
    assert {one.name: one.state for one in found.tried} == {
        "noise": "left out",
        "ratio": "kept",
        "again": "left out",
        "city means": "kept",
    }
    assert found.kept == {"ratio", "city means"}
    assert found.measure == ("average_precision" if costs is None else "USD a million predictions")
    for one in found.tried:
        assert one.gain is not None
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.gain <= one.high
        assert (one.low > 0) == (one.state == "kept")
        assert one.inputs == 1


def test_errors_whose_price_the_rows_say_are_priced() -> None:
    costs = Costs(false_negative=5.0, amounts=(("false_positive", "a"),))
    trials = _Trials(examples(300), variant, Training(threads=1), Split(by="random", folds=3), costs)
    assert trials.measure == "USD a million predictions"


def test_a_family_that_costs_more_than_it_saves_is_left_out() -> None:
    last = tried(MemoryRecorder(), cost=0.01).tried[-1]
    assert (last.state, last.reason) == ("left out", "it costs more than it saves")
    assert last.low is not None
    assert last.low > 0


def test_a_killed_search_for_features_goes_on_to_the_same_end() -> None:
    quiet = tried(MemoryRecorder())
    for kills in (1, 2, 3):
        recorder = MemoryRecorder(kill_after=kills)
        with pytest.raises(KeyboardInterrupt):
            tried(recorder)
        again = MemoryRecorder(recorder.parts)
        assert tried(again) == quiet
        assert len(again.parts) == len(FAMILIES)


def test_a_budget_ends_it_and_the_rest_is_named() -> None:
    by_number = tried(MemoryRecorder(), share=Share(2, None))
    assert [one.state for one in by_number.tried] == ["left out", "kept", "not tried", "not tried"]
    assert by_number.spent_s == 0.0
    by_time = tried(MemoryRecorder(), share=Share(4, 1.5), clock=StepClock(1.0))
    assert [one.state for one in by_time.tried][-1] == "not tried"
    assert by_time.spent_s == 2.0
    assert Share.of(Budget(trials=60), 9) == Share(9, None)
    assert Share.of(Budget(trials=1), 9) == Share(1, None)
    assert Share.of(Budget(seconds=100.0), 9) == Share(9, 20.0)


@pytest.mark.parametrize(("spent_s", "left_s"), [(0.0, 100.0), (3.5, 96.5), (31.0, 80.0)])
def test_what_families_did_not_spend_is_the_searchs(spent_s: float, left_s: float) -> None:
    def asked(budget: Budget) -> Definition:
        project = Project(name="p", source="t")
        return Definition(format=1, project=project, sources=(), training=Training(budget=budget))

    assert with_the_rest(asked(Budget(seconds=100.0)), spent_s) == asked(Budget(seconds=left_s))
    assert with_the_rest(asked(Budget(trials=60)), spent_s) == asked(Budget(trials=60))


def test_a_family_that_fails_is_noted_and_ends_nothing() -> None:
    broken = Family(name="broken", why="", adds=Features())
    found = tried(MemoryRecorder(), [broken, FAMILIES[1]])
    assert [one.state for one in found.tried] == ["failed", "kept"]
    assert found.tried[0].reason == "ValueError: no such thing"


def test_the_fixed_model_is_one_that_the_project_trains() -> None:
    assert tried(MemoryRecorder(), FAMILIES[:1]).candidate == "lightgbm"
    assert tried(MemoryRecorder(), FAMILIES[:1], names=("linear",)).candidate == "linear"


def test_rows_are_taken_with_all_that_is_known_of_them() -> None:
    whole = dataclasses.replace(examples(10), time_us=np.arange(10), groups=np.arange(10) * 2)
    some = whole.at(np.array([1, 4]))
    assert some.time_us is not None
    assert some.groups is not None
    assert some.label_known_us is None
    assert (some.time_us.tolist(), some.groups.tolist()) == ([1, 4], [2, 8])
    assert some.rows["a"].to_list() == whole.rows["a"].gather([1, 4]).to_list()
