"""Linear models."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.testing.families import FamilySuite
from headrace.training.families import Family
from headrace.training.families.linear import CLIP, Design, Linear


class TestLinear(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return Linear()


def test_one_wild_value_does_not_steer_the_linear_design() -> None:
    X = np.array([[0.0], [1.0], [2.0], [3e38], [np.nan]], np.float32)
    design = Design.learn(X[:3], [None])
    rows = design.rows(X).toarray()
    assert rows[3, 0] == CLIP
    assert rows[4, 0] == 0.0  # the median is the mean here
