"""What is said on whether a model is to be believed follows from the figures."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from headrace.definition.model import Split
from headrace.runs.model import ObjectRef
from headrace.scoring.model import Decision
from headrace.training.answers import Answers
from headrace.training.comparing import p_differs
from headrace.training.metrics import METRICS
from headrace.training.model import (
    CalibrationGain,
    Candidate,
    Choice,
    Coverage,
    Curve,
    Evaluation,
    Interval,
    Money,
    Race,
    SearchResult,
    Segment,
    Segments,
    Sensitivity,
    Trial,
    Verdict,
)
from headrace.training.money_words import costs_wrong
from headrace.training.search_words import ended, rivals, strategies
from headrace.training.verdicts import (
    calibration,
    coverage,
    few_asked,
    gap,
    optimism,
    search_bias,
    segments,
    skill,
)

AP, RMSE = METRICS["average_precision"], METRICS["rmse"]


def interval(name: str, value: float, low: float, high: float, *, higher: bool = True) -> Interval:
    return Interval(name=name, value=value, low=low, high=high, higher_is_better=higher)


def trial(number: int = 0, *folds: float, **facts: Any) -> Trial:
    score = float(np.mean(folds)) if folds else None
    made: dict[str, Any] = {"family": "linear", "params": {}, "state": "done", "metric": "average_precision"}
    made["graph"] = ObjectRef(key="graphs/0.onnx.zst", sha256="0" * 64, size=1)
    return Trial(number=number, score=score, fold_scores=folds, decision=Decision(task="binary"), **(made | facts))


def evaluation(*metrics: Interval, **facts: Any) -> Evaluation:
    made: dict[str, Any] = {"task": "binary", "rows": 10_000, "agreement": 0.0, "agreement_limit": 1e-6}
    return Evaluation(metrics=metrics, **(made | facts))


def level(verdict: Verdict | None) -> str:
    assert verdict is not None
    return verdict.level


def test_a_model_that_guesses_is_said_to_guess() -> None:
    assert level(skill(evaluation(interval("roc_auc", 0.7, 0.65, 0.75)))) == "good"
    assert level(skill(evaluation(interval("roc_auc", 0.52, 0.49, 0.55)))) == "bad"
    assert skill(evaluation()) is None


def test_classes_are_told_apart_though_the_best_decision_is_one_for_all_rows() -> None:
    """As where one class is dear to miss: kappa is 0, and the probabilities are worth what they are."""
    found = (interval("kappa", 0.0, 0.0, 0.0), interval("macro_roc_auc", 0.76, 0.74, 0.77))
    assert level(skill(evaluation(*found, task="multiclass"))) == "good"
    assert level(skill(evaluation(interval("macro_roc_auc", 0.51, 0.48, 0.54), task="multiclass"))) == "bad"


def test_the_gap_to_training_rows_is_judged_by_its_interval_and_its_size() -> None:
    folds = (0.80, 0.81, 0.79, 0.80)
    assert "beyond chance" in gap(trial(0, *folds, train_score=0.801), AP).says  # type: ignore[union-attr]
    assert level(gap(trial(0, *folds, train_score=0.84), AP)) == "good"
    found = gap(trial(0, *folds, train_score=0.99), AP)
    assert level(found) == "look"
    assert found is not None
    half = stats.t.ppf(0.975, 3) * np.std(folds, ddof=1) / 2
    assert f"{0.19 - half:.4g} to {0.19 + half:.4g}" in found.says
    errors = gap(trial(0, -2.0, -2.1, -1.9, train_score=-0.5), RMSE)
    assert errors is not None
    assert errors.level == "look"
    assert "rmse 0.5 on training rows, 2 out of fold" in errors.says


def test_a_holdout_that_breaks_the_promise_is_told() -> None:
    kept = evaluation(interval("average_precision", 0.5, 0.46, 0.54))
    assert level(optimism(trial(0, 0.53, 0.53), AP, kept, 0.01, 9)) == "good"
    broken = optimism(trial(0, 0.6, 0.6), AP, kept, 0.0123, 9)
    assert level(broken) == "look"
    assert broken is not None
    assert "best of 9 trials flatters by about 0.0123" in broken.says
    values = evaluation(interval("rmse", 3.0, 2.8, 3.2, higher=False))
    assert level(optimism(trial(0, -2.0, -2.0), RMSE, values, None, 1)) == "look"
    assert level(optimism(trial(0, -2.9, -2.9), RMSE, values, None, 1)) == "good"


def test_the_search_s_own_optimism_is_said_also_where_folds_and_holdout_cannot_be_compared() -> None:
    found = optimism(trial(0, 0.6, 0.6), METRICS["f1"], evaluation(interval("f1", 0.5, 0.4, 0.6)), 0.0123, 9)
    assert found is not None
    assert found.says == "Choosing the best of 9 trials flatters by about 0.0123."
    assert optimism(trial(0, 0.6, 0.6), METRICS["f1"], evaluation(), None, 1) is None


def test_what_wrong_costs_would_lose_is_said_by_its_share_of_the_cost() -> None:
    def choice(*sensitivity: Sensitivity) -> Choice:
        money = Money(errors=1000.0, serving=0.0, training=0.0)
        chosen = Candidate(trial=2, family="linear", score=0.5, money=money, on_frontier=True)
        return Choice(rule="least_cost", trial=2, candidates=(chosen,), reason="", sensitivity=sensitivity)

    assert costs_wrong(choice()) is None
    kept = Sensitivity(key="false_positive", factor=2.0, trial=2, regret=30.0)
    assert costs_wrong(choice(kept)) == Verdict(
        topic="costs",
        level="good",
        says="Costs may be wrong by half or by two and little is lost: the choice stays, at most 30 USD a million "
        "predictions are lost, 3.0% of their cost (if false_positive were 2 times what is said).",
    )
    moved = Sensitivity(key="false_negative", factor=0.5, trial=7, regret=200.0)
    found = costs_wrong(choice(kept, moved))
    assert level(found) == "look"
    assert found is not None
    assert "the better choice would be trial 7; at most 200 USD" in found.says
    assert "20.0% of their cost (if false_negative were 0.5 times" in found.says


def test_a_search_that_ended_before_its_budget_says_why() -> None:
    found = SearchResult(metric="roc_auc", higher_is_better=True, folds=3, trials=(), stopped="after 9 trials enough")
    said = ended(found)
    assert said is not None
    assert said.says == "The search ended before its budget: after 9 trials enough."
    assert ended(SearchResult(metric="roc_auc", higher_is_better=True, folds=3, trials=())) is None


def test_segments_of_which_none_is_large_enough_are_not_said_to_be_fine() -> None:
    small = Segments(column="city", metrics=("roc_auc",), segments=(Segment(value="a", rows=3),))
    found = segments(evaluation(segments=(small,)))
    assert found is not None
    assert "too small" in found.says


def test_choosing_among_equals_by_luck_flatters_and_one_clearly_best_does_not() -> None:
    rng = np.random.default_rng(0)
    n = 400
    y = (rng.random(n) < 0.5).astype(np.int64)
    rows, fold = np.arange(n), np.arange(n) % 5
    lucky = [Answers(rows, fold, rng.random(n)) for _ in range(30)]
    metric = METRICS["roc_auc"]
    bias = search_bias(metric, "binary", y, lucky)
    assert bias is not None
    best = max(metric.value(y, one.scores) for one in lucky)
    assert bias == pytest.approx(best - 0.5, abs=0.025), "all of these scores are worth 0.5"
    clear = [*lucky, Answers(rows, fold, y + 0.1 * rng.random(n))]
    assert search_bias(metric, "binary", y, clear) == pytest.approx(0.0, abs=0.01)
    assert search_bias(metric, "binary", y, lucky[:1]) is None
    other = Answers(rows[::-1].copy(), fold, rng.random(n))
    assert search_bias(metric, "binary", y, [lucky[0], other]) is None


def test_the_corrected_test_is_nadeau_and_bengio_s_and_more_careful_than_the_plain_one() -> None:
    one, other = [0.8, 0.82, 0.81, 0.83, 0.8], [0.78, 0.81, 0.80, 0.80, 0.79]
    difference = np.array(one) - np.array(other)
    plain = stats.ttest_rel(one, other).pvalue
    expected = 2 * stats.t.sf(difference.mean() / np.sqrt((1 / 5 + 1 / 4) * difference.var(ddof=1)), 4)
    found = p_differs(one, other, ratio=0.25)
    assert found == pytest.approx(expected)
    assert found is not None
    assert found > plain
    assert p_differs(one, one, ratio=0.25) == 1.0


def test_a_faster_candidate_that_is_as_good_is_named() -> None:
    chosen = trial(0, 0.80, 0.82, 0.81, 0.83, estimated_us=40.0)
    same = trial(3, 0.81, 0.81, 0.82, 0.82, estimated_us=4.0)
    worse = trial(4, 0.60, 0.62, 0.61, 0.63, estimated_us=1.0)
    found = rivals(chosen, [chosen, same, worse], AP, Split(by="random", folds=4))
    assert found is not None
    assert "1 of 2 other candidates differ" in found.says
    assert "trial 3 (linear) does not, and answers about 10.0 times as fast" in found.says


def test_probabilities_that_are_off_beyond_chance_are_told() -> None:
    x = tuple(np.linspace(0.05, 0.95, 20).tolist())

    def curve(y: tuple[float, ...]) -> Evaluation:
        return evaluation(curves=(Curve(name="calibration", x=x, y=y, x_label="", y_label=""),))

    gain = CalibrationGain(map="platt", before=0.5, after=0.4)
    good = calibration(trial(0, 0.5, calibration=gain), curve(tuple(v + 0.005 for v in x)))
    assert level(good) == "good"
    assert good is not None
    assert "platt" in good.says
    assert level(calibration(trial(0, 0.5), curve(tuple(v * 0.8 for v in x)))) == "look"


@pytest.mark.parametrize(
    ("rows", "confusion", "said"),
    [
        (50, ((20, 20), (5, 5)), None),
        (49, (), "has 49 rows: what"),
        (1, (), "has 1 row: what"),
        (120, ((100, 11), (9, 0)), "has 120 rows, 9 of the rarest class: what"),
        (120, ((120, 0, 0), (0, 0, 0), (0, 0, 0)), "has 120 rows, 0 of the rarest class: what"),
    ],
)
def test_a_holdout_that_shows_little_is_told(
    rows: int, confusion: tuple[tuple[int, ...], ...], said: str | None
) -> None:
    task = "regression" if not confusion else "binary" if len(confusion) == 2 else "multiclass"
    found = few_asked(evaluation(rows=rows, confusion=confusion, task=task))
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert said in found.says


def test_intervals_that_hold_too_little_are_told() -> None:
    size = interval("size", 1.0, 0.9, 1.1)
    for share, expected in (
        (interval("coverage", 0.89, 0.88, 0.905), "good"),
        (interval("coverage", 0.8, 0.78, 0.82), "look"),
    ):
        assert level(coverage(evaluation(coverage=Coverage(wanted=0.9, share=share, size=size)))) == expected
    exact = coverage(
        evaluation(coverage=Coverage(wanted=0.975, share=interval("coverage", 0.97, 0.96, 0.98), size=size))
    )
    assert exact is not None
    assert "promise 97.5% and" in exact.says


def by_carrier(*aucs: Interval) -> Segments:
    """Parts of which those whose whole interval is below 0.8 are marked."""
    parts = [
        Segment(value=f"c{n}", rows=900, metrics=(one,), worse=("roc_auc",) if one.high < 0.8 else ())
        for n, one in enumerate(aucs)
    ]
    return Segments(column="carrier", metrics=("roc_auc",), segments=(*parts, Segment(value="HA", rows=3)))


def test_segments_that_are_worse_are_named() -> None:
    whole, alike = interval("roc_auc", 0.8, 0.79, 0.81), interval("roc_auc", 0.8, 0.75, 0.85)
    found = segments(evaluation(whole, segments=(by_carrier(alike, interval("roc_auc", 0.6, 0.55, 0.65)),)))
    assert found is not None
    assert found.level == "look"
    assert found.says == "1 of 2 segments is clearly worse in a metric: carrier c1."


def test_of_many_segments_one_that_chance_explains_asks_for_no_look() -> None:
    whole, alike = interval("roc_auc", 0.8, 0.79, 0.81), interval("roc_auc", 0.8, 0.75, 0.85)
    unlucky = interval("roc_auc", 0.74, 0.69, 0.79)  # 2.4 standard errors below
    found = segments(evaluation(whole, segments=(by_carrier(*[alike] * 19, unlucky),)))
    assert found is not None
    assert found.level == "good"
    assert found.says == "Of 20 segments 1 is worse in a metric, by no more than chance gives among so many."
    assert level(segments(evaluation(whole, segments=(by_carrier(unlucky),)))) == "look", "it is the only one"


def test_what_strategies_against_rare_classes_won_is_said() -> None:
    def raced(name: str, won: float, low: float, high: float) -> Trial:
        race = Race(against=0, measure="cost", won=won, low=low, high=high, adopted=low > 0)
        return Trial(number=1, family="linear", params={}, imbalance=name, race=race, state="done", metric="roc_auc")

    lost = raced("weights", -0.02, -0.05, 0.01)
    failed = Trial(number=2, family="linear", params={}, imbalance="adasyn", state="failed", metric="roc_auc")
    none = Trial(number=0, family="linear", params={}, state="done", metric="roc_auc")
    assert strategies([none]) is None
    said = strategies([none, lost, failed])
    assert said is not None
    assert said.says == (
        "Plain calibration and a moved threshold are as good as changing the training rows: weights lost 0.02 a "
        "prediction (95 % -0.05 to 0.01); adasyn could not be tried."
    )
    why = msgspec.structs.replace(failed, note="StrategyImpossible: adasyn: there are categories among the features")
    said = strategies([none, why])
    assert said is not None
    assert said.says == (
        "Nothing stood beside plain calibration and a moved threshold: adasyn could not be tried (there are "
        "categories among the features)."
    )
    said = strategies([none, raced("smote", 0.1, 0.04, 0.2)])
    assert said is not None
    assert said.says.endswith("smote won 0.1 a prediction (95 % 0.04 to 0.2), adopted.")
