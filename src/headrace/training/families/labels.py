"""How labels become what a library learns, and its scores become answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Task

ABSENT_SCORE = -200.0
"""The score of a class that no training row has: its probability is 0."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Classes that training rows have, numbered from 0; values of a regression, standardised."""

    task: Task
    n_classes: int
    present: NDArray[np.int64]
    """Class codes that training rows have, rising; empty for a regression."""
    center: float
    scale: float
    constant: bool
    """Whether there is but one label: there is nothing to learn."""

    @classmethod
    def learn(cls, y: NDArray[Any], task: Task, n_classes: int) -> Labels:
        """From the labels of training rows."""
        if task == "regression":
            std = float(np.std(y))
            return cls(task, 0, np.empty(0, np.int64), float(np.mean(y)), std or 1.0, constant=std == 0.0)
        present = np.unique(y).astype(np.int64)
        return cls(task, n_classes, present, 0.0, 1.0, constant=len(present) == 1)

    def keep(self) -> tuple[Any, ...]:
        """As plain values, for `restore`."""
        return (self.task, self.n_classes, self.present.tolist(), self.center, self.scale, self.constant)

    @classmethod
    def restore(cls, kept: Sequence[Any]) -> Labels:
        """What `keep` gave."""
        task, n_classes, present, center, scale, constant = kept
        return cls(task, n_classes, np.array(present, np.int64), center, scale, constant)

    def encode(self, y: NDArray[Any]) -> NDArray[Any]:
        """What the library learns: standardised values, or positions in `present`."""
        if self.task == "regression":
            return (y.astype(np.float64) - self.center) / self.scale
        return np.searchsorted(self.present, y)

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
        if self.task == "regression":
            return scores * self.scale + self.center
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-scores)))

    def targets(self) -> Sequence[int]:
        """The output that each of the library's scores belongs to."""
        return self.present.tolist() if self.task == "multiclass" else [0]
