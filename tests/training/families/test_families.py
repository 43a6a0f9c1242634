"""What holds for every family, and the trees that several share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import NodeProto, helper

from headrace.definition import grammar
from headrace.definition.model import Task
from headrace.scoring.graph import Graph
from headrace.scoring.onnx_file import ALLOWED_OPS, check_onnx
from headrace.testing.families import CLASSES, LEVELS, TASKS, family_rows
from headrace.training.errors import UnknownFamily
from headrace.training.families import FAMILIES, USUAL, load_family, usual_families
from headrace.training.families.ensemble import Tree, round_down, tree_node
from headrace.training.families.lightgbm import LightGBM
from headrace.training.families.linear import Linear
from headrace.training.onnx_ops import EMITTED_OPS, ML


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


NODE = ("treeids", "nodeids", "featureids", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")
TARGET = ("treeids", "nodeids", "ids", "weights")


def plain_node(trees: Sequence[Tree], n_targets: int) -> NodeProto:
    """Row by row, by ONNX's own helper."""
    rows: list[tuple[Any, ...]] = []
    targets: list[tuple[Any, ...]] = []
    for number, tree in enumerate(trees):
        splits = len(tree.feature)
        for node in range(splits):
            left, right = (c if c >= 0 else splits + ~c for c in (int(tree.left[node]), int(tree.right[node])))
            limit = float(round_down(tree.threshold)[node])
            missing = int(tree.missing_left[node])
            rows.append((number, node, int(tree.feature[node]), limit, left, right, missing, "BRANCH_LEQ"))
        for leaf, added in enumerate(tree.leaf.reshape(splits + 1, -1).tolist()):
            rows.append((number, splits + leaf, 0, 0.0, 0, 0, 0, "LEAF"))
            given = [output for output, value in enumerate(added) if value != 0.0] or [0]
            targets += [(number, splits + leaf, tree.target + output, added[output]) for output in given]
    attributes: dict[str, Any] = {"n_targets": n_targets, "aggregate_function": "SUM", "post_transform": "NONE"}
    for name, column in zip((*NODE, "modes"), zip(*rows, strict=True), strict=True):
        attributes[f"nodes_{name}"] = list(column)
    for name, column in zip(TARGET, zip(*targets, strict=True), strict=True):
        attributes[f"target_{name}"] = list(column)
    return helper.make_node("TreeEnsembleRegressor", ["x"], ["scores"], domain=ML, **attributes)


@given(st.integers(0, 10_000), st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 3), st.booleans())
def test_a_node_of_trees_is_to_the_byte_what_onnx_s_helper_makes(
    seed: int, sizes: list[int], outputs: int, together: bool
) -> None:
    rng = np.random.default_rng(seed)
    trees = []
    for splits in sizes:
        # a chain: every node's left child is a leaf
        below = np.append(np.arange(1, splits), ~splits)[:splits]
        leaf = np.round(rng.normal(size=(splits + 1, outputs) if together else splits + 1))
        trees.append(
            Tree(
                feature=rng.integers(0, 9, splits),
                threshold=rng.normal(size=splits),
                missing_left=rng.random(splits) < 0.5,
                left=~np.arange(splits),
                right=below,
                leaf=leaf,
                target=0 if together else int(rng.integers(0, outputs)),
            )
        )
    made, plain = tree_node(trees, outputs, "scores"), plain_node(trees, outputs)
    assert made.SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)
