"""One candidate under cross-validation: encoded folds, fold scores, out-of-fold answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Encoding, Split
from headrace.features.encoder import encode_columns, encode_training
from headrace.features.encodings.fitting import fit_encoder
from headrace.features.encodings.targets import Labels
from headrace.features.model import CategoryLevels, Encoder, TargetMean
from headrace.training.answers import Answers
from headrace.training.data import Examples
from headrace.training.errors import FoldsImpossible
from headrace.training.lessons import labels_of
from headrace.training.metrics import Metric, measure
from headrace.training.splits import Fold
from headrace.training.trial_worker import EncodedFold as EncodedFold
from headrace.training.trial_worker import FoldAnswer, Job
from headrace.training.workers import Clock as Clock
from headrace.training.workers import Executor, Outcome

if TYPE_CHECKING:
    import polars as pl

FIRST_WAVE = 2
"""Folds that are asked before anything is decided of a candidate."""


class EncodedFolds:
    """The folds on which a metric is defined, each encoded when it is looked at.

    Where folds are drawn by lot, what is learnt without looking at labels (levels and their order, middles) is learnt
    of all training rows at once, so that the folds' models take the same inputs and can be kept together; what is
    learnt of labels is always learnt of the fold's own training rows. Under a time split all is learnt of the past.
    """

    def __init__(
        self,
        examples: Examples,
        folds: Sequence[Fold],
        metric: Metric,
        *,
        split: Split,
        encodings: Sequence[Encoding] = (),
    ) -> None:
        shape = (examples.n_classes,) if examples.task == "multiclass" else ()
        self.folds = []
        for fold in folds:
            y = examples.y[fold.validation]
            flat = np.full((len(y), *shape), 1.0 / max(examples.n_classes, 1))
            if np.isfinite(measure(metric, y, flat, examples.task)):
                self.folds.append(fold)
        if not self.folds:
            raise FoldsImpossible(
                f"{metric.name} is undefined on every fold's validation rows",
                by=split.by,
                folds=len(folds),
                rows=len(examples),
            )
        self._examples, self._split, self._encodings = examples, split, encodings
        self.alike = split.by != "time"
        """Whether the folds' models take the same inputs as a model of all rows."""
        self._common: Encoder | None = None
        self._all: NDArray[np.float32] | None = None
        self._some: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.folds)

    def __iter__(self) -> Iterator[EncodedFold]:
        return map(self.__getitem__, range(len(self.folds)))

    def __getitem__(self, number: int) -> EncodedFold:
        examples, fold = self._examples, self.folds[number]
        if self.alike and self._common is None:
            labels = labels_of(examples, self._split) if self._encodings else None
            self._common = self._fitted(examples.rows, labels)
            self._all = encode_columns(self._common, examples.rows)
        if self._common is not None and not _learns_labels(self._common):
            assert self._all is not None, "encoded with the encoder"
            levels = levels_of(self._common)
            X_train, X_validation = self._all[fold.train], self._all[fold.validation]
        else:
            train = examples.rows[fold.train]
            labels = labels_of(examples, self._split, fold.train)
            encoder = self._with_common(self._fitted(train, labels))
            levels = levels_of(encoder)
            X_train = encode_training(encoder, train, labels)
            X_validation = encode_columns(encoder, examples.rows[fold.validation])
        return EncodedFold(
            levels=levels,
            X_train=X_train,
            y_train=examples.y[fold.train],
            X_validation=X_validation,
            y_validation=examples.y[fold.validation],
            validation=fold.validation,
        )

    def some_validation_rows(self, n: int) -> NDArray[np.float32]:
        """The first rows of the last fold's validation part, encoded; at most `n`."""
        if self._some is None:
            self._some = self[len(self.folds) - 1].X_validation[:n].copy()
        return self._some

    def _fitted(self, rows: pl.DataFrame, labels: Labels | None) -> Encoder:
        own = self._examples
        return fit_encoder(own.outputs, rows, self._encodings, labels, left_out=own.unlearnt)

    def _with_common(self, encoder: Encoder) -> Encoder:
        """The fold's encoder, of which only what it learnt of labels is kept where folds are alike."""
        if self._common is None:
            return encoder
        columns = tuple(
            own if isinstance(own.encoding, TargetMean) else common
            for own, common in zip(encoder.columns, self._common.columns, strict=True)
        )
        return msgspec.structs.replace(encoder, columns=columns)


