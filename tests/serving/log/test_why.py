"""The part of a revision that an answer came from is the one that the assignment itself chose."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.serving.log.samples import record

from headrace.serving.assignment import arm_chooser
from headrace.serving.log.record import Route
from headrace.serving.log.table import Logged
from headrace.serving.log.why import assignment
from headrace.serving.model import Arm, Deployment, Served

SERVED = Served(model="m", version=1, package="0" * 64)


def revision(*weights: float) -> Deployment:
    return Deployment(
        project="p",
        name="d",
        revision=1,
        arms=tuple(Arm(name=f"a{n}", serves=SERVED, weight=weight) for n, weight in enumerate(weights)),
        salt="s",
        at_us=5,
        by="ada",
        reason="deployed 1",
        verb="deploy",
    )


def answered(arm: str, entity: str, *, shadow: bool = False) -> Logged:
    route = Route(deployment="d", revision=1, arm=arm, model="m", version=1, package="0" * 64, shadow=shadow)
    return Logged(record(0, entity=(entity,)), route, "e", 0)


@given(st.integers(1, 99), st.text(max_size=8))
def test_the_arm_that_was_chosen_holds_the_entity_s_place_and_no_other_does(share: int, entity: str) -> None:
    two = revision(share / 100, 1 - share / 100)
    chosen = arm_chooser(two.arms, two.salt)([entity])
    for number, arm in enumerate(two.arms):
        found = assignment(answered(arm.name, entity), two)
        assert found is not None
        assert (found.start <= found.place < found.end) == (number == chosen)
        assert (found.weight, found.by, found.decided_us) == (arm.weight, "ada", 5)


def test_an_arm_that_the_revision_does_not_have_has_no_part() -> None:
    assert assignment(answered("v9", "N1"), revision(1.0)) is None
    assert assignment(answered("a0", "N1", shadow=True), revision(1.0)) is None
