"""One candidate under cross-validation: encoded folds, fold scores, out-of-fold answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Encoding, Split
from headrace.features.encoder import encode_columns, encode_training, fit_encoder
from headrace.features.encodings.plan import count_inputs
from headrace.features.model import CategoryLevels, Encoder
from headrace.training.data import Examples
from headrace.training.errors import FoldsImpossible
from headrace.training.families import Check, Family, Fitted, Params
from headrace.training.lessons import labels_of
from headrace.training.metrics import Metric, measure
from headrace.training.splits import Fold

MOST_KEPT_BYTES = 1 << 30
"""Encoded folds beyond this are encoded anew for every trial."""
TRAIN_SAMPLE = 20_000
"""Training rows, evenly spaced, that the training score is measured on."""

Clock = Callable[[], float]
"""Seconds from some instant, never going back."""


@dataclass(frozen=True, slots=True)
class EncodedFold:
    """A fold as matrices, encoded with what its own training rows taught."""

    levels: tuple[int | None, ...]
    X_train: NDArray[np.float32]
    y_train: NDArray[Any]
    X_validation: NDArray[np.float32]
    y_validation: NDArray[Any]
    validation: NDArray[np.intp]


class EncodedFolds:
    """The folds on which a metric is defined, encoded once when they fit in memory."""

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
        width = count_inputs(examples.outputs, encodings, examples.classes)
        cells = sum(len(fold.train) + len(fold.validation) for fold in self.folds) * width
        self._kept: dict[int, EncodedFold] | None = {} if 4 * cells <= MOST_KEPT_BYTES else None

    def __len__(self) -> int:
        return len(self.folds)

    def __iter__(self) -> Iterator[EncodedFold]:
        for number, fold in enumerate(self.folds):
            encoded = None if self._kept is None else self._kept.get(number)
            if encoded is None:
                encoded = self._encode(fold)
                if self._kept is not None:
                    self._kept[number] = encoded
            yield encoded

    def _encode(self, fold: Fold) -> EncodedFold:
        examples = self._examples
        train, validation = examples.rows[fold.train], examples.rows[fold.validation]
        labels = labels_of(examples, self._split, fold.train)
        encoder = fit_encoder(examples.outputs, train, self._encodings, labels)
        return EncodedFold(
            levels=levels_of(encoder),
            X_train=encode_training(encoder, train, labels),
            y_train=examples.y[fold.train],
            X_validation=encode_columns(encoder, validation),
            y_validation=examples.y[fold.validation],
            validation=fold.validation,
        )


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """What the folds said of a candidate."""

    fold_scores: tuple[float, ...]
    """Higher is better."""
    train_scores: tuple[float, ...]
    fit_s: float
    rows: NDArray[np.intp]
    """Positions of the rows that were asked, fold after fold."""
    fold: NDArray[np.intp]
    scores: NDArray[np.float64]
    """The library's answers, shape (rows,) or (rows, k)."""
    last: Fitted
    """The model of the last fold, the one with the most rows under a time split."""
    last_asked: NDArray[np.float32]
    """The rows that it was asked."""
    settled: tuple[Params, ...]
    """What each fold's model settled on."""
    stopped: bool
    """Whether `go_on` ended it before the last fold."""


def levels_of(encoder: Encoder) -> tuple[int | None, ...]:
    """What `Family.fit` wants to know of the columns."""
    return tuple(len(c.encoding.levels) if isinstance(c.encoding, CategoryLevels) else None for c in encoder.columns)


def cross_validate(
    folds: EncodedFolds,
    family: Family,
    params: Params,
    *,
    examples: Examples,
    metric: Metric,
    seed: int,
    threads: int,
    clock: Clock,
    go_on: Callable[[Sequence[float]], bool],
) -> CrossValidated:
    """Fit and ask fold after fold; before each but the first, `go_on` is told the scores so far and may end it."""
    task = examples.task
    fold_scores: list[float] = []
    train_scores: list[float] = []
    answers: list[NDArray[np.float64]] = []
    rows: list[NDArray[np.intp]] = []
    settled: list[Params] = []
    fit_s = 0.0
    last: Fitted | None = None
    last_asked = np.empty((0, 0), np.float32)
    for fold in folds:
        started = clock()
        fitted = family.fit(
            fold.X_train,
            fold.y_train,
            params,
            task=task,
            n_classes=examples.n_classes,
            levels=fold.levels,
            seed=seed,
            threads=threads,
            check=Check(fold.X_validation, fold.y_validation),
        )
        fit_s += clock() - started
        answer = fitted.predict(fold.X_validation)
        if not np.isfinite(answer).all():
            raise FloatingPointError("its answers are not all finite")
        sample = np.linspace(0, len(fold.y_train) - 1, min(TRAIN_SAMPLE, len(fold.y_train))).astype(np.intp)
        train_scores.append(measure(metric, fold.y_train[sample], fitted.predict(fold.X_train[sample]), task))
        fold_scores.append(measure(metric, fold.y_validation, answer, task))
        if not np.isfinite(fold_scores[-1]):
            raise FloatingPointError(f"its {metric.name} is not finite")
        answers.append(answer)
        settled.append(fitted.settled)
        rows.append(fold.validation)
        last, last_asked = fitted, fold.X_validation
        if len(fold_scores) < len(folds) and not go_on(fold_scores):
            break
    assert last is not None, "there is a fold"
    return CrossValidated(
        fold_scores=tuple(fold_scores),
        train_scores=tuple(train_scores),
        fit_s=fit_s,
        rows=np.concatenate(rows),
        fold=np.repeat(np.arange(len(rows)), [len(part) for part in rows]),
        scores=np.concatenate(answers),
        last=last,
        last_asked=last_asked,
        settled=tuple(settled),
        stopped=len(fold_scores) < len(folds),
    )


def settle(settled: Sequence[Params]) -> dict[str, Any]:
    """One point of the space for a model of all rows: what the folds agree on, else the median."""
    point = dict(settled[0])
    for name, first in point.items():
        found = [each[name] for each in settled]
        if any(each != first for each in found):
            middle = float(np.median(found))
            point[name] = round(middle) if isinstance(first, int) else middle
    return point
