"""The two families, against the suite and against what is particular to each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.definition.model import Task
from headrace.scoring.graph import Graph
from headrace.scoring.onnx_file import ALLOWED_OPS, check_onnx
from headrace.testing.families import CLASSES, LEVELS, TASKS, FamilySuite, family_rows
from headrace.training.errors import UnknownFamily
from headrace.training.families import FAMILIES, Family, load_family
from headrace.training.families.ensemble import round_down
from headrace.training.families.lightgbm import LightGBM
from headrace.training.families.linear import CLIP, Design, Linear
from headrace.training.onnx_ops import EMITTED_OPS


class TestLinear(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return Linear()


class TestLightGBM(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return LightGBM()

    def test_neighbouring_float32_values_take_the_library_s_branches(self) -> None:
        """A float64 threshold between two neighbours would round to either of them; rounded down it divides them."""
        rng = np.random.default_rng(0)
        steps = rng.integers(0, 12, (4_000, 3))
        X = (np.float32(1.0) + steps * np.spacing(np.float32(1.0))).astype(np.float32)
        assert [len(np.unique(column)) for column in X.T] == [12, 12, 12]
        y = steps @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=len(X))
        family = LightGBM()
        fitted = family.fit(
            X, y, family.defaults()[0], task="regression", n_classes=0, levels=[None] * 3, seed=0, threads=1
        )
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-5 * np.std(y)

    def test_missing_values_are_zero_where_training_had_none(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(loc=1.0, size=(2_000, 2)).astype(np.float32)
        y = (X[:, 0] > 0).astype(np.int64)
        family = LightGBM()
        fitted = family.fit(
            X, y, family.defaults()[0], task="binary", n_classes=2, levels=[None, None], seed=0, threads=1
        )
        X[::2, 0] = np.nan
        X[::3, 1] = np.nan
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-6


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("task", TASKS)
def test_only_listed_operators_are_emitted_and_the_loader_takes_them_all(name: str, task: Task) -> None:
    family = load_family(name, task)
    X, y = family_rows(500, task, seed=0)
    fitted = family.fit(
        X,
        y,
        family.defaults()[0],
        task=task,
        n_classes=CLASSES,
        levels=LEVELS,
        seed=0,
        threads=1,
    )
    assert check_onnx(fitted.to_onnx()).operators <= EMITTED_OPS
    assert EMITTED_OPS <= ALLOWED_OPS


def test_an_unknown_family_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UnknownFamily, match="lightgbm, linear"):
        load_family("lightbgm", "binary")


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32, allow_nan=False))
def test_a_rounded_threshold_sends_every_float32_the_same_way(threshold: float, x: float) -> None:
    rounded = round_down(np.array([threshold]))[0]
    with np.errstate(over="ignore"):
        above = np.nextafter(rounded, np.float32(np.inf))
    for value in (np.float32(x), rounded, above):
        assert (float(value) <= threshold) == bool(value <= rounded)


def test_one_wild_value_does_not_steer_the_linear_design() -> None:
    X = np.array([[0.0], [1.0], [2.0], [3e38], [np.nan]], np.float32)
    design = Design.learn(X[:3], [None])
    rows = design.rows(X).toarray()
    assert rows[3, 0] == CLIP
    assert rows[4, 0] == 0.0  # the median is the mean here


def test_a_linear_model_of_ten_thousand_columns_fits_and_compiles() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 10_000)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    for family in (Linear(), LightGBM()):
        params = dict(family.defaults()[0]) | ({"rounds": 5} if isinstance(family, LightGBM) else {})
        fitted = family.fit(X, y, params, task="binary", n_classes=2, levels=[None] * 10_000, seed=0, threads=1)
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-6
