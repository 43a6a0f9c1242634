"""Which arm answers an entity."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.serving.assignment import arm_chooser, entity_place
from headrace.serving.model import Arm, Counts, Served

SERVED = Served(model="m", version=1, package="0" * 64)


def arms(*weights: float) -> tuple[Arm, ...]:
    return tuple(Arm(name=f"a{n}", serves=SERVED, weight=weight) for n, weight in enumerate(weights))


def test_an_entity_s_place_never_changes() -> None:
    """Written down: another place would send every entity to another arm in the middle of an experiment."""
    assert entity_place("salt", ["N14228"]) == pytest.approx(0.2445483791369103, abs=1e-15)


def test_arms_get_their_shares() -> None:
    choose = arm_chooser(arms(0.05, 0.25, 0.7), "s")
    seen = np.bincount([choose([n]) for n in range(40_000)], minlength=3) / 40_000
    assert seen == pytest.approx([0.05, 0.25, 0.7], abs=0.01)


def test_whom_a_canary_has_answered_stays_with_it_while_its_share_rises() -> None:
    chosen: set[int] = set()
    for weight in (0.0, 0.01, 0.05, 0.25, 0.5, 1.0):
        choose = arm_chooser(arms(weight, 1.0 - weight), "s")
        now = {n for n in range(5_000) if choose([n]) == 0}
        assert chosen <= now
        chosen = now
    assert len(chosen) == 5_000


def test_places_of_two_salts_are_independent() -> None:
    one, two = (np.array([entity_place(salt, [n]) for n in range(5_000)]) for salt in ("a", "b"))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05


def test_what_two_workers_saw_adds_up() -> None:
    one = Counts(rows=2, failed=1, latency_us=(1, 1), row_sum_us=3.0, scores=(2, 0))
    both = one + Counts(rows=1, latency_us=(0, 1), row_sum_us=1.5)
    assert both == Counts(rows=3, failed=1, latency_us=(1, 2), row_sum_us=4.5, scores=(2, 0))
