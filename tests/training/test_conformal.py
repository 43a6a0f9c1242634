"""Intervals and sets hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.scoring.decision import Decider
from headrace.scoring.model import Decision, Margin
from headrace.scoring.uncertainty import Uncertainty
from headrace.training.conformal import PARTS, _margins, fit_least, fit_margins, intervals, with_uncertainty


def values(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions, and labels whose spread grows with them and leans upwards."""
    rng = np.random.default_rng(seed)
    said = rng.uniform(0, 10, n)
    return said, said + (0.2 + said) * (rng.exponential(1.0, n) - 0.7)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_intervals_hold_as_many_new_labels_as_they_say_and_grow_where_errors_do(coverage: float) -> None:
    said, y = values(20_000, 0)
    margins = fit_margins(y, said, np.arange(len(y)) % 5, coverage=coverage)
    fresh, truth = values(20_000, 1)
    low, high = intervals(fresh, margins)
    held = (low <= truth) & (truth <= high)
    assert held.mean() == pytest.approx(coverage, abs=0.01)
    assert len(margins) > 1, "errors that grow with the prediction are told apart"
    small, large = fresh < 2, fresh > 8
    assert held[small].mean() == pytest.approx(coverage, abs=0.02)
    assert held[large].mean() == pytest.approx(coverage, abs=0.02)
    assert (high - low)[large].mean() > 3 * (high - low)[small].mean()


def test_errors_of_one_size_need_one_margin() -> None:
    rng = np.random.default_rng(0)
    said = rng.uniform(0, 10, 3_000)
    y = said + rng.normal(size=3_000)
    margins = fit_margins(y, said, np.arange(3_000) % 5, coverage=0.9)
    assert margins[0].below == pytest.approx(-1.645, abs=0.12)
    assert margins[0].above == pytest.approx(1.645, abs=0.12)


def test_equal_predictions_are_of_one_part_and_stay_in_it_as_float32() -> None:
    """Six of ten predictions are one number with small errors; those just above it have large ones."""
    rng = np.random.default_rng(0)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        said = np.where(rng.random(n) < 0.6, 0.7, 1 + rng.random(n))
        return said, said + np.where(said == 0.7, 0.01, np.where(said < 1.5, 1.0, 0.2)) * rng.normal(size=n)

    said, y = drawn(8_000)
    fresh, truth = drawn(20_000)
    for parts in PARTS:
        margins = _margins(y, said, parts, 0.9)
        asked = fresh.astype(np.float32).astype(np.float64)
        low, high = intervals(asked, margins)
        held = (low <= truth) & (truth <= high)
        part = np.searchsorted([margin.start for margin in margins], asked, side="right")
        assert np.ptp(part[fresh == 0.7]) == 0
        for own in np.unique(part):
            assert held[part == own].mean() > 0.87, (parts, own)


@pytest.mark.parametrize("n", [19, 39, 99])
def test_as_many_rows_as_a_coverage_needs_are_enough(n: int) -> None:
    y = np.arange(float(n))
    (margin,) = _margins(y, np.zeros(n), 1, 0.9)
    beyond = (n + 1) // 20
    assert (margin.below, margin.above) == (y[beyond - 1], y[-beyond])


def test_too_few_rows_give_no_interval_and_no_set() -> None:
    y = np.arange(15.0)
    assert fit_margins(y, y + 1, np.zeros(15, np.int64), coverage=0.9) == ()
    assert fit_least(np.array([0] * 100 + [1] * 5), np.linspace(0, 1, 105), coverage=0.9) == ()
    decision = Decision(task="regression")
    assert with_uncertainty(decision, y, y, np.zeros(15, np.int64), coverage=0.9) is decision


def test_sets_of_a_rare_class_hold_it_as_often_as_the_frequent_one() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 12, 40_000)
    y = (rng.random(len(p)) < p).astype(np.int64)
    half = len(p) // 2
    least = fit_least(y[:half], p[:half], coverage=0.9)
    within = Uncertainty(Decision(task="binary", set_least=least)).members(p[half:])
    held = within[np.arange(half), y[half:]]
    assert held[y[half:] == 1].mean() == pytest.approx(0.9, abs=0.03)
    assert held[y[half:] == 0].mean() == pytest.approx(0.9, abs=0.01)


def test_sets_of_several_classes_hold_the_truth_and_are_never_empty() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(6, 0.5), 20_000)
    y = np.array([rng.choice(6, p=row) for row in p])
    least = fit_least(y[:10_000], p[:10_000], coverage=0.9)
    within = Uncertainty(Decision(task="multiclass", classes=tuple("abcdef"), set_least=least)).members(p[10_000:])
    assert within[np.arange(10_000), y[10_000:]].mean() == pytest.approx(0.9, abs=0.01)
    assert within.any(axis=1).all()
    assert within.sum(axis=1).mean() < 4


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6, unique=True),
    st.integers(0, 1000),
)
def test_one_answer_gets_the_bits_that_a_column_gets(values: list[float], starts: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    margins = tuple(
        Margin(start=start, below=-float(rng.random()), above=float(rng.random())) for start in sorted(starts)
    )
    sure = Uncertainty(Decision(task="regression", coverage=0.9, margins=margins))
    low, high = sure.intervals(np.array(values))
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == [sure.interval(v) for v in values]
    sets = Uncertainty(Decision(task="binary", set_least=(float(rng.random()), float(rng.random()))))
    p = rng.random(50)
    assert sets.sets(p) == [sets.set_of(one) for one in p.tolist()]
    assert all(sets.sets(p))


def test_a_decision_whose_margins_fall_is_refused() -> None:
    margins = (Margin(start=1.0, below=-1.0, above=1.0), Margin(start=0.0, below=-1.0, above=1.0))
    with pytest.raises(Exception, match="margins do not rise"):
        Decider(Decision(task="regression", margins=margins))
    with pytest.raises(Exception, match="least probabilities"):
        Decider(Decision(task="binary", set_least=(0.5,)))
