"""Values that are never below 0 and spread over orders of magnitude: learnt by their logarithm, too.

Prices, durations and amounts are made of factors more than of summands, and an error of a tenth is as bad at any size.
Such a label gets further configurations of a family, `link = "log"`, beside the plain ones: the folds say which is
better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import MEAN, Check, Family, Fitted, Kind, Params

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LINKED: Final = frozenset({"additive", "catboost", "lightgbm", "linear", "xgboost"})
"""The families that do it: networks gained nothing, and forests average values."""
SKEW: Final = 0.3
"""From which skewness on."""
MOST_SPREADS: Final = 20.0
"""A largest label of more standard deviations would not agree in float32 to 1e-5 of one."""


def wants_logarithm(y: NDArray[np.float64]) -> bool:
    """Whether the logarithm of such labels is worth trying.

    Examples
    --------
    >>> wants_logarithm(np.array([1.0, 2.0, 3.0, 4.0, 40.0])), wants_logarithm(np.array([-1.0, 2.0, 3.0, 4.0, 40.0]))
    (True, False)
    """
    spread = float(np.std(y))
    if not spread > 0 or float(np.min(y)) < 0 or float(np.max(y)) > MOST_SPREADS * spread:
        return False
    return float(np.mean(((y - np.mean(y)) / spread) ** 3)) > SKEW


def with_links(name: str, family: Family, y: NDArray[Any], task: Task, objective: Objective) -> Family:
    """The family, with configurations that learn the logarithm where the labels want it."""
    asked = name in LINKED and task == "regression" and objective.kind == "mean"
    return Linked(family) if asked and wants_logarithm(y) else family


@dataclass(frozen=True, slots=True)
class Linked:
    """A family of which each configuration says `link`: `log` or `plain`."""

    inner: Family

    @property
    def tasks(self) -> frozenset[Task]:
        """See `Family`, as all else here."""
        return self.inner.tasks

    @property
    def objectives(self) -> frozenset[Kind]:
        """The family's own."""
        return self.inner.objectives

    @property
    def compiles(self) -> bool:
        """The family's own."""
        return self.inner.compiles

    @property
    def bags(self) -> bool:
        """The family's own."""
        return self.inner.bags

    def defaults(self) -> Sequence[Params]:
        """Each by the logarithm, and after the first two of them the safest plain."""
        by_log = [{**params, "link": "log"} for params in self.inner.defaults()]
        return [*by_log[:2], {**by_log[0], "link": "plain"}, *by_log[2:]]

    def space(self) -> Mapping[str, BaseDistribution]:
        """The family's own, and the link."""
        from optuna.distributions import CategoricalDistribution

        return {**self.inner.space(), "link": CategoricalDistribution(["log", "plain"])}

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
        """See `Family.fit`: `link` is a parameter that every family of `LINKED` reads."""
        return self.inner.fit(
            X,
            y,
            params,
            task=task,
            n_classes=n_classes,
            levels=levels,
            seed=seed,
            threads=threads,
            weights=weights,
            check=check,
            objective=objective,
        )

    def restore(self, kept: bytes) -> Fitted:
        """See `Family.restore`."""
        return self.inner.restore(kept)
