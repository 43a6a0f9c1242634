"""Calibration, threshold and costs: one value and a column give the same bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.scoring.decision import Calibration, Decider
from headrace.scoring.errors import PackageUnreadable, ScoreNotFinite
from headrace.scoring.model import Amount, Decision

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def knots(draw: st.DrawFn) -> tuple[tuple[float, float], ...]:
    scores = sorted(draw(st.sets(st.one_of(finite, st.floats(0, 1)), min_size=1, max_size=12)))
    share = st.floats(0, 1)
    values = sorted(draw(st.lists(share, min_size=len(scores), max_size=len(scores))))
    return tuple(zip(scores, values, strict=True))


@given(knots(), st.lists(finite, min_size=1, max_size=40))
@example(((0.0, -0.0), (1.0, 0.0)), [0.5, -0.0, 0.0])
@example(((0.0, 0.0), (5e-324, 1.0)), [0.0, 5e-45])
@example(((0.0, 0.0), (1e-298, 0.5)), [3e38, -3e38, 0.0])
@example(((0.5, 0.25),), [0.0, 0.5, 1.0])
@example(((-1e30, 0.1940114239129515), (0.5, 0.9109877835080679)), [0.25])  # rounds past the upper knot
def test_one_value_and_a_column_are_calibrated_to_the_same_bits(
    points: tuple[tuple[float, float], ...], scores: list[float]
) -> None:
    calibration = Calibration(points)
    raw = np.array([*scores, *(x for x, _ in points)], np.float32)
    raw = raw[np.isfinite(raw)]
    column = calibration.column(raw)
    alone = np.array([calibration.one(float(score)) for score in raw])
    assert column.view(np.uint64).tolist() == alone.view(np.uint64).tolist()
    assert all(points[0][1] <= value <= points[-1][1] for value in alone)


@given(knots(), st.lists(finite, min_size=2, max_size=40))
def test_calibration_never_changes_the_order(points: tuple[tuple[float, float], ...], scores: list[float]) -> None:
    column = Calibration(points).column(np.array(sorted(scores), np.float32))
    assert (np.diff(column) >= 0).all()


def test_knots_are_hit_and_the_ends_hold() -> None:
    calibration = Calibration(((0.25, 0.1), (0.5, 0.3), (0.75, 0.9)))
    assert [calibration.one(x) for x in (0.25, 0.5, 0.75, -9.0, 9.0)] == [0.1, 0.3, 0.9, 0.1, 0.9]
    assert calibration.one(0.625) == pytest.approx(0.6)


def test_without_knots_the_score_is_the_probability() -> None:
    assert Calibration(()).one(0.3) == 0.3
    assert Calibration(()).column(np.array([0.25], np.float32)).tolist() == [0.25]


@pytest.mark.parametrize(
    "points",
    [
        ((0.5, 0.1), (0.5, 0.2)),
        ((0.5, 0.1), (0.4, 0.2)),
        ((0.1, 0.5), (0.2, 0.4)),
        ((0.1, -0.1), (0.2, 0.4)),
        ((0.1, 0.1), (0.2, 1.1)),
        ((math.nan, 0.1), (0.2, 0.4)),
        ((0.1, math.nan), (0.2, 0.4)),
        ((0.1, 0.1), (math.inf, 0.4)),
        ((-1e308, 0.1), (1e308, 0.4)),
    ],
)
def test_knots_that_are_no_map_are_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(PackageUnreadable, match="knots"):
        Calibration(points)


cost = st.floats(-1e6, 1e6)


@given(
    st.integers(2, 6).flatmap(
        lambda k: st.tuples(
            st.lists(st.lists(cost, min_size=k, max_size=k).map(tuple), min_size=k, max_size=k).map(tuple),
            st.lists(st.lists(st.floats(0, 1, width=32), min_size=k, max_size=k), min_size=1, max_size=20),
        )
    )
)
def test_one_row_and_many_choose_the_same_class(case: tuple[tuple[tuple[float, ...], ...], list[list[float]]]) -> None:
    costs, rows = case
    names = tuple(f"c{i}" for i in range(len(costs)))
    for matrix in (costs, ()):
        decider = Decider(Decision(task="multiclass", classes=names, cost_matrix=matrix))
        assert decider.choices(np.array(rows)).tolist() == [decider.choice(row) for row in rows]


@given(knots(), st.data())
def test_one_row_and_many_have_the_same_shares_and_the_same_set(
    points: tuple[tuple[float, float], ...], data: st.DataObject
) -> None:
    k = data.draw(st.integers(2, 5))
    share = st.floats(0, 1, width=32)
    rows = data.draw(st.lists(st.lists(share, min_size=k, max_size=k), min_size=1, max_size=20))
    least = tuple(data.draw(st.lists(st.floats(0, 1), min_size=k, max_size=k)))
    risen = tuple((score, max(probability, 0.01)) for score, probability in points)  # none of several is mapped to 0
    names = tuple(f"c{i}" for i in range(k))
    for used in (risen, ()):
        decider = Decider(Decision(task="multiclass", classes=names, knots=used, set_least=least))
        column = decider.probabilities(np.array(rows, np.float32))
        alone = [decider.shares(row) for row in rows]
        assert column.tolist() == alone
        assert decider.uncertainty.sets(column) == [decider.uncertainty.set_among(shares) for shares in alone]


def test_an_amount_that_grows_beyond_numbers_counts_as_the_mean_alone_and_among_many() -> None:
    unit = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))
    dear = Amount(truth=2, predicted=1, column="worth", otherwise=4.0, factor=10.0)
    decided = Decision(task="multiclass", classes=("a", "b", "c"), cost_matrix=unit, amounts=(dear,), reject=0.1)
    decider, shares, worth = Decider(decided), [0.25, 0.75, 0.0], 1e308
    columns = [np.array([worth])]
    assert decider.choices(np.array([shares]), columns).tolist() == [decider.choice(shares, [worth])] == [1]
    assert decider.reviews(np.array([shares]), columns).tolist() == [decider.review(shares, [worth])] == [True]
    assert decider.costs(np.array([2]), np.array([1]), columns).tolist() == [4.0]


def test_the_class_of_least_expected_cost_is_chosen() -> None:
    costs = ((0.0, 10.0), (1.0, 0.0))
    decider = Decider(Decision(task="multiclass", classes=("calm", "storm"), cost_matrix=costs))
    assert decider.choice([0.05, 0.95]) == 1  # 0.95 against 0.5
    assert decider.choice([0.2, 0.8]) == 0  # 0.8 against 2.0
    assert Decider(Decision(task="multiclass", classes=("calm", "storm"))).choice([0.2, 0.8]) == 1


def test_equals_are_decided_for_the_first_class() -> None:
    decider = Decider(Decision(task="multiclass", classes=("a", "b", "c")))
    assert decider.choice([0.4, 0.4, 0.2]) == 0
    assert decider.choices(np.array([[0.2, 0.4, 0.4]])).tolist() == [1]


def test_the_threshold_itself_counts_as_positive() -> None:
    decider = Decider(Decision(task="binary", threshold=0.5))
    assert [decider.positive(p) for p in (0.5, np.nextafter(0.5, 0))] == [True, False]
    positives = decider.positives(np.array([0.5, 0.4]))
    assert positives is not None
    assert positives.tolist() == [True, False]
    assert Decider(Decision(task="binary")).positive(0.9) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_answer_that_is_no_number_is_an_error_that_names_the_row(bad: float) -> None:
    with pytest.raises(ScoreNotFinite, match=r"rows\[2\]"):
        Decider(Decision(task="binary")).probabilities(np.array([0.1, 0.2, bad], np.float32))
    with pytest.raises(ScoreNotFinite, match=r"rows\[1\]"):
        Decider(Decision(task="multiclass", classes=("a", "b"))).probabilities(np.array([[0, 1], [1, bad]], np.float32))


@pytest.mark.parametrize(
    "parts",
    [
        {"task": "binary", "format": 2},
        {"task": "binary", "threshold": 1.5},
        {"task": "binary", "threshold": math.nan},
        {"task": "multiclass", "classes": ("a",)},
        {"task": "multiclass", "classes": ("a", "a")},
        {"task": "multiclass", "classes": ("a", "b"), "cost_matrix": ((0.0, 1.0),)},
        {"task": "multiclass", "classes": ("a", "b"), "cost_matrix": ((0.0,), (1.0, 0.0))},
        {"task": "multiclass", "classes": ("a", "b"), "cost_matrix": ((0.0, math.nan), (1.0, 0.0))},
    ],
)
def test_a_decision_that_contradicts_itself_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(PackageUnreadable, match=r"decision\.json"):
        Decider(Decision(**parts))


amount = st.one_of(st.floats(width=64), st.integers(-3, 2**60), st.none())


@given(
    st.lists(st.tuples(st.floats(0, 1), amount, amount), min_size=1, max_size=30),
    st.floats(0, 1e6),
    st.sampled_from([None, 0.0, 2.5, 1e5]),
    st.sampled_from([None, 0.75]),
    st.booleans(),
)
def test_one_row_and_a_column_are_decided_alike_by_amounts_of_their_own(
    rows: list[tuple[float, Any, Any]], fixed: float, reject: float | None, least: float | None, both: bool
) -> None:
    amounts: tuple[Amount, ...] = (Amount(truth=1, predicted=0, column="lost", otherwise=7.5),)
    if both:
        amounts += (Amount(truth=0, predicted=1, column="care", otherwise=1.0, factor=0.5),)
    decider = Decider(
        Decision(
            task="binary",
            threshold=0.5,
            cost_matrix=((0.0, fixed), (0.0, 0.0)),
            amounts=amounts,
            reject=reject,
            least_benefit=least,
        )
    )
    p = np.array([row[0] for row in rows])
    own = [
        np.array([float(row[place]) if row[place] is not None else math.nan for row in rows])
        for place in range(1, len(decider.columns) + 1)
    ]
    acted, left = decider.positives(p, own), decider.reviews(p, own)
    assert acted is not None
    for place, (probability, *values) in enumerate(rows):
        alone = decider.positive(probability, values[: len(decider.columns)])
        assert alone is None if left[place] else alone == acted[place]
        assert decider.review(probability, values[: len(decider.columns)]) == left[place]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), amount), min_size=1, max_size=20))
def test_classes_are_chosen_alike_by_amounts_of_their_own(rows: list[tuple[float, float, Any]]) -> None:
    decider = Decider(
        Decision(
            task="multiclass",
            classes=("a", "b", "c"),
            cost_matrix=((0.0, 1.0, 2.0), (3.0, 0.0, 4.0), (5.0, 6.0, 0.0)),
            amounts=(Amount(truth=2, predicted=0, column="lost", otherwise=9.0),),
            reject=1.25,
        )
    )
    p = np.array([[x, (1 - x) * y, (1 - x) * (1 - y)] for x, y, _ in rows])
    own = [np.array([math.nan if value is None else float(value) for *_, value in rows])]
    chosen, left = decider.choices(p, own), decider.reviews(p, own)
    for place, (*_, value) in enumerate(rows):
        assert decider.choice(p[place].tolist(), (value,)) == chosen[place]
        assert decider.review(p[place].tolist(), (value,)) == left[place]


def test_a_row_is_acted_on_where_its_own_amount_makes_that_pay() -> None:
    decision = Decision(
        task="binary",
        threshold=0.5,
        cost_matrix=((0.0, 10.0), (0.0, 0.0)),
        amounts=(Amount(truth=1, predicted=0, column="lost", otherwise=30.0),),
    )
    decider = Decider(decision)
    # acting pays from 10 / (10 + lost) on
    assert [decider.positive(0.2, (lost,)) for lost in (39, 40.0, None, -1.0, math.nan)] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert decider.positive(0.25) is True, "the mean of the training rows: 30"
    asked = Decider(Decision(**{**decision_facts(decision), "reject": 4.0}))
    assert [asked.positive(p, (40.0,)) for p in (0.05, 0.2, 0.9)] == [False, None, True]
    with pytest.raises(PackageUnreadable, match="amounts"):
        Decider(Decision(task="binary", threshold=0.5, reject=1.0))


def decision_facts(decision: Decision) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in decision.__struct_fields__}
