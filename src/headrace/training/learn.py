"""How a candidate learns: one model, or several of balanced samples together.

A balanced ensemble learns a few models, each of all rows of the rarest class and of as many of every other, whose
probabilities are brought back to the true prior one by one; the mean of them is the answer. Nothing of the rarest class
is left out, and what each model leaves out of the others, another one sees. As a graph it is one.

Liu, Wu and Zhou, "Exploratory Undersampling for Class-Imbalance Learning" (EasyEnsemble), IEEE SMC B 39(2), 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import MEAN, Check, Family, Fitted, Params, SingleFitted
from headrace.training.imbalance import StrategyImpossible, corrected, resample, shift_of
from headrace.training.mean_graph import mean_graph
from headrace.training.settled import settle

BALANCED: Final = "balanced_ensemble"
MOST_MODELS: Final = 8
"""Of a balanced ensemble; fewer where fewer see every row."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded rows and their labels."""

    X: NDArray[np.float32]
    y: NDArray[Any]


def learn(
    strategy: str,
    family: Family,
    rows: Rows,
    params: Params,
    *,
    task: Task,
    objective: Objective = MEAN,
    n_classes: int,
    levels: Sequence[int | None],
    seed: int,
    threads: int,
    check: Rows | None = None,
    seconds: float | None = None,
) -> tuple[Fitted, NDArray[np.float64] | None]:
    """A model of the rows under a strategy against rare classes, and what `corrected` brings it back with.

    Parameters
    ----------
    strategy : one of `imbalance.STRATEGIES`, or `BALANCED`
    check : rows to stop early by; they weigh as the training rows do
    seconds : with `check`: as in `families.Check`

    Raises
    ------
    StrategyImpossible : these rows cannot be sampled so.
    """

    def fit(
        X: NDArray[np.float32],
        y: NDArray[Any],
        weights: NDArray[np.float64] | None,
        shift: NDArray[np.float64] | None,
    ) -> Fitted:
        checked = None
        if check is not None:
            checked = Check(check.X, check.y, None if shift is None else 1.0 / shift[check.y], seconds)
        return family.fit(
            X,
            y,
            params,
            task=task,
            objective=objective,
            n_classes=n_classes,
            levels=levels,
            seed=seed,
            threads=threads,
            weights=weights,
            check=checked,
        )

    if strategy != BALANCED:
        given = resample(strategy, rows.X, rows.y, levels, n_classes, seed)
        return fit(*given), given.shift
    if not n_classes:
        raise StrategyImpossible(strategy, "the label is a number, not a class")
    before = np.bincount(rows.y, minlength=n_classes)
    parts = []
    for sample in balanced_samples(rows.y, n_classes, seed):
        shift = shift_of(before, np.bincount(rows.y[sample], minlength=n_classes))
        parts.append(corrected(fit(rows.X[sample], rows.y[sample], None, shift), shift))
    return Together(tuple(parts)), None


def balanced_samples(y: NDArray[Any], n_classes: int, seed: int) -> list[NDArray[np.intp]]:
    """Positions of the rows of each model: as many of every class as the rarest has rows. A class is shuffled once and
    dealt out in turn, so that as many of its rows are seen as can be.

    Examples
    --------
    >>> import numpy as np
    >>> [sorted(sample.tolist()) for sample in balanced_samples(np.array([0, 0, 0, 0, 1, 1]), 2, seed=0)]
    [[0, 2, 4, 5], [1, 3, 4, 5]]
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    classes = [rng.permutation(np.flatnonzero(y == code)) for code in range(n_classes)]
    classes = [rows for rows in classes if len(rows)]
    size = min(map(len, classes))
    count = min(max(2, -(-max(map(len, classes)) // size)), MOST_MODELS)
    return [
        np.sort(np.concatenate([rows[(number * size + np.arange(size)) % len(rows)] for rows in classes]))
        for number in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Together(SingleFitted):
    """The mean of several models."""

    parts: tuple[Fitted, ...]

    @property
    def settled(self) -> Params:
        """See `Fitted.settled`: the middle of what the models found."""
        return settle([part.settled for part in self.parts])

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        mean: NDArray[np.float64] = np.mean([part.predict(X) for part in self.parts], axis=0)
        return mean

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        return mean_graph([(1.0 / len(self.parts), part.to_onnx()) for part in self.parts])
