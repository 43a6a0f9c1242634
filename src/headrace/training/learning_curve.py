"""Whether more rows would help: the chosen candidate on parts of its training rows, under the same folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Encoding, Split, Training
from headrace.training.data import Examples
from headrace.training.families import path_of
from headrace.training.folding import EncodedFolds
from headrace.training.guards import guarded
from headrace.training.metrics import asked_metric
from headrace.training.model import LearningCurve, Trial
from headrace.training.splits import make_folds
from headrace.training.trial_worker import EncodedFold, Job
from headrace.training.workers import Executor, OutOfTime

Floats = NDArray[np.float64]

SHARES = (0.125, 0.25, 0.5)
"""Of a fold's training rows; all of them were learnt from in the search."""
FEWEST_ROWS = 50
"""Of the smallest part."""
MOST_S = 30.0
"""Of a candidate whose folds took longer together fewer folds are asked, two at least."""
LONGEST_S = 120.0
"""Of all parts together; then there is no curve."""
LEAST_S = 1.0
"""Fits of all parts together may take so long where the candidate's own took less."""
MOST_SHARE = 0.05
"""Of a budget in seconds, on every core."""
CUT = 0.8
"""A part whose fit took more than this share of its seconds may have ended by them, and counts for nothing."""


def learning_curve(
    examples: Examples,
    trial: Trial,
    trials: Sequence[Trial],
    training: Training,
    split: Split,
    encodings: Sequence[Encoding],
    *,
    executor: Executor,
    clock: Callable[[], float],
) -> LearningCurve | None:
    """Scores on parts of the training rows, and what twice as many rows would gain.

    The fits of the parts together take no longer than the candidate's own fits took, nor than a share of a budget in
    seconds; when that is not enough for every fold, the curve is of those that it was enough for.

    Parameters
    ----------
    trial : the chosen one; of an ensemble the heaviest member is asked, of a shorter form the whole one
    executor : where the parts are fitted
    clock : seconds

    Returns
    -------
    None when there are too few rows or folds, a fit fails, or there is no time for two folds.
    """
    asked = _asked(trial, trials)
    examples = guarded(examples, encodings)
    metric = asked_metric(training, examples.task)
    folds = EncodedFolds(examples, make_folds(examples, split), metric, split=split, encodings=encodings)
    wanted = len(folds) if asked.fit_s <= MOST_S else max(2, int(len(folds) * MOST_S / asked.fit_s))
    if (
        len(folds) < 2
        or len(asked.fold_scores) != len(folds)
        or min(len(f.train) for f in folds.folds) < 8 * FEWEST_ROWS
    ):
        return None
    job = Job(
        family=path_of(asked.family),
        params=asked.params,
        task=examples.task,
        n_classes=examples.n_classes,
        metric=metric.name,
        objective=training.objective,
        imbalance=asked.imbalance,
        seed=training.seed,
        threads=training.threads,
        limit=float("inf"),
    )
    # under a split by time the last folds learn from most
    encoded = [folds[number] for number in range(len(folds) - wanted, len(folds))]
    parts = [_part(fold, share, training.seed) for fold in encoded for share in SHARES]
    executor.give(parts)
    seconds = _seconds(asked.fit_s * wanted / len(folds), training, executor.width)
    answers = _fitted(executor, job, seconds / wanted, wanted, clock() + LONGEST_S)
    if answers is None:
        return None
    width = len(SHARES)
    of = [fold for fold in range(wanted) if all(fold * width + part in answers for part in range(width))]
    if len(of) < 2:
        return None
    whole = asked.fold_scores[len(folds) - wanted :]
    found = np.array([[*(answers[fold * width + part] for part in range(width)), whole[fold]] for fold in of])
    rows = [
        [*(len(parts[fold * width + part].y_train) for part in range(width)), len(encoded[fold].y_train)] for fold in of
    ]
    sizes = np.mean(rows, axis=0)
    gain, half = gain_of_doubling(sizes, found)
    return LearningCurve(
        trial=asked.number,
        family=asked.family,
        metric=metric.name,
        rows=tuple(round(size) for size in sizes),
        scores=tuple((metric.sign * found.mean(axis=0)).tolist()),
        spread=tuple((found.std(axis=0, ddof=1) / np.sqrt(len(found))).tolist()),
        gain=gain,
        low=gain - half,
        high=gain + half,
    )


