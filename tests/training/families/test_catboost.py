"""CatBoost: the suite, and its symmetric trees as binary ones."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import MissingDependency
from headrace.scoring.graph import Graph
from headrace.testing.families import FamilySuite
from headrace.training.families import Family
from headrace.training.families.catboost import CatBoost, symmetric_tree


class TestCatBoost(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return CatBoost()

    def test_nothing_is_written_beside_the_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        fitted = self.fit(CatBoost(), "binary", n=200)
        fitted.to_onnx()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("task", "y"), [("binary", np.ones(60, np.int64)), ("regression", np.full(60, 3.5))])
    def test_one_label_is_answered_as_it_is(self, task: Any, y: Any) -> None:
        X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
        fitted = CatBoost().fit(
            X, y, CatBoost().defaults()[0], task=task, n_classes=2, levels=[None] * 2, seed=0, threads=1
        )
        np.testing.assert_allclose(fitted.predict(X), y)
        np.testing.assert_allclose(Graph(fitted.to_onnx()).raw(X), y)

    def test_without_the_library_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def without(name: str, *args: Any, **kwargs: Any) -> Any:
            if name == "catboost":
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingDependency) as caught:
            self.fit(CatBoost(), "binary", n=50)
        assert caught.value.fix == 'pip install "headrace[catboost]"'


@given(
    splits=st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 3).map(float)), max_size=6),
    seed=st.integers(0, 1 << 20),
)
def test_a_symmetric_tree_answers_as_its_questions_do(splits: list[tuple[int, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    leaf = rng.integers(0, 3, (2 ** len(splits), 2)).astype(np.float64)
    tree = symmetric_tree(splits, leaf)
    assert len(tree.feature) == len(tree.leaf) - 1
    X = rng.integers(-4, 5, (50, 3)).astype(np.float64)
    X[rng.random(X.shape) < 0.2] = np.nan
    for x in X:
        place = sum(1 << i for i, (column, border) in enumerate(splits) if x[column] > border)
        node = 0 if len(tree.feature) else ~0
        while node >= 0:
            value = x[tree.feature[node]]
            goes_left = tree.missing_left[node] if np.isnan(value) else value <= tree.threshold[node]
            node = int(tree.left[node] if goes_left else tree.right[node])
        np.testing.assert_array_equal(tree.leaf[~node], leaf[place])


def test_questions_that_do_not_matter_are_left_out() -> None:
    # x0 > 1, then x0 > 0, then x1 > 5, after which both leaves are equal
    leaf = np.array([[float(place & 3)] for place in range(8)])
    tree = symmetric_tree([(0, 1.0), (0, 0.0), (1, 5.0)], leaf)
    assert tree.feature.tolist() == [0, 0]
    assert sorted(tree.leaf.tolist()) == [0.0, 2.0, 3.0]
