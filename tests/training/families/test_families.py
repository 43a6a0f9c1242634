"""What holds for every family, and the trees that several share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.definition import grammar
from headrace.definition.model import Task
from headrace.scoring.graph import Graph
from headrace.scoring.onnx_file import ALLOWED_OPS, check_onnx
from headrace.testing.families import CLASSES, LEVELS, TASKS, family_rows
from headrace.training.errors import UnknownFamily
from headrace.training.families import FAMILIES, USUAL, load_family, usual_families
from headrace.training.families.ensemble import round_down
from headrace.training.families.lightgbm import LightGBM
from headrace.training.families.linear import Linear
from headrace.training.onnx_ops import EMITTED_OPS


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("task", TASKS)
def test_only_listed_operators_are_emitted_and_the_loader_takes_them_all(name: str, task: Task) -> None:
    family = load_family(name, task)
    if not family.compiles:
        pytest.skip("compared only")
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


def test_a_definition_takes_the_name_of_every_family() -> None:
    assert set(grammar.FAMILIES) == set(FAMILIES)


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


def test_a_linear_model_of_ten_thousand_columns_fits_and_compiles() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 10_000)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    for family in (Linear(), LightGBM()):
        params = dict(family.defaults()[0]) | ({"rounds": 5} if isinstance(family, LightGBM) else {})
        fitted = family.fit(X, y, params, task="binary", n_classes=2, levels=[None] * 10_000, seed=0, threads=1)
        assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= 1e-6


def test_what_is_usually_tried_is_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual_families() == ("linear", "lightgbm", "mlp", "catboost", "extra_trees")
    assert set(USUAL) <= set(FAMILIES)
    monkeypatch.setattr("headrace.training.families.find_spec", lambda name: None if name == "catboost" else object())
    assert usual_families() == ("linear", "lightgbm", "mlp", "extra_trees")
