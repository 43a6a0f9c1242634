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


def tree_node(trees: Sequence[Tree], n_targets: int, into: str) -> NodeProto:
    """A node from `x` to the sum of the trees' leaves, with their own branches and float32 leaves; a row's leaves are
    added in the order of `trees`."""
    from onnx import NodeProto

    node = NodeProto(input=["x"], output=[into], op_type="TreeEnsembleRegressor", domain=ML)
    for name, value in sorted(_attributes(trees, n_targets).items()):
        # onnx.helper looks at every number of a list to learn its type, which took longer than all else
        one = node.attribute.add(name=name)
        if isinstance(value, int):
            one.type, one.i = one.INT, value
        elif isinstance(value, bytes):
            one.type, one.s = one.STRING, value
        elif isinstance(value, list):
            one.type = one.STRINGS
            one.strings.extend(value)
        elif value.dtype == np.float32:
            one.type = one.FLOATS
            one.floats.extend(value.tolist())
        else:
            one.type = one.INTS
            one.ints.extend(value.tolist())
    return node


def _attributes(trees: Sequence[Tree], n_targets: int) -> dict[str, int | bytes | list[bytes] | NDArray[Any]]:
    splits, leaves = (np.array(sizes) for sizes in zip(*((len(t.feature), len(t.leaf)) for t in trees), strict=True))
    tree = np.repeat(np.arange(len(trees)), splits + leaves)
    node = _counted(splits + leaves)
    is_leaf = node >= splits[tree]
    inner = np.flatnonzero(~is_leaf)

    def of_splits(values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """By node; 0 at leaves."""
        given = np.concatenate(values)
        column = np.zeros(len(node), given.dtype)
        column[inner] = given
        return column

    def child(values: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        given = of_splits(values)
        return np.where(given < 0, splits[tree] + ~given, given)

    target_tree, target_leaf, target, weights = _targets(trees, leaves)
    return {
        "nodes_treeids": tree,
        "nodes_nodeids": node,
        "nodes_featureids": of_splits([t.feature for t in trees]),
        "nodes_values": of_splits([round_down(np.concatenate([t.threshold for t in trees]))]),
        "nodes_truenodeids": child([t.left for t in trees]),
        "nodes_falsenodeids": child([t.right for t in trees]),
        "nodes_missing_value_tracks_true": of_splits([t.missing_left for t in trees]).astype(np.int64),
        "nodes_modes": [b"LEAF" if leaf else b"BRANCH_LEQ" for leaf in is_leaf.tolist()],
        "n_targets": n_targets,
        "aggregate_function": b"SUM",
        "post_transform": b"NONE",
        "target_treeids": target_tree,
        "target_nodeids": splits[target_tree] + target_leaf,
        "target_ids": target,
        "target_weights": weights.astype(np.float32),
    }


def _targets(trees: Sequence[Tree], leaves: NDArray[np.intp]) -> tuple[NDArray[Any], ...]:
    """Tree, leaf, output and what is added, of everything that is added."""
    first = np.array([t.target for t in trees])
    if all(t.leaf.size == len(t.leaf) for t in trees):
        weights = np.concatenate([t.leaf.reshape(-1) for t in trees])
        return np.repeat(np.arange(len(trees)), leaves), _counted(leaves), np.repeat(first, leaves), weights
    parts = []
    for number, tree in enumerate(trees):
        # of several outputs a leaf names those that it adds something to, and one at least
        added = tree.leaf.reshape(len(tree.leaf), -1)
        given = added != 0.0
        given[:, 0] |= ~given.any(axis=1)
        leaf, output = np.nonzero(given)
        parts.append((np.full(len(leaf), number), leaf, tree.target + output, added[leaf, output]))
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))


def _counted(sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """0, 1, … of each of these sizes.

    Examples
    --------
    >>> import numpy as np
    >>> _counted(np.array([2, 3, 0, 1])).tolist()
    [0, 1, 0, 1, 2, 0]
    """
    ends = np.cumsum(sizes)
    return np.arange(sizes.sum()) - np.repeat(ends - sizes, sizes)


def sum_of_trees(trees: Sequence[Tree], n_targets: int, into: str, *, together: int = TOGETHER) -> list[NodeProto]:
    """Nodes from `x` to the sum of the trees' leaves, shape (n, n_targets), named `into`."""
    from onnx import helper

    parts = [trees[start : start + together] for start in range(0, len(trees), together)] or [trees]
    if len(parts) == 1:
        return [tree_node(trees, n_targets, into)]
    nodes = [tree_node(part, n_targets, f"{into}_{i}") for i, part in enumerate(parts)]
    summed = f"{into}_0"
    for i in range(1, len(parts)):
        name = into if i == len(parts) - 1 else f"{into}_to_{i}"
        nodes.append(helper.make_node("Add", [summed, f"{into}_{i}"], [name]))
        summed = name
    return nodes
