"""How much each feature moved single answers: Shapley values of rows of the holdout, exact where a family gives them.

Of a model of one family they are the library's own: of trees those of TreeSHAP (Lundberg et al., "From local
explanations to global understanding with explainable AI for trees", Nature Machine Intelligence 2, 2020), of a linear
model its weights times how far a value is from the mean. An ensemble, and a family that gives none, is asked itself, as
a graph: feature after feature a row's values take the place of another row's, in orders drawn by lot, and what each
step changes is the feature's (Štrumbelj and Kononenko, Knowledge and Information Systems 41, 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Task
from headrace.training.families import Fitted
from headrace.training.imbalance import Corrected
from headrace.training.measure import leaves_in
from headrace.training.model import Effect, Effects

Floats = NDArray[np.float64]
Unit = Literal["log-odds", "label", "logarithm"]
Predict = Callable[[NDArray[np.float32]], Floats]

MOST_ROWS: Final = 200
MOST_FEATURES: Final = 20
"""Of which effects are kept: those whose effects are largest."""
MOST_LEAVES: Final = 8_000_000
"""Rows are limited so that rows x leaves of all trees, what TreeSHAP takes, stays below this."""
FEWEST_ROWS: Final = 40
MOST_ASKED: Final = 30
"""Features that are asked for one by one where answers are asked for; the others move together."""
SAMPLED_ROWS: Final = 150
MOST_ANSWERS: Final = 60_000
FEWEST_ANSWERS: Final = 15_000
ANSWERS_US: Final = 1.5e6
"""Answers that estimates are made of, as the time of a row allows; each row is walked to from several others."""
MOST_STARTS: Final = 40
FEWEST_STARTS: Final = 3
SURE: Final = 1e-4
"""A probability of no or of yes counts as this far from it: the logarithm of none has no end."""
DIGITS: Final = 4
"""Of an effect that is kept."""


@runtime_checkable
class Explains(Protocol):
    """A fitted model whose library says what each column adds to its score."""

    @property
    def explained_by(self) -> Literal["tree", "linear"]: ...

    def contributions(self, X: NDArray[np.float32]) -> Floats:
        """Shape (n, k, m + 1): to each of k scores (log-odds, logits of classes, the value) what each column adds, last
        what all rows have alike. They sum to the score."""
        ...


def exact_effects(
    models: Sequence[tuple[float, Fitted]], onnx: bytes, X: NDArray[np.float32], features: Sequence[str], task: Task
) -> Effects | None:
    """The effects that the model's own library gives; None of several models, and of a library that gives none.

    Parameters
    ----------
    models : by weight
    onnx : the same, compiled
    X : encoded rows of the holdout
    """
    model = models[0][1]
    if isinstance(model, Corrected):  # one number more in every score moves no effect
        model = model.inner
    if len(models) != 1 or not isinstance(model, Explains) or not len(X):
        return None
    most = min(MOST_ROWS, max(FEWEST_ROWS, MOST_LEAVES // max(leaves_in(onnx), 1)))
    rows = X[_spread(len(X), most)]
    found = model.contributions(rows)
    scores = found.sum(axis=2)
    unit = _unit(scores, model.predict(rows), task)
    return None if unit is None else _kept(found[:, :, :-1], scores, rows, features, task, model.explained_by, unit)


def sampled_effects(
    predict: Predict,
    X: NDArray[np.float32],
    features: Sequence[str],
    task: Task,
    asked: Sequence[str],
    *,
    row_us: float,
    seed: int,
) -> Effects | None:
    """Estimates of the effects, from answers alone.

    Parameters
    ----------
    predict : answers to encoded rows: (n,) or (n, k)
    asked : features, those that matter most first; from the `MOST_ASKED`th on they move together, as one
    row_us : about how long an answer takes
    """
    if len(X) < 2:
        return None
    rng = np.random.Generator(np.random.PCG64(seed))
    place = {name: column for column, name in enumerate(features)}
    players = [np.array([place[name]]) for name in asked[:MOST_ASKED]]
    rest = np.setdiff1d(np.arange(len(features)), np.concatenate(players) if players else [])
    if len(rest):
        players.append(rest)
    rows = X[_spread(len(X), SAMPLED_ROWS)]
    n, m = len(rows), len(players)
    answers = min(max(ANSWERS_US / row_us, FEWEST_ANSWERS), MOST_ANSWERS)
    starts = min(max(int(answers / (2 * n * (m + 1))), FEWEST_STARTS), MOST_STARTS)
    total = np.zeros((n, _scores(predict(rows[:1]), task).shape[1], m))
    for order, start in _walks(X, n, m, starts, rng):
        current = start.copy()
        before = _scores(predict(current), task)
        for step in range(m):
            for player, columns in enumerate(players):
                moved = np.flatnonzero(order[:, step] == player)
                current[moved[:, None], columns] = rows[moved[:, None], columns]
            after = _scores(predict(current), task)
            total[np.arange(n), :, order[:, step]] += after - before
            before = after
    unit: Unit = "label" if task == "regression" else "log-odds"
    names = [*asked[:MOST_ASKED], f"{len(rest)} others"] if len(rest) else list(asked[:MOST_ASKED])
    # the columns that move together have no value of their own
    own = np.full((n, m), np.nan, np.float32)
    for player, columns in enumerate(players):
        if len(columns) == 1:
            own[:, player] = rows[:, columns[0]]
    if len(rest) == 1:
        names[-1] = features[int(rest[0])]
    return _kept(total / (2 * starts), _scores(predict(rows), task), own, names, task, "sampled", unit)


def _scores(answer: Floats, task: Task) -> Floats:
    """Answers in a scale in which effects add up, shape (n, k): log-odds, logarithms of shares, values."""
    if task == "regression":
        return answer.reshape(-1, 1)
    p = np.clip(answer.astype(np.float64), SURE, 1.0 - SURE)
    return np.log(p) if task == "multiclass" else (np.log(p) - np.log1p(-p)).reshape(-1, 1)


def _walks(
    X: NDArray[np.float32], n: int, m: int, starts: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """For each of n rows an order of m features and a row to start from, `starts` times; each also backwards, for what
    one order overstates the other understates."""
    for _ in range(starts):
        order, start = np.argsort(rng.random((n, m)), axis=1), X[rng.integers(0, len(X), n)]
        yield order, start
        yield order[:, ::-1], start


def _unit(scores: Floats, answer: Floats, task: Task) -> Unit | None:
    """Of what these scores are; None: the answers are not made of them."""
    if task == "regression":
        near = 1e-3 * float(np.std(answer)) + 1e-12
        if np.allclose(scores[:, 0], answer, rtol=1e-4, atol=near):
            return "label"
        exponential = np.exp(np.minimum(scores[:, 0], 300.0))
        return "logarithm" if np.allclose(exponential, answer, rtol=1e-4, atol=near) else None
    if task == "multiclass":
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares = odds / odds.sum(axis=1, keepdims=True)
    else:
        shares = 1.0 / (1.0 + np.exp(-np.clip(scores[:, 0], -300.0, 300.0)))
    return "log-odds" if np.allclose(shares, answer, rtol=0.0, atol=1e-4) else None


def _kept(
    found: Floats,
    scores: Floats,
    X: NDArray[np.float32],
    features: Sequence[str],
    task: Task,
    method: Literal["tree", "linear", "sampled"],
    unit: Unit,
) -> Effects:
    """What is recorded of effects, shape (n, k, m), on scores, shape (n, k): of classes, those on the likeliest one."""
    if task == "multiclass":
        found = found - found.mean(axis=1, keepdims=True)  # a number added to all scores changes no share
        size = np.abs(found).mean(axis=(0, 1))
        shown = found[np.arange(len(found)), np.argmax(scores, axis=1)]
    else:
        shown = found[:, 0]
        size = np.abs(shown).mean(axis=0)
    largest = np.argsort(-size, kind="stable")[:MOST_FEATURES]
    kept = []
    for column in largest.tolist():
        if size[column] <= 0.0:
            break
        places = _places(X[:, column])
        kept.append(
            Effect(
                feature=features[column],
                size=_rounded(float(size[column])),
                trend=None if task == "multiclass" else _trend(places, shown[:, column]),
                effects=tuple(map(_rounded, shown[:, column].tolist())),
                places=tuple(None if np.isnan(p) else round(float(p), 3) for p in places),
            )
        )
    return Effects(method=method, unit=unit, rows=len(found), features=tuple(kept))


def _places(values: NDArray[np.float32]) -> Floats:
    """Where each value stands among the others: 0 the lowest, 1 the highest, equal ones in the middle of their places;
    NaN for missing ones."""
    places = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return places
    _, which, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = ends - (counts + 1) / 2
    places[known] = middle[which] / max(len(known) - 1, 1) if len(counts) > 1 else 0.5
    return places


def _trend(places: Floats, effects: Floats) -> float | None:
    """The rank correlation of values and effects: 1, higher values always raise the answer; None where none can be."""
    known = ~np.isnan(places)
    ranks = _places(effects[known].astype(np.float32))
    if known.sum() < 3 or np.std(places[known]) == 0.0 or np.std(ranks) == 0.0:
        return None
    return round(float(np.corrcoef(places[known], ranks)[0, 1]), 3)


def _spread(n: int, most: int) -> NDArray[np.intp]:
    """At most so many of n places, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
