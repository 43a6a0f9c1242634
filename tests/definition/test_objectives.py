"""[training] objective and quantile: counts, and the quantile of a value."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.definition.errors import Mistake
from headrace.definition.model import Definition, Objective

BASE = """
format = 1
[project]
source = "parcels"
label = "days"
[sources.parcels]
read = "parcels.csv"
"""


def test_a_count_is_named_and_is_a_value_however_few_levels_it_has(read: Callable[[str], Definition]) -> None:
    definition = read(BASE + '[training]\nobjective = "poisson"')
    assert definition.training.objective == Objective(kind="poisson")
    assert definition.project.task == "regression"
    assert read(BASE).project.task is None


def test_a_quantile_is_enough_to_say(read: Callable[[str], Definition]) -> None:
    objective = read(BASE + "[training]\nquantile = 0.9").training.objective
    assert objective == Objective(kind="quantile", quantile=0.9)
    assert objective.metric == "pinball_90"


def test_the_quantile_that_costs_least_is_the_balance_of_the_costs(read: Callable[[str], Definition]) -> None:
    text = '[training]\nobjective = "quantile"\n[costs]\nover = "1 EUR"\nunder = "3 EUR"'
    assert read(BASE + text).training.objective.quantile == 0.75


def test_any_quantile_s_loss_may_be_the_metric(read: Callable[[str], Definition]) -> None:
    text = '[training]\nquantile = 0.975\nmetric = "pinball_97.5"'
    assert read(BASE + text).training.metric == "pinball_97.5"


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ('[training]\nobjective = "quantile"', "training.quantile", "missing"),
        ('[training]\nobjective = "poisson"\nquantile = 0.9', "training.quantile", "for that objective"),
        ("[training]\nquantile = 1", "training.quantile", ""),
        (
            '[training]\nobjective = "poisson"\nmetric = "roc_auc"',
            "training.metric",
            "does not fit the task regression",
        ),
        ('[training]\nmetric = "pinball_x"', "training.metric", "not one of the words"),
    ],
)
def test_what_contradicts_itself_is_refused(
    mistakes: Callable[[str], tuple[Mistake, ...]], text: str, key: str, message: str
) -> None:
    (mistake,) = mistakes(BASE + text)
    assert mistake.key == key
    assert message in mistake.message


def test_classes_have_no_objective(mistakes: Callable[[str], tuple[Mistake, ...]]) -> None:
    (mistake,) = mistakes(BASE.replace("[project]", '[project]\ntask = "binary"') + "[training]\nquantile = 0.9")
    assert mistake.key == "training.objective"
    assert "objective of values" in mistake.message
