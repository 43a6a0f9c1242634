"""Calibration, thresholds and costs, out of fold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.definition.model import Costs
from headrace.scoring.decision import Calibration, Decider
from headrace.scoring.model import Decision
from headrace.training.calibration import (
    decide,
    elkan_threshold,
    f1_threshold,
    least_cost_threshold,
)
from headrace.training.errors import UnknownClass
from headrace.training.maps import MOST_KNOTS, calibrate, fit_beta, fit_platt, fit_temperature, isotonic_knots, knots_of
from headrace.training.metrics import METRICS
from headrace.training.pricing import cost_matrix, decisions, mean_cost


def sample(n: int, *, power: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores that are `power`-distorted probabilities, and folds."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 4, n)
    return (rng.random(n) < p).astype(np.int64), p**power, np.arange(n) * 5 // n


def test_distorted_scores_are_mended_on_rows_that_the_map_never_saw() -> None:
    y, scores, fold = sample(20_000, power=3.0)
    knots, calibrated, gain = calibrate(y, scores, fold)
    fresh_y, fresh, _ = sample(20_000, power=3.0, seed=9)
    mended = Calibration(knots).column(fresh)
    loss = METRICS["log_loss"]
    assert knots
    assert gain.before == pytest.approx(loss.value(y, scores))
    assert gain.after == pytest.approx(loss.value(y, calibrated))
    assert loss.value(y, calibrated) < loss.value(y, scores) - 0.05
    assert loss.value(fresh_y, mended) < loss.value(fresh_y, fresh ** (1 / 3)) + 0.002
    assert np.abs(mended - fresh ** (1 / 3)).mean() < 0.02


def test_calibrated_scores_are_left_alone() -> None:
    y, scores, fold = sample(3_000, power=1.0)
    knots, calibrated, gain = calibrate(y, scores, fold)
    assert gain.after > gain.before - 1e-3, "what is chosen of calibrated scores gains next to nothing"
    assert np.abs(calibrated - scores).mean() < 0.01
    assert (knots == ()) == (gain.map == "none")


def test_of_few_calibrated_scores_a_map_is_hardly_ever_chosen_and_new_rows_are_not_harmed() -> None:
    """One of the maps would seem to gain for every fourth; what it then does to new rows is harm."""
    chosen, harm = 0, []
    for seed in range(150):
        y, scores, fold = sample(200, power=1.0, seed=seed)
        knots, _, gain = calibrate(y, scores, np.random.default_rng(seed).permutation(fold))
        chosen += gain.map != "none"
        assert (gain.noise is None) == (gain.map == "none")
        fresh_y, fresh, _ = sample(2_000, power=1.0, seed=1_000 + seed)
        loss = METRICS["log_loss"]
        harm.append(loss.value(fresh_y, Calibration(knots).column(fresh)) - loss.value(fresh_y, fresh))
    assert chosen <= 15
    assert np.mean(harm) < 1.5e-3


def test_scores_that_say_nothing_are_not_fitted_to_their_noise() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(400) < 0.3).astype(np.int64)
    scores = np.full(400, 0.3) + rng.normal(scale=1e-3, size=400)
    _, calibrated, _ = calibrate(y, scores, np.arange(400) % 4)
    loss = METRICS["log_loss"]
    assert loss.value(y, calibrated) <= loss.value(y, scores)


def sigmoid(z: np.ndarray) -> np.ndarray:
    p: np.ndarray = 1.0 / (1.0 + np.exp(-z))
    return p


def test_each_parametric_map_finds_the_distortion_of_its_own_kind() -> None:
    rng = np.random.default_rng(4)
    true = rng.beta(1, 3, 40_000).clip(1e-4, 1 - 1e-4)
    y = (rng.random(len(true)) < true).astype(np.int64)
    z = np.log(true / (1 - true))
    distorted = sigmoid((z - 0.7) / 0.5)  # true = sigmoid(0.5 logit + 0.7)
    platt = fit_platt(y, distorted)
    assert platt is not None
    assert np.abs(platt(distorted) - true).max() < 0.03
    knots, _, gain = calibrate(y, distorted, np.arange(len(y)) % 5)
    assert gain.map in ("platt", "beta"), "a smooth distortion needs no steps"
    assert np.abs(Calibration(knots).column(distorted) - true).max() < 0.03
    squeezed = true**3.0  # ln of it is 3 ln(true): beta's, with a = 1/3
    beta = fit_beta(y, squeezed)
    assert beta is not None
    assert np.abs(beta(squeezed) - true).mean() < 0.01


def test_scores_that_rank_the_wrong_way_teach_no_parametric_map() -> None:
    y, scores, _ = sample(5_000, power=1.0)
    assert fit_platt(y, 1.0 - scores) is None
    assert fit_beta(y, 1.0 - scores) is None


@given(st.floats(0.05, 8.0), st.floats(0.05, 8.0), st.floats(-6.0, 6.0))
def test_the_line_between_knots_is_the_parametric_map_within_a_ten_thousandth(a: float, b: float, c: float) -> None:
    def exact(s: np.ndarray) -> np.ndarray:
        s = np.clip(s, 1e-7, 1 - 1e-7)
        return sigmoid(a * np.log(s) - b * np.log1p(-s) + c)

    knots = knots_of(exact)
    assert len(knots) <= 250
    asked = np.random.default_rng(0).random(2_000)
    asked = np.concatenate([asked, asked**8, 1 - asked**8, [0.0, 1.0]])
    assert np.abs(Calibration(knots).column(asked) - exact(asked)).max() < 1e-4


def test_a_temperature_mends_classes_that_are_too_sure_and_rows_sum_to_one() -> None:
    rng = np.random.default_rng(2)
    true = rng.dirichlet(np.ones(5), 8_000)
    y = np.array([rng.choice(5, p=row) for row in true])
    sure = true**2.5 / (true**2.5).sum(axis=1, keepdims=True)
    fitted = fit_temperature(y, sure)
    assert fitted is not None
    knots, crossed, gain = calibrate(y, sure, np.arange(len(y)) % 5)
    assert gain.map == "temperature"
    assert gain.after < gain.before - 0.1
    assert np.abs(crossed - true).mean() < 0.01
    decider = Decider(Decision(task="multiclass", classes=tuple("abcde"), knots=knots))
    said = decider.probabilities(sure.astype(np.float32))
    assert np.abs(said - true).mean() < 0.01
    np.testing.assert_allclose(said.sum(axis=1), 1.0, rtol=1e-12)
    alone = np.concatenate([decider.probabilities(row[None, :]) for row in sure[:300].astype(np.float32)])
    np.testing.assert_array_equal(alone, said[:300])


@given(st.integers(0, 10_000), st.integers(50, 2_000), st.floats(0.2, 5.0), st.integers(2, 2_000))
def test_knots_increase_strictly_and_stay_off_zero_and_one(seed: int, n: int, power: float, steps: int) -> None:
    y, scores, _ = sample(n, power=power, seed=seed)
    knots = isotonic_knots(y, np.round(scores * steps) / steps)
    if not knots:
        assert min(y.sum(), n - y.sum()) < 20
        return
    x, p = np.array(knots).T
    assert len(knots) <= MOST_KNOTS + 3
    assert (np.diff(x) > 0).all()
    assert (np.diff(p) > 0).all()
    assert 0 < p[0] <= p[-1] < 1
    Decider(Decision(task="binary", knots=knots, threshold=0.5))  # the scorer takes it


def test_rows_beyond_the_first_and_last_centre_keep_their_order() -> None:
    """Of a rare class most rows lie below the first centre: tied, they would cost the area under the ROC curve."""
    rng = np.random.default_rng(2)
    scores = rng.beta(0.3, 6.0, 4_000)
    y = (rng.uniform(size=4_000) < scores**1.5).astype(np.int64)
    mapped = Calibration(isotonic_knots(y, scores)).column(scores)
    order = np.argsort(scores)
    assert (np.diff(mapped[order])[np.diff(scores[order]) > 1e-9] > 0).all()


def test_a_map_of_separated_classes_never_says_impossible() -> None:
    y = np.repeat([0, 1], 100)
    knots = isotonic_knots(y, np.linspace(0, 1, 200))
    assert 0 < knots[0][1] < 0.01
    assert 0.99 < knots[-1][1] < 1


def test_few_rows_of_a_class_are_not_calibrated() -> None:
    y = np.zeros(500, np.int64)
    y[:19] = 1
    assert isotonic_knots(y, np.linspace(1, 0, 500)) == ()


def brute_force(y: np.ndarray, p: np.ndarray, fp: float, fn: float) -> float:
    return min(
        float(np.mean(fp * ((p >= t) & (y == 0)) + fn * ((p < t) & (y == 1))))
        for t in [*np.unique(p), *(np.unique(p) + 1e-9)]
    )


@given(st.integers(0, 10_000), st.integers(2, 60), st.floats(0.1, 100), st.floats(0.1, 10))
def test_no_threshold_costs_less_than_the_least_cost_one(seed: int, n: int, fp: float, fn: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = np.round(rng.random(n), 1)
    threshold, cost = least_cost_threshold(y, p, fp, fn)
    real = float(np.mean(fp * ((p >= threshold) & (y == 0)) + fn * ((p < threshold) & (y == 1))))
    assert cost == pytest.approx(real)
    if p.max() < 1.0:
        assert cost <= brute_force(y, p, fp, fn) + 1e-12
    else:  # a threshold, which is at most 1, always acts on a row that is sure
        assert cost <= brute_force(y, p, fp, fn) + 1e-12 or float(np.mean(fn * (y == 1))) <= cost


def test_the_f1_threshold_is_the_best_of_all() -> None:
    y, scores, _ = sample(500, power=1.0)
    threshold = f1_threshold(y, scores)
    f1 = METRICS["f1"]
    best = max(f1.value(y, (scores >= t).astype(np.int64)) for t in np.unique(scores))
    assert f1.value(y, (scores >= threshold).astype(np.int64)) == pytest.approx(best)


def test_with_calibrated_probabilities_elkan_s_threshold_costs_least() -> None:
    y, scores, fold = sample(40_000, power=2.0)
    costs = Costs(false_positive=4.0, false_negative=60.0)
    decided = decide(y, scores, fold, task="binary", classes=("false", "true"), costs=costs)
    assert decided.decision.threshold == elkan_threshold(4.0, 60.0) == 0.0625
    assert decided.error_cost is not None
    assert decided.best_cost is not None
    assert decided.best_cost <= decided.error_cost <= decided.best_cost * 1.01
    fresh_y, fresh, _ = sample(40_000, power=2.0, seed=5)
    fresh_cost = mean_cost(fresh_y, Calibration(decided.decision.knots).column(fresh), decided.decision, costs)
    assert fresh_cost == pytest.approx(decided.error_cost, rel=0.03)


def test_without_costs_the_threshold_maximises_f1() -> None:
    y, scores, fold = sample(2_000, power=1.0)
    decided = decide(y, scores, fold, task="binary", classes=("false", "true"), costs=None)
    assert decided.error_cost is None
    assert decided.decision.threshold == f1_threshold(y, scores)


def test_a_class_matrix_is_read_truth_by_predicted() -> None:
    costs = Costs(matrix=(("a", "b", 3.0), ("c", "a", 5.0)))
    assert cost_matrix("multiclass", ("a", "b", "c"), costs) == ((0.0, 3.0, 0.0), (0.0, 0.0, 0.0), (5.0, 0.0, 0.0))
    with pytest.raises(UnknownClass, match="'d'"):
        cost_matrix("multiclass", ("a", "b"), Costs(matrix=(("a", "d", 1.0),)))


def test_a_costly_miss_moves_the_chosen_class() -> None:
    p = np.array([[0.7, 0.2, 0.1]])
    plain = Decision(task="multiclass", classes=("a", "b", "c"))
    assert decisions(p, plain).tolist() == [0]
    matrix = cost_matrix(
        "multiclass", ("a", "b", "c"), Costs(matrix=(("c", "a", 50.0), ("c", "b", 50.0), ("a", "c", 1.0)))
    )
    costly = Decision(task="multiclass", classes=("a", "b", "c"), cost_matrix=matrix)
    assert decisions(p, costly).tolist() == [2]


def test_errors_of_values_are_priced_by_side() -> None:
    y, value = np.array([10.0, 10.0]), np.array([12.0, 7.0])
    decision = Decision(task="regression")
    assert mean_cost(y, value, decision, Costs(over=1.0, under=2.0)) == (2.0 + 6.0) / 2
    assert mean_cost(y, value, decision, Costs()) is None
