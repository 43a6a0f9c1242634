"""The one look at the holdout."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn import metrics as sk
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.definition.model import Budget, Costs, EvaluationPlan, Split, Task, Training
from headrace.features.encoder import encode_columns
from headrace.scoring.graph import Graph
from headrace.scoring.model import Decision
from headrace.training.curves import MOST_POINTS, cost, precision_recall, roc
from headrace.training.errors import PackageDisagrees
from headrace.training.evaluate import MOST_SHUFFLED, Holdout, _below, confusion, evaluate, positive_of
from headrace.training.families.linear import Linear
from headrace.training.fit import FittedCandidate, fit_chosen
from headrace.training.measure import BATCH_ROWS, TIMED_ROWS, time_rows
from headrace.training.model import Evaluation, Trial
from headrace.training.search import search


def fitted(task: Task, costs: Costs | None = None) -> tuple[FittedCandidate, Trial, Holdout]:
    training = Training(families=("lightgbm",), budget=Budget(trials=1), threads=1)
    examples, holdout = make_examples(1_500, task), make_examples(1_000, task, seed=1)
    split = Split(by="time", folds=3)
    result = search(examples, training, split, costs, recorder=MemoryRecorder(), clock=StepClock(0.001))
    candidate = fit_chosen(examples, result.trials[0], training, split)
    assert fit_chosen(examples, result.trials[0], training, split).onnx == candidate.onnx
    X = encode_columns(candidate.encoder, holdout.rows)
    features = [column.name for column in candidate.encoder.columns]
    return candidate, result.trials[0], Holdout(X, holdout.y, candidate.predict(X), features)


def test_a_binary_model_is_measured_with_its_costs() -> None:
    costs = Costs(false_positive=1.0, false_negative=5.0)
    candidate, trial, holdout = fitted("binary", costs)
    assert trial.decision is not None
    found = evaluate(holdout, candidate.onnx, trial.decision, metric=None, costs=costs, label_spread=0.4)
    metrics = {interval.name: interval for interval in found.metrics}
    assert metrics["average_precision"].value > 0.7
    assert all(m.low <= m.value <= m.high for m in found.metrics)
    assert found.prevalence == pytest.approx(0.2, abs=0.01)
    assert found.threshold == 1 / 6
    (true_negative, false_positive), (false_negative, true_positive) = found.confusion
    assert true_negative + false_positive + false_negative + true_positive == found.rows == 1_000
    assert found.error_cost is not None
    assert found.error_cost.value == pytest.approx((false_positive + 5 * false_negative) / 1_000)
    assert found.error_cost.value == pytest.approx(trial.error_cost, rel=0.35)
    assert metrics["recall"].value == pytest.approx(true_positive / (true_positive + false_negative))
    assert [curve.name for curve in found.curves] == ["roc", "precision_recall", "gain", "lift", "calibration", "cost"]
    curves = {curve.name: curve for curve in found.curves}
    recall, acted = metrics["recall"].value, (true_positive + false_positive) / 1_000
    assert curves["roc"].mark == pytest.approx((1 - metrics["specificity"].value, recall))
    assert curves["precision_recall"].mark == pytest.approx((recall, metrics["precision"].value))
    assert curves["gain"].mark == pytest.approx((acted, recall))
    assert curves["lift"].mark == pytest.approx((acted, recall / acted))
    assert curves["cost"].mark == pytest.approx((1 / 6, found.error_cost.value))
    assert curves["lift"].y[-1] == pytest.approx(1.0)
    said = curves["calibration"]
    assert all(low <= y <= high for low, y, high in zip(said.low, said.y, said.high, strict=True))
    assert found.agreement <= found.agreement_limit == 1e-6
    left = msgspec.structs.replace(trial.decision, cost_matrix=((0.0, 1.0), (5.0, 0.0)), reject=0.4)
    found = evaluate(holdout, candidate.onnx, left, metric=None, costs=costs, label_spread=0.4)
    assert found.reviewed
    assert found.threshold is None, "it is not what decides"


def test_segments_and_groups_are_measured_on_the_holdout_s_own_decisions() -> None:
    candidate, trial, holdout = fitted("binary")
    assert trial.decision is not None
    beside = make_examples(1_000, "binary", seed=1).rows.select("city", "open", "count")
    plan = EvaluationPlan(segments=("city", "count"), fairness=("open",))
    found = evaluate(
        holdout, candidate.onnx, trial.decision, metric=None, costs=None, label_spread=0.4, beside=beside, plan=plan
    )
    assert [one.column for one in found.segments] == ["city", "count"]
    assert all(sum(part.rows for part in one.segments) == 1_000 for one in found.segments)
    (groups,) = found.fairness
    acted = sum(group.rows * rate.value for group in groups.groups for rate in group.rates if rate.name == "selection")
    assert acted == pytest.approx(sum(row[1] for row in found.confusion))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Evaluation) == found


def test_importances_find_what_the_label_depends_on() -> None:
    candidate, trial, holdout = fitted("regression")
    assert trial.decision is not None
    spread = candidate.label_spread
    found = evaluate(holdout, candidate.onnx, trial.decision, metric=None, costs=None, label_spread=spread)
    assert [i.feature for i in found.importances[:3]] == ["speed", "open", "city"]
    drops = {i.feature: i for i in found.importances}
    assert drops["speed"].low > 0.3
    assert not drops.keys() & {"empty", "same"}, "nothing can be learnt from them"
    assert all(i.low <= i.drop <= i.high for i in found.importances)
    assert [m.name for m in found.metrics][:3] == ["rmse", "mae", "r2"]
    assert "poisson_deviance" not in {m.name for m in found.metrics}, "labels below 0 leave it undefined"
    assert [curve.name for curve in found.curves] == ["predicted_actual", "residuals"]
    assert found.confusion == ()
    assert found.agreement_limit == pytest.approx(1e-5 * spread)


def test_importances_are_those_of_asking_every_row_and_rows_given_what_they_have_are_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidate, trial, holdout = fitted("regression")
    assert trial.decision is not None
    asked, inner = [], Graph.raw

    def raw(graph: Graph, X: np.ndarray) -> np.ndarray:
        asked.append(len(X))
        return inner(graph, X)

    monkeypatch.setattr(Graph, "raw", raw)
    found = evaluate(holdout, candidate.onnx, trial.decision, metric=None, costs=None, label_spread=3.0)
    n, width = holdout.X.shape
    graph, rng = Graph(candidate.onnx), np.random.Generator(np.random.PCG64(0))
    rows = np.sort(rng.permutation(n))
    answer = inner(graph, holdout.X).astype(np.float64)
    changed = []
    for column, name in enumerate(holdout.features):
        X = holdout.X[rows]
        X[:, column] = X[rng.permutation(n), column]
        changed.append(int((X[:, column].view(np.uint32) != holdout.X[rows, column].view(np.uint32)).sum()))
        errors = [(one - holdout.y) ** 2 for one in (answer, inner(graph, X).astype(np.float64))]
        drop = np.sqrt(errors[1].mean()) - np.sqrt(errors[0].mean())
        (own,) = (one for one in found.importances if one.feature == name)
        assert own.drop == pytest.approx(drop, rel=1e-9, abs=1e-12)
    assert min(changed) < 0.6 * n < max(changed), "one column has few values"
    assert asked[: 1 + width] == [n, *changed]


def test_of_very_many_columns_those_that_matter_are_found() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_200, 3_000)).astype(np.float32)
    y = 3 * X[:, 1_234] + X[:, 7] + 0.1 * rng.normal(size=len(X))
    family = Linear()
    fitted = family.fit(
        X[:1_000], y[:1_000], {"l2": 1e4}, task="regression", n_classes=0, levels=[None] * 3_000, seed=0, threads=1
    )
    part = Holdout(X[1_000:], y[1_000:], fitted.predict(X[1_000:]), [f"x{j}" for j in range(3_000)])
    decision = Decision(task="regression")
    found = evaluate(part, fitted.to_onnx(), decision, metric=None, costs=None, label_spread=3.0)
    assert found.importances[0].feature == "x1234"
    assert len(found.importances) <= MOST_SHUFFLED


def test_a_multiclass_model_is_measured() -> None:
    costs = Costs(matrix=(("d", "a", 10.0), ("a", "d", 1.0)))
    candidate, trial, holdout = fitted("multiclass", costs)
    assert trial.decision is not None
    found = evaluate(holdout, candidate.onnx, trial.decision, metric=None, costs=costs, label_spread=1.0)
    assert len(found.confusion) == 4
    assert [curve.of for curve in found.curves if curve.name == "class_roc"] == ["a", "b", "c", "d"]
    areas = [np.trapezoid(curve.y, curve.x) for curve in found.curves if curve.name == "class_roc"]
    (mean,) = (metric.value for metric in found.metrics if metric.name == "macro_roc_auc")
    assert np.mean(areas) == pytest.approx(mean, abs=2e-3)
    assert found.error_cost is not None
    paid = 10 * found.confusion[3][0] + found.confusion[0][3]
    assert found.error_cost.value == pytest.approx(paid / found.rows)
    assert found.importances[0].feature == "speed"


def test_a_graph_that_is_not_its_library_is_refused() -> None:
    candidate, trial, holdout = fitted("binary")
    assert trial.decision is not None
    for wrong in (holdout.library + 2e-6, np.where(np.arange(1_000) == 7, np.nan, holdout.library)):
        off = Holdout(holdout.X, holdout.y, wrong, holdout.features)
        with pytest.raises(PackageDisagrees, match="1000 rows"):
            evaluate(off, candidate.onnx, trial.decision, metric=None, costs=None, label_spread=0.4)


def test_a_holdout_of_one_class_is_still_measured() -> None:
    candidate, trial, holdout = fitted("binary")
    assert trial.decision is not None
    negative = holdout.y == 0
    part = Holdout(holdout.X[negative], holdout.y[negative], holdout.library[negative], holdout.features)
    found = evaluate(part, candidate.onnx, trial.decision, metric=None, costs=None, label_spread=0.4)
    assert "average_precision" not in {m.name for m in found.metrics}
    assert "log_loss" in {m.name for m in found.metrics}
    assert found.importances == ()


def test_nothing_is_gained_on_a_quantile_where_one_value_is_right_for_all_rows() -> None:
    said = np.linspace(2.0, 4.0, 50)
    assert _below(np.full(50, 3.0), said, 0.9, seed=0) is None
    few = _below(np.append(np.zeros(49), 5.0), said, 0.9, seed=0)
    assert few is not None
    assert few.gain.low > -1e6, "a draw without the one label that differs says nothing"


def test_curves_are_thinned_and_keep_their_ends() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    y = (rng.random(50_000) < p**4).astype(np.int64)
    curve = roc(y, p)
    assert len(curve.x) <= MOST_POINTS + 3
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0.0, 0.0, 1.0, 1.0)
    x, exact, _ = sk.roc_curve(y, p, drop_intermediate=False)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(np.trapezoid(exact, x), abs=1e-3)
    assert precision_recall(y, p).x[-1] == 1.0


def test_the_cost_curve_counts_errors_at_every_threshold() -> None:
    y, p = np.array([0, 1, 1, 0]), np.array([0.2, 0.2, 0.9, 0.6])
    curve = cost(y, p, 3.0, 30.0)
    for threshold, mean in zip(curve.x, curve.y, strict=True):
        acted = p >= threshold
        assert mean == np.mean(3.0 * (acted & (y == 0)) + 30.0 * (~acted & (y == 1)))


def test_confusion_is_truth_by_decision() -> None:
    assert confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3) == ((1, 1, 0), (0, 1, 0), (1, 0, 0))


@pytest.mark.parametrize(
    ("task", "classes", "positive"),
    [
        ("binary", ("yes", "no"), "no"),
        ("binary", ("1", "2"), "2"),
        ("binary", ("false", "true"), None),
        ("binary", (), None),
        ("multiclass", ("a", "b", "c"), None),
        ("regression", (), None),
    ],
)
def test_a_positive_class_with_a_name_is_told(task: Task, classes: tuple[str, ...], positive: str | None) -> None:
    assert positive_of(Decision(task=task, classes=classes)) == positive


def test_a_row_is_timed_alone_and_in_batches_of_which_the_quickest_counts() -> None:
    candidate, trial, holdout = fitted("binary")
    assert trial.decision is not None
    steps = [*([1e-5, 0.0] * TIMED_ROWS), *(step for batch in (0.1, 0.05, 0.2) for step in (batch, 0.0))]
    moments = iter(np.cumsum([0.0, *steps]).tolist())
    took = time_rows(candidate.onnx, trial.decision, holdout.X, clock=lambda: next(moments))
    assert took.alone == pytest.approx(10.0)
    assert took.batched == pytest.approx(0.05 / BATCH_ROWS * 1e6)
