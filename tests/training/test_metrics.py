"""Metrics against scikit-learn, weighted and not; intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from headrace.training.errors import UnknownMetric
from headrace.training.metrics import METRICS, bootstrap_weights, intervals_of, metric_of, metrics_of, prepare_all
from headrace.training.metrics.basis import weighted_sum


def prepared(name: str, y: np.ndarray, answer: np.ndarray, weights: np.ndarray) -> float:
    return METRICS[name].prepare(y, answer)(weights)


@settings(max_examples=60)
@given(st.integers(3, 80), st.integers(0, 10_000), st.integers(2, 30))
def test_binary_metrics_are_scikit_learn_s_with_ties_and_weights(n: int, seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    p = np.round(rng.random(n) * steps) / steps
    w = rng.integers(0, 4, n).astype(np.float64)
    w[:2] = 1
    decided = (p >= 0.5).astype(np.int64)
    expected = {
        "average_precision": sk.average_precision_score(y, p, sample_weight=w),
        "roc_auc": sk.roc_auc_score(y, p, sample_weight=w),
        "brier": sk.brier_score_loss(y, p, sample_weight=w),
        "accuracy": sk.accuracy_score(y, decided, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, decided, sample_weight=w),
        "precision": sk.precision_score(y, decided, sample_weight=w, zero_division=0),
        "recall": sk.recall_score(y, decided, sample_weight=w),
        "f1": sk.f1_score(y, decided, sample_weight=w),
        "f2": sk.fbeta_score(y, decided, beta=2, sample_weight=w),
        "gini": 2 * sk.roc_auc_score(y, p, sample_weight=w) - 1,
        "mcc": sk.matthews_corrcoef(y, decided, sample_weight=w),
        "specificity": sk.recall_score(1 - y, 1 - decided, sample_weight=w),
        "npv": sk.precision_score(1 - y, 1 - decided, sample_weight=w, zero_division=0),
        "brier_skill": 1
        - sk.brier_score_loss(y, p, sample_weight=w)
        / np.average((y - (share := np.average(y, weights=w))) ** 2, weights=w),
    }
    assert 0 < share < 1
    false, true, _ = sk.roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    expected["ks"] = float(np.max(true - false))
    precision, recall, _ = sk.precision_recall_curve(y, p, sample_weight=w)
    expected["recall_at_precision_80"] = float(np.max(recall[:-1][precision[:-1] >= 0.8], initial=0.0))
    if (chance := np.mean(decided)) not in (0.0, 1.0):
        expected["kappa"] = sk.cohen_kappa_score(y, decided, sample_weight=w)
    assert 0 <= chance <= 1
    for name, value in expected.items():
        answer = p if METRICS[name].of == "score" else decided
        assert math.isclose(prepared(name, y, answer, w), value, rel_tol=1e-9, abs_tol=1e-12), name
    inner = np.clip(p, 0.01, 0.99)
    assert math.isclose(prepared("log_loss", y, inner, w), sk.log_loss(y, inner, sample_weight=w), rel_tol=1e-9)


@given(st.integers(8, 80), st.integers(0, 10_000))
def test_multiclass_metrics_are_scikit_learn_s(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.append([0, 1, 2], rng.integers(0, 3, n - 3))
    p = rng.dirichlet(np.ones(3), n)
    decided = np.argmax(p, axis=1)
    w = rng.integers(1, 4, n).astype(np.float64)
    assert math.isclose(prepared("log_loss", y, p, w), sk.log_loss(y, p, sample_weight=w), rel_tol=1e-9)
    assert math.isclose(prepared("accuracy", y, decided, w), sk.accuracy_score(y, decided, sample_weight=w))
    assert math.isclose(prepared("macro_f1", y, decided, w), sk.f1_score(y, decided, average="macro", sample_weight=w))
    assert math.isclose(
        prepared("balanced_accuracy", y, decided, w), sk.balanced_accuracy_score(y, decided, sample_weight=w)
    )
    expected = {
        "weighted_f1": sk.f1_score(y, decided, average="weighted", sample_weight=w),
        "macro_precision": sk.precision_score(y, decided, average="macro", sample_weight=w, zero_division=0),
        "mcc": sk.matthews_corrcoef(y, decided, sample_weight=w),
        "macro_roc_auc": np.mean([sk.roc_auc_score(y == c, p[:, c], sample_weight=w) for c in range(3)]),
        "top_2_accuracy": sk.top_k_accuracy_score(y, p, k=2, sample_weight=w),
        "brier": np.average(((p - np.eye(3)[y]) ** 2).sum(axis=1), weights=w),
    }
    for name, value in expected.items():
        answer = p if METRICS[name].of == "score" else decided
        assert math.isclose(prepared(name, y, answer, w), value, rel_tol=1e-9, abs_tol=1e-12), name
    assert math.isnan(prepared("top_3_accuracy", y, p, w)), "of three classes three are always right"


@given(st.integers(3, 80), st.integers(0, 10_000))
def test_metrics_of_values_are_scikit_learn_s(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, value = rng.normal(size=n), rng.normal(size=n)
    w = rng.integers(1, 4, n).astype(np.float64)
    assert math.isclose(prepared("rmse", y, value, w), sk.root_mean_squared_error(y, value, sample_weight=w))
    assert math.isclose(prepared("mae", y, value, w), sk.mean_absolute_error(y, value, sample_weight=w))
    assert math.isclose(prepared("r2", y, value, w), sk.r2_score(y, value, sample_weight=w), rel_tol=1e-9)
    each = np.repeat(np.abs(y - value), w.astype(int))
    assert math.isclose(prepared("median_absolute_error", y, value, w), np.median(each))
    assert math.isclose(
        prepared("mape", y, value, w), sk.mean_absolute_percentage_error(y, value, sample_weight=w), rel_tol=1e-9
    )
    assert math.isclose(prepared("wape", y, value, w), (w @ np.abs(y - value)) / (w @ np.abs(y)), rel_tol=1e-9)
    assert math.isclose(
        prepared("pinball_90", y, value, w), sk.mean_pinball_loss(y, value, alpha=0.9, sample_weight=w), rel_tol=1e-9
    )
    counts, said = rng.poisson(2.0, n).astype(float), rng.gamma(2.0, 1.0, n) + 1e-3
    amounts = rng.gamma(2.0, 1.0, n) + 1e-3
    for name, power, label in (
        ("poisson_deviance", 1, counts),
        ("tweedie_deviance", 1.5, counts),
        ("gamma_deviance", 2, amounts),
    ):
        expected = sk.mean_tweedie_deviance(label, said, power=power, sample_weight=w)
        assert math.isclose(prepared(name, label, said, w), expected, rel_tol=1e-9, abs_tol=1e-12), name
    expected = sk.root_mean_squared_log_error(counts, said, sample_weight=w)
    assert math.isclose(prepared("rmsle", counts, said, w), expected, rel_tol=1e-9)


def test_the_first_rows_of_a_ranking_are_a_share_of_it_and_ties_count_their_mean_part() -> None:
    y, p = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0]), np.linspace(0.9, 0.1, 10)
    assert METRICS["precision_at_10"].value(y, p) == 1.0
    assert METRICS["recall_at_10"].value(y, p) == 0.5
    assert METRICS["lift_at_10"].value(y, p) == pytest.approx(5.0)
    tied = np.full(10, 0.3)
    assert METRICS["precision_at_10"].value(y, tied) == pytest.approx(0.2)
    assert METRICS["lift_at_10"].value(y, tied) == pytest.approx(1.0)
    twice = np.where(np.arange(10) == 0, 2.0, 1.0)
    assert METRICS["recall_at_10"].prepare(y, p)(twice) == pytest.approx(1.1 / 3)


@given(st.integers(1, 60), st.integers(0, 10_000), st.integers(1, 30))
def test_metrics_of_a_ranking_are_to_the_bit_what_their_plain_formulas_give(n: int, seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, 2, n), np.round(rng.random(n) * steps) / steps
    w = rng.integers(0, 3, n).astype(np.float64)
    y[0], w[0] = 1, 1.0
    order = np.argsort(-p, kind="stable")
    ends = np.flatnonzero(np.append(p[order][1:] != p[order][:-1], True))
    hits, total = np.cumsum((w * y)[order])[ends], np.cumsum(w[order])[ends]
    false = total - hits
    gained = np.diff(hits, prepend=0.0)
    assert prepared("average_precision", y, p, w) == np.sum(gained * (hits / np.maximum(total, 1e-300))) / hits[-1]
    if false[-1] > 0:
        area = np.sum(np.diff(false, prepend=0.0) * (hits + np.append(0.0, hits[:-1])) / 2)
        assert prepared("roc_auc", y, p, w) == area / (hits[-1] * false[-1])
    for percent in (1, 5, 10):
        looked = percent / 100 * total[-1]
        found = np.interp(looked, np.append(0.0, total), np.append(0.0, hits))
        assert prepared(f"precision_at_{percent}", y, p, w) == found / looked
        assert prepared(f"recall_at_{percent}", y, p, w) == found / hits[-1]


@pytest.mark.parametrize("n", [0, 1, 8_191, 8_192, 8_193, 50_000])
def test_a_weighted_sum_is_the_same_on_any_number_of_processors(n: int) -> None:
    rng = np.random.default_rng(n)
    weights, per_row = rng.integers(0, 4, n).astype(np.float64), rng.normal(size=n)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            found.append(weighted_sum(weights, per_row))
    assert len(set(found)) == 1
    assert found[0] == pytest.approx(math.fsum(weights * per_row), rel=1e-12, abs=1e-9)


def test_metrics_that_share_a_basis_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(5)
    y, p = rng.integers(0, 2, 200), rng.random(200)
    decided = (p > 0.4).astype(np.int64)
    together = prepare_all(metrics_of("binary"), y, p, decided)
    for weights in bootstrap_weights(200, replicates=3, seed=1):
        for name, of in together.items():
            alone = prepared(name, y, p if METRICS[name].of == "score" else decided, weights)
            assert of(weights) == alone, name


def test_what_is_undefined_is_nan_and_never_a_number() -> None:
    ones, zeros = np.ones(4, np.int64), np.zeros(4, np.int64)
    p = np.linspace(0.1, 0.9, 4)
    assert math.isnan(METRICS["average_precision"].value(zeros, p))
    assert math.isnan(METRICS["roc_auc"].value(ones, p))
    assert math.isnan(METRICS["recall"].value(zeros, zeros))
    assert math.isnan(METRICS["r2"].value(np.ones(4), p))
    assert math.isnan(METRICS["mape"].value(np.array([0.0, 1.0, 2.0, 3.0]), p))
    assert math.isnan(METRICS["rmsle"].value(np.array([-1.0, 1.0, 2.0, 3.0]), p))
    assert math.isnan(METRICS["poisson_deviance"].value(np.ones(4), -p))
    assert METRICS["smape"].value(np.zeros(4), np.zeros(4)) == 0.0
    assert METRICS["precision"].value(ones, zeros) == 0.0


@pytest.mark.parametrize("label", [0.1, 1 / 3, 123456.789, 0.0])
def test_labels_that_are_all_alike_have_no_variance_to_explain(label: float) -> None:
    y = np.full(777, label)
    assert np.isnan(METRICS["r2"].value(y, y + 0.01 * np.random.default_rng(0).normal(size=777)))


def test_a_metric_is_named_by_task_and_a_wrong_one_is_answered_with_the_right_ones() -> None:
    assert metric_of(None, "binary").name == "average_precision"
    assert metric_of(None, "multiclass").name == "log_loss"
    assert metric_of(None, "regression").name == "rmse"
    with pytest.raises(UnknownMetric, match="rmse, mae, r2"):
        metric_of("roc_auc", "regression")
    assert [m.name for m in metrics_of("regression") if m.higher_is_better] == ["r2"]


def test_the_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for seed in range(120):
        y = (rng.random(300) < 0.3).astype(np.int64)
        decided = np.where(rng.random(300) < 0.8, y, 1 - y)
        measured = {"accuracy": METRICS["accuracy"].prepare(y, decided)}
        interval = intervals_of(measured, 300, replicates=150, seed=seed)["accuracy"]
        assert interval.low <= interval.value <= interval.high
        held += interval.low <= 0.8 <= interval.high
    assert 0.88 <= held / 120 <= 0.99


def test_bootstrap_weights_repeat_for_a_seed_and_draw_as_many_rows_as_there_are() -> None:
    one, again, other = (np.array(list(bootstrap_weights(50, replicates=20, seed=seed))) for seed in (1, 1, 2))
    assert (one.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
