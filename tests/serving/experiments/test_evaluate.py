"""An experiment ships what is cheaper, stops what is not, and says of equal arms that they differ once in twenty."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from tests.serving.experiments.samples import START, at_day, cohorts, counts, split

from headrace.serving.experiments.evaluate import evaluate
from headrace.serving.experiments.model import Cohort, Plan, Status
from headrace.serving.model import Counts
from headrace.serving.revisions import Change, deploy_canary, promote
from headrace.serving.rollout import settle

SIMULATIONS = 1_000
DAYS = 100
OK: dict[str, Counts] = {name: counts() for name in ("v3", "v4", "v5")}


def judged(
    rates: tuple[float, ...], *, seed: int = 1, days: int = 20, n: int = 1_000, plan: Plan | None = None
) -> Status:
    rng = np.random.default_rng(seed)
    outcomes = {f"v{3 + place}": cohorts(rng, days, n, rate) for place, rate in enumerate(rates)}
    deployment = split([1 / len(rates)] * len(rates))
    return evaluate(deployment, OK, outcomes, plan or Plan(), at_day(days + 1))


def false_stops(arms: int, seed: int) -> int:
    """Of 1,000 experiments on equal arms those in which one is told apart at any of 100 daily looks.

    The looks of an experiment's last day are what was said on every day before: `…_as_the_looks_told_it` holds that.
    """
    rng = np.random.default_rng(seed)
    deployment = split([1 / arms] * arms)
    stops = 0
    for _ in range(SIMULATIONS):
        outcomes = {f"v{3 + place}": cohorts(rng, DAYS, 100, 0.05) for place in range(arms)}
        status = evaluate(deployment, {}, outcomes, Plan(), at_day(DAYS + 1))
        assert len(status.looks) >= (DAYS - 1) * (arms - 1)
        stops += any((look.high is not None and look.high < 0.0) or (look.low is not None and look.low > 0.0)
                     for look in status.looks)  # fmt: skip
    return stops


def test_equal_arms_are_stopped_for_a_difference_in_at_most_one_experiment_of_twenty() -> None:
    """1,000 A/A experiments, 100 looks each, on costs of 5 %."""
    assert false_stops(2, 1) <= 0.05 * SIMULATIONS


def test_three_equal_arms_too() -> None:
    """1,000 A/A/A experiments, 100 looks each."""
    assert false_stops(3, 2) <= 0.05 * SIMULATIONS


def test_the_decision_of_a_day_is_as_the_looks_told_it() -> None:
    rng = np.random.default_rng(3)
    outcomes = {"v3": cohorts(rng, 30, 500, 0.10), "v4": cohorts(rng, 30, 500, 0.08)}
    last = evaluate(split(), {}, outcomes, Plan(), at_day(31)).looks
    for day in range(2, 30):
        then = evaluate(split(), {}, outcomes, Plan(), at_day(day + 1))
        assert then.looks == last[: len(then.looks)]
        found = then.arms[1].difference
        assert found is not None
        assert (found.value, found.low, found.high) == (last[day - 1].value, last[day - 1].low, last[day - 1].high)


def test_a_real_difference_is_shipped() -> None:
    """100 experiments of 6 % against 5 %: by 60,000 entities an arm at least 98 are shipped, and none the wrong way."""
    found = [judged((0.06, 0.05), seed=seed, days=60).decision for seed in range(100)]
    assert found.count("ship") >= 98
    assert found.count("stop") == 0


def test_what_is_shipped_is_the_arm_that_costs_least() -> None:
    status = judged((0.10, 0.08, 0.05))
    assert (status.decision, status.arm) == ("ship", "v5")
    assert status.reason.startswith("v5 costs 0.0")
    assert status.reason.endswith("less an entity than v3")
    assert [arm.difference.verdict if arm.difference else None for arm in status.arms] == [None, "better", "better"]


def test_an_arm_that_costs_more_is_stopped() -> None:
    status = judged((0.05, 0.08))
    assert (status.decision, status.arm) == ("stop", "v3")
    assert "more an entity than v3" in status.reason


def test_arms_that_are_alike_go_on_or_stop_where_the_plan_says_what_matters() -> None:
    assert judged((0.05, 0.05)).decision == "go on"
    alike = judged((0.05, 0.05), plan=Plan(worth=0.02))
    assert alike.decision == "stop"
    assert alike.arms[1].difference is not None
    assert alike.arms[1].difference.verdict == "same"
    over = judged((0.05, 0.05), plan=Plan(most_days=20))
    assert (over.decision, over.arm) == ("stop", "v3")
    assert "after 20 days" in over.reason


def test_a_lost_part_of_an_arm_makes_it_invalid_whatever_it_costs() -> None:
    rng = np.random.default_rng(4)
    outcomes = {"v3": cohorts(rng, 20, 1_000, 0.10), "v4": cohorts(rng, 20, 950, 0.05)}
    status = evaluate(split(), OK, outcomes, Plan(), at_day(21))
    assert (status.decision, status.arm) == ("invalid", "v3")
    assert "20,000 of v3, 19,000 of v4 at 50 % : 50 %" in status.reason


def test_the_ratio_is_that_of_the_weights() -> None:
    rng = np.random.default_rng(4)
    outcomes = {"v3": cohorts(rng, 20, 1_900, 0.05), "v4": cohorts(rng, 20, 100, 0.05)}
    assert evaluate(split((0.95, 0.05)), OK, outcomes, Plan(), at_day(21)).decision == "go on"
    assert evaluate(split((0.90, 0.10)), OK, outcomes, Plan(), at_day(21)).decision == "invalid"


def test_days_whose_outcomes_have_not_all_come_are_waited_for() -> None:
    """Outcomes that come late are the dear ones: on the first days an arm looks cheaper than it is."""
    rng = np.random.default_rng(5)
    outcomes = {name: cohorts(rng, 10, 1_000, 0.05) for name in ("v3", "v4")}
    young = [Cohort(day=each.day, entities=1_000) for each in cohorts(rng, 3, 1_000, 0.05, from_day=START + 10)]
    outcomes["v4"] += young
    outcomes["v3"] += young
    status = evaluate(split(), OK, outcomes, Plan(maturity_s=5 * 86_400), at_day(13))
    assert [(arm.entities, arm.waiting, arm.n, arm.missing) for arm in status.arms] == [(13_000, 5_000, 8_000, 0)] * 2
    assert status.days == 8
    then = evaluate(split(), OK, outcomes, Plan(maturity_s=5 * 86_400), at_day(18))
    assert [(arm.waiting, arm.n, arm.missing) for arm in then.arms] == [(0, 10_000, 3_000)] * 2


def test_outcomes_that_are_known_more_often_of_one_arm_are_noted() -> None:
    rng = np.random.default_rng(6)
    outcomes = {"v3": cohorts(rng, 10, 1_000, 0.05), "v4": cohorts(rng, 10, 1_000, 0.05, known=0.8)}
    [note] = evaluate(split(), OK, outcomes, Plan(), at_day(11)).notes
    assert "80 % of the entities of v4 and of 100 % of v3" in note
    assert judged((0.05, 0.05)).notes == ()


def test_a_broken_guardrail_stops_what_is_cheaper() -> None:
    rng = np.random.default_rng(7)
    outcomes = {"v3": cohorts(rng, 20, 1_000, 0.10), "v4": cohorts(rng, 20, 1_000, 0.05)}
    status = evaluate(split(), OK | {"v4": counts(failed=500)}, outcomes, Plan(), at_day(21))
    assert (status.decision, status.arm) == ("stop", "v3")
    assert status.reason.startswith("errors of v4: 9.1 % against 0.2 % of v3, beyond what 1 % more allows")
    assert [guardrail.state for guardrail in status.guardrails] == ["broken", "fine", "fine"]


def test_a_guardrail_that_is_near_holds_what_is_cheaper() -> None:
    rng = np.random.default_rng(8)
    outcomes = {"v3": cohorts(rng, 20, 1_000, 0.10), "v4": cohorts(rng, 20, 1_000, 0.05)}
    status = evaluate(split(), OK | {"v4": counts(rows=200, failed=9)}, outcomes, Plan(), at_day(21))
    assert status.decision == "go on"
    assert "less an entity than v3, but errors of v4: 4.3 %" in status.reason


def test_guardrails_are_corrected_for_their_number() -> None:
    plain = evaluate(split(), OK | {"v4": counts(failed=150)}, {}, Plan(guards=Plan().guards[:1]), at_day(1))
    several = evaluate(split(), OK | {"v4": counts(failed=150)}, {}, Plan(), at_day(1))
    assert several.guardrails[0].p == pytest.approx(3 * plain.guardrails[0].p)


def test_of_a_canary_the_version_that_it_is_to_replace_is_the_first() -> None:
    change = Change(at_us=at_day(0), by="ada", salt="s")
    whole = promote(split(), change, arm="v3")
    canary = deploy_canary(whole, split().arms[1].serves, 5, change)
    assert [arm.name for arm in evaluate(canary, {}, {}, Plan(), at_day(1)).arms] == ["v3", "v4"]


def test_without_anything_known_it_goes_on_and_says_so() -> None:
    status = evaluate(split(), {}, {}, Plan(), at_day(1))
    assert (status.decision, status.days, status.days_left, status.looks) == ("go on", 0, None, ())
    assert status.reason == "too little is known of v4 or v3 yet"
    alone = promote(split(), Change(at_us=0, by="ada", salt="s"), arm="v3")
    assert evaluate(alone, {}, {}, Plan(), at_day(1)).reason.startswith("one version answers all")


def test_the_days_that_are_left_are_about_those_that_it_takes() -> None:
    """Of 60 experiments of 7 % against 5 %, judged on day 6 of those still open, the median of what is foretold is
    within a factor of two of what it took."""
    foretold, took = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        outcomes = {"v3": cohorts(rng, 200, 500, 0.07), "v4": cohorts(rng, 200, 500, 0.05)}
        early = evaluate(split(), {}, outcomes, Plan(), at_day(7))
        looks = evaluate(split(), {}, outcomes, Plan(), at_day(201)).looks
        if early.decision == "go on" and early.days_left is not None:
            foretold.append(early.days_left)
            took.append(next(place for place, look in enumerate(looks) if look.high is not None and look.high < 0) - 5)
    assert len(took) > 20
    assert 0.5 < np.median(foretold) / np.median(took) < 2.0


def test_it_ends_when_the_plan_ends() -> None:
    left = judged((0.05, 0.05), plan=Plan(most_days=25)).days_left
    assert left is not None
    assert left <= 5.0


def test_a_covariate_is_used_and_told() -> None:
    rng = np.random.default_rng(9)
    outcomes: dict[str, list[Cohort]] = {}
    for name, shift in (("v3", 0.0), ("v4", -0.1)):
        outcomes[name] = []
        for day in range(10):
            x = rng.normal(0.0, 1.0, 200)
            y = x + rng.normal(0.0, 0.5, 200) + shift
            sums = [200, y.sum(), (y * y).sum(), x.sum(), (x * x).sum(), (x * y).sum()]
            known = dict(zip(Cohort(day=0, entities=0).known.__struct_fields__, map(float, sums), strict=True))
            raw = {"day": START + day, "entities": 200, "known": known | {"n": 200}}
            outcomes[name].append(msgspec.convert(raw, Cohort))
    status = evaluate(split(), OK, outcomes, Plan(), at_day(11))
    plain = evaluate(split(), OK, outcomes, Plan(adjust=False), at_day(11))
    assert status.covariate is not None
    assert status.covariate.used
    assert status.covariate.explained == pytest.approx(0.8, abs=0.05)
    with_it, without = status.arms[1].difference, plain.arms[1].difference
    assert with_it is not None
    assert without is not None
    assert (with_it.adjusted, without.adjusted) == (True, False)
    assert with_it.low is not None
    assert with_it.high is not None
    assert without.low is not None
    assert without.high is not None
    assert (with_it.high - with_it.low) / (without.high - without.low) == pytest.approx(math.sqrt(0.2), rel=0.1)


def test_a_status_is_json_and_back() -> None:
    for status in (judged((0.10, 0.05)), evaluate(split(), {}, {}, Plan(), at_day(1))):
        assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status


def test_the_rule_is_stated() -> None:
    said = judged((0.05, 0.05, 0.05), plan=Plan(worth=0.01, most_days=60)).rule
    for part in ("95 %", "each of 2 at 2.5 %", "nearer than 0.01", "after 60 days", "p < 0.001"):
        assert part in said


def test_what_was_decided_is_done() -> None:
    change = Change(at_us=at_day(21), by="headrace", salt="s")
    shipped = settle(split(), judged((0.10, 0.05)), change)
    stopped = settle(split(), judged((0.05, 0.10)), change)
    assert shipped is not None
    assert stopped is not None
    assert [(arm.name, arm.weight) for arm in shipped.arms] == [("v4", 1.0)]
    assert [(arm.name, arm.weight) for arm in stopped.arms] == [("v3", 1.0)]
    assert (shipped.verb, stopped.verb) == ("promote", "stop")
    assert shipped.facts["experiment"]["decision"] == "ship"
    assert settle(split(), judged((0.05, 0.05)), change) is None
    assert settle(msgspec.structs.replace(split(), revision=9), judged((0.10, 0.05)), change) is None
