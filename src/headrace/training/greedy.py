"""Which candidates to average, and how much each counts: greedy selection over out-of-fold answers.

Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004: begin with the best, then add, with
replacement, whatever most improves the metric of the mean. A member that is new costs time at every prediction, so it
has to bring more than one that is there already, and the sum of times has a limit. Where the limit leaves out what
would have been added, it is also begun with quicker candidates: of one that takes most of the time its shorter form
and another family together may say more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Task
from headrace.training.metrics import Metric, measure

Floats = NDArray[np.float64]

STEPS: Final = 25
MOST_LOOKED_AT: Final = 30
"""Candidates, best first."""
MOST_ROWS: Final = 30_000
"""Rows, evenly spaced, that sets are judged by."""
HEADROOM: Final = 1.25
MORE_STARTS: Final = 3
"""Quicker candidates, best first, that sets are begun with where the limit was in the way."""
LEAST_GAIN: Final = 2e-4
"""Of the best candidate's own distance to perfect (or of its loss): what a new member must bring."""


@dataclass(frozen=True, slots=True)
class Member:
    """A candidate that may be chosen."""

    scores: Floats
    """Out of fold, shape (n,) or (n, k); the same rows for all."""
    row_us: float
    """About what one row takes, the same on every run."""
    of: int | None = None
    """The candidate whose first steps it is: both together say nothing that the longer one does not say."""


def select_members(
    members: Mapping[int, Member],
    y: NDArray[Any],
    metric: Metric,
    task: Task,
    *,
    row_limit_us: float,
    fold: NDArray[np.intp] | None = None,
) -> dict[int, float]:
    """Weights by candidate, summing to 1; one candidate alone when no set is better.

    Parameters
    ----------
    fold : in which each row was asked: sets are judged as candidates are, by the mean of their folds' scores, where
        every fold has one; models of other folds may say other scores of alike rows. None: all rows together
    row_limit_us : of one row, for all members together; where the best candidate alone takes longer, `HEADROOM` of that
    """
    rows = np.linspace(0, len(y) - 1, min(len(y), MOST_ROWS)).astype(np.intp)
    y = y[rows]
    score = _scorer(y, metric, task, None if fold is None else fold[rows])
    known = {number: member.scores[rows] for number, member in members.items()}
    alone = {number: score(scores) for number, scores in known.items()}
    looked_at = sorted(alone, key=lambda number: (-alone[number], number))[:MOST_LOOKED_AT]
    first = looked_at[0]
    room = (1.0 - alone[first]) if metric.higher_is_better else -alone[first]
    greedy = _Greedy(
        members={number: members[number] for number in looked_at},
        known=known,
        score=score,
        step=LEAST_GAIN * max(abs(room), 1e-12),
        limit_us=max(row_limit_us, HEADROOM * members[first].row_us),
    )
    best, counts, is_limited = greedy.grown(first, alone[first])
    if is_limited:
        quicker = [number for number in looked_at if members[number].row_us < members[first].row_us]
        for start in quicker[:MORE_STARTS]:
            value, others, _ = greedy.grown(start, alone[start])
            if value > best:
                best, counts = value, others
    size = sum(counts.values())
    return {number: count / size for number, count in sorted(counts.items())}


@dataclass(frozen=True, slots=True)
class _Greedy:
    """What sets are made of, best candidate first, and how they are judged."""

    members: Mapping[int, Member]
    known: Mapping[int, Floats]
    score: Callable[[Floats], float]
    step: float
    """What a new member has to bring."""
    limit_us: float

    def grown(self, start: int, best: float) -> tuple[float, dict[int, int], bool]:
        """The score of the set that begins with a candidate of the score `best`, how often each is in it, and whether
        the limit was in the way of any."""
        members, known = self.members, self.known
        roots = {number: number if member.of is None else member.of for number, member in members.items()}
        counts, total = {start: 1}, known[start].copy()
        spent, taken, is_limited = members[start].row_us, {roots[start]}, False
        for size in range(1, STEPS):
            found: tuple[float, int] | None = None
            for number, member in members.items():
                new = number not in counts
                if new and roots[number] in taken:
                    continue
                if new and spent + member.row_us > self.limit_us:
                    is_limited = True
                    continue
                value = self.score((total + known[number]) / (size + 1))
                worth = value - (self.step if new else 0.0)
                if found is None or worth > found[0]:
                    found = (worth, number)
            if found is None or found[0] <= best:
                break
            number = found[1]
            if number not in counts:
                spent += members[number].row_us
                taken.add(roots[number])
            counts[number] = counts.get(number, 0) + 1
            total += known[number]
            best = self.score(total / (size + 1))
        return best, counts, is_limited


def _scorer(y: NDArray[Any], metric: Metric, task: Task, fold: NDArray[np.intp] | None) -> Callable[[Floats], float]:
    """The score of answers to all rows: the mean over folds where it is defined on each of them."""
    parts = [] if fold is None else [np.flatnonzero(fold == number) for number in np.unique(fold)]
    if task != "regression" and any(len(np.unique(y[part])) < 2 for part in parts):
        parts = []

    def score(scores: Floats) -> float:
        if not parts:
            return measure(metric, y, scores, task)
        return float(np.mean([measure(metric, y[part], scores[part], task) for part in parts]))

    return score
