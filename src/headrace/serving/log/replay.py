"""Computes logged predictions again, from the logged input and exactly the package that answered, to the bit."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.scoring.package import Package
from headrace.scoring.scorer import Scorer
from headrace.serving.log.table import Logged


@dataclass(frozen=True, slots=True)
class Difference:
    """What a prediction is now that it was not."""

    what: str
    """`scores`, `decision` or `review`."""
    logged: object
    now: object


@dataclass(frozen=True, slots=True)
class Replayed:
    """One prediction computed again."""

    prediction: Logged
    differences: tuple[Difference, ...] = ()
    skipped: str | None = None
    """Why there is nothing to compute: a deployment's constant answered."""


def replay(predictions: Sequence[Logged], load: Callable[[str], Package]) -> list[Replayed]:
    """Each in order; `load` gives a package by its content id, every byte checked against its signature.

    Raises
    ------
    PackageRefused : the package is gone, or not what it was.
    """
    found: dict[int, Replayed] = {}
    by_package: dict[tuple[str, int | None], list[int]] = {}
    for place, one in enumerate(predictions):
        if one.route.package:
            by_package.setdefault((one.route.package, one.route.version), []).append(place)
        else:
            found[place] = Replayed(one, skipped="the deployment's constant answered, no version")
    for (package, version), places in by_package.items():
        scorer = Scorer(load(package), version)
        again = _scored(scorer, [predictions[place] for place in places])
        found.update(zip(places, again, strict=True))
    return [found[place] for place in range(len(predictions))]


def inputs(one: Logged, scorer: Scorer) -> list[tuple[str, object]]:
    """The model's input by name, in the model's order: a number, or the level that a code stands for."""
    from headrace.features.model import CategoryLevels

    row = np.frombuffer(one.record.features, "<f4")
    named: list[tuple[str, object]] = []
    for value, column in zip(row.tolist(), scorer.encoder.columns, strict=True):
        shown: object = None if value != value else value
        if isinstance(column.encoding, CategoryLevels) and isinstance(shown, float):
            levels = column.encoding.levels
            shown = levels[int(shown)] if 0 <= shown < len(levels) else "(rare)"
        named.append((column.name, shown))
    return named


def effects(one: Logged, scorer: Scorer) -> list[float]:
    """What each input does to the answer, in the model's order (`Scorer.effects`)."""
    X, amounts = _matrix([one]), _amounts([one])
    found: list[float] = scorer.effects(X, amounts)[0].tolist()
    return found


def _scored(scorer: Scorer, predictions: Sequence[Logged]) -> list[Replayed]:
    amounts = _amounts(predictions)
    scores = scorer.score_matrix(_matrix(predictions))
    decided: Sequence[Any] = scorer.decisions(scores, amounts) or [None] * len(predictions)
    reviews: list[bool | None] = [None] * len(predictions)
    if scorer.decider.decision.task != "regression":
        reviews = list(scorer.reviews(scores, amounts))
    every = scores.reshape(len(predictions), -1).tolist()
    return [
        Replayed(one, tuple(_differences(one, tuple(now), decision, review)))
        for one, now, decision, review in zip(predictions, every, decided, reviews, strict=True)
    ]


def _differences(one: Logged, now: tuple[float, ...], decision: object, review: bool | None) -> list[Difference]:
    logged = one.record
    found = []
    if _bits(logged.scores) != _bits(now):
        found.append(Difference("scores", logged.scores, now))
    if logged.decision != decision:
        found.append(Difference("decision", logged.decision, decision))
    if logged.review != review:
        found.append(Difference("review", logged.review, review))
    return found


def _bits(scores: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(scores)}d", *scores)


def _matrix(predictions: Sequence[Logged]) -> NDArray[np.float32]:
    data = b"".join(one.record.features for one in predictions)
    return np.frombuffer(data, np.float32).reshape(len(predictions), -1)


def _amounts(predictions: Sequence[Logged]) -> tuple[NDArray[np.float64], ...]:
    """Rows' own amounts as columns, NaN for what is no number."""
    if not predictions[0].record.own:
        return ()
    columns = zip(*(one.record.own for one in predictions), strict=True)
    return tuple(np.array([float(v) if isinstance(v, int | float) else np.nan for v in column]) for column in columns)
