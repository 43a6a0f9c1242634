"""Binary trees as ONNX TreeEnsembleRegressors, the same branches and float32 leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.training.onnx_ops import ML

if TYPE_CHECKING:
    from onnx import NodeProto

TOGETHER = 100
"""Trees whose leaves are added one after the other in float32; such sums are then added up. A thousand in a row were
seen 3e-6 away from their float64 sum."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree: s inner nodes, numbered from 0 (the root), and s + 1 leaves. Without inner nodes: the leaf alone."""

    feature: NDArray[np.int64]
    """Shape (s,): the column that a node looks at."""
    threshold: NDArray[np.float64]
    """Shape (s,): left when x <= threshold."""
    missing_left: NDArray[np.bool_]
    """Shape (s,): where NaN goes."""
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    """Shape (s,): an inner node, or a leaf c as ~c < 0."""
    leaf: NDArray[np.float64]
    """Shape (s + 1,): what the tree adds; or (s + 1, t): to each of t outputs."""
    target: int = 0
    """The output that it adds to, or the first of them."""


def round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 at or below each value: for a float32 x, `x <= value` and `x <= rounded` are the same.

    Examples
    --------
    >>> import numpy as np
    >>> float(np.float32(0.1)) > 0.1, float(round_down(np.array([0.1]))[0]) <= 0.1
    (True, True)
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
        above = rounded.astype(np.float64) > values
        rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded


def ensemble_attributes(trees: Sequence[Tree], n_targets: int) -> dict[str, Any]:
    """Attributes with the trees' own branches and float32 leaves; a row's leaves are added in the order of `trees`."""
    parts: dict[str, list[NDArray[Any]]] = {}
    target_parts: list[tuple[NDArray[np.int64], ...]] = []
    weights: list[NDArray[np.float64]] = []

    def add(name: str, inner: NDArray[Any], leaves: NDArray[Any]) -> None:
        parts.setdefault(name, []).append(np.concatenate([inner, leaves]))

    for number, tree in enumerate(trees):
        splits, n_leaves = len(tree.feature), len(tree.leaf)
        none = np.zeros(n_leaves, np.int64)
        add("treeids", np.full(splits, number), np.full(n_leaves, number))
        add("nodeids", np.arange(splits), splits + np.arange(n_leaves))
        add("featureids", tree.feature, none)
        add("values", round_down(tree.threshold), none.astype(np.float32))
        add("truenodeids", np.where(tree.left < 0, splits + ~tree.left, tree.left), none)
        add("falsenodeids", np.where(tree.right < 0, splits + ~tree.right, tree.right), none)
        add("missing_value_tracks_true", tree.missing_left.astype(np.int64), none)
        add("leaf", np.zeros(splits, np.bool_), np.ones(n_leaves, np.bool_))
        # of several outputs a leaf names those that it adds something to, and one at least
        given = tree.leaf.reshape(n_leaves, -1) != 0.0
        given[:, 0] |= ~given.any(axis=1)
        leaf, output = np.nonzero(given)
        target_parts.append((np.full(len(leaf), number), splits + leaf, tree.target + output))
        weights.append(tree.leaf.reshape(n_leaves, -1)[leaf, output])
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    targets = [np.concatenate(each).tolist() for each in zip(*target_parts, strict=True)]
    is_leaf = columns.pop("leaf")
    attributes: dict[str, Any] = {f"nodes_{name}": column.tolist() for name, column in columns.items()}
    attributes["nodes_modes"] = ["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf.tolist()]
    return attributes | {
        "n_targets": n_targets,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "target_treeids": targets[0],
        "target_nodeids": targets[1],
        "target_ids": targets[2],
        "target_weights": np.concatenate(weights).astype(np.float32).tolist(),
    }


def sum_of_trees(trees: Sequence[Tree], n_targets: int, into: str, *, together: int = TOGETHER) -> list[NodeProto]:
    """Nodes from `x` to the sum of the trees' leaves, shape (n, n_targets), named `into`."""
    from onnx import helper

    parts = [trees[start : start + together] for start in range(0, len(trees), together)] or [trees]
    if len(parts) == 1:
        attributes = ensemble_attributes(trees, n_targets)
        return [helper.make_node("TreeEnsembleRegressor", ["x"], [into], domain=ML, **attributes)]
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor", ["x"], [f"{into}_{i}"], domain=ML, **ensemble_attributes(part, n_targets)
        )
        for i, part in enumerate(parts)
    ]
    summed = f"{into}_0"
    for i in range(1, len(parts)):
        name = into if i == len(parts) - 1 else f"{into}_to_{i}"
        nodes.append(helper.make_node("Add", [summed, f"{into}_{i}"], [name]))
        summed = name
    return nodes
