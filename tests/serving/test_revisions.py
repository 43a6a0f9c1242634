"""A deployment's next revision as a person asks for it, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from headrace.errors import HeadraceError
from headrace.serving.experiments.errors import (
    ArmNamesClash,
    ArmUnknown,
    CanaryInvalid,
    NothingToPromote,
    NothingToRollBackTo,
    RampRuns,
    SplitRuns,
    VersionAnswersAlready,
    WeightsInvalid,
)
from headrace.serving.model import Deployment, Served
from headrace.serving.revisions import (
    SERVER,
    Change,
    begin,
    deploy_canary,
    deploy_split,
    deploy_whole,
    promote,
    rollback,
    whole,
    with_shadow,
    without_shadows,
)


def version(number: int) -> Served:
    return Served(model="delays", version=number, package=f"{number:064x}")


def change(at: int = 0, by: str = "ada", reason: str = "") -> Change:
    return Change(at_us=at, by=by, salt=f"salt{at}", reason=reason)


FIRST = begin(version(1), change(), project="p", name="delays", sticky=("tail",), constant=0.5)


def shares(deployment: Deployment) -> dict[str, float]:
    return {arm.name: arm.weight for arm in deployment.arms}


def test_the_first_revision_has_one_version_that_answers_all() -> None:
    assert (FIRST.revision, shares(FIRST), FIRST.verb, FIRST.by) == (1, {"v1": 1.0}, "deploy", "ada")
    assert FIRST.reason == "deployed delays@1"
    assert msgspec.json.decode(msgspec.json.encode(FIRST), type=Deployment) == FIRST


def test_a_canary_comes_first_and_climbs_from_what_was_asked_for() -> None:
    canary = deploy_canary(FIRST, version(2), 5, change(7))
    assert list(shares(canary).items()) == [("v2", 0.05), ("v1", 0.95)]
    assert canary.ramp is not None
    assert (canary.ramp.steps, canary.ramp.at, canary.ramp.since_us) == ((0.05, 0.25, 0.5, 1.0), 0, 7)
    assert (canary.revision, canary.salt, canary.at_us) == (2, "salt7", 7)
    assert (canary.sticky, canary.constant) == (("tail",), 0.5)
    assert canary.reason == "deployed delays@2 as a canary of 5 %"


def test_a_canary_of_an_odd_share_climbs_the_steps_above_it() -> None:
    ramp = deploy_canary(FIRST, version(2), 30, change()).ramp
    assert ramp is not None
    assert ramp.steps == (0.3, 0.5, 1.0)


@pytest.mark.parametrize("percent", [0, -1, 100, 250, float("nan")])
def test_a_share_of_a_canary_that_is_none_is_refused(percent: float) -> None:
    with pytest.raises(CanaryInvalid):
        deploy_canary(FIRST, version(2), percent, change())


@pytest.mark.parametrize("steps", [[], [0.5, 0.1], [0.1, 0.1], [0.0, 1.0], [0.5, 1.5], [float("nan")]])
def test_steps_that_do_not_rise_are_refused(steps: list[float]) -> None:
    with pytest.raises(CanaryInvalid):
        deploy_canary(FIRST, version(2), 5, change(), steps=steps)


def test_a_canary_of_the_version_that_answers_is_refused() -> None:
    with pytest.raises(VersionAnswersAlready, match="delays@1"):
        deploy_canary(FIRST, version(1), 5, change())


def test_there_is_one_canary_at_a_time() -> None:
    running = deploy_canary(FIRST, version(2), 5, change())
    with pytest.raises(RampRuns, match="v2"):
        deploy_canary(running, version(3), 5, change())
    with pytest.raises(RampRuns):
        deploy_split(running, {"v1": 0.5, "v2": 0.5}, change())


def test_a_canary_of_a_split_deployment_is_refused() -> None:
    split = deploy_split(FIRST, {"v1": 0.5, "v2": 0.5}, change(), serves={"v2": version(2)})
    with pytest.raises(SplitRuns, match="v1, v2"):
        deploy_canary(split, version(3), 5, change())


def test_two_versions_under_one_name_of_an_arm_are_refused() -> None:
    other = Served(model="delays-night", version=1, package="f" * 64)
    with pytest.raises(ArmNamesClash):
        deploy_canary(FIRST, other, 5, change())
    assert list(shares(deploy_canary(FIRST, other, 5, change(), name="night"))) == ["night", "v1"]


def test_a_split_has_the_arms_as_they_were_named() -> None:
    split = deploy_split(FIRST, {"v1": 0.5, "b": 0.3, "c": 0.2}, change(3), serves={"b": version(2), "c": version(3)})
    assert list(shares(split).items()) == [("v1", 0.5), ("b", 0.3), ("c", 0.2)]
    assert (split.salt, split.bandit, split.ramp) == ("salt3", False, None)
    assert deploy_split(split, {"b": 0.5, "c": 0.5}, change(), bandit=True).bandit


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ({"v1": 0.5, "v2": 0.4}, WeightsInvalid),
        ({"v1": 1.0}, WeightsInvalid),
        ({"v1": 1.5, "v2": -0.5}, WeightsInvalid),
        ({"v1": 1.0, "v2": 0.0}, WeightsInvalid),
        ({"v1": float("nan"), "v2": 0.5}, WeightsInvalid),
        ({}, WeightsInvalid),
        ({"v1": 0.5, "v9": 0.5}, ArmUnknown),
        ({"v1": 0.5, "again": 0.5}, ArmNamesClash),
    ],
)
def test_weights_that_divide_nothing_are_refused(weights: dict[str, float], error: type[HeadraceError]) -> None:
    with pytest.raises(error) as caught:
        deploy_split(FIRST, weights, change(), serves={"v2": version(2), "again": version(1)})
    assert caught.value.fix


def test_thirds_are_weights() -> None:
    thirds = dict.fromkeys(("v1", "v2", "v3"), 1 / 3)
    split = deploy_split(FIRST, thirds, change(), serves={"v2": version(2), "v3": version(3)})
    assert len(split.arms) == 3


def test_a_shadow_is_neither_an_arm_nor_twice_there() -> None:
    shadowed = with_shadow(FIRST, version(2), change())
    assert shadowed.shadows == (version(2),)
    assert shares(shadowed) == {"v1": 1.0}
    with pytest.raises(VersionAnswersAlready, match="a shadow"):
        with_shadow(shadowed, version(2), change())
    with pytest.raises(VersionAnswersAlready, match="an arm"):
        with_shadow(shadowed, version(1), change())
    assert without_shadows(shadowed, change()).shadows == ()


def test_a_shadow_that_becomes_a_canary_is_a_shadow_no_longer() -> None:
    shadowed = with_shadow(with_shadow(FIRST, version(2), change()), version(3), change())
    assert deploy_canary(shadowed, version(2), 5, change()).shadows == (version(3),)


def test_a_promoted_canary_answers_all() -> None:
    done = promote(deploy_canary(FIRST, version(2), 5, change()), change(9, reason="looks good"))
    assert (shares(done), done.ramp, done.verb, done.reason) == ({"v2": 1.0}, None, "promote", "looks good")
    assert done.revision == 3


def test_of_a_split_one_says_which_arm_is_promoted() -> None:
    split = deploy_split(FIRST, {"v1": 0.5, "v2": 0.5}, change(), serves={"v2": version(2)}, bandit=True)
    with pytest.raises(NothingToPromote, match="no arm was named"):
        promote(split, change())
    with pytest.raises(ArmUnknown):
        promote(split, change(), arm="v7")
    done = promote(split, change(), arm="v2")
    assert (shares(done), done.bandit) == ({"v2": 1.0}, False)


def test_nothing_is_promoted_where_one_version_answers_all() -> None:
    with pytest.raises(NothingToPromote, match="already"):
        promote(FIRST, change())


def test_the_same_version_is_not_deployed_twice() -> None:
    with pytest.raises(VersionAnswersAlready):
        deploy_whole(FIRST, version(1), change())


def test_a_version_for_all_ends_the_canary() -> None:
    done = deploy_whole(deploy_canary(FIRST, version(2), 5, change()), version(3), change())
    assert (shares(done), done.ramp) == ({"v3": 1.0}, None)


def test_a_canary_on_its_way_is_rolled_back_to_what_it_was_to_replace() -> None:
    back = rollback(deploy_canary(FIRST, version(2), 5, change()), [FIRST], change(by="grace"))
    assert (shares(back), back.ramp, back.verb, back.by) == ({"v1": 1.0}, None, "rollback", "grace")


def test_rolled_back_twice_goes_back_two_versions_and_never_forward() -> None:
    history = [FIRST]
    for number in (2, 3):
        history.append(deploy_whole(history[-1], version(number), change(number)))
    for expected in ("v2", "v1"):
        history.append(rollback(history[-1], history, change()))
        assert shares(history[-1]) == {expected: 1.0}
    with pytest.raises(NothingToRollBackTo, match="no other version"):
        rollback(history[-1], history, change())


def test_a_version_that_was_taken_back_is_not_come_back_to() -> None:
    """1, then 2, back to 1, then 3: what answered before 3 is 1, although 2 was deployed later than 1."""
    history = [FIRST, deploy_whole(FIRST, version(2), change())]
    history.append(rollback(history[-1], history, change()))
    history.append(deploy_whole(history[-1], version(3), change()))
    assert shares(rollback(history[-1], history, change())) == {"v1": 1.0}


def test_a_split_is_rolled_back_to_the_version_before_it() -> None:
    split = deploy_split(FIRST, {"v1": 0.5, "v2": 0.5}, change(), serves={"v2": version(2)})
    assert shares(rollback(split, [split, FIRST], change())) == {"v1": 1.0}


def test_what_a_guard_took_back_just_now_is_not_rolled_back_once_more() -> None:
    """A person who types it at the moment when a guard does would else go back two versions."""
    second = deploy_whole(FIRST, version(2), change())
    canary = deploy_canary(second, version(3), 5, change())
    taken = whole(canary, canary.arms[1], change(by=SERVER, reason="errors of the canary"), "rollback", "")
    with pytest.raises(NothingToRollBackTo, match="errors of the canary"):
        rollback(taken, [FIRST, second, canary], change())


def test_the_first_revision_cannot_be_rolled_back() -> None:
    with pytest.raises(NothingToRollBackTo):
        rollback(FIRST, [FIRST], change())


def test_no_revision_is_of_an_instant_before_the_one_that_it_follows() -> None:
    """Whatever the clock says: who answered at an instant is asked by it."""
    late = msgspec.structs.replace(FIRST, at_us=1_000)
    for made in (
        deploy_whole(late, version(2), change(at=5)),
        deploy_canary(late, version(2), 5.0, change(at=5)),
        with_shadow(late, version(2), change(at=1_000)),
    ):
        assert made.at_us == 1_001
    assert deploy_whole(late, version(2), change(at=2_000)).at_us == 2_000


def test_columns_that_decide_on_the_arm_can_change_with_a_deploy_a_canary_or_a_split() -> None:
    assert FIRST.sticky == ("tail",)
    for made in (
        deploy_whole(FIRST, version(1), change(), sticky=("seat",)),  # the version alone would be no change
        deploy_whole(FIRST, version(2), change(), sticky=("seat",)),
        deploy_canary(FIRST, version(2), 5.0, change(), sticky=("seat",)),
        deploy_split(FIRST, {"v1": 0.5, "v2": 0.5}, change(), serves={"v2": version(2)}, sticky=("seat",)),
    ):
        assert made.sticky == ("seat",)
    assert deploy_whole(FIRST, version(2), change()).sticky == ("tail",)
    with pytest.raises(VersionAnswersAlready):
        deploy_whole(FIRST, version(1), change(), sticky=("tail",))
