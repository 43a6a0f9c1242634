"""Ridge, lasso, elastic net, logistic and multinomial regression: the plain model that every other has to beat.

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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import EVERY, MEAN, Check, Fitted, Params, Single, SingleFitted, newton
from headrace.training.families.boosted import last_nodes
from headrace.training.families.ensemble import Tree, tree_node
from headrace.training.families.labels import Labels, is_log
from headrace.training.families.penalised import (
    MOST_SCORE,
    chances,
    fit_quantile,
    nothing,
    rates,
    shares,
    solve,
    squares,
)
from headrace.training.onnx_ops import model_bytes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from scipy.sparse import csr_array

CLIP = 10.0


class Linear(Single):
    """`Family` of linear models."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives = EVERY
    compiles = True

    def defaults(self) -> Sequence[Params]:
        """scikit-learn's own penalty of squares; an elastic net, which leaves weights out; a stronger one."""
        return ({"l2": 1.0, "l1": 0.0}, {"l2": 1.0, "l1": 0.1}, {"l2": 20.0, "l1": 0.0})

    def space(self) -> Mapping[str, BaseDistribution]:
        """What squared weights cost (1/C of the logistic models, alpha of ridge), and absolute ones: none is ridge,
        both the elastic net, hardly any of squares the lasso. `l1` is told in roots of the number of rows, as sums of
        errors grow: 1 leaves out nearly all that is noise, and much that is not."""
        from optuna.distributions import FloatDistribution

        return {"l2": FloatDistribution(1e-2, 1e4, log=True), "l1": FloatDistribution(0.0, 0.4)}

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
        objective: Objective = MEAN,
    ) -> Fitted:
        """See `Family.fit`."""
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        design = Design.learn(X, levels)
        labels = Labels.learn(y, task, n_classes, objective, weights, log=is_log(params))
        # two threads took four times the processor time of one: the solver's parallel sections are too short to share
        with warnings.catch_warnings(), threadpool_limits(1):
            # a fit that has not quite converged is a candidate like any other: its folds say what it is worth
            warnings.simplefilter("ignore", ConvergenceWarning)
            solved = _solve(design, X, y, labels, params, weights)
        return FittedLinear(*solved, design, labels, dict(params))


