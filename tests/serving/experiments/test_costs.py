"""What an answer cost, by the costs that the project lays down."""

from __future__ import annotations

import pytest

from headrace.definition.model import Costs
from headrace.serving.experiments.costs import Told, pricing


def told(outcome: str, decision: str | None, score: float | None = None, *own: object, review: bool = False) -> Told:
    return Told(outcome, decision, review, score, own)


def test_without_costs_an_error_costs_one_and_a_value_its_distance() -> None:
    assert pricing("binary", None)(told("true", "false")) == 1.0
    assert pricing("binary", None)(told("true", "true")) == 0.0
    assert pricing("multiclass", None)(told('"a"', '"b"')) == 1.0
    assert pricing("regression", None)(told("3", None, 5.5)) == 2.5


def test_truths_of_a_binary_task_may_be_numbers() -> None:
    assert pricing("binary", None)(told("1", "false")) == 1.0
    assert pricing("binary", None)(told("0.0", "false")) == 0.0
    assert pricing("binary", None)(told("0.4", "false")) is None


def test_a_row_s_own_amount_is_what_it_costs() -> None:
    cost = pricing("binary", Costs(false_positive=5.0, amounts=(("false_negative", "amount"),)))
    assert cost(told("true", "false", 0.1, 730.0)) == 730.0
    assert cost(told("false", "true", 0.9, 730.0)) == 5.0
    for missing in (None, float("nan"), -1.0):
        assert cost(told("true", "false", 0.1, missing)) is None
    assert cost(told("true", "false", 0.1)) is None


def test_pairs_of_classes_have_their_own_costs() -> None:
    cost = pricing("multiclass", Costs(matrix=(("late", "early", 9.0),)))
    assert cost(told('"late"', '"early"')) == 9.0
    assert cost(told('"early"', '"late"')) == 0.0


def test_what_is_left_to_people_costs_what_they_cost() -> None:
    cost = pricing("binary", Costs(false_positive=5.0, false_negative=50.0, reject=2.0))
    assert cost(told("true", "false", review=True)) == 2.0


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_cannot_be_told_is_not_guessed(task: str) -> None:
    assert pricing(task, None)(told("null", None)) is None  # type: ignore[arg-type]


def test_without_a_decision_a_probability_of_a_half_acts() -> None:
    assert pricing("binary", None)(told("true", None, 0.5)) == 0.0
    assert pricing("binary", None)(told("true", None, 0.4)) == 1.0
