"""Encoded columns as values between 0 and 1, for what learns by gradients.

A number becomes a wide step over four standard deviations each side of its median, and a narrow one for each bin
between two of its quantiles: 0 below the step, 1 above, the share within (piecewise linear encoding, Gorishniy et al.
2022, arXiv:2203.05556). So no wild value can steer a fit, and a first layer can bend wherever there are rows. A
category has a step at each code of its most frequent levels. A missing value is below every step, and where training
had some, a step of its own tells them from small numbers; where it had none, they take the median.

In a graph a step is a subtraction, a multiplication and a clip, each rounded once: a row has the same bits there as
here. What learns sees `design`'s columns, which are better scaled and linear in the steps, so that its first weights
can be turned into weights of the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import NodeProto

MOST_LEVELS = 24
"""Levels with a step of their own; rarer ones are alike."""
MOST_STEPS = 4_000
"""Of all numbers; with very many columns each has its wide step only."""
REACH = 4.0
"""Standard deviations each side of the median, where the wide step ends."""
SAMPLE = 50_000
"""Rows, evenly spaced, that quantiles are taken of."""
_LARGEST = np.float32(1e30)
_MISSING = np.float32(-2e38)
"""What a missing value becomes, below every number."""


@dataclass(frozen=True, slots=True)
class Steps:
    """f steps up the columns of a row of m."""

    fill: NDArray[np.float32]
    """Shape (m,): what a missing value becomes."""
    column: NDArray[np.int64]
    start: NDArray[np.float32]
    inverse: NDArray[np.float32]
    """Of each step: the column, where it begins, 1 / its width."""
    levels: NDArray[np.int64]
    """Shape (p, 2): steps of neighbouring levels; being at a level is the first without the second."""
    wide: NDArray[np.int64]
    """Shape (w, 2): a wide step, and the step that says whether its number is there, or -1."""

    @classmethod
    def learn(cls, X: NDArray[np.float32], levels: Sequence[int | None], bins: int) -> Steps:
        """From training rows; at most `bins` narrow steps a number."""
        steps: list[tuple[int, float, float]] = []
        level_pairs: list[tuple[int, int]] = []
        wide: list[tuple[int, int]] = []
        fill = np.full(X.shape[1], _MISSING, np.float32)
        rows = np.linspace(0, len(X) - 1, min(SAMPLE, len(X))).astype(np.intp)
        bins = min(bins, MOST_STEPS // max(1, sum(each is None for each in levels)))
        for j, n_levels in enumerate(levels):
            if n_levels is not None:
                last = min(n_levels, MOST_LEVELS)
                level_pairs += [(len(steps) + code, len(steps) + code + 1) for code in range(last)]
                steps += [(j, code - 1.0, 1.0) for code in range(last + 1)]
                continue
            missing = np.isnan(X[:, j])
            known = np.clip(X[rows, j][~missing[rows]], -_LARGEST, _LARGEST).astype(np.float64)
            if missing.all() or len(known) == 0:
                continue
            present = -1
            if missing.any():
                present = len(steps)
                steps.append((j, -1.5e38, 1e-37))  # 0 for _MISSING, 1 from -_LARGEST on
            else:
                fill[j] = np.median(known)
            edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1), method="nearest"))
            low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
            spread = (high - low) / 1.35 or float(np.std(known))
            if spread > 1e-7 * abs(middle):
                wide.append((len(steps), present))
                steps.append((j, middle - REACH * spread, 1.0 / (2 * REACH * spread)))
            if len(edges) > 2:
                steps += [(j, start, 1.0 / (end - start)) for start, end in pairwise(edges.tolist())]
        table = np.array(steps, np.float64).reshape(-1, 3)
        return cls(
            fill=fill,
            column=table[:, 0].astype(np.int64),
            start=table[:, 1].astype(np.float32),
            inverse=np.clip(table[:, 2], 1e-37, float(_LARGEST)).astype(np.float32),
            levels=np.array(level_pairs, np.int64).reshape(-1, 2),
            wide=np.array(wide, np.int64).reshape(-1, 2),
        )

    def __len__(self) -> int:
        return len(self.column)

    def rows(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (n, f): between 0 and 1."""
        filled = np.where(np.isnan(X), self.fill, np.clip(X, -_LARGEST, _LARGEST))
        with np.errstate(over="ignore"):
            share = (filled[:, self.column] - self.start) * self.inverse
        return np.asarray(np.clip(share, np.float32(0), np.float32(1)))

    def design(self, steps: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is learnt from, shape (n, f): levels one by one, wide steps from -REACH to REACH and 0 when missing."""
        design = steps.copy()
        design[:, self.levels[:, 0]] -= steps[:, self.levels[:, 1]]
        number, present = self.wide.T
        there = np.where(present >= 0, steps[:, present], np.float32(1))
        design[:, number] = np.float32(REACH) * (2 * steps[:, number] - there)
        return design

    def of_steps(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights of the steps, (…, f, h), and a shift, (…, h), that give what these weights give of the design."""
        own = weights.copy()
        own[..., self.levels[:, 1], :] -= weights[..., self.levels[:, 0], :]
        number, present = self.wide.T
        own[..., number, :] = 2 * REACH * weights[..., number, :]
        known = present >= 0
        own[..., present[known], :] -= REACH * weights[..., number[known], :]
        return own, -REACH * weights[..., number[~known], :].sum(axis=-2)

    def nodes(self, into: str) -> tuple[list[NodeProto], list[tuple[str, NDArray[Any]]]]:
        """From `x` to `rows`' values, named `into`, and the constants that this needs."""
        from onnx import helper

        constants: list[tuple[str, NDArray[Any]]] = [
            ("lowest", np.array(-_LARGEST, np.float32)),
            ("largest", np.array(_LARGEST, np.float32)),
            ("fill", self.fill),
            ("column", self.column),
            ("start", self.start),
            ("inverse", self.inverse),
            ("zero", np.array(0, np.float32)),
            ("one", np.array(1, np.float32)),
        ]
        nodes = [
            helper.make_node("IsNaN", ["x"], ["missing"]),
            helper.make_node("Clip", ["x", "lowest", "largest"], ["tamed"]),
            helper.make_node("Where", ["missing", "fill", "tamed"], ["filled"]),
            helper.make_node("Gather", ["filled", "column"], ["chosen"], axis=1),
            helper.make_node("Sub", ["chosen", "start"], ["above"]),
            helper.make_node("Mul", ["above", "inverse"], ["share"]),
            helper.make_node("Clip", ["share", "zero", "one"], [into]),
        ]
        return nodes, constants
