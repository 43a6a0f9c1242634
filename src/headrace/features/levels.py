"""The label's values in the data: the task when nothing else decides it, the classes, and each row's target."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from headrace.definition.model import Task
from headrace.features.errors import LabelUnfit, OneClass
from headrace.features.label import MOST_CLASSES, Label
from headrace.language.types import Type


@dataclass(frozen=True, slots=True)
class Target:
    """What a model is fitted to."""

    task: Task
    classes: tuple[str, ...]
    """By code; binary: the positive class last; regression: none."""
    values: pl.Series
    """Boolean, Int32 class codes, or Float64."""


def target_of(label: Label, values: pl.Series) -> Target:
    """The target of labelled rows: `values` has no null.

    Binary labels of two texts: the positive class is `positive`, else the rarer one (of equally rare ones the last by
    name); of two whole numbers the larger. Class codes are in the order of names, or of numbers.
    """
    if label.node.type is Type.BOOLEAN:
        _at_least_two(label, values, values.n_unique())
        return Target("binary", ("false", "true"), values)
    if label.task == "regression" or label.node.type in (Type.FLOAT, Type.DECIMAL):
        return Target("regression", (), values.cast(pl.Float64))
    levels = values.value_counts(name="_rows").sort(values.name)
    _at_least_two(label, values, levels.height)
    task = label.task or _task_of(label, levels.height)
    if task == "regression":
        return Target("regression", (), values.cast(pl.Float64))
    if task == "binary":
        return _binary(label, values, levels)
    names = levels[values.name]
    codes = values.replace_strict(names, pl.int_range(levels.height, dtype=pl.Int32, eager=True), return_dtype=pl.Int32)
    return Target("multiclass", tuple(names.cast(pl.String).to_list()), codes)


def _task_of(label: Label, levels: int) -> Task:
    if levels == 2:
        return "binary"
    if levels <= MOST_CLASSES:
        return "multiclass"
    if label.node.type is Type.INTEGER:
        return "regression"
    raise LabelUnfit(
        f"the label {label.text!r} is a text with {levels:,} levels: expected at most {MOST_CLASSES}",
        fix='set [project] task = "multiclass" if they are classes, or choose another label',
        levels=levels,
    )


def _binary(label: Label, values: pl.Series, levels: pl.DataFrame) -> Target:
    if levels.height != 2:
        raise LabelUnfit(
            f"task is binary, but the label {label.text!r} has {levels.height:,} levels",
            fix='write the label as a condition, or set task = "multiclass"',
            levels=levels.height,
        )
    names = levels[values.name].cast(pl.String).to_list()
    if label.positive is not None:
        if label.positive not in names:
            raise LabelUnfit(
                f"positive = {label.positive!r} is no level of the label {label.text!r}",
                fix="set positive to one of the label's two levels",
            )
        positive = names.index(label.positive)
    elif label.node.type is Type.INTEGER:
        positive = 1
    else:
        first, second = levels["_rows"].to_list()
        positive = 0 if first < second else 1
    classes = (names[1 - positive], names[positive])
    return Target("binary", classes, (values.cast(pl.String) == classes[1]).rename(values.name))


def _at_least_two(label: Label, values: pl.Series, levels: int) -> None:
    if levels < 2:
        # texts and numbers are cells, of which no error tells
        level = str(values.cast(pl.String)[0]) if label.node.type is Type.BOOLEAN else None
        raise OneClass(label=label.text, level=level, rows=len(values))
