"""What drawing rows at random hides is shown on planted data, and nothing is shown where nothing is."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from headrace.data.model import Field
from headrace.definition.model import Task
from headrace.language.types import Type
from headrace.training.leak_model import Leak, Untried
from headrace.training.leaks import FEWEST_LEVELS, Sample, group_columns, group_leak, time_leak

N = 6000


def sample(y: Any, task: Task = "binary", **more: Any) -> Sample:
    rng = np.random.default_rng(1)
    columns = {f"x{i}": rng.normal(size=len(y)) for i in range(4)} | more
    fields = tuple(Field(name=name, type=Type.FLOAT) for name in columns)
    n_classes = {"binary": 2, "multiclass": int(np.max(y)) + 1, "regression": 0}[task]
    return Sample(task, n_classes, fields, pl.DataFrame(columns), np.asarray(y))


def labels(rng: np.random.Generator, score: Any, task: Task) -> Any:
    noisy = score + 0.5 * rng.normal(size=len(score))
    if task == "regression":
        return noisy
    return np.digitize(noisy, [0.0] if task == "binary" else [-0.7, 0.7]).astype(np.int64)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_label_that_drifts_with_a_number_shows_a_leak_in_time(task: Task) -> None:
    rng = np.random.default_rng(2)
    meter = np.linspace(0, 1, N)  # a counter that only grows: neighbours in it are neighbours in time
    y = labels(rng, 2 * np.sin(meter * 12), task)
    leak = time_leak(sample(y, task, meter=meter), "at", np.arange(N), seed=0, threads=1)
    assert isinstance(leak, Leak)
    assert leak.shown
    assert leak.drawn > leak.honest + 0.1
    assert f"{leak.drawn:.3f}" in str(leak)
    assert "earlier rows" in str(leak)


@pytest.mark.parametrize("seed", range(6))
def test_labels_without_order_show_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    y = labels(rng, x, "binary")
    for leak in (
        time_leak(sample(y, x=x), "at", rng.permutation(N), seed=seed, threads=1),
        group_leak(sample(y, x=x), "who", rng.integers(0, 900, N), seed=seed, threads=1),
    ):
        assert isinstance(leak, Leak)
        assert not leak.shown


def test_rows_of_a_person_with_traits_and_a_label_of_their_own_show_a_leak_over_groups() -> None:
    rng = np.random.default_rng(3)
    who = rng.integers(0, 700, N)
    trait, taste = rng.normal(size=700), rng.normal(size=700)  # the trait names the person, and says nothing else
    y = labels(rng, 1.5 * taste[who], "binary")
    leak = group_leak(sample(y, trait=trait[who]), "who", who, seed=0, threads=1)
    assert isinstance(leak, Leak)
    assert leak.shown
    assert leak.drawn > leak.honest + 0.05
    assert group_columns([("who", who), ("any", rng.integers(0, 700, N))], y, "binary") == ["who"]


def test_a_number_that_the_label_rises_with_is_a_quantity_and_no_name_of_a_group() -> None:
    rng = np.random.default_rng(9)
    age = rng.integers(18, 90, N)
    y = labels(rng, np.log(age) - 4.0, "binary")
    who = rng.integers(0, 700, N)
    taste = rng.normal(size=700) + np.linspace(-1.0, 1.0, 700)  # numbers given in an order that tells, and yet names
    named = labels(rng, taste[who], "binary")
    assert group_columns([("age", age)], y, "binary") == ["age"]
    assert group_columns([("age", age)], y, "binary", numbers=["age"]) == []
    assert group_columns([("who", who)], named, "binary", numbers=["who"]) == ["who"]


def test_a_column_with_most_rows_in_a_few_levels_names_no_groups() -> None:
    rng = np.random.default_rng(9)
    before = np.minimum(rng.geometric(0.12, N), 60)  # most were there once or twice
    y = labels(rng, rng.normal(size=61)[before], "binary")
    assert len(np.unique(before)) >= FEWEST_LEVELS
    assert group_columns([("before", before)], y, "binary") == []


def test_columns_that_name_rows_or_a_few_large_groups_are_not_tried() -> None:
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, N)
    few = y * 10 + rng.integers(0, 5, N)
    assert group_columns([("row", np.arange(N)), ("few", few)], y, "binary") == []


def test_what_could_not_be_tried_says_why() -> None:
    y = np.array([0, 1] * 40)
    few = time_leak(sample(y), "at", np.arange(80), seed=0, threads=1)
    assert str(few) == "by time, at: could not be tried, with 10 rows to ask and 40 to learn from"
    y = np.array([0] * 3000 + [1] * 3000)
    one_class = time_leak(sample(y), "at", np.arange(N), seed=0, threads=1)
    assert isinstance(one_class, Untried)
    assert one_class.why == "the rows to learn from have one class or value only"
    assert isinstance(time_leak(sample(y), "at", np.zeros(N, np.int64), seed=0, threads=1), Untried)
    assert isinstance(group_leak(sample(y), "who", np.arange(N) // 5000, seed=0, threads=1), Untried)
