"""What libraries of boosted trees share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.training.families.ensemble import Tree, sum_of_trees
from headrace.training.families.labels import LOWEST_RATE, Labels
from headrace.training.onnx_ops import model_bytes

if TYPE_CHECKING:
    from onnx import NodeProto

PATIENCE = 40
"""Rounds without getting better on the checked rows, at a learning rate of 0.1; slower learners get more. Better is a
smaller loss: stopped by the AUC that was asked for, models of seven public tables had 3 % (LightGBM) and 7 % (CatBoost)
more error on new rows, for an AUC of a few rows jumps, and the highest jump is luck."""


def patience(learning_rate: float) -> int:
    """Rounds to wait for something better.

    Examples
    --------
    >>> patience(0.1), patience(0.025), patience(0.3)
    (40, 80, 40)
    """
    return int(PATIENCE * max(1.0, (0.1 / learning_rate) ** 0.5))


def boosting_bytes(trees: Sequence[Tree], labels: Labels, width: int) -> bytes:
    """The graph whose scores are the sum of the trees and `labels.base`."""
    outputs = labels.outputs
    empty = np.empty(0, np.int64)
    first = Tree(empty, empty.astype(np.float64), empty.astype(np.bool_), empty, empty, labels.base.reshape(1, -1))
    nodes = sum_of_trees([first, *trees], outputs, "scores")
    last, constants = last_nodes(labels)
    return model_bytes([*nodes, *last], constants, width=width, outputs=outputs)


def last_nodes(labels: Labels) -> tuple[list[NodeProto], list[tuple[str, NDArray[Any]]]]:
    """From `scores`, shape (n, outputs), to the answers `y`, and the constants that this needs."""
    from onnx import helper

    if labels.task == "binary":
        return [helper.make_node("Sigmoid", ["scores"], ["y"])], []
    if labels.task == "multiclass":
        return [helper.make_node("Softmax", ["scores"], ["y"])], []  # over the last axis, the classes
    if labels.is_exponential:
        ends = np.array([LOWEST_RATE, labels.highest, labels.scale], np.float32)
        counts: list[tuple[str, NDArray[Any]]] = [("low", ends[0]), ("high", ends[1]), ("scale", ends[2])]
        clipped = helper.make_node("Clip", ["scores", "low", "high"], ["rates"])
        times = helper.make_node("Exp", ["rates"], ["times"])
        return [clipped, times, helper.make_node("Mul", ["times", "scale"], ["y"])], counts
    constants = [("scale", np.array([labels.scale], np.float32)), ("center", np.array([labels.center], np.float32))]
    scaled = helper.make_node("Mul", ["scores", "scale"], ["scaled"])
    return [scaled, helper.make_node("Add", ["scaled", "center"], ["y"])], constants
