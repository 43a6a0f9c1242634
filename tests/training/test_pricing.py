"""Amounts of the rows' own, capacity and rejection: counted out of fold, against the costs worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.samples import make_examples

from headrace.data.model import Field
from headrace.definition.model import Costs, Task
from headrace.language.types import Type
from headrace.language.values import type_of_dtype
from headrace.scoring.decision import Decider
from headrace.scoring.model import Decision
from headrace.training.calibration import decide
from headrace.training.data import Examples
from headrace.training.errors import AmountUnusable, CapacityWithoutRate, CostsOfAnotherTask, UnknownClass
from headrace.training.maps import calibrate
from headrace.training.pricing import Pricing, capped, mean_cost, pricing_of, row_costs

N = 4000


def priced(seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, true probabilities, folds and an amount that is lost with a missed positive."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 4, n)
    return (rng.random(n) < p).astype(np.int64), p, np.arange(n) % 4, rng.lognormal(3, 1.5, n)


def test_a_threshold_of_each_rows_own_costs_less_than_any_single_one() -> None:
    y, p, fold, lost = priced()
    costs = Costs(false_positive=5.0, amounts=(("false_negative", "lost"),))
    pricing = Pricing({"lost": lost})
    decided = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=costs, pricing=pricing)
    (amount,) = decided.decision.amounts
    assert (amount.truth, amount.predicted, amount.column) == (1, 0, "lost")
    assert amount.otherwise == pytest.approx(lost.mean())
    _, answer, _ = calibrate(y, p, fold)
    acted = answer >= 5.0 / (5.0 + lost)
    by_hand = np.where(acted & (y == 0), 5.0, 0.0) + np.where(~acted & (y == 1), lost, 0.0)
    assert decided.error_cost == pytest.approx(by_hand.mean())
    for cut in np.linspace(0.01, 0.99, 50):
        alike = answer >= cut
        assert decided.error_cost < (5.0 * (alike & (y == 0)) + lost * (~alike & (y == 1))).mean()


def test_a_missing_amount_counts_as_the_mean() -> None:
    y, p, fold, lost = priced()
    holed = np.where(np.arange(N) % 3 == 0, np.nan, lost)
    costs = Costs(false_positive=5.0, amounts=(("false_negative", "lost"),))
    pricing = Pricing({"lost": holed})
    decided = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=costs, pricing=pricing)
    filled = np.where(np.isnan(holed), np.nanmean(holed), holed)
    _, answer, _ = calibrate(y, p, fold)
    each = row_costs(y, answer, decided.decision, costs, pricing)
    acted = answer * filled - (1 - answer) * 5.0 >= 0
    assert each is not None
    assert each == pytest.approx(np.where(acted, 5.0 * (y == 0), filled * (y == 1)))


@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), st.floats(0, 1))
def test_a_capacity_is_never_exceeded_and_is_used_as_far_as_ties_allow(values: list[int], share: float) -> None:
    benefit = np.array(values, np.float64)
    least = capped(benefit, share, 3.0)
    most = int(np.floor(share * len(benefit)))
    acted = int((benefit >= least).sum())
    assert acted <= max(most, 0)
    assert least >= 3.0
    left_out = benefit[(benefit < least) & (benefit >= 3.0)]
    if len(left_out):  # the next level of ties would not have fitted
        assert acted + int((benefit == left_out.max()).sum()) > most


def test_of_a_capacity_the_rows_with_most_to_gain_are_acted_on() -> None:
    y, p, fold, lost = priced()
    both = Costs(false_positive=5.0, false_negative=60.0, capacity_per_day=200.0)
    free = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=only_errors(both), pricing=Pricing())
    tight = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=both, pricing=Pricing({}, 0.05))
    _, answer, _ = calibrate(y, p, fold)
    assert free.decision.threshold is not None
    assert tight.decision.threshold is not None
    assert tight.decision.threshold > free.decision.threshold
    assert 0.04 < (answer >= tight.decision.threshold).mean() <= 0.05
    assert tight.error_cost > free.error_cost  # type: ignore[operator]
    own = Costs(false_positive=5.0, amounts=(("false_negative", "lost"),), capacity_per_day=200.0)
    pricing = Pricing({"lost": lost}, 0.05)
    by_amount = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=own, pricing=pricing).decision
    acted = Decider(by_amount).positives(answer, [lost])
    benefit = answer * lost - (1 - answer) * 5.0
    assert acted is not None
    assert 0.049 < acted.mean() <= 0.05
    assert benefit[acted].min() > benefit[~acted].max()


@pytest.mark.parametrize("others", [0.4, 0.0], ids=["with a map", "without one"])
def test_sure_rows_that_tie_above_a_capacity_are_all_left_out(others: float) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(1000) < 0.3).astype(np.int64)
    scores = np.where(y == 1, 1.0, others * rng.random(1000))
    costs = Costs(false_positive=1.0, false_negative=10.0)
    fold = np.arange(1000) % 5
    made = decide(y, scores, fold, task="binary", classes=("no", "yes"), costs=costs, pricing=Pricing({}, 0.1))
    assert bool(made.decision.knots) == bool(others), "their maps tell the folds' ties apart, the package's does not"
    decider = Decider(made.decision)
    acted = decider.positives(decider.probabilities(scores.astype(np.float32)))
    assert acted is not None
    assert acted.sum() <= 100
    assert decider.positive(decider.probability(1.0)) is False
    assert made.error_cost == pytest.approx(10.0 * y.mean())


def only_errors(costs: Costs) -> Costs:
    return Costs(false_positive=costs.false_positive, false_negative=costs.false_negative)


def test_rows_are_left_to_people_exactly_where_deciding_is_expected_to_cost_more() -> None:
    y, p, fold, _ = priced()
    costs = Costs(false_positive=5.0, false_negative=60.0, reject=3.0)
    decided = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=costs)
    _, answer, _ = calibrate(y, p, fold)
    left = Decider(decided.decision).reviews(answer)
    assert left.tolist() == (np.minimum(answer * 60.0, (1 - answer) * 5.0) > 3.0).tolist()
    acted = answer >= 5.0 / 65.0
    errors = np.where(acted, 5.0 * (y == 0), 60.0 * (y == 1))
    assert decided.error_cost == pytest.approx(np.where(left, 3.0, errors).mean())
    without = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=only_errors(costs))
    assert decided.error_cost < without.error_cost  # type: ignore[operator]


def test_classes_have_amounts_and_a_price_of_asking_too() -> None:
    rng = np.random.default_rng(3)
    scores = rng.dirichlet([1, 1, 1], 600)
    y = np.array([rng.choice(3, p=row) for row in scores])
    lost = rng.lognormal(1, 1, 600)
    costs = Costs(matrix=(("a", "b", 1.0), ("b", "a", 2.0)), amounts=(("c>a", "lost"), ("c>b", "lost")), reject=0.5)
    pricing = Pricing({"lost": lost})
    fold = np.arange(600) % 3
    decided = decide(y, scores, fold, task="multiclass", classes=("a", "b", "c"), costs=costs, pricing=pricing)
    table = np.zeros((600, 3, 3))
    table[:, 0, 1], table[:, 1, 0], table[:, 2, 0], table[:, 2, 1] = 1.0, 2.0, lost, lost
    _, answer, _ = calibrate(y, scores, fold)
    expected = np.einsum("nt,ntp->np", answer, table)
    chosen = expected.argmin(axis=1)
    by_hand = np.where(expected.min(axis=1) > 0.5, 0.5, table[np.arange(600), y, chosen])
    assert decided.error_cost == pytest.approx(by_hand.mean())
    with pytest.raises(UnknownClass):
        wrong = Costs(matrix=costs.matrix, amounts=(("d>a", "lost"),))
        decide(y, scores, fold, task="multiclass", classes=("a", "b", "c"), costs=wrong, pricing=pricing)


def test_what_a_wrong_cost_would_cost_is_counted_with_the_old_decision_and_the_right_one() -> None:
    y, p, fold, lost = priced()
    costs = Costs(false_positive=5.0, amounts=(("false_negative", "lost"),))
    pricing = Pricing({"lost": lost})
    decided = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=costs, pricing=pricing)
    assert [(one.key, one.factor) for one in decided.ifs] == [
        ("false_positive", 0.5),
        ("false_positive", 2.0),
        ("false_negative", 0.5),
        ("false_negative", 2.0),
    ]
    _, answer, _ = calibrate(y, p, fold)
    twice = decided.ifs[-1]
    acted = answer * lost - (1 - answer) * 5.0 >= 0
    assert twice.kept == pytest.approx(np.where(acted, 5.0 * (y == 0), 2 * lost * (y == 1)).mean())
    right = Costs(false_positive=5.0, amounts=costs.amounts)
    again = decide(y, p, fold, task="binary", classes=("no", "yes"), costs=right, pricing=Pricing({"lost": 2 * lost}))
    assert twice.moved == pytest.approx(again.error_cost)
    assert all(one.moved < one.kept for one in decided.ifs)


def with_amounts(examples: Examples, **columns: pl.Series) -> Examples:
    kinds = {name: type_of_dtype(column.dtype) or Type.STRING for name, column in columns.items()}
    fields = tuple(Field(name=name, type=kind) for name, kind in kinds.items())
    return dataclasses.replace(examples, outputs=examples.outputs + fields, rows=examples.rows.with_columns(**columns))


def test_amounts_come_from_inputs_and_a_capacity_from_the_rows_own_rate() -> None:
    lost = pl.Series([None, *np.arange(1.0, 240.0)])
    examples = with_amounts(make_examples(240), lost=lost, town=pl.Series(["a"] * 240))
    costs = Costs(false_positive=1.0, amounts=(("false_negative", "lost"),), capacity_per_day=6.0)
    found = pricing_of(examples, costs)
    assert np.isnan(found.columns["lost"][0])
    assert found.at(np.array([3, 5])).columns["lost"].tolist() == [3.0, 5.0]
    assert found.share == pytest.approx(0.25, rel=0.01)  # 24 rows a day
    volume = Costs(false_positive=1.0, false_negative=1.0, capacity_per_day=6.0, volume_per_month=60 * 365.25 / 12)
    assert pricing_of(examples, volume).share == pytest.approx(0.1)
    for column, says in (("gone", "is no input of the model"), ("town", "is of type")):
        with pytest.raises(AmountUnusable, match=says):
            pricing_of(examples, Costs(false_positive=1.0, amounts=(("false_negative", column),)))
    exact = lost.cast(pl.Decimal(18, 6))
    assert (
        pricing_of(with_amounts(make_examples(240), lost=exact), costs).columns["lost"][1:].tolist()
        == lost[1:].to_list()
    )
    with pytest.raises(CapacityWithoutRate):
        pricing_of(dataclasses.replace(examples, time_us=None), costs)
    assert pricing_of(examples, None) == Pricing()
    assert mean_cost(np.array([0, 1]), np.array([0.2, 0.8]), Decision(task="binary", threshold=0.5), None) is None


@pytest.mark.parametrize(
    ("of", "costs"),
    [
        ("binary", Costs(false_positive=1.0, false_negative=2.0)),
        ("binary", Costs(false_positive=1.0, amounts=(("false_negative", "speed"),))),
        ("multiclass", Costs(matrix=(("a", "b", 1.0),))),
        ("multiclass", Costs(amounts=(("a>b", "speed"),))),
        ("regression", Costs(over=1.0, under=3.0)),
    ],
)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_costs_are_those_of_the_label_s_task(of: Task, costs: Costs, task: Task) -> None:
    examples = make_examples(40, task)
    if of == task:
        pricing_of(examples, costs)
        return
    with pytest.raises(CostsOfAnotherTask, match=f"costs of a {of} task, and the label makes a {task} task"):
        pricing_of(examples, costs)
