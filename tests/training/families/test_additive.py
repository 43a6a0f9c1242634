"""Additive models: the suite, and that they add."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from headrace.testing.families import LEVELS, FamilySuite, family_rows
from headrace.training.families import Family
from headrace.training.families.additive import Additive, strongest_pairs
from headrace.training.families.ensemble import Tree
from headrace.training.families.lightgbm import FittedTrees, read_trees


class TestAdditive(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return Additive()

    @pytest.mark.parametrize("pairs", [0, 3])
    def test_the_way_to_a_leaf_asks_for_one_column_or_for_a_pair(self, pairs: int) -> None:
        X, y = family_rows(2_000, "regression", seed=1)
        params = dict(Additive().defaults()[0]) | {"pairs": pairs, "rounds": 200}
        fitted = Additive().fit(X, y, params, task="regression", n_classes=0, levels=LEVELS, seed=0, threads=1)
        assert isinstance(fitted, FittedTrees)
        asked = {way for tree in read_trees(fitted.text, 1) for way in ways(tree)}
        assert max(len(columns) for columns in asked) == (2 if pairs else 1)
        assert len({columns for columns in asked if len(columns) == 2}) <= pairs

    def test_without_pairs_the_columns_add_up(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(1_000, 3)).astype(np.float32)
        y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
        params = dict(Additive().defaults()[1])
        fitted = Additive().fit(X, y, params, task="regression", n_classes=0, levels=[None] * 3, seed=0, threads=1)
        for a, b in itertools.combinations(range(3), 2):
            corners = np.zeros((4, 3), np.float32)
            corners[[1, 3], a] = 1.5
            corners[[2, 3], b] = -0.7
            none, first, second, both = fitted.predict(corners)
            assert first + second - none == pytest.approx(both, abs=1e-9)

    def test_two_columns_that_work_together_are_found(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(3_000, 6)).astype(np.float32)
        y = X[:, 1] * X[:, 4] + 0.2 * X[:, 0]
        errors = {}
        for pairs in (0, 2):
            params = dict(Additive().defaults()[0]) | {"pairs": pairs, "rounds": 300}
            fitted = Additive().fit(X, y, params, task="regression", n_classes=0, levels=[None] * 6, seed=0, threads=1)
            errors[pairs] = np.mean((fitted.predict(X) - y) ** 2) / np.var(y)
        assert errors[2] < 0.15
        assert errors[0] > 0.5


def ways(tree: Tree) -> set[frozenset[int]]:
    """The columns that are asked for on the way to each leaf."""
    found = set()

    def walk(node: int, asked: frozenset[int]) -> None:
        if node < 0:
            found.add(asked)
            return
        for child in (tree.left[node], tree.right[node]):
            walk(int(child), asked | {int(tree.feature[node])})

    walk(0 if len(tree.feature) else -1, frozenset())
    return found


def test_pairs_are_ranked_by_how_often_one_stands_below_the_other() -> None:
    def chain(features: list[int]) -> Tree:
        s = len(features)
        left = [node + 1 if node + 1 < s else ~0 for node in range(s)]
        right = [~(node + 1) for node in range(s)]
        return Tree(
            np.array(features), np.zeros(s), np.zeros(s, np.bool_), np.array(left), np.array(right), np.zeros(s + 1)
        )

    trees = [chain([0, 2]), chain([1, 2, 1]), chain([3, 3])]
    assert strongest_pairs(trees, 2) == [(1, 2), (0, 2)]
