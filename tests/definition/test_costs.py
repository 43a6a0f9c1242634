"""[costs]: amounts of the rows' own, capacity, rejection and retraining."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.definition.errors import Mistake
from headrace.definition.model import Costs, Definition, Selection

BASE = """
format = 1
[project]
source = "claims"
label = "fraud"
request = ["amount", "age"]
[sources.claims]
read = "claims.csv"
[costs]
"""


def test_a_cost_may_be_a_column_by_name_or_with_its_currency(read: Callable[[str], Definition]) -> None:
    text = 'false_positive = "4 EUR"\nfalse_negative = "amount"\nreject = "2 EUR"\nretrain = "30d"\n'
    assert read(BASE + text + 'volume = "10k / day"\ncapacity = "200 / day"').costs == Costs(
        currency="EUR",
        false_positive=4.0,
        amounts=(("false_negative", "amount"),),
        reject=2.0,
        retrain_us=30 * 86_400_000_000,
        volume_per_month=10_000 * 365.25 / 12,
        capacity_per_day=200.0,
    )
    both = 'false_positive = { column = "care", currency = "EUR" }\nfalse_negative = { column = "amount" }'
    costs = read(BASE + both).costs
    assert costs is not None
    assert (costs.currency, costs.amounts) == ("EUR", (("false_positive", "care"), ("false_negative", "amount")))
    matrix = 'matrix = { "cat>dog" = "3 USD", "dog>cat" = { column = "amount" } }'
    costs = read(BASE + matrix).costs
    assert costs is not None
    assert (costs.matrix, costs.amounts) == ((("cat", "dog", 3.0),), (("dog>cat", "amount"),))


def test_predictions_are_priced_as_they_are_asked_for(read: Callable[[str], Definition]) -> None:
    text = BASE + 'false_positive = "4 EUR"\nfalse_negative = "9 EUR"\n'
    found = [read(text + line).costs for line in ("", 'served = "batch"')]
    assert [None if costs is None else costs.served for costs in found] == ["request", "batch"]


def test_what_is_nearly_best_is_a_share_or_the_folds_interval(read: Callable[[str], Definition]) -> None:
    text = BASE.replace("[costs]", '[selection]\nrule = "cheapest_within"\n')
    assert read(text + 'within = "interval"').selection == Selection(rule="cheapest_within", interval=True)
    assert read(text + "within = 0.05").selection == Selection(rule="cheapest_within", within=0.05)


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        (
            'false_positive = "4 USD"\nfalse_negative = { colum = "amount" }',
            "costs.false_negative",
            "amounts of a column",
        ),
        (
            'false_positive = "4 USD"\nfalse_negative = { column = "a", currency = "EUR" }',
            "costs.false_negative",
            "two currencies",
        ),
        ('false_positive = "4 USD"\nfalse_negative = "60"', "costs.false_negative", "amount cannot be read"),
        (
            'false_positive = "4 USD"\nfalse_negative = "amount"\ncapacity = "200 / day"',
            "costs.capacity",
            "how many a day are asked for is not known",
        ),
        ('over = "1 USD"\nunder = "2 USD"\nreject = "1 USD"', "costs.reject", "`reject` is for binary and multiclass"),
        ('over = "amount"\nunder = "2 USD"', "costs.over", "amount cannot be read"),
        ('matrix = { "cat > cat" = "2 USD" }', 'costs.matrix."cat > cat"', "a right answer costs nothing"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(
    text: str, key: str, message: str, mistakes: Callable[[str], tuple[Mistake, ...]]
) -> None:
    (found,) = mistakes(BASE + text)
    assert found.key == key
    assert message in found.message
