"""A generalised additive model: a sum of curves of one column, and of surfaces of two, that a person can read.

Grown by LightGBM: the way to a leaf asks for one column only, or for the two of a pair, so all trees are a sum of
curves and surfaces (an explainable boosting machine by other means; `interpret` took 25 to 35 times as long). The pairs
are those of which one column was most useful below the other in a small model without constraints. Missing values go
the better way at every split, a category is its code. `rounds` is an upper limit where there are rows to check by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import EVERY, MEAN, Check, Fitted, Params
from headrace.training.families.ensemble import Tree
from headrace.training.families.labels import is_log
from headrace.training.families.lightgbm import DEFAULT, FittedTrees, LightGBM, read_trees

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SCOUT: Mapping[str, Any] = dict(DEFAULT) | {"rounds": 60, "num_leaves": 6, "learning_rate": 0.15}
"""The small model that the pairs are read off."""

_DEFAULT: dict[str, Any] = {
    "rounds": 1500,
    "learning_rate": 0.06,
    "pairs": 10,
    "leaves": 5,
    "min_data_in_leaf": 20,
    "lambda_l2": 1.0,
}


class Additive:
    """`Family` of additive models."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives = EVERY
    compiles = True
    bags = True

    def defaults(self) -> Sequence[Params]:
        """Curves and ten surfaces; curves alone; thirty surfaces."""
        return (
            _DEFAULT,
            _DEFAULT | {"pairs": 0, "leaves": 3},
            _DEFAULT | {"pairs": 30, "leaves": 8, "learning_rate": 0.04},
        )

    def space(self) -> Mapping[str, BaseDistribution]:
        """Rounds and learning rate together, how many surfaces, penalties."""
        from optuna.distributions import FloatDistribution, IntDistribution

        return {
            "rounds": IntDistribution(1, 3000, log=True),
            "learning_rate": FloatDistribution(0.01, 0.2, log=True),
            "pairs": IntDistribution(0, 40),
            "leaves": IntDistribution(2, 16, log=True),
            "min_data_in_leaf": IntDistribution(5, 400, log=True),
            "lambda_l2": FloatDistribution(1e-3, 100.0, log=True),
        }

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[Any],
        params: Params,
        *,
        task: Task,
        n_classes: int,
        levels: Sequence[int | None],
        seed: int,
        threads: int,
        weights: NDArray[np.float64] | None = None,
        check: Check | None = None,
        objective: Objective = MEAN,
    ) -> Fitted:
        """See `Family.fit`."""

        link = {"link": "log"} if is_log(params) else {}

        def grow(settings: Params, check: Check | None) -> FittedTrees:
            fitted = LightGBM().fit(
                X,
                y,
                {**settings, **link},
                task=task,
                n_classes=n_classes,
                levels=levels,
                seed=seed,
                threads=threads,
                weights=weights,
                check=check,
                objective=objective,
            )
            return cast("FittedTrees", fitted)

        allowed = [[column] for column in range(X.shape[1])]
        if params["pairs"] and X.shape[1] > 1:
            allowed += [list(pair) for pair in strongest_pairs(read_trees(grow(SCOUT, None).text, 1), params["pairs"])]
        own = dict(DEFAULT) | {
            "rounds": params["rounds"],
            "learning_rate": params["learning_rate"],
            "num_leaves": params["leaves"],
            "min_data_in_leaf": params["min_data_in_leaf"],
            "lambda_l2": params["lambda_l2"],
            "interaction_constraints": allowed,
        }
        fitted = grow(own, check)
        return replace(fitted, settled=dict(params) | {"rounds": fitted.settled["rounds"]})

    def restore(self, kept: bytes) -> Fitted:
        """See `Family.restore`."""
        return LightGBM().restore(kept)


def strongest_pairs(trees: Sequence[Tree], most: int) -> list[tuple[int, int]]:
    """The pairs of columns of which one stands right below the other in most trees, early trees counting more."""
    strength: dict[tuple[int, int], float] = {}
    for number, tree in enumerate(trees):
        for children in (tree.left, tree.right):
            for node in np.flatnonzero(children >= 0):
                low, high = sorted((int(tree.feature[node]), int(tree.feature[children[node]])))
                if low != high:
                    strength[low, high] = strength.get((low, high), 0.0) + 1.0 / (1.0 + number / max(len(trees), 1))
    ranked = sorted(strength.items(), key=lambda item: (-item[1], item[0]))
    return [pair for pair, _ in ranked[:most]]
