"""Random forests and extremely randomised trees by scikit-learn, compiled to ONNX tree ensembles.

The two differ from boosting in what they get wrong, which is what an ensemble lives by. Their trees are kept small
(`max_leaf_nodes`), so that a compiled forest has a few megabytes: grown to the end, as the libraries do by default, the
same forest takes hundreds. Categories are codes; a missing value goes the way that each split found best, and, where
training had none, with the most rows. Regularised by the size of leaves and by the columns drawn for each split;
nothing stops early, for more trees are never worse.

Compiled: the shares of the classes in a leaf, divided by the number of trees; the sum of the trees is their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import MEAN, Check, Fitted, Kind, Params, Single, SingleFitted
from headrace.training.families.ensemble import Tree, sum_of_trees
from headrace.training.onnx_ops import model_bytes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

TREE_ROWS = 100_000
"""A tree sees at most so many rows, drawn for it: more do not change the first thousand leaves, and cost their time."""

TOGETHER = 50
"""See `sum_of_trees`: here all leaves have one sign, so that roundings do not cancel."""

FLOOR = 1e-3
"""Of a count: the share of the mean that is mixed into every answer, so that none is 0."""

_DEFAULT: dict[str, Any] = {"trees": 120, "max_features": 0.4, "min_samples_leaf": 2, "max_leaf_nodes": 512}


class _Forests(Single):
    """What the two families share."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives: frozenset[Kind] = frozenset({"mean", "poisson"})
    compiles = True
    _kind: ClassVar[str]

    def space(self) -> Mapping[str, BaseDistribution]:
        """How many trees, the columns that a split chooses from, the size of leaves and of trees."""
        from optuna.distributions import FloatDistribution, IntDistribution

        return {
            "trees": IntDistribution(40, 250, log=True),
            "max_features": FloatDistribution(0.05, 1.0),
            "min_samples_leaf": IntDistribution(1, 100, log=True),
            "max_leaf_nodes": IntDistribution(32, 2048, log=True),
        }

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[Any],
        params: Params,
        *,
        task: Task,
        n_classes: int,
        levels: Sequence[int | None],  # noqa: ARG002 - codes are numbers to this family
        seed: int,
        threads: int,
        weights: NDArray[np.float64] | None = None,
        check: Check | None = None,  # noqa: ARG002 - nothing is learnt step by step
        objective: Objective = MEAN,
    ) -> Fitted:
        """See `Family.fit`. Labels of a regression are standardised, so that float32 sums are as good in any unit."""
        from sklearn import ensemble

        drawn = self._kind == "RandomForest" or len(y) > TREE_ROWS
        settings: dict[str, Any] = {
            "n_estimators": params["trees"],
            "max_features": params["max_features"],
            "min_samples_leaf": min(params["min_samples_leaf"], max(1, len(y) // 10)),
            "max_leaf_nodes": params["max_leaf_nodes"],
            "bootstrap": drawn,
            "max_samples": TREE_ROWS if len(y) > TREE_ROWS else None,
            "random_state": seed,
            "n_jobs": threads,
        }
        center, scale = 0.0, 1.0
        if task == "regression":
            center, scale = float(np.mean(y)), float(np.std(y)) or 1.0
            if objective.kind == "poisson":
                center, scale = FLOOR * float(np.average(y, weights=weights)), 1.0 - FLOOR
                settings["criterion"] = "poisson"
            else:
                y = (y - center) / scale
        model = getattr(ensemble, self._kind + ("Regressor" if task == "regression" else "Classifier"))(**settings)
        if not X.flags.writeable and np.isnan(X).any():  # which it refuses; the folds of a search are mapped so
            X = X.copy()
        with np.errstate(over="ignore", invalid="ignore"):  # it adds up all values to see whether one is infinite
            model.fit(X, y, sample_weight=weights)
        model.n_jobs = 1  # with more, the trees' answers are added in the order in which threads end
        return FittedForest(model, task, X.shape[1], max(n_classes, 1), center, scale, dict(params))


class ExtraTrees(_Forests):
    """`Family` of extremely randomised trees: split points are drawn, then the best column is taken."""

    _kind = "ExtraTrees"

    def defaults(self) -> Sequence[Params]:
        """Two thirds of the columns a split; all of them and leaves of one row, for what depends on few columns; few
        and larger leaves, for noisy labels."""
        return (
            _DEFAULT | {"max_features": 0.7},
            _DEFAULT | {"max_features": 1.0, "min_samples_leaf": 1},
            _DEFAULT | {"max_features": 0.3, "min_samples_leaf": 4},
        )


class Forest(_Forests):
    """`Family` of random forests: each tree sees a draw of the rows, each split a draw of the columns."""

    _kind = "RandomForest"

    def defaults(self) -> Sequence[Params]:
        """Four tenths of the columns a split; most of them, for what depends on few columns; few and larger leaves, for
        noisy labels."""
        return (
            _DEFAULT,
            _DEFAULT | {"max_features": 0.8, "min_samples_leaf": 1},
            _DEFAULT | {"max_features": 0.2, "min_samples_leaf": 5},
        )


@dataclass(frozen=True)
class FittedForest(SingleFitted):
    """A grown forest; of a regression, on the standardised label, of counts as they are."""

    model: Any
    task: Task
    width: int
    n_classes: int
    center: float
    scale: float
    settled: Params

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        with np.errstate(over="ignore", invalid="ignore"):
            answers = self.model.predict(X) if self.task == "regression" else self.model.predict_proba(X)
        if self.task == "regression":
            values: NDArray[np.float64] = answers * self.scale + self.center
            return values
        every = np.zeros((len(X), self.n_classes))
        every[:, self.model.classes_] = answers
        return every[:, 1] if self.task == "binary" else every

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        return self._graph(both=False)

    def both_to_onnx(self) -> bytes:
        """Binary: a graph of shape (n, 2), the share of either class, each summed on its own: 1 less the other would
        have too few digits left beside 1."""
        return self._graph(both=True)

    def _graph(self, *, both: bool) -> bytes:
        from onnx import helper

        outputs = self.n_classes if self.task == "multiclass" or both else 1
        trees = [self._tree(estimator.tree_, both=both) for estimator in self.model.estimators_]
        if self.task != "regression":
            return model_bytes(
                sum_of_trees(trees, outputs, "y", together=TOGETHER), [], width=self.width, outputs=outputs
            )
        constants = [("scale", np.array([self.scale], np.float32)), ("center", np.array([self.center], np.float32))]
        nodes = [
            *sum_of_trees(trees, 1, "mean", together=TOGETHER),
            helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", "center"], ["y"]),
        ]
        return model_bytes(nodes, constants, width=self.width, outputs=1)

    def _tree(self, grown: Any, *, both: bool) -> Tree:
        """One of scikit-learn's trees; its leaves as parts of the mean."""
        inner = np.flatnonzero(grown.children_left >= 0)
        leaves = np.flatnonzero(grown.children_left < 0)
        name = np.empty(grown.node_count, np.int64)
        name[inner], name[leaves] = np.arange(len(inner)), ~np.arange(len(leaves))
        answers = grown.value[leaves, 0, :] / len(self.model.estimators_)
        if self.task != "regression":
            every = np.zeros((len(leaves), self.n_classes))
            every[:, self.model.classes_] = answers
            answers = every[:, 1:] if self.task == "binary" and not both else every
        return Tree(
            feature=grown.feature[inner].astype(np.int64),
            threshold=grown.threshold[inner],
            missing_left=grown.missing_go_to_left[inner].astype(np.bool_),
            left=name[grown.children_left[inner]],
            right=name[grown.children_right[inner]],
            leaf=answers[:, 0] if answers.shape[1] == 1 else answers,
        )
