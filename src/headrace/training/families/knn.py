"""The nearest neighbours' mean: compared with what is learnt, never registered.

A model of neighbours is its training rows, and a graph that holds customers' rows is no model to hand out. As a
candidate it says what a plain look at similar rows is worth, and how far the others are above it.

Numbers are measured in standard deviations from the median, at most four each side; levels are one by one; a missing
value is in the middle, and differs from one that is there. At most `MOST_ROWS` rows are kept, drawn. Each answer is
mixed with one row's weight of the training labels' mean, so that no probability is 0 that need not be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import EVERY, MEAN, Check, Fitted, Params, Single, SingleFitted
from headrace.training.families.steps import Steps

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MOST_ROWS = 20_000
"""Kept of the training rows: a million would take minutes to ask."""
_PART = 1_024


class NearestNeighbours(Single):
    """`Family` of k nearest neighbours."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives = EVERY
    compiles = False

    def defaults(self) -> Sequence[Params]:
        """Twenty, nearer ones counting more; sixty alike, for noisy labels."""
        return ({"neighbours": 20, "nearer_more": True}, {"neighbours": 60, "nearer_more": False})

    def space(self) -> Mapping[str, BaseDistribution]:
        """How many, and whether nearer ones count more."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        return {
            "neighbours": IntDistribution(1, 200, log=True),
            "nearer_more": CategoricalDistribution([False, True]),
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
        threads: int,  # noqa: ARG002 - rows are asked in one thread
        weights: NDArray[np.float64] | None = None,
        check: Check | None = None,  # noqa: ARG002 - nothing is learnt step by step
        objective: Objective = MEAN,
    ) -> Fitted:
        """See `Family.fit`."""
        steps = Steps.learn(X, levels, 0)
        kept = np.arange(len(X))
        if len(X) > MOST_ROWS:
            kept = np.sort(np.random.Generator(np.random.PCG64(seed)).choice(len(X), MOST_ROWS, replace=False))
        heavy = np.ones(len(X)) if weights is None else weights
        told = np.asarray(y, np.float64)[:, None] if task != "multiclass" else np.eye(n_classes)[y]
        return FittedNeighbours(
            steps=steps,
            design=_scaled(steps, X[kept]),
            told=told[kept],
            heavy=heavy[kept],
            mean=np.average(told, axis=0, weights=heavy),
            task=task,
            settled=dict(params),
            quantile=objective.quantile if objective.kind == "quantile" else None,
        )


def _scaled(steps: Steps, X: NDArray[np.float32]) -> NDArray[np.float32]:
    """The design, with two levels as far from each other as numbers of one standard deviation between them."""
    design = steps.design(steps.rows(X))
    design[:, steps.levels.ravel()] *= np.float32(np.sqrt(0.5))
    return np.ascontiguousarray(design)


def _quantiles(values: NDArray[np.float64], weights: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """Of each row of (n, k): the smallest value that so large a share of the row's weight does not exceed."""
    order = np.argsort(values, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    place = (reached < quantile * reached[:, -1:] * (1.0 - 1e-12)).sum(axis=1)
    return np.asarray(np.take_along_axis(values, np.take_along_axis(order, place[:, None], axis=1), axis=1)[:, 0])


@dataclass(frozen=True)
class FittedNeighbours(SingleFitted):
    """The rows that were kept."""

    steps: Steps
    design: NDArray[np.float32]
    told: NDArray[np.float64]
    """Shape (n, outputs): values, or shares of the classes."""
    heavy: NDArray[np.float64]
    mean: NDArray[np.float64]
    task: Task
    settled: Params
    quantile: float | None = None
    """Which one of the neighbours' labels is the answer; None: their mean."""

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        k = min(int(self.settled["neighbours"]), len(self.design))
        own = (self.design.astype(np.float64) ** 2).sum(axis=1)
        parts = []
        for start in range(0, len(X), _PART):
            asked = _scaled(self.steps, X[start : start + _PART])
            # of a row's distances the part that all share is left out: the order is the same
            distance = own - 2.0 * (asked @ self.design.T).astype(np.float64)
            near = np.argpartition(distance, k - 1, axis=1)[:, :k]
            shares = self.heavy[near]
            if self.settled["nearer_more"]:
                square = np.take_along_axis(distance, near, axis=1) + (asked.astype(np.float64) ** 2).sum(1)[:, None]
                square = np.maximum(square, 0.0)
                shares = shares / (np.sqrt(square) + 0.1 * np.sqrt(square.mean(axis=1, keepdims=True)) + 1e-6)
                shares *= k / shares.sum(axis=1, keepdims=True)
            if self.quantile is not None:
                parts.append(_quantiles(self.told[near, 0], shares, self.quantile)[:, None])
                continue
            told = (shares[:, :, None] * self.told[near]).sum(axis=1) + self.mean
            parts.append(told / (shares.sum(axis=1, keepdims=True) + 1.0))
        answers = np.concatenate(parts)
        return answers if self.task == "multiclass" else np.ascontiguousarray(answers[:, 0])

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`: never asked of a family that does not compile."""
        raise NotImplementedError("a model of neighbours is its training rows; it is compared and not registered")
