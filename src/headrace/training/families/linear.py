"""Ridge, logistic and multinomial regression by scikit-learn: the plain model that every other has to beat.

A number is standardised, clipped to ten standard deviations (one wild value must neither steer the fit nor overflow
float32) and, when missing, takes the median, with a weight of its own for "was missing". A category has a weight for
each level, for "some other level" and for "missing".

Compiled: numbers as one matrix product, which is exact enough in float32 because they are standardised; the weights of
categories and of missing values as small search trees, so that no wide one-hot row is ever built.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Task
from headrace.training.families import Check, Fitted, Params, Single, SingleFitted
from headrace.training.families.ensemble import Tree, ensemble_attributes
from headrace.training.onnx_ops import ML, model_bytes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from scipy.sparse import csr_array

CLIP = 10.0
_ABSENT_SCORE = -200.0
"""The score of a class that no training row has: its probability is 0."""


class Linear(Single):
    """`Family` of linear models."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    compiles = True

    def defaults(self) -> Sequence[Params]:
        """scikit-learn's own penalty, then a strong one."""
        return ({"l2": 1.0}, {"l2": 100.0})

    def space(self) -> Mapping[str, BaseDistribution]:
        """The penalty: 1/C of the logistic models, alpha of ridge."""
        from optuna.distributions import FloatDistribution

        return {"l2": FloatDistribution(1e-2, 1e4, log=True)}

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[Any],
        params: Params,
        *,
        task: Task,
        n_classes: int,
        levels: Sequence[int | None],
        seed: int,  # noqa: ARG002 - the solvers draw nothing
        threads: int,  # noqa: ARG002 - one thread, see below
        weights: NDArray[np.float64] | None = None,
        check: Check | None = None,  # noqa: ARG002 - the solvers converge
    ) -> Fitted:
        """See `Family.fit`."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression, Ridge
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        design = Design.learn(X, levels)
        center, scale = 0.0, 1.0
        if task == "regression":
            center, scale = float(np.mean(y)), float(np.std(y)) or 1.0
            model = Ridge(alpha=params["l2"], solver="sparse_cg")
            y = (y - center) / scale
        else:
            model = LogisticRegression(C=1.0 / params["l2"], max_iter=200)
        # two threads took four times the processor time of one: the solver's parallel sections are too short to share
        with warnings.catch_warnings(), threadpool_limits(1):
            # a fit that has not quite converged is a candidate like any other: its folds say what it is worth
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(design.rows(X), y, sample_weight=weights)
        return FittedLinear(model, design, task, n_classes if task == "multiclass" else 1, center, scale, dict(params))


@dataclass(frozen=True, slots=True)
class Design:
    """How encoded columns become the columns that weights belong to."""

    width: int
    numbers: NDArray[np.intp]
    """Columns that are numbers."""
    median: NDArray[np.float32]
    mean: NDArray[np.float32]
    inverse_std: NDArray[np.float32]
    """Of each number, float32 so that the graph computes with the very same; 0 for a constant."""
    gaps: NDArray[np.intp]
    """Numbers that were missing in some training row."""
    categories: tuple[tuple[int, int], ...]
    """(column, levels); the weights are levels + 2: some other level, missing."""

    @classmethod
    def learn(cls, X: NDArray[np.float32], levels: Sequence[int | None]) -> Design:
        """From training rows."""
        numbers = np.array([j for j, n in enumerate(levels) if n is None], np.intp)
        median, mean, inverse = (np.zeros(len(numbers), np.float32) for _ in range(3))
        gaps = []
        for place, j in enumerate(numbers):
            known = X[:, j][~np.isnan(X[:, j])].astype(np.float64)
            if len(known) < len(X):
                gaps.append(j)
            if len(known):
                median[place] = np.median(known)
                mean[place] = known.mean()
                std = (known - mean[place]).std()
                inverse[place] = 1.0 / std if std > 1e-6 * abs(float(mean[place])) and std > 1e-30 else 0.0
        categories = tuple((j, n) for j, n in enumerate(levels) if n is not None)
        return cls(len(levels), numbers, median, mean, inverse, np.array(gaps, np.intp), categories)

    @property
    def n_weights(self) -> int:
        """Numbers, then gaps, then the levels of each category."""
        return len(self.numbers) + len(self.gaps) + sum(n + 2 for _, n in self.categories)

    def rows(self, X: NDArray[np.float32]) -> csr_array:
        """The rows that the solver sees: shape (n, n_weights), the same number of entries in each."""
        from scipy.sparse import csr_array

        n, p, g, c = len(X), len(self.numbers), len(self.gaps), len(self.categories)
        values = np.ones((n, p + g + c))
        places = np.empty((n, p + g + c), np.int32)
        places[:, : p + g] = np.arange(p + g)
        if p:
            numbers = X[:, self.numbers].astype(np.float64)
            filled = np.where(np.isnan(numbers), self.median.astype(np.float64), numbers)
            standard = (filled - self.mean.astype(np.float64)) * self.inverse_std.astype(np.float64)
            values[:, :p] = np.clip(standard, -CLIP, CLIP)
        if g:
            values[:, p : p + g] = np.isnan(X[:, self.gaps])
        start = p + g
        for place, (j, levels) in enumerate(self.categories):
            codes = X[:, j]
            places[:, p + g + place] = start + np.where(np.isnan(codes), levels + 1, codes).astype(np.int32)
            start += levels + 2
        pointers = np.arange(n + 1, dtype=np.int32) * (p + g + c)
        return csr_array((values.ravel(), places.ravel(), pointers), shape=(n, self.n_weights))


@dataclass(frozen=True)
class FittedLinear(SingleFitted):
    """A fitted linear model; of a regression, on the standardised label."""

    model: Any
    design: Design
    task: Task
    n_outputs: int
    center: float
    scale: float
    settled: Params

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        rows = self.design.rows(X)
        if self.task == "regression":
            values: NDArray[np.float64] = self.model.predict(rows) * self.scale + self.center
            return values
        probabilities: NDArray[np.float64] = self.model.predict_proba(rows)
        if self.task == "binary":
            return probabilities[:, 1]
        every = np.zeros((len(X), self.n_outputs))
        every[:, self.model.classes_] = probabilities
        return every

    def weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights, shape (n_weights, n_outputs), and intercepts, shape (n_outputs,), in the label's own scale."""
        coefficients = np.atleast_2d(self.model.coef_).T * self.scale
        intercepts = np.atleast_1d(self.model.intercept_) * self.scale + self.center
        if self.task != "multiclass":
            return coefficients, intercepts
        present = self.model.classes_
        if len(present) == 2 and coefficients.shape[1] == 1:  # scikit-learn keeps one column for two classes
            coefficients = np.hstack([np.zeros_like(coefficients), coefficients])
            intercepts = np.array([0.0, intercepts[0]])
        every = np.zeros((len(coefficients), self.n_outputs))
        every[:, present] = coefficients
        level = np.full(self.n_outputs, _ABSENT_SCORE)
        level[present] = intercepts
        return every, level

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        from onnx import helper

        design = self.design
        weights, intercepts = self.weights()
        trees = _weight_trees(design, weights, intercepts)
        ensemble = ensemble_attributes(trees, self.n_outputs)
        last = {"binary": "Sigmoid", "multiclass": "Softmax", "regression": None}[self.task]
        score = "score" if last else "y"
        nodes = [helper.make_node("TreeEnsembleRegressor", ["x"], ["levels"], domain=ML, **ensemble)]
        constants: list[tuple[str, NDArray[Any]]] = []
        numbers = np.flatnonzero(design.inverse_std)
        columns = design.numbers[numbers]
        fill, mean, inverse = (np.zeros(design.width, np.float32) for _ in range(3))
        fill[columns], mean[columns] = design.median[numbers], design.mean[numbers]
        inverse[columns] = design.inverse_std[numbers]
        matrix = np.zeros((design.width, self.n_outputs), np.float32)
        matrix[columns] = weights[numbers]
        limits = np.array([-CLIP, CLIP], np.float32)
        constants += [("fill", fill), ("mean", mean), ("inverse_std", inverse), ("weights", matrix)]
        constants += [("low", limits[0]), ("high", limits[1])]
        nodes += [
            helper.make_node("IsNaN", ["x"], ["missing"]),
            helper.make_node("Where", ["missing", "fill", "x"], ["filled"]),
            helper.make_node("Sub", ["filled", "mean"], ["centred"]),
            helper.make_node("Mul", ["centred", "inverse_std"], ["standard"]),
            helper.make_node("Clip", ["standard", "low", "high"], ["clipped"]),
            helper.make_node("MatMul", ["clipped", "weights"], ["numbers"]),
            helper.make_node("Add", ["numbers", "levels"], [score]),
        ]
        if last:
            nodes.append(helper.make_node(last, ["score"], ["y"]))  # Softmax: over the last axis, the classes
        return model_bytes(nodes, constants, width=design.width, outputs=self.n_outputs)


