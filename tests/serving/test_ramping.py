"""A server decides by what it has seen under the weights of now, and by nothing from before."""

from __future__ import annotations

from headrace.serving.model import Counts, Deployment, Served
from headrace.serving.ramping import SETTLE_S, Ramping
from headrace.serving.revisions import Change, begin, deploy_canary

S = 1_000_000
START = 1_790_000_000 * S
THREE, FOUR = (Served(model="delays", version=n, package=f"{n:064x}") for n in (3, 4))


def canary() -> Deployment:
    change = Change(at_us=START, by="ada", salt="salt")
    return deploy_canary(
        begin(THREE, change, project="p", name="delays"), FOUR, 25, change, hold_s=60.0, least_rows=500
    )


def see(ramping: Ramping, *, failed: int = 0, times: int = 1) -> None:
    for _ in range(times):
        ramping.add("delays", "v4", Counts(rows=100 - failed, failed=failed))
        ramping.add("delays", "v3", Counts(rows=300))


def after(ramping: Ramping, deployment: Deployment, seconds: float) -> list[Deployment]:
    return ramping.turn([deployment], START + round(seconds * S), seconds)


def test_a_canary_climbs_to_the_end_and_each_weight_counts_anew() -> None:
    ramping, deployment, now, weights = Ramping(), canary(), 0.0, []
    while deployment.ramp is not None:
        assert after(ramping, deployment, now) == []
        see(ramping, times=4)
        assert after(ramping, deployment, now + 70.0) == [], "400 answers are too few"
        see(ramping, times=2)
        [deployment] = after(ramping, deployment, now + 71.0)
        weights.append(deployment.arms[0].weight)
        now += 71.0
    assert weights == [0.5, 1.0]
    assert deployment.verb == "promote"


def test_a_canary_that_fails_is_taken_back_at_the_next_turn() -> None:
    ramping, deployment = Ramping(), canary()
    after(ramping, deployment, 0.0)
    see(ramping, failed=50, times=3)
    [back] = after(ramping, deployment, SETTLE_S + 1.0)
    assert [(arm.name, arm.weight) for arm in back.arms] == [("v3", 1.0)]


def test_what_comes_just_after_a_change_is_of_the_revision_before() -> None:
    ramping, deployment = Ramping(), canary()
    after(ramping, deployment, 0.0)
    see(ramping, failed=100, times=5)
    assert after(ramping, deployment, SETTLE_S - 1.0) == []
    assert ramping.counts("delays") == {}
    assert after(ramping, deployment, SETTLE_S + 1.0) == []


def test_a_deployment_that_is_gone_is_forgotten() -> None:
    ramping, deployment = Ramping(), canary()
    after(ramping, deployment, 0.0)
    after(ramping, deployment, 10.0)
    see(ramping)
    assert ramping.turn([], START, 20.0) == []
    assert ramping.counts("delays") == {}