def _solve(
    design: Design,
    X: NDArray[np.float32],
    y: NDArray[Any],
    labels: Labels,
    params: Params,
    weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights, shape (n_weights, outputs), and intercepts, shape (outputs,), of the scores."""
    if labels.constant and labels.task != "regression":
        return np.zeros((design.n_weights, labels.outputs)), labels.base
    l1, l2 = params.get("l1", 0.0) * len(y) ** 0.5, params["l2"]
    own = labels.encode(y)
    is_curved = labels.kind != "quantile" and labels.task != "multiclass"
    if l1 == 0 and is_curved and design.n_weights <= newton.MOST_COLUMNS:
        return _by_newton(design.blocks(X), own, labels, l2, weights)
    rows = design.rows(X)
    if labels.kind == "quantile":
        return fit_quantile(rows, own, labels.quantile, weights, l1=l1 / len(y), l2=l2 / len(y))
    solved = _squares_only(rows, own, labels, l2, weights) if l1 == 0 else _both(rows, own, labels, l1, l2, weights)
    if labels.task != "multiclass":
        return solved
    every, level = np.zeros((rows.shape[1], labels.outputs)), labels.base
    every[:, labels.present], level[labels.present] = solved
    return every, level


def _by_newton(
    blocks: newton.Blocks, own: NDArray[Any], labels: Labels, l2: float, weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One score, and no penalty but of squares; to be minimised is what scikit-learn's models minimise."""
    heavy = shares(len(own), weights)
    l2 /= len(own) if weights is None or labels.is_exponential else float(weights.sum())
    truth = own.astype(np.float64)
    if labels.task == "binary":
        mean = float(heavy @ truth)
        loss, start = newton.chances(truth, heavy), float(np.log(mean / (1.0 - mean)))
    elif labels.is_exponential:
        loss, start = newton.rates(truth, heavy, labels.before, MOST_SCORE), 0.0
    else:
        loss, start = newton.squares(truth, heavy), float(heavy @ truth)
    found, intercept = newton.descend(blocks, loss, start, l2=l2)
    return found[:, None], np.array([intercept])


def _squares_only(
    rows: csr_array, own: NDArray[Any], labels: Labels, l2: float, weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By scikit-learn's solvers: of all scores, or of those of the classes that are present."""
    from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

    if labels.task == "regression":
        model = Ridge(alpha=l2, solver="sparse_cg")
        if labels.is_exponential:
            model = PoissonRegressor(alpha=l2 / len(own), max_iter=200)
        model.fit(rows, own, sample_weight=weights)
        return model.coef_[:, None], np.array([model.intercept_ - labels.before])
    model = LogisticRegression(C=1.0 / l2, max_iter=200)
    model.fit(rows, own, sample_weight=weights)
    coefficients, intercepts = np.asarray(model.coef_, np.float64).T, np.asarray(model.intercept_, np.float64)
    if labels.task == "multiclass" and len(labels.present) == 2:  # scikit-learn keeps one column for two classes
        return np.hstack([np.zeros_like(coefficients), coefficients]), np.array([0.0, intercepts[0]])
    return coefficients, intercepts


def _both(
    rows: csr_array, own: NDArray[Any], labels: Labels, l1: float, l2: float, weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same with a penalty of absolute values too."""
    outputs = max(len(labels.present), 1) if labels.task == "multiclass" else 1
    if labels.task != "regression":
        loss = chances(own, outputs, weights)
    elif labels.is_exponential:
        loss = rates(own, weights, labels.before)
    else:
        loss = squares(own, weights)
    return solve(rows, loss, nothing(rows, outputs), l1=l1 / len(own), l2=l2 / len(own))


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
        """The rows that a solver sees: shape (n, n_weights), the same number of entries in each."""
        from scipy.sparse import csr_array

        dense, codes = self._dense(X), self._codes(X)
        n, d, c = len(X), dense.shape[1], codes.shape[1]
        values = np.ones((n, d + c))
        values[:, :d] = dense
        places = np.empty((n, d + c), np.int32)
        places[:, :d] = np.arange(d)
        places[:, d:] = codes + d
        pointers = np.arange(n + 1, dtype=np.int32) * (d + c)
        return csr_array((values.ravel(), places.ravel(), pointers), shape=(n, self.n_weights))

    def blocks(self, X: NDArray[np.float32]) -> newton.Blocks:
        """The same, dense columns and levels apart."""
        from scipy.sparse import csr_array

        dense, codes = self._dense(X), self._codes(X)
        n, c = codes.shape
        pointers = np.arange(n + 1, dtype=np.int32) * c
        shape = (n, self.n_weights - dense.shape[1])
        return newton.Blocks(dense, csr_array((np.ones(n * c), codes.ravel(), pointers), shape=shape))

    def _dense(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Numbers, standardised, then gaps."""
        p, g = len(self.numbers), len(self.gaps)
        values = np.empty((len(X), p + g))
        if p:
            numbers = X[:, self.numbers].astype(np.float64)
            filled = np.where(np.isnan(numbers), self.median.astype(np.float64), numbers)
            standard = (filled - self.mean.astype(np.float64)) * self.inverse_std.astype(np.float64)
            values[:, :p] = np.clip(standard, -CLIP, CLIP)
        if g:
            values[:, p:] = np.isnan(X[:, self.gaps])
        return values

    def _codes(self, X: NDArray[np.float32]) -> NDArray[np.int32]:
        """Of each category the place of its level among the levels of all."""
        places = np.empty((len(X), len(self.categories)), np.int32)
        start = 0
        for place, (j, levels) in enumerate(self.categories):
            codes = X[:, j]
            places[:, place] = start + np.where(np.isnan(codes), levels + 1, codes).astype(np.int32)
            start += levels + 2
        return places


@dataclass(frozen=True)
class FittedLinear(SingleFitted):
    """A fitted linear model."""

    weights: NDArray[np.float64]
    """Shape (n_weights, outputs)."""
    intercepts: NDArray[np.float64]
    design: Design
    labels: Labels
    settled: Params

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        scores = self.design.rows(X) @ self.weights + self.intercepts
        if self.labels.task == "multiclass":
            scores = scores[:, self.labels.present]
            return self.labels.answers(scores, len(X))
        return self.labels.answers(scores[:, 0], len(X))

    @property
    def explained_by(self) -> Literal["tree", "linear"]:
        """See `headrace.training.effects.Explains`."""
        return "linear"

    def contributions(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `headrace.training.effects.Explains`: what all rows have alike is the mean of the rows given."""
        design, labels = self.design, self.labels
        rows = design.rows(X)
        values, places = rows.data.reshape(len(X), -1), rows.indices.reshape(len(X), -1)
        columns = [*design.numbers.tolist(), *design.gaps.tolist(), *(j for j, _ in design.categories)]
        parts = np.zeros((len(X), labels.outputs, design.width + 1))
        for entry, column in enumerate(columns):
            parts[:, :, column] += values[:, entry, None] * self.weights[places[:, entry]]
        alike = parts.mean(axis=0)
        parts -= alike
        parts[:, :, -1] = alike.sum(axis=1) + self.intercepts
        return labels.parts(parts[:, list(labels.targets())], len(X), design.width)

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        from onnx import helper

        design, outputs = self.design, self.labels.outputs
        weights, intercepts = self.weights, self.intercepts
        if is_value := self.labels.task == "regression" and not self.labels.is_exponential:  # in the label's own unit
            weights, intercepts = weights * self.labels.scale, intercepts * self.labels.scale + self.labels.center
        nodes = [tree_node(_weight_trees(design, weights, intercepts), outputs, "levels")]
        constants: list[tuple[str, NDArray[Any]]] = []
        numbers = np.flatnonzero(design.inverse_std)
        columns = design.numbers[numbers]
        fill, mean, inverse = (np.zeros(design.width, np.float32) for _ in range(3))
        fill[columns], mean[columns] = design.median[numbers], design.mean[numbers]
        inverse[columns] = design.inverse_std[numbers]
        matrix = np.zeros((design.width, outputs), np.float32)
        matrix[columns] = weights[numbers]
        limits = np.array([-CLIP, CLIP], np.float32)
        constants += [("fill", fill), ("mean", mean), ("inverse_std", inverse), ("weights", matrix)]
        constants += [("least", limits[0]), ("most", limits[1])]
        nodes += [
            helper.make_node("IsNaN", ["x"], ["missing"]),
            helper.make_node("Where", ["missing", "fill", "x"], ["filled"]),
            helper.make_node("Sub", ["filled", "mean"], ["centred"]),
            helper.make_node("Mul", ["centred", "inverse_std"], ["standard"]),
            helper.make_node("Clip", ["standard", "least", "most"], ["clipped"]),
            helper.make_node("MatMul", ["clipped", "weights"], ["numbers"]),
            helper.make_node("Add", ["numbers", "levels"], ["y" if is_value else "scores"]),
        ]
        if not is_value:
            last, more = last_nodes(self.labels)
            nodes, constants = [*nodes, *last], [*constants, *more]
        return model_bytes(nodes, constants, width=design.width, outputs=outputs)


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
