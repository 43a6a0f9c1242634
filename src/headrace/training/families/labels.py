"""How labels become what a library learns, and its scores become answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task

ABSENT_SCORE = -200.0
"""The score of a class that no training row has: its probability is 0."""
LOWEST_RATE = -15.0
"""Of a count: the logarithm of the least answer, as a share of the mean count."""
MOST_TIMES = 2.0
"""Of a count: no answer is larger than the largest training label so many times: exponentials of rows unlike those of
training would be. Of a value learnt by its logarithm: none is larger than the largest label."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Classes that training rows have, numbered from 0; values of a regression, standardised; counts, as they are; by
    the mean, values of which the logarithm is learnt."""

    task: Task
    n_classes: int
    present: NDArray[np.int64]
    """Class codes that training rows have, rising; empty for a regression."""
    center: float
    scale: float
    """A value is score · scale + center; an exponential exp(score) · scale, and `center` the logarithm of `scale`."""
    constant: bool
    """Whether there is but one label: there is nothing to learn."""
    kind: Literal["mean", "log", "poisson", "quantile"] = "mean"
    """`log`: the mean of a value, by the logarithm of it."""
    quantile: float = 0.5
    highest: float = 0.0
    """Of an exponential: the largest score that counts."""

    @classmethod
    def learn(
        cls,
        y: NDArray[Any],
        task: Task,
        n_classes: int,
        objective: Objective | None = None,
        weights: NDArray[np.float64] | None = None,
        *,
        log: bool = False,
    ) -> Labels:
        """From the labels of training rows; raises ValueError for counts of which none is above 0.

        With `log`, a mean is learnt as that of a count would be: the loss of counts is least at the mean whatever
        their distribution, and errors count by the size of the value (McCullagh and Nelder, "Generalized Linear
        Models", 1989, chapter 9). No correction is needed that a mean of logarithms would need."""
        none = np.empty(0, np.int64)
        if task != "regression":
            present = np.unique(y).astype(np.int64)
            return cls(task, n_classes, present, 0.0, 1.0, constant=len(present) == 1)
        objective = objective or Objective()
        std = float(np.std(y))
        log = log and objective.kind == "mean"
        if objective.kind != "poisson" and not log:
            q = 0.5 if objective.quantile is None else objective.quantile
            mean = float(np.mean(y))
            return cls(task, 0, none, mean, std or 1.0, constant=std == 0.0, kind=objective.kind, quantile=q)
        mean, largest = float(np.average(y, weights=weights)), float(np.max(y))
        if float(np.min(y)) < 0 or not mean > 0:
            raise ValueError("counts are 0 or more, and some of the training rows' are above 0")
        highest = float(np.float32(np.log((1.0 if log else MOST_TIMES) * largest / mean)))
        kind: Literal["log", "poisson"] = "log" if log else "poisson"
        return cls(task, 0, none, float(np.log(mean)), mean, constant=std == 0.0, kind=kind, highest=highest)

    @property
    def is_exponential(self) -> bool:
        """Whether answers are exponentials of scores."""
        return self.kind in ("log", "poisson")

    def keep(self) -> tuple[Any, ...]:
        """As plain values, for `restore`."""
        facts = (self.task, self.n_classes, self.present.tolist(), self.center, self.scale, self.constant)
        return (*facts, self.kind, self.quantile, self.highest)

    @classmethod
    def restore(cls, kept: Sequence[Any]) -> Labels:
        """What `keep` gave."""
        task, n_classes, present, *rest = kept
        return cls(task, n_classes, np.array(present, np.int64), *rest)

    def encode(self, y: NDArray[Any]) -> NDArray[Any]:
        """What the library learns: standardised values, counts, or positions in `present`."""
        if self.task != "regression":
            return np.searchsorted(self.present, y)
        own = y.astype(np.float64)
        if self.is_exponential:
            return own if self.kind == "poisson" else own / self.scale
        return (own - self.center) / self.scale

    def known(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows have a label that training rows had."""
        return np.ones(len(y), np.bool_) if self.task == "regression" else np.isin(y, self.present)

    @property
    def outputs(self) -> int:
        """Columns of an answer."""
        return self.n_classes if self.task == "multiclass" else 1

    @property
    def base(self) -> NDArray[np.float64]:
        """Shape (outputs,): the scores before anything is learnt."""
        if self.task == "multiclass":
            score = np.full(self.n_classes, ABSENT_SCORE)
            score[self.present] = 0.0
            return score
        if self.task == "binary" and self.constant:
            return np.array([ABSENT_SCORE if self.present[0] == 0 else -ABSENT_SCORE])
        return np.zeros(1)

    @property
    def before(self) -> float:
        """What a library that learns counts is told to start from; scores are given without it."""
        return self.center if self.kind == "poisson" else 0.0

    def answers(self, raw: NDArray[np.float64] | None, rows: int) -> NDArray[np.float64]:
        """Answers in `Fitted.predict`'s shape from the library's scores, (n,) or (n, present); None: nothing learnt."""
        if self.task == "multiclass":
            scores = np.tile(self.base, (rows, 1))
            if raw is not None:
                scores[:, self.present] = raw
            scores -= scores.max(axis=1, keepdims=True)
            shares = np.exp(scores)
            return np.asarray(shares / shares.sum(axis=1, keepdims=True))
        scores = np.tile(self.base, rows) if raw is None else raw.astype(np.float64)
        if self.is_exponential:
            return np.asarray(np.exp(np.clip(scores, LOWEST_RATE, self.highest)) * self.scale)
        if self.task == "regression":
            return scores * self.scale + self.center
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-scores)))

    def parts(self, raw: NDArray[np.float64] | None, rows: int, width: int) -> NDArray[np.float64]:
        """What each of `width` columns adds to a value, to the logarithm of an exponential, or to the scores of
        classes: shape (n, outputs, width + 1), last what all rows have alike.

        Parameters
        ----------
        raw : the same of the library's scores: (n, width + 1) or (n, present, width + 1); None: nothing learnt
        """
        found = np.zeros((rows, self.outputs, width + 1))
        found[:, :, -1] = self.base
        if raw is not None:
            found[:, list(self.targets())] += raw.reshape(rows, -1, width + 1)
        if self.task == "regression":
            found *= 1.0 if self.is_exponential else self.scale
            found[:, :, -1] += self.center
        return found

    def targets(self) -> Sequence[int]:
        """The output that each of the library's scores belongs to."""
        return self.present.tolist() if self.task == "multiclass" else [0]


def is_log(params: Mapping[str, Any]) -> bool:
    """Whether a value is to be learnt by its logarithm: `links.Linked` asks for it."""
    return params.get("link") == "log"


def quantile_of(values: NDArray[np.float64], quantile: float, weights: NDArray[np.float64] | None = None) -> float:
    """The smallest value that so large a share of the weight does not exceed.

    Examples
    --------
    >>> quantile_of(np.array([3.0, 1.0, 2.0, 4.0]), 0.5)
    2.0
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(np.ones(len(values)) if weights is None else weights[order])
    place = int(np.searchsorted(reached, quantile * reached[-1] * (1.0 - 1e-12), side="left"))
    return float(values[order[min(place, len(values) - 1)]])
