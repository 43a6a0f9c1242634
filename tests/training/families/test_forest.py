"""Random forests and extremely randomised trees."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.testing.families import FamilySuite
from headrace.training.families import Family
from headrace.training.families.forest import TREE_ROWS, ExtraTrees, FittedForest, Forest


class TestForest(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return Forest()


class TestExtraTrees(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return ExtraTrees()


@pytest.mark.parametrize("family", [Forest(), ExtraTrees()], ids=["forest", "extra_trees"])
def test_a_tree_of_a_forest_stays_small_and_sees_a_draw_of_many_rows(family: Family) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(TREE_ROWS + 20_000, 3)).astype(np.float32)
    y = (X @ [1.0, -1.0, 0.5] + rng.normal(size=len(X)) > 0).astype(np.int64)
    params = {"trees": 4, "max_features": 1.0, "min_samples_leaf": 1, "max_leaf_nodes": 64}
    fitted = family.fit(X, y, params, task="binary", n_classes=2, levels=[None] * 3, seed=0, threads=1)
    assert isinstance(fitted, FittedForest)
    for grown in fitted.model.estimators_:
        assert grown.tree_.n_leaves == 64
        assert grown.tree_.weighted_n_node_samples[0] == TREE_ROWS
    assert np.mean((fitted.predict(X) > 0.5) == y) > 0.75
