"""Models that are several which learn without each other, each part fitted in a process of its own.

What is learnt holds the interpreter: in threads two networks took as long as one after the other, or longer. The parts
are those that one process would have fitted, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Training
from headrace.training.data import Examples
from headrace.training.families import Divides, Family, Fitted, load_family, path_of
from headrace.training.model import Trial
from headrace.training.trial_worker import EncodedFold, FoldAnswer, Job
from headrace.training.workers import Outcome, Workers

LONG_FIT_S: Final = 2.0
"""Of one model in the search: what is fitted sooner is not worth the processes."""
LONGEST_S: Final = 7 * 86_400.0
"""That a fit may take: the search has seen it end."""

Wanted = tuple[Trial, NDArray[np.intp]]
"""A trial, and the positions of the rows that it is to learn."""


def is_divided(trial: Trial, family: Family) -> bool:
    """Whether the trial's model is fitted part by part."""
    took_s = trial.fit_s / max(len(trial.fold_scores), 1)
    return took_s > LONG_FIT_S and trial.imbalance == "none" and isinstance(family, Divides)


class _Rows:
    """What the models learn, as folds without validation rows: made when they are asked for, equal ones once."""

    def __init__(
        self, wanted: Sequence[Wanted], examples: Examples, X: NDArray[np.float32], levels: tuple[int | None, ...]
    ) -> None:
        self._X, self._y, self._levels = X, examples.y, levels
        self._rows: list[NDArray[np.intp]] = []
        self.of: list[int] = []
        """By model."""
        for _, rows in wanted:
            same = (number for number, known in enumerate(self._rows) if np.array_equal(known, rows))
            number = next(same, len(self._rows))
            if number == len(self._rows):
                self._rows.append(rows)
            self.of.append(number)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> EncodedFold:
        rows, none = self._rows[number], np.zeros(0, np.intp)
        return EncodedFold(self._levels, self._X[rows], self._y[rows], self._X[none], self._y[none], none)


class Apart:
    """Fits that begin at once, and go on while other work is done here.

    Parameters
    ----------
    wanted : of families that divide
    X : the examples, encoded
    """

    def __init__(
        self,
        workers: Workers,
        wanted: Sequence[Wanted],
        examples: Examples,
        X: NDArray[np.float32],
        levels: tuple[int | None, ...],
        training: Training,
    ) -> None:
        self._workers = workers
        self._families = [load_family(trial.family, examples.task) for trial, _ in wanted]
        self._rows = _Rows(wanted, examples, X, levels)
        workers.give(self._rows)
        self._waiting: list[tuple[int, int, Job]] = []
        """Model, part, and what is to be fitted."""
        for model, (family, (trial, _)) in enumerate(zip(self._families, wanted, strict=True)):
            assert isinstance(family, Divides), "asked of what divides"
            for part, params in enumerate(family.parts(trial.settled or trial.params, training.threads)):
                job = Job(
                    family=path_of(trial.family),
                    params=params,
                    task=examples.task,
                    n_classes=examples.n_classes,
                    metric=trial.metric,
                    objective=training.objective,
                    imbalance="none",
                    seed=training.seed,
                    threads=1,
                    limit=0.0,
                    only_fits=True,
                )
                self._waiting.append((model, part, job))
        self._under_way: dict[int, tuple[int, int]] = {}
        self._begin()

    def _begin(self) -> None:
        while self._workers.free and self._waiting:
            model, part, job = self._waiting.pop(0)
            self._under_way[self._workers.start(job, self._rows.of[model])] = (model, part)

    def fitted(self) -> list[Fitted | None]:
        """The models; None where a part could not be fitted, for want of memory as a rule."""
        outcomes: dict[tuple[int, int], Outcome] = {}
        while self._under_way:
            for fit, outcome in self._workers.wait(None).items():
                outcomes[self._under_way.pop(fit)] = outcome
            self._begin()
        return [self._joined(model, outcomes) for model in range(len(self._families))]

    def _joined(self, model: int, outcomes: Mapping[tuple[int, int], Outcome]) -> Fitted | None:
        family = self._families[model]
        assert isinstance(family, Divides), "asked of what divides"
        parts = [outcome for (own, _), outcome in sorted(outcomes.items(), key=lambda each: each[0]) if own == model]
        kept = [part.kept for part in parts if isinstance(part, FoldAnswer)]
        if len(kept) < len(parts):
            return None
        return family.joined([family.restore(each) for each in kept])
