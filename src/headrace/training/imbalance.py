"""What is done to training rows when one class is rare, and how probabilities are brought back to the true prior.

Sampling and weighting change the share of the classes that a model sees; what it then says is a probability in that
other world. The odds of each class are multiplied by (true share / seen share), in the model itself, so that every
later step sees the one true prior. Validation rows are never touched.

Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, theorem 2; Dal Pozzolo et al., "Calibrating
Probability with Undersampling for Unbalanced Classification", SSCI 2015.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headrace.training.families import Fitted, Params

STRATEGIES: Final = ("none", "weights", "oversample", "undersample", "smote", "adasyn")
"""`smote` is SMOTENC where there are categories. What several models learn together is in `learn`."""
NEIGHBOURS: Final = 5


class StrategyImpossible(ValueError):
    """These rows cannot be sampled so: the trial fails with the reason."""

    def __init__(self, strategy: str, why: str) -> None:
        super().__init__(f"{strategy}: {why}")


class Resampled(NamedTuple):
    """Rows to learn from."""

    X: NDArray[np.float32]
    y: NDArray[Any]
    weights: NDArray[np.float64] | None
    shift: NDArray[np.float64] | None
    """Shape (k,): what the odds of each class are multiplied by; None: nothing was changed."""


def resample(
    strategy: str,
    X: NDArray[np.float32],
    y: NDArray[Any],
    levels: Sequence[int | None],
    n_classes: int,
    seed: int,
) -> Resampled:
    """Training rows under a strategy of `STRATEGIES`.

    Raises
    ------
    StrategyImpossible : there are too few rows of a class, or no class at all (regression).
    """
    if strategy == "none":
        return Resampled(X, y, None, None)
    if not n_classes:
        raise StrategyImpossible(strategy, "the label is a number, not a class")
    before = np.bincount(y, minlength=n_classes).astype(np.float64)
    present = before > 0
    if strategy == "weights":
        each = np.where(present, len(y) / np.maximum(before, 1) / present.sum(), 0.0)
        return Resampled(X, y, each[y], shift_of(before, before * each))
    if strategy == "oversample" or strategy == "undersample":
        rng = np.random.Generator(np.random.PCG64(seed))
        size = int(before[present].max() if strategy == "oversample" else before[present].min())
        rows = np.concatenate([_drawn(np.flatnonzero(y == code), size, rng) for code in np.flatnonzero(present)])
        rows.sort()
        return Resampled(X[rows], y[rows], None, shift_of(before, np.bincount(y[rows], minlength=n_classes)))
    X_made, y_made = _synthesised(strategy, X, y, levels, before[present], seed)
    return Resampled(X_made, y_made, None, shift_of(before, np.bincount(y_made, minlength=n_classes)))


def _drawn(rows: NDArray[np.intp], size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """So many of the rows: each as often as goes evenly, the rest by lot."""
    whole, rest = divmod(size, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])


def _synthesised(
    strategy: str, X: NDArray[np.float32], y: NDArray[Any], levels: Sequence[int | None], sizes: Any, seed: int
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Rows between neighbours of the rarer classes. Numbers are standardised for the distance and clipped; a missing
    number stands at its median while neighbours are sought, and is one in a made row."""
    from imblearn.over_sampling import ADASYN, SMOTE, SMOTENC  # type: ignore[import-untyped]

    fewest = int(sizes.min())
    if fewest < 2:
        raise StrategyImpossible(strategy, f"a class has {fewest} training rows in a fold; 2 are needed")
    categories = [j for j, n in enumerate(levels) if n is not None]
    if len(categories) == len(levels):
        raise StrategyImpossible(strategy, "there is no number among the features")
    if strategy == "adasyn" and categories:
        raise StrategyImpossible(strategy, "there are categories among the features: smote takes them")
    known = np.where(np.isfinite(X), X, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a single value: its middle is 0
        middle = np.nan_to_num(np.nanmedian(known, axis=0))
        spread = np.nan_to_num(np.nanstd(known, axis=0))
    scale = np.where(spread > 0, spread, 1.0)
    for j in categories:
        middle[j], scale[j] = 0.0, 1.0
    filled = np.where(np.isnan(known), middle, known).astype(np.float64)
    for j in categories:  # a missing level is a level of its own
        filled[:, j] = np.where(np.isnan(X[:, j]), -1.0, X[:, j])
    scaled = (filled - middle) / scale
    neighbours = min(NEIGHBOURS, fewest - 1)
    sampler: Any
    if strategy == "adasyn":
        sampler = ADASYN(random_state=seed, n_neighbors=neighbours)
    elif categories:
        sampler = SMOTENC(categories, random_state=seed, k_neighbors=neighbours)
    else:
        sampler = SMOTE(random_state=seed, k_neighbors=neighbours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, labels = sampler.fit_resample(scaled, y)
    added = (made[len(X) :] * scale + middle).astype(np.float32)
    for j in categories:
        added[:, j] = np.where(made[len(X) :, j] < 0, np.nan, made[len(X) :, j])
    return np.vstack([X, added]), np.asarray(labels)


def shift_of(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float64]:
    """By how much the odds of each class were too large."""
    true, seen = before / before.sum(), after / after.sum()
    shift: NDArray[np.float64] = np.divide(true, seen, out=np.ones(len(true)), where=seen > 0)
    return shift


@runtime_checkable
class BothClasses(Protocol):
    """A binary model whose graph does not end in a sigmoid: beside 1, float32 has too few digits left for 1 less it."""

    def both_to_onnx(self) -> bytes:
        """As `Fitted.to_onnx`, of shape (n, 2): the share of either class."""
        ...


@dataclass(frozen=True, slots=True)
class Corrected:
    """A `Fitted` whose probabilities are those of the true prior."""

    inner: Fitted
    shift: NDArray[np.float64]

    @property
    def settled(self) -> Params:
        """See `Fitted.settled`."""
        return self.inner.settled

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        p = self.inner.predict(X)
        if p.ndim == 1:
            yes, no = p * self.shift[1], (1.0 - p) * self.shift[0]
            one: NDArray[np.float64] = yes / np.maximum(yes + no, 1e-300)
            return one
        moved = p * self.shift
        answer: NDArray[np.float64] = moved / np.maximum(moved.sum(axis=1, keepdims=True), 1e-300)
        return answer

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        binary = len(self.shift) == 2
        graph = self.inner.both_to_onnx() if binary and isinstance(self.inner, BothClasses) else self.inner.to_onnx()
        return corrected_graph(graph, self.shift, binary=binary)

    def keep(self) -> bytes:
        """See `Fitted.keep`."""
        return self.inner.keep()


def corrected(fitted: Fitted, shift: NDArray[np.float64] | None) -> Fitted:
    """The model, brought back to the true prior."""
    return fitted if shift is None else Corrected(fitted, shift)


def corrected_graph(onnx: bytes, shift: NDArray[np.float64], *, binary: bool) -> bytes:
    """The graph of `Corrected`: its answers are probabilities of the true prior.

    Parameters
    ----------
    onnx : ends in a sigmoid or a softmax, or gives the share of every class
    """
    import onnx as library
    from onnx import helper, numpy_helper

    from headrace.training.onnx_ops import model_bytes

    graph = library.load_model_from_string(onnx).graph
    width = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    outputs = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    for node in graph.node:
        node.output[:] = ["biased" if name == "y" else name for name in node.output]
    constants: list[tuple[str, NDArray[Any]]] = [(each.name, numpy_helper.to_array(each)) for each in graph.initializer]
    nodes = list(graph.node)
    if nodes[-1].op_type in ("Sigmoid", "Softmax"):
        # before it, where nothing is lost: beside 1, float32 has too few digits left to be moved
        odds = np.log(shift[1:] / shift[:1] if outputs == 1 else shift).astype(np.float32)
        last = nodes.pop()
        constants.append(("shift", odds))
        nodes.append(helper.make_node("Add", [last.input[0], "shift"], ["shifted"]))
        nodes.append(helper.make_node(last.op_type, ["shifted"], ["y"]))
        return model_bytes(nodes, constants, width=width, outputs=outputs)
    if outputs != len(shift):
        raise StrategyImpossible("its graph", "it neither ends in a sigmoid nor gives the share of either class")
    constants += [("shift_all", shift.astype(np.float32)), ("shift_ones", np.ones((outputs, 1), np.float32))]
    nodes += [
        helper.make_node("Mul", ["biased", "shift_all"], ["shifted"]),
        helper.make_node("MatMul", ["shifted", "shift_ones"], ["shifted_sum"]),
        helper.make_node("Div", ["shifted", "shifted_sum"], ["shares" if binary else "y"]),
    ]
    if binary:
        constants.append(("shift_yes", np.array([[0.0], [1.0]], np.float32)))
        nodes.append(helper.make_node("MatMul", ["shares", "shift_yes"], ["y"]))
    return model_bytes(nodes, constants, width=width, outputs=1 if binary else outputs)
