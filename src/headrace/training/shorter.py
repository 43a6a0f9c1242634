"""Smaller and faster forms: what a model that learns step by step says after its first steps.

The first trees of a boosted model are a model that was fitted with fewer rounds, so nothing is learnt again: the folds'
models are asked after shares of their steps, out of fold as the whole ones are. Of the best such trial each share
becomes a candidate with its own score, time, size and price, and the choice weighs what it loses against what it saves.
While the search goes on nobody knows which trial that will be: of each best one so far the answers are put away and
the models, whose first steps are compiled at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from headrace.runs.model import ObjectRef
from headrace.training.answers import pack_answers
from headrace.training.folding import CrossValidated
from headrace.training.kept import pack_models
from headrace.training.settled import settle
from headrace.training.trial_worker import FoldAnswer

SHARES: Final = (0.5, 0.25, 0.125)
"""Of the steps of the best trial that learns step by step: each is a smaller and faster candidate."""


class Shorter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A trial's models after a share of their steps: what is recorded with the trial."""

    share: float
    settled: dict[str, Any]
    fold_scores: tuple[float, ...]
    train_score: float | None
    fit_s: float
    """Of the whole model: less was not tried."""
    answers: ObjectRef
    models: ObjectRef
    """The whole models (`headrace.training.kept`): of a bag all folds', else the last fold's."""


def mean_train_score(folds: Sequence[FoldAnswer]) -> float | None:
    """Over the folds whose training rows were asked; the last one is among them. None: it is undefined on that one."""
    if folds[-1].train_score is None:
        return None
    return float(np.mean([fold.train_score for fold in folds if fold.train_score is not None]))


class Keeps(Protocol):
    """Where what is put away goes."""

    def put_aside(self, data: bytes, kind: str, suffix: str) -> ObjectRef: ...


def put_away(store: Keeps, result: CrossValidated, models: ObjectRef | None) -> tuple[Shorter, ...]:
    """A candidate after each of `SHARES`; empty where it does not learn step by step, or does not compile.

    Parameters
    ----------
    result : of all folds, asked after these shares
    models : of a bag, where its models are; None: they are not put away yet
    """
    last = result.folds[-1]
    if not last.shorter or not last.onnx:
        return ()
    models = models or store.put_aside(pack_models([last]), "models", ".zst")
    made = []
    for place, share in enumerate(SHARES):
        folds = [fold.shorter[place] for fold in result.folds]
        answers = replace(result.answers, scores=np.concatenate([fold.scores for fold in folds]))
        made.append(
            Shorter(
                share=share,
                settled=settle([fold.settled for fold in folds]),
                fold_scores=tuple(fold.score for fold in folds),
                train_score=mean_train_score(folds),
                fit_s=result.fit_s,
                answers=store.put_aside(pack_answers(answers), "answers", ".msgpack"),
                models=models,
            )
        )
    return tuple(made)
