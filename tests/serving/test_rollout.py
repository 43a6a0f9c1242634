"""A bad canary is taken back soon, a good one reaches everybody, and a clock alone moves nothing."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest

from headrace.serving.model import Counts, Deployment, Guard, Outcomes, Served
from headrace.serving.revisions import SERVER, Change, begin, deploy_canary, deploy_split
from headrace.serving.rollout import BANDIT_EVERY_S, decide, watched

S = 1_000_000
HOUR = 3_600 * S
YEAR = 365 * 24 * HOUR
START = 1_790_000_000 * S
NONE: Mapping[str, Outcomes] = {}


def version(number: int) -> Served:
    return Served(model="delays", version=number, package=f"{number:064x}")


def change(at: int = START) -> Change:
    return Change(at_us=at, by="ada", salt="salt")


FIRST = begin(version(3), change(), project="p", name="delays")


def canary(percent: float = 5, *, steps: tuple[float, ...] = (0.25, 0.5, 1.0), **more: object) -> Deployment:
    return deploy_canary(FIRST, version(4), percent, change(), steps=steps, **more)  # type: ignore[arg-type]


def seen(
    rows: int, *, errors: float = 0.002, ms: float = 2.0, scores: tuple[int, ...] = (1, 1, 1, 1), spread: float = 1.0
) -> Counts:
    """What would be seen on average: latencies with a deviation of `spread` times their mean."""
    failed = round(rows * errors)
    us = ms * 1_000
    return Counts(
        rows=rows - failed,
        failed=failed,
        row_sum_us=(rows - failed) * us,
        row_squares_us=(rows - failed) * us * us * (1 + spread * spread),
        scores=tuple(round(rows * each / sum(scores)) for each in scores),
    )


def weights(deployment: Deployment | None) -> dict[str, float]:
    assert deployment is not None
    return {arm.name: arm.weight for arm in deployment.arms}


def later(deployment: Deployment, counts: Mapping[str, Counts], seconds: float = 3_600.0) -> Deployment | None:
    return decide(deployment, counts, NONE, deployment.at_us + round(seconds * S))


GOOD = {"v4": seen(1_000), "v3": seen(19_000)}


def test_a_canary_that_held_long_enough_gets_the_next_weight() -> None:
    found = later(canary(), GOOD)
    assert found is not None
    assert list(weights(found).items()) == [("v4", 0.25), ("v3", 0.75)]
    assert (found.verb, found.by, found.salt, found.revision) == ("ramp", SERVER, "salt", 3)
    assert found.ramp is not None
    assert (found.ramp.at, found.ramp.since_us) == (1, found.at_us)
    assert found.reason == "998 answers of v4 at 5 %, no guard near its limit: now 25 %"
    assert found.facts["rows"] == 998
    assert [each["state"] for each in found.facts["guards"]] == ["fine"] * 4
    assert msgspec.json.decode(msgspec.json.encode(found), type=Deployment) == found


def test_the_last_weight_ends_the_ramp() -> None:
    deployment: Deployment | None = canary(1, steps=(0.05, 0.25, 0.5, 1.0))
    path = []
    while deployment is not None and deployment.ramp is not None:
        deployment = later(deployment, GOOD)
        path.append(weights(deployment)["v4"])
    assert path == [0.05, 0.25, 0.5, 1.0]
    assert deployment is not None
    assert (deployment.verb, deployment.ramp, weights(deployment)) == ("promote", None, {"v4": 1.0})
    assert later(deployment, GOOD) is None


def test_too_short_a_time_or_too_few_answers_move_nothing() -> None:
    assert later(canary(hold_s=900.0), GOOD, 899) is None
    assert later(canary(hold_s=900.0), GOOD, 901) is not None
    few = {"v4": seen(499, errors=0.0), "v3": seen(19_000)}
    assert later(canary(least_rows=500), few) is None
    assert later(canary(least_rows=499), few) is not None


@pytest.mark.parametrize("jump_us", [-YEAR, 20 * YEAR])
def test_a_clock_that_jumps_moves_no_ramp_without_answers(jump_us: int) -> None:
    for counts in ({}, {"v4": seen(100), "v3": seen(1_900)}):
        found = decide(canary(), counts, NONE, START + jump_us)
        assert found is None or weights(found) == {"v4": 0.05, "v3": 0.95}


def test_a_clock_that_goes_back_begins_the_hold_anew() -> None:
    """Set in the year to come by a clock that was wrong, a weight would else wait for that year."""
    ahead = msgspec.structs.replace(canary(), at_us=START + YEAR)
    assert ahead.ramp is not None
    ahead = msgspec.structs.replace(ahead, ramp=msgspec.structs.replace(ahead.ramp, since_us=START + YEAR))
    found = decide(ahead, GOOD, NONE, START)
    assert found is not None
    assert found.ramp is not None
    assert (weights(found)["v4"], found.ramp.since_us, found.ramp.at) == (0.05, START, 0)
    assert "the clock went back" in found.reason
    assert decide(found, GOOD, NONE, START + 10 * S) is None
    assert weights(decide(found, GOOD, NONE, START + HOUR)) == {"v4": 0.25, "v3": 0.75}


def test_clocks_of_hosts_that_are_a_minute_apart_change_nothing() -> None:
    assert decide(canary(), GOOD, NONE, START - 30 * S) is None


def test_errors_take_a_canary_back() -> None:
    found = later(canary(), {"v4": seen(500, errors=0.1), "v3": seen(9_500)}, 20)
    assert found is not None
    assert (found.verb, found.by, found.ramp, weights(found)) == ("rollback", SERVER, None, {"v3": 1.0})
    assert found.reason == (
        "errors of v4: 10 % against 0.2 % of v3, beyond what 1 % more allows; delays@3 answers all again"
    )
    [errors] = [each for each in found.facts["guards"] if each["state"] == "broken"]
    assert errors["kind"] == "errors"
    assert errors["p"] <= 0.01
    assert errors["rows"] == 500


def test_answers_of_a_fallback_are_errors_of_the_arm() -> None:
    fell = Counts(rows=500, failed=50, fell_back=50)
    found = later(canary(), {"v4": fell, "v3": Counts(rows=9_500)})
    assert weights(found) == {"v3": 1.0}
    assert found is not None
    assert found.reason.startswith("errors of v4: 10 % against 0 % of v3"), "each once"


def test_rows_that_others_answered_took_their_arm_no_time() -> None:
    mine = Counts(rows=1_000, failed=500, fell_back=500, row_sum_us=500 * 2e3, row_squares_us=500 * 8e6)
    [latency] = [each for each in watched(canary(), {"v4": mine, "v3": seen(19_000)}, NONE) if each.kind == "latency"]
    assert latency.found == pytest.approx(1.0)


def test_scores_by_other_edges_say_nothing() -> None:
    counts = {"v4": seen(1_000, scores=(1, 0, 0, 0)), "v3": seen(19_000, scores=(1, 1, 1, 1, 1))}
    [scores] = [each for each in watched(canary(), counts, NONE) if each.kind == "scores"]
    assert (scores.found, scores.state) == (None, "fine")


def test_a_slow_canary_is_taken_back() -> None:
    found = later(canary(), {"v4": seen(1_000, ms=6.0), "v3": seen(19_000, ms=2.0)})
    assert weights(found) == {"v3": 1.0}
    assert found is not None
    assert found.reason.startswith("latency of v4: 6 ms against 2 ms of v3 on average, beyond what 1.5 times allows")


def test_a_canary_that_scores_otherwise_is_taken_back() -> None:
    found = later(canary(), {"v4": seen(1_000, scores=(1, 0, 0, 0)), "v3": seen(19_000)})
    assert weights(found) == {"v3": 1.0}
    assert found is not None
    assert "population stability index" in found.reason


def spent(n: int, mean: float, deviation: float = 1.0) -> Outcomes:
    return Outcomes(n=n, cost_sum=n * mean, cost_squares=n * (mean * mean + deviation * deviation))


def test_a_canary_that_costs_more_is_taken_back() -> None:
    costs = {"v4": spent(1_000, 1.3), "v3": spent(19_000, 1.0)}
    found = decide(canary(), GOOD, costs, START + HOUR)
    assert weights(found) == {"v3": 1.0}
    assert found is not None
    assert "cost of v4: 1.3 an entity against 1 of v3" in found.reason


def test_all_guards_that_are_broken_are_told() -> None:
    found = later(canary(), {"v4": seen(2_000, errors=0.2, ms=9.0), "v3": seen(19_000)})
    assert found is not None
    assert "errors of v4" in found.reason
    assert "latency of v4" in found.reason


def test_a_guard_that_is_near_its_limit_holds_the_ramp() -> None:
    """Five times as slow on 150 answers with much spread: not certain, and not a reason to go on."""
    counts = {"v4": seen(150, ms=10.0, spread=4.0), "v3": seen(2_850, ms=2.0, spread=4.0)}
    deployment = canary(least_rows=100)
    assert later(deployment, counts) is None
    [latency] = [each for each in watched(deployment, counts, NONE) if each.kind == "latency"]
    assert latency.state == "near"


def test_guards_of_one_s_own_are_kept_to() -> None:
    lenient = canary(guards=(Guard(kind="errors", limit=0.3),))
    bad = {"v4": seen(2_000, errors=0.2, ms=9.0), "v3": seen(19_000)}
    assert weights(later(lenient, bad)) == {"v4": 0.25, "v3": 0.75}


def test_nothing_seen_of_the_other_arm_takes_nothing_back() -> None:
    assert later(canary(), {"v4": seen(400, errors=0.5)}) is None


def test_five_times_the_errors_are_taken_back_within_few_hundred_answers() -> None:
    """200 runs of a canary of 5 % that fails at 5 % beside 1 %: all are taken back, half within 600 of its answers."""
    rng = np.random.default_rng(1)
    needed = []
    for _ in range(200):
        deployment, mine, theirs = canary(hold_s=1e9), Counts(), Counts()
        for rows in range(20, 4_000, 20):
            a, b = int(rng.binomial(20, 0.05)), int(rng.binomial(380, 0.01))
            mine += Counts(rows=20 - a, failed=a)
            theirs += Counts(rows=380 - b, failed=b)
            found = later(deployment, {"v4": mine, "v3": theirs})
            if found is not None:
                assert found.verb == "rollback"
                needed.append(rows)
                break
    assert len(needed) == 200
    assert np.median(needed) < 600


def test_a_healthy_canary_reaches_everybody_in_99_of_100_runs() -> None:
    """1,000 runs with noise in errors, latency, scores and cost, looked at 20 times a weight. Alike in
    all of them, it costs neither more nor less, and still the cost guard allows nothing more."""
    rng = np.random.default_rng(2)
    done = 0
    for _ in range(1_000):
        deployment, now = canary(5, hold_s=60.0, least_rows=1_900), START
        while deployment.ramp is not None and deployment.revision < 50:
            counts = {"v4": Counts(), "v3": Counts()}
            costs = np.zeros((2, 3))
            decided = None
            for _ in range(400):
                now += 60 * S
                weight = deployment.arms[0].weight
                for place, (name, n) in enumerate((("v4", 100), ("v3", round(100 * (1 - weight) / weight)))):
                    counts[name] += healthy(rng, n)
                    mean = rng.normal(1.0, 2.0 / n**0.5)
                    costs[place] += [n, n * mean, n * (mean * mean + 4.0)]
                outcomes = {
                    name: Outcomes(n=int(n), cost_sum=total, cost_squares=squares)
                    for name, (n, total, squares) in zip(("v4", "v3"), costs.tolist(), strict=True)
                }
                decided = decide(deployment, counts, outcomes, now)
                if decided is not None:
                    break
            if decided is None:  # 40,000 answers of the canary, and still it waits
                break
            deployment = decided
        done += deployment.verb == "promote"
    assert done >= 990


def healthy(rng: np.random.Generator, n: int) -> Counts:
    failed = int(rng.binomial(n, 0.005))
    mean = 2_000.0 * rng.gamma(n) / n  # exponential latencies: of n of them the mean, and about the squares
    return Counts(
        rows=n - failed,
        failed=failed,
        row_sum_us=(n - failed) * mean,
        row_squares_us=(n - failed) * 2.0 * mean * mean,
        scores=tuple(int(x) for x in rng.multinomial(n, [0.1] * 10)),
    )


def bandit() -> Deployment:
    return deploy_split(FIRST, {"v3": 0.5, "v4": 0.5}, change(), serves={"v4": version(4)}, bandit=True)


def test_a_bandit_s_weights_follow_the_cost() -> None:
    costs = {"v3": spent(2_000, 1.0), "v4": spent(2_000, 0.9)}
    found = decide(bandit(), {}, costs, START + 2 * HOUR)
    assert found is not None
    assert found.verb == "weights"
    assert weights(found)["v4"] > 0.9
    assert weights(found)["v3"] >= 0.05
    assert sum(weights(found).values()) == pytest.approx(1.0)
    assert (found.bandit, found.salt) == (True, "salt")
    assert found.facts["v4"]["entities"] == 2_000
    assert decide(found, {}, costs, found.at_us + 2 * HOUR) is None, "the same outcomes give the same weights"


def test_a_bandit_moves_at_most_once_an_hour_and_never_on_few_outcomes() -> None:
    costs = {"v3": spent(2_000, 1.0), "v4": spent(2_000, 0.9)}
    assert decide(bandit(), {}, costs, START + round((BANDIT_EVERY_S - 1) * S)) is None
    assert decide(bandit(), {}, {"v3": spent(99, 1.0), "v4": spent(5_000, 0.1)}, START + YEAR) is None
    assert decide(bandit(), {}, {}, START + YEAR) is None


def test_a_deployment_of_one_version_or_a_plain_split_stays_as_it_is() -> None:
    costs = {"v3": spent(2_000, 1.0), "v4": spent(2_000, 0.1)}
    assert decide(FIRST, GOOD, costs, START + YEAR) is None
    assert decide(msgspec.structs.replace(bandit(), bandit=False), GOOD, costs, START + YEAR) is None
