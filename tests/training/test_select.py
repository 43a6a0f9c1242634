"""The choice: rules, money, ties, words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.cost.prices import load_prices
from headrace.definition.model import Costs, Selection
from headrace.runs.model import ObjectRef
from headrace.training.errors import CostsMissing, NothingToRegister
from headrace.training.model import Choice, CostIf, SearchResult, Trial
from headrace.training.select import select

COSTS = Costs(false_positive=4.0, false_negative=60.0, volume_per_month=2e6)
AT_US = 1_790_000_000_000_000


def trial(number: int, score: float, **facts: Any) -> Trial:
    graph = ObjectRef(key="graphs/0.onnx.zst", sha256="0" * 64, size=1)
    return Trial(
        graph=facts.pop("graph", graph),
        number=number,
        family=facts.pop("family", "lightgbm"),
        params={},
        state=facts.pop("state", "done"),
        metric="average_precision",
        score=score,
        **({"error_cost": 2.0, "fit_s": 10.0, "model_bytes": 1_000, "row_us": 10.0} | facts),
    )


def choose(*trials: Trial, rule: Any = "least_cost", costs: Costs | None = COSTS, within: float = 0.01) -> Choice:
    result = SearchResult(metric="average_precision", higher_is_better=True, folds=5, trials=trials)
    selection = Selection(rule=rule, within=within)
    return select(result, selection=selection, costs=costs, prices=load_prices(), threads=2, at_us=AT_US)


def test_least_cost_takes_the_cheaper_errors_and_says_what_was_given_up() -> None:
    choice = choose(trial(0, 0.50, error_cost=2.5), trial(1, 0.48, error_cost=2.1, family="linear"))
    assert choice.trial == 1
    assert [candidate.trial for candidate in choice.candidates] == [1, 0]
    assert choice.reason == (
        "Least total cost of 2 candidates: trial 1 (linear), average_precision 0.48 out of fold and errors of "
        "2,100,000 USD a million. Given up: trial 0 (lightgbm), average_precision 0.5 out of fold and errors of "
        "2,500,000 USD a million."
    )


def test_one_candidate_is_told_as_one() -> None:
    choice = choose(trial(0, 0.5), rule="best_metric", costs=None)
    assert choice.reason.startswith("Best average_precision of one candidate: trial 0")


def test_nothing_is_given_up_for_an_equal_score_of_a_smaller_model() -> None:
    choice = choose(trial(0, 0.5, model_bytes=9_000), trial(1, 0.5, family="linear"), rule="best_metric", costs=None)
    assert choice.trial == 1
    assert "Given up" not in choice.reason


def test_the_reason_says_that_the_search_ended_early() -> None:
    result = SearchResult(
        metric="average_precision",
        higher_is_better=True,
        folds=5,
        trials=(trial(0, 0.5),),
        stopped="after 9 trials one more was expected to save 1 USD and to cost 2",
    )
    choice = select(result, selection=Selection(), costs=None, prices=load_prices(), threads=2, at_us=AT_US)
    assert choice.reason.endswith(
        " The search ended early: after 9 trials one more was expected to save 1 USD and to cost 2."
    )


def test_families_that_are_compared_only_cannot_be_chosen() -> None:
    assert choose(trial(0, 0.5), trial(1, 0.9, family="knn", graph=None)).trial == 0
    with pytest.raises(NothingToRegister, match="knn, my:Own can be compared and not registered"):
        choose(*(trial(n, 0.5, family=name, graph=None) for n, name in enumerate(["knn", "my:Own", "knn"])))


def test_money_is_of_a_million_predictions() -> None:
    money = choose(trial(0, 0.5, error_cost=2.5, row_us=36.0, fit_s=3600.0)).candidates[0].money
    assert money is not None
    assert money.errors == 2.5e6
    # 36 core-seconds, of which 30 % of a paid core's time: 120 s of a core
    hour = next(p for p in load_prices().prices if p.pricing_unit == "Core-Hours").list_unit_price
    assert money.serving == pytest.approx(120 / 3600 * hour)
    assert money.training == pytest.approx(2 * hour / 2)  # two cores for an hour, over two million
    assert money.total == money.errors + money.serving + money.training


def test_batches_are_priced_by_their_own_time_where_predictions_are_made_in_batches() -> None:
    slow = trial(0, 0.5, row_us=36.0, batch_us=9.0)
    batches = msgspec.structs.replace(COSTS, served="batch")
    candidates = [choose(slow, costs=costs).candidates[0] for costs in (COSTS, batches)]
    served = [None if one.money is None else one.money.serving for one in candidates]
    assert served == [candidates[0].by_request, candidates[0].by_batch]
    assert served[0] == pytest.approx(4 * (served[1] or 0.0))
    # of trials that an earlier release measured there is no time of batches
    assert choose(trial(0, 0.5, row_us=36.0), costs=batches).candidates[0].money == candidates[0].money


def test_training_is_spread_over_the_predictions_until_the_next() -> None:
    week = msgspec.structs.replace(COSTS, retrain_us=round(365.25 / 12 * 86_400_000_000 / 4))
    monthly = choose(trial(0, 0.5)).candidates[0].money
    weekly = choose(trial(0, 0.5), costs=week).candidates[0].money
    assert monthly is not None
    assert weekly is not None
    assert weekly.training == pytest.approx(4 * monthly.training)
    assert weekly.serving == monthly.serving


def test_every_candidate_says_what_it_gives_up() -> None:
    folds = {"fold_scores": (0.50, 0.52, 0.48, 0.51, 0.49)}
    good, bad, near = (
        trial(0, 0.50, error_cost=2.5, **folds),
        trial(1, 0.40, error_cost=2.0, fold_scores=(0.40, 0.41, 0.39, 0.40, 0.40)),
        trial(2, 0.49, error_cost=2.4, fold_scores=(0.45, 0.55, 0.44, 0.54, 0.47)),
    )
    by_trial = {candidate.trial: candidate for candidate in choose(good, bad, near).candidates}
    assert [round(by_trial[n].loss, 6) for n in range(3)] == [0.0, 0.1, 0.01]
    assert [by_trial[n].extra for n in range(3)] == pytest.approx([500_000, 0, 400_000])
    assert by_trial[0].p_worse is None
    assert by_trial[1].p_worse is not None
    assert by_trial[1].p_worse < 0.01
    assert by_trial[2].p_worse is not None
    assert by_trial[2].p_worse > 0.2


def test_cheapest_within_the_interval_takes_what_the_folds_cannot_tell_from_the_best() -> None:
    best = trial(0, 0.50, row_us=80.0, fold_scores=(0.50, 0.52, 0.48, 0.51, 0.49))
    equal = trial(1, 0.48, row_us=8.0, fold_scores=(0.45, 0.55, 0.42, 0.53, 0.45))
    worse = trial(2, 0.46, row_us=1.0, fold_scores=(0.46, 0.48, 0.44, 0.47, 0.45))
    result = SearchResult(metric="average_precision", higher_is_better=True, folds=5, trials=(best, equal, worse))
    selection = Selection(rule="cheapest_within", interval=True)
    choice = select(result, selection=selection, costs=None, prices=load_prices(), threads=2, at_us=AT_US)
    assert choice.trial == 1
    assert choice.reason.startswith("Cheapest to serve that the folds do not show to be worse")


def test_wrong_costs_are_answered_for_with_the_regret_of_the_choice() -> None:
    def ifs(kept: float, moved: float) -> tuple[CostIf, ...]:
        return (CostIf(key="false_negative", factor=2.0, kept=kept, moved=moved),)

    chosen = trial(0, 0.5, error_cost=2.0, cost_ifs=ifs(4.0, 3.5))
    other = trial(1, 0.5, error_cost=2.1, cost_ifs=ifs(3.6, 3.0))
    (wrong,) = choose(chosen, other).sensitivity
    assert (wrong.key, wrong.factor, wrong.trial) == ("false_negative", 2.0, 1)
    assert wrong.regret == pytest.approx(1e6)
    (alone,) = choose(chosen).sensitivity
    assert alone.trial == 0
    assert alone.regret == pytest.approx(0.5e6), "its threshold is wrong all the same"
    no_cheaper = trial(1, 0.5, error_cost=2.1, cost_ifs=ifs(4.4, 4.2))
    (wrong,) = choose(msgspec.structs.replace(chosen, cost_ifs=ifs(4.0, 4.3)), no_cheaper).sensitivity
    assert (wrong.trial, wrong.regret) == (0, 0.0), "what would be chosen anew costs more than the choice as it is"
    assert choose(trial(0, 0.5), costs=None, rule="best_metric").sensitivity == ()


def test_best_metric_takes_the_best_metric() -> None:
    choice = choose(trial(0, 0.48), trial(1, 0.5, error_cost=9.0), rule="best_metric", costs=None)
    assert choice.trial == 1
    assert choice.reason.startswith("Best average_precision of 2 candidates: trial 1")
    assert "Given up" not in choice.reason


def test_cheapest_within_takes_the_cheapest_of_the_nearly_best() -> None:
    slow, quick, poor = trial(0, 0.500, row_us=80.0), trial(1, 0.496, row_us=8.0), trial(2, 0.4, row_us=1.0)
    assert choose(slow, quick, poor, rule="cheapest_within", within=0.01).trial == 1
    assert choose(slow, quick, poor, rule="cheapest_within", within=0.001).trial == 0
    assert choose(slow, quick, poor, rule="cheapest_within", within=0.5).trial == 2
    assert [c.trial for c in choose(slow, quick, poor, rule="cheapest_within").candidates] == [1, 0, 2]


def test_noise_of_measured_times_does_not_choose() -> None:
    for noise in (0.97, 1.0, 1.04):
        pair = trial(0, 0.5, row_us=10.0 * noise, model_bytes=2_000), trial(1, 0.5, row_us=10.2, model_bytes=1_500)
        assert choose(*pair).trial == 1
        assert choose(*pair, rule="cheapest_within").trial == 1


def test_equal_candidates_fall_to_the_smaller_model_then_the_earlier_trial() -> None:
    assert choose(trial(0, 0.5), trial(1, 0.5, model_bytes=999)).trial == 1
    assert choose(trial(0, 0.5), trial(1, 0.5)).trial == 0


def test_the_frontier_holds_what_nothing_beats_in_both() -> None:
    choice = choose(
        trial(0, 0.50, row_us=80.0), trial(1, 0.45, row_us=8.0), trial(2, 0.44, row_us=40.0), rule="best_metric"
    )
    assert {c.trial: c.on_frontier for c in choice.candidates} == {0: True, 1: True, 2: False}


def test_pruned_and_failed_trials_are_no_candidates() -> None:
    failed = trial(1, 0.9, state="failed")
    pruned = msgspec.structs.replace(trial(2, 0.0, state="pruned"), score=None)
    assert [c.trial for c in choose(trial(0, 0.5), failed, pruned).candidates] == [0]


def test_least_cost_without_priced_errors_is_refused() -> None:
    with pytest.raises(CostsMissing, match="best_metric"):
        choose(trial(0, 0.5, error_cost=None), costs=None)


def test_a_time_that_is_nothing_beside_the_errors_decides_nothing() -> None:
    """Of two candidates with equal errors the better one is taken, whatever the machine did while they were timed."""
    for slow, quick in ((36.0, 10.0), (10.0, 36.0), (10.0, 10.0)):
        choice = choose(trial(0, 0.20, error_cost=3.55, row_us=quick), trial(1, 0.23, error_cost=3.55, row_us=slow))
        assert choice.trial == 1
    cheap = choose(trial(0, 0.20, error_cost=1e-10, row_us=10.0), trial(1, 0.23, error_cost=1e-10, row_us=36.0))
    assert cheap.trial == 0