def _weight_trees(design: Design, weights: NDArray[np.float64], intercepts: NDArray[np.float64]) -> list[Tree]:
    """Intercepts, and the weights of missing values and of categories, as trees that look them up."""
    trees = []
    for target, intercept in enumerate(intercepts.tolist()):
        trees.append(_search_tree(0, np.array([intercept]), None, target))
        start = len(design.numbers)
        for place, j in enumerate(design.gaps.tolist()):
            trees.append(_search_tree(j, np.zeros(1), weights[start + place, target], target))
        start += len(design.gaps)
        for j, levels in design.categories:
            own = weights[start : start + levels + 2, target]
            trees.append(_search_tree(j, own[:-1], own[-1], target))
            start += levels + 2
    return [tree for place, tree in enumerate(trees) if place == 0 or tree.leaf.any()]


def _search_tree(column: int, by_code: NDArray[np.float64], missing: float | None, target: int) -> Tree:
    """A tree that answers `by_code[x]`, and `missing` for NaN: its root asks for NaN, the rest halves the codes."""
    threshold: list[float] = []
    left: list[int] = []
    right: list[int] = []

    def halve(low: int, high: int) -> int:
        """The node of codes low … high - 1."""
        if high - low == 1:
            return ~low
        node, middle = len(threshold), (low + high) // 2
        threshold.append(middle - 0.5)
        left.append(0)
        right.append(0)
        left[node], right[node] = halve(low, middle), halve(middle, high)
        return node

    leaf = by_code
    if missing is not None:
        threshold.append(np.inf)
        left.append(0)
        right.append(~len(by_code))
        left[0] = halve(0, len(by_code))
        leaf = np.append(by_code, missing)
    splits = len(threshold)
    return Tree(
        feature=np.full(splits, column, np.int64),
        threshold=np.array(threshold, np.float64),
        missing_left=np.zeros(splits, np.bool_),
        left=np.array(left, np.int64),
        right=np.array(right, np.int64),
        leaf=leaf,
        target=target,
    )