def _learns_labels(encoder: Encoder) -> bool:
    return any(isinstance(column.encoding, TargetMean) for column in encoder.columns)


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """What the folds said of a candidate."""

    folds: tuple[FoldAnswer, ...]
    answers: Answers
    """Of the folds that were asked."""
    stopped: str
    """Why `go_on` ended it before the last fold; empty: it did not."""

    @property
    def fold_scores(self) -> tuple[float, ...]:
        """Higher is better."""
        return tuple(fold.score for fold in self.folds)

    @property
    def fit_s(self) -> float:
        """Seconds of all fits, whether side by side or not."""
        return sum(fold.fit_s for fold in self.folds)


class TrialFailed(Exception):
    """A fold could not be fitted, asked or compiled; the message is one line."""


def levels_of(encoder: Encoder) -> tuple[int | None, ...]:
    """What `Family.fit` wants to know of the columns."""
    return tuple(len(c.encoding.levels) if isinstance(c.encoding, CategoryLevels) else None for c in encoder.columns)


class Attempt:
    """One candidate under cross-validation. Folds are asked in waves, the first one of two folds; after each, `go_on`
    is told the answers so far and may end it by a reason."""

    def __init__(
        self, folds: EncodedFolds, job: Job, *, width: int, go_on: Callable[[Sequence[FoldAnswer]], str]
    ) -> None:
        self.job = job
        self._folds, self._width, self._go_on = folds, max(width, 1), go_on
        self._wave = min(self._width, FIRST_WAVE, len(folds))
        """Folds that may have been started."""
        self._started = 0
        self._outcomes: dict[int, Outcome] = {}
        self._stopped = ""
        self._failed = ""

    def next_fold(self) -> int | None:
        """The fold to start now, which then counts as started; None while it waits, or when it has ended."""
        if self._started == self._wave:
            return None
        self._started += 1
        return self._started - 1

    @property
    def ended(self) -> bool:
        """Whether nothing is under way or to come."""
        over = bool(self._stopped or self._failed) or self._started == len(self._folds)
        return over and len(self._outcomes) == self._started

    def take(self, fold: int, outcome: Outcome) -> None:
        """What came of a fold."""
        self._outcomes[fold] = outcome
        if len(self._outcomes) < self._wave:
            return
        self._failed = next((each for _, each in sorted(self._outcomes.items()) if isinstance(each, str)), "")
        if self._failed or self._wave == len(self._folds):
            return
        self._stopped = self._go_on(self._answers())
        if not self._stopped:
            self._wave = min(self._wave + self._width, len(self._folds))

    def _answers(self) -> list[FoldAnswer]:
        return [each for _, each in sorted(self._outcomes.items()) if not isinstance(each, str)]

    def result(self) -> CrossValidated:
        """What the folds said, once it has ended; `TrialFailed` with the reason of the first fold that failed."""
        if self._failed:
            raise TrialFailed(self._failed)
        done = self._answers()
        rows = [fold.validation for fold in self._folds.folds[: len(done)]]
        return CrossValidated(
            folds=tuple(done),
            answers=Answers(
                rows=np.concatenate(rows).astype(np.int64),
                fold=np.repeat(np.arange(len(rows)), [len(part) for part in rows]),
                scores=np.concatenate([fold.scores for fold in done]),
            ),
            stopped=self._stopped,
        )


def cross_validate(executor: Executor, folds: EncodedFolds, job: Job) -> CrossValidated:
    """The candidate on every fold.

    Raises
    ------
    TrialFailed : with the reason of the first fold that failed.
    """
    attempt = Attempt(folds, job, width=executor.width, go_on=lambda _: "")
    fold_of: dict[int, int] = {}
    while not attempt.ended:
        while executor.free and (fold := attempt.next_fold()) is not None:
            fold_of[executor.start(job, fold)] = fold
        for number, outcome in executor.wait(None).items():
            attempt.take(fold_of.pop(number), outcome)
    return attempt.result()