def _asked(trial: Trial, trials: Sequence[Trial]) -> Trial:
    """The trial whose fits are asked about parts of the rows."""
    number = trial.number
    if trial.members:
        number = max(trial.members, key=lambda member: (member.weight, -member.trial)).trial
    elif trial.shortened is not None:
        number = trial.shortened.of
    return trial if number == trial.number else next(each for each in trials if each.number == number)


def _seconds(own_s: float, training: Training, width: int) -> float:
    """Seconds of all fits together, where the candidate's own took so many."""
    if training.budget.seconds is not None:
        own_s = min(own_s, MOST_SHARE * training.budget.seconds * width)
    return max(own_s, LEAST_S)


def _fitted(executor: Executor, job: Job, fold_s: float, folds: int, until: float) -> dict[int, float] | None:
    """The scores of the parts, the last fold's first, that there was time for; None when one of them fails, or the
    instant `until` has come: there is no curve, and the run goes on.

    Parameters
    ----------
    fold_s : seconds that a fold has, for all of its parts; what one leaves the next may use
    """
    width = len(SHARES)
    waiting = [fold * width + part for fold in reversed(range(folds)) for part in range(width)]
    left, scores = fold_s * folds, dict[int, float]()
    under_way: dict[int, tuple[int, float]] = {}
    while waiting or under_way:
        while len(under_way) < executor.width and waiting and left >= fold_s * SHARES[waiting[0] % width]:
            seconds, part = min(fold_s, left), waiting.pop(0)
            left -= seconds
            under_way[executor.start(replace(job, seconds=seconds), part)] = (part, seconds)
        if not under_way:
            break
        try:
            ended = executor.wait(until)
        except OutOfTime:
            return None
        for number, outcome in ended.items():
            if isinstance(outcome, str):
                return None
            part, seconds = under_way.pop(number)
            left += seconds - outcome.fit_s
            if outcome.fit_s <= CUT * seconds:
                scores[part] = outcome.score
    return scores


def _part(fold: EncodedFold, share: float, seed: int) -> EncodedFold:
    """The fold with a share of its training rows, drawn by the seed; a smaller share is part of a larger one."""
    n = len(fold.y_train)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    rows = np.sort(order[: max(int(n * share), FEWEST_ROWS)])
    return replace(fold, X_train=fold.X_train[rows], y_train=fold.y_train[rows])


def gain_of_doubling(rows: Floats, scores: Floats) -> tuple[float, float]:
    """What the score is expected to gain from twice the rows, and half of its 95 % interval: a jackknife over folds.

    Parameters
    ----------
    rows : shape (m,), rising
    scores : shape (folds, m), higher is better
    """
    from scipy.stats import t

    k = len(scores)
    whole = _power_law_gain(rows, scores.mean(axis=0))
    without = np.array([_power_law_gain(rows, np.delete(scores, i, axis=0).mean(axis=0)) for i in range(k)])
    error = np.sqrt((k - 1) / k * np.sum((without - without.mean()) ** 2))
    return whole, float(t.ppf(0.975, k - 1) * error)


def _power_law_gain(rows: Floats, score: Floats) -> float:
    """score = best - b · rows^-c, fitted by least squares over a grid of c; its rise from the last size to twice it.

    Hestness et al., "Deep learning scaling is predictable, empirically", 2017.
    """
    best: tuple[float, float] | None = None
    alike = 1e-15 * float(np.sum((score - score.mean()) ** 2))
    for c in np.linspace(0.1, 1.5, 29):
        x = (rows / rows[-1]) ** -c
        slope = float(np.cov(x, score, bias=True)[0, 1] / np.var(x))
        slope = min(slope, 0.0)  # more rows are never expected to hurt
        off = score - slope * x
        error = float(np.sum((off - off.mean()) ** 2))
        if best is None or error < best[0] - alike:
            best = (error, float(-slope * (1.0 - 2.0**-c)))
    assert best is not None, "the grid has a point"
    return best[1]
