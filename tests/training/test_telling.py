"""Inputs that nearly are the label, and ids that predict, are named; honest ones are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from headrace.data.model import Field
from headrace.definition.model import Task
from headrace.language.types import Type
from headrace.training.data import Examples
from headrace.training.telling import telling_inputs

N = 3000


def examples(columns: dict[str, tuple[Type, Any]], y: Any, task: Task = "binary") -> Examples:
    fields = tuple(Field(name=name, type=kind) for name, (kind, _) in columns.items())
    rows = pl.DataFrame({name: values for name, (_, values) in columns.items()})
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
    return Examples(task=task, classes=classes, outputs=fields, rows=rows, y=np.asarray(y))


def labels(rng: np.random.Generator, x: Any, task: Task) -> Any:
    noisy = x + 0.7 * rng.normal(size=len(x))
    if task == "regression":
        return noisy
    return np.digitize(noisy, [0.5] if task == "binary" else [-0.5, 0.5]).astype(np.int64)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_copy_of_the_label_is_named_with_its_figure_and_an_honest_input_is_not(task: Task) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=N)
    y = labels(rng, x, task)
    copy = y * 7.0 + 0.01 * rng.normal(size=N)
    named = [f"level {int(value * 10)}" for value in y]
    columns = {
        "x": (Type.FLOAT, x),
        "copy": (Type.FLOAT, copy),
        "turned": (Type.FLOAT, -copy),
        "noise": (Type.FLOAT, rng.normal(size=N)),
        "many": (Type.CATEGORY, [f"c{n}" for n in range(N)]),
    }
    if task != "regression":
        columns["named"] = (Type.CATEGORY, named)
    found = telling_inputs(examples(columns, y, task))
    assert {one.column for one in found} == {"copy", "turned"} | ({"named"} if task != "regression" else set())
    assert all(one.kind == "label" and one.value >= 0.98 for one in found)
    assert "alone nearly is the label" in str(found[0])


def test_a_null_that_gives_the_label_away_is_found() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(N) < 0.1).astype(np.int64)
    paid_back = [None if positive else float(v) for positive, v in zip(y, rng.normal(size=N), strict=True)]
    (found,) = telling_inputs(examples({"paid_back": (Type.FLOAT, paid_back)}, y))
    assert found.column == "paid_back"
    assert found.value > 0.99


def test_an_id_that_predicts_is_named_and_one_that_does_not_is_not() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=N)
    y = labels(rng, x, "binary")
    by_label = np.argsort(np.argsort(y + rng.normal(size=N))) + 1  # numbered after sorting by something near the label
    columns = {
        "x": (Type.FLOAT, x),
        "row": (Type.INTEGER, by_label),
        "other": (Type.INTEGER, rng.permutation(N)),
        "amount": (Type.INTEGER, (x * 1e6).astype(np.int64)),  # as different in every row, but with gaps
    }
    (found,) = telling_inputs(examples(columns, y))
    assert (found.column, found.kind) == ("row", "id")
    assert "numbers the rows and yet tells" in str(found)


def test_chance_names_nothing_however_many_inputs_there_are() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        columns: dict[str, tuple[Type, Any]] = {f"x{i}": (Type.FLOAT, rng.normal(size=200)) for i in range(100)}
        columns |= {f"id{i}": (Type.INTEGER, rng.permutation(200)) for i in range(100)}
        columns |= {f"c{i}": (Type.CATEGORY, rng.choice(list("abcdefgh"), 200)) for i in range(20)}
        y = (rng.random(200) < 0.2).astype(np.int64)
        assert telling_inputs(examples(columns, y)) == ()
        assert telling_inputs(examples(columns, rng.normal(size=200), "regression")) == ()


def test_few_rows_of_a_class_show_nothing() -> None:
    y = np.array([1] * 5 + [0] * 995)
    assert telling_inputs(examples({"copy": (Type.FLOAT, y * 1.0)}, y)) == ()
