"""What strikes the eye about a label is said, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.training.samples import make_examples

from headrace.definition.model import Costs, Task
from headrace.training.label_words import free_answers, label_words


def said(y: list[Any], classes: tuple[str, ...] = (), label: str = "y", *, asked: bool = False) -> tuple[str, ...]:
    task: Task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    return label_words(replace(make_examples(4, task), y=np.array(y), classes=classes), label, is_asked_for=asked)


def test_classes_that_differ_in_blanks_and_capitals_alone() -> None:
    [words] = said([0, 1, 2, 3] * 10, (" no", "No", "no  way", "yes"))
    assert "alone are learnt as different ones: ' no', 'No'; if they are one, write label = 'lower(trim(y))'" in words
    [words] = said([0, 1] * 10, ("YES", "yes"), "replace(y, '-', '')")
    assert words.endswith("write label = \"lower(trim(replace(y, '-', '')))\".")
    [words] = said(list(range(10)) * 10, tuple(f"{name}{n}" for n in range(5) for name in "aA"))
    assert "'a0', 'A0'; 'a1', 'A1'; 'a2', 'A2' and 2 more" in words


def test_classes_of_hardly_any_rows() -> None:
    [words] = said([0] * 30 + [1] * 9 + [2] * 10 + [4], ("a", "b", "c", "d", "e"))
    assert "hardly any rows to learn from: 'd' 0, 'e' 1, 'b' 9; such a class" in words
    [words] = said([0] * 30 + [1] * 2, ("false", "true"), asked=True)
    assert "'true' 2" in words


@pytest.mark.parametrize(
    ("label", "written"),
    [("y", "'y = 1'"), ('"did churn"', "'\"did churn\" = 1'"), ("a - b", "'(a - b) = 1'")],
)
def test_two_values_that_are_learnt_as_a_number(label: str, written: str) -> None:
    [words] = said([0.0, 1.0] * 5, label=label)
    assert words.startswith("The label has two values, 0 and 1, and is learnt as a number")
    assert words.endswith(f"write label = {written}.")


def test_nothing_is_said_of_an_ordinary_label() -> None:
    assert said([0, 1] * 10, ("no", "yes")) == ()
    assert said([0.0, 1.0, 0.5]) == ()
    assert said([0.0, 1.0], asked=True) == ()


def test_an_answer_without_any_cost_is_told() -> None:
    classes = ("a", "b", "c", "d")
    [words] = free_answers(classes, Costs(matrix=(("a", "b", 1.0),), amounts=(("a>d", "lost"),)))
    assert words.startswith("To answer 'a' or 'c' costs nothing whatever is true")
    whole = Costs(matrix=tuple((a, b, 1.0) for a in "abc" for b in "abc" if a != b))
    assert free_answers(("a", "b", "c"), whole) == ()
    assert free_answers((), Costs(over=1.0, under=2.0)) == ()
    assert free_answers(("false", "true"), Costs(false_positive=1.0, false_negative=2.0)) == ()
    assert free_answers(classes, None) == ()
