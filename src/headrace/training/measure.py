"""What a compiled candidate is measured by: does it answer as its library does, and how long does one row take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.scoring.decision import Decider
from headrace.scoring.graph import Graph
from headrace.scoring.model import Decision

PROBABILITY_LIMIT = 1e-6
VALUE_LIMIT = 1e-5
"""Times the spread (standard deviation) of the training label."""
TIMED_ROWS = 200
BATCH_ROWS = 250
"""As many as take a few milliseconds: of larger ones, other work on the machine is in every time."""
FEWEST_BATCHES, MOST_BATCHES = 3, 8
BATCHES_S = 0.008


def spread_of_labels(y: NDArray[Any], objective: Objective) -> float:
    """What values must agree to `VALUE_LIMIT` of: the labels' standard deviation; of counts, whose answers are
    exponentials of sums in float32, a fifth of the largest one if that is more."""
    spread = float(np.std(y))
    return max(spread, float(np.max(y)) / 5.0) if objective.kind == "poisson" else spread


def agreement_limit(task: Task, label_spread: float) -> float:
    """How far the graph may be from its library."""
    return VALUE_LIMIT * label_spread if task == "regression" else PROBABILITY_LIMIT


def largest_difference(onnx: bytes, X: NDArray[np.float32], library: NDArray[np.float64]) -> float:
    """The largest absolute difference between graph and library over all rows (and classes); NaN if either has one."""
    return difference(Graph(onnx).raw(X), library)


def difference(raw: NDArray[np.floating[Any]], library: NDArray[np.float64]) -> float:
    """The largest absolute difference between a graph's answers and the library's; NaN if either has one."""
    return float(np.max(np.abs(raw.astype(np.float64) - library), initial=0.0))


class RowTimes(NamedTuple):
    """Microseconds that one encoded row takes, through graph and calibration."""

    alone: float
    """At a request: the median of `TIMED_ROWS` rows."""
    batched: float
    """In a batch of `BATCH_ROWS`, on one core: the quickest of a few."""


def time_rows(onnx: bytes, decision: Decision, X: NDArray[np.float32], *, clock: Callable[[], float]) -> RowTimes:
    """How long a row takes alone and in a batch; batches are repeated for about `BATCHES_S`."""
    graph, decider = Graph(onnx), Decider(decision)
    rows = [X[i % len(X)].tobytes() for i in range(TIMED_ROWS)]
    took = []
    for row in rows:
        started = clock()
        answer = graph.row(row)
        if decision.task == "binary":
            decider.probability(float(answer[0]))
        took.append(clock() - started)
    many = np.resize(X, (BATCH_ROWS, X.shape[1]))
    batches: list[float] = []
    while len(batches) < FEWEST_BATCHES or (len(batches) < MOST_BATCHES and sum(batches) < BATCHES_S):
        started = clock()
        decider.probabilities(graph.raw(many, threads=1))
        batches.append(clock() - started)
    return RowTimes(float(np.median(took)) * 1e6, min(batches) / BATCH_ROWS * 1e6)


def leaves_in(onnx: bytes) -> int:
    """Leaves of all trees in a graph."""
    import onnx as library

    nodes = library.load_model_from_string(onnx).graph.node
    modes = [a.strings for node in nodes for a in node.attribute if a.name == "nodes_modes"]
    return sum(mode == b"LEAF" for each in modes for mode in each)


NODE_US = 1.0
"""Of one node of a graph, about."""
SPLIT_US = 0.010
"""Of one split on a row's way through a tree, about, a tree being as deep as if it were balanced: 6 to 9 ns were seen
of boosted trees and 13 of trees with 512 leaves, rows that differ coming one after the other on a quiet machine."""

TARGET_US = 0.003
"""Of one number that a leaf adds to an output, about."""


PRODUCT_US = 1e-4
"""Of one weight that a row is multiplied by, about: networks of 30,000 to 300,000 weights took 0.5 to 1.0e-4 beside
their nodes."""
FAR_PRODUCT_US = 2e-4
NEAR_WEIGHTS = 500_000
"""Further weights do not stay in a core's own cache: a network of 916,000 took 1.9e-4."""


def estimated_us(onnx: bytes) -> float:
    """About how long one row takes, from the graph alone: what is decided by it is decided alike on every run."""
    import onnx as library

    graph = library.load_model_from_string(onnx).graph
    sizes = {each.name: int(np.prod(each.dims)) for each in graph.initializer}
    weights = sum(sizes.get(name, 0) for node in graph.node if node.op_type == "MatMul" for name in node.input)
    total = NODE_US * len(graph.node)
    total += PRODUCT_US * min(weights, NEAR_WEIGHTS) + FAR_PRODUCT_US * max(weights - NEAR_WEIGHTS, 0)
    for node in graph.node:
        found = {attribute.name: attribute for attribute in node.attribute}
        if "nodes_treeids" in found:
            is_leaf = np.array([mode == b"LEAF" for mode in found["nodes_modes"].strings])
            leaves = np.unique(np.array(found["nodes_treeids"].ints)[is_leaf], return_counts=True)[1]
            total += SPLIT_US * float(np.log2(leaves).sum())
            # what a row's leaves add, on the mean
            total += TARGET_US * len(found["target_ids"].ints) * len(leaves) / max(int(is_leaf.sum()), 1)
    return total
