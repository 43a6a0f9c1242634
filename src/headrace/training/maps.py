"""Calibration maps, fitted and chosen out of fold: none, Platt's, beta, centred isotonic; temperature for several.

Each is handed on as knots of a piecewise linear map, so that the package applies all of them by one piece of code. The
map is the one of least log loss on rows that it was not fitted on: a fold's rows are mapped by what the others taught.
A map whose gain is within its noise is not taken: on few rows it would learn their luck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.scoring.decision import Calibration
from headrace.training.metrics.probabilities import row_log_loss
from headrace.training.model import CalibrationGain, MapName

Floats = NDArray[np.float64]
Knots = tuple[tuple[float, float], ...]
MOST_KNOTS = 128
"""Of an isotonic map."""
BEYOND = 1.0
"""Standard errors that a map's gain has to exceed. On 99 models of ten small public tables maps won 0.0074 of log loss
on new rows with 0, 0.0058 with 1, 0.0035 with 1.645; of calibrated scores of 200 rows 0 took a map for every fourth, 1
for every twentieth."""
FEWEST = 20
"""Rows of either class that a calibration map needs."""
CURVED_KNOTS, EVEN_KNOTS = 230, 17
"""Of a parametric map: along its curvature, which keeps the lines between within 1e-4 of it, and along the logit."""
NEAREST = 1e-7
"""To 0 and 1: scores beyond are taken as this, about what float32 tells apart below 1."""
BARELY = 1e-3
"""By which share the probabilities of rows beyond the first and last centre differ at most."""
BINS = 1024
"""Of equally many rows, by which a parametric map is fitted to many."""


@dataclass(frozen=True, slots=True)
class Map:
    """A fitted map."""

    of_one: Callable[[Floats], Floats]
    """Of single probabilities; those of several classes are then made to sum to 1."""

    def __call__(self, scores: Floats) -> Floats:
        mapped = self.of_one(scores)
        return mapped if mapped.ndim == 1 else mapped / mapped.sum(axis=1, keepdims=True)


Fit = Callable[[NDArray[Any], Floats], Map | None]
"""(labels, scores) to a map of scores; None when these rows cannot teach one."""


def calibrate(y: NDArray[Any], scores: Floats, fold: NDArray[np.intp]) -> tuple[Knots, Floats, CalibrationGain]:
    """The best map, the scores each mapped by what the other folds taught, and what it gains.

    Parameters
    ----------
    scores : shape (n,) of P(positive), or (n, k) of several classes
    fold : which fold each row was asked in; with one fold only, even and odd rows take its place

    Returns
    -------
    No knots, and the scores themselves, when no map has a smaller log loss beyond chance.
    """
    part = fold if fold.min() < fold.max() else np.arange(len(y)) % 2
    fits = BINARY if scores.ndim == 1 else SEVERAL
    plain = row_log_loss(y, scores)
    before = float(plain.mean())
    best: MapName = "none"
    best_loss, best_noise, crossed = before, None, scores
    for name, fit in fits.items():
        mapped = _crossed(fit, y, scores, part)
        each = row_log_loss(y, mapped)
        loss, noise = float(each.mean()), float(np.std(plain - each) / np.sqrt(len(y)))
        if loss < best_loss and before - loss > BEYOND * noise:
            best, best_loss, best_noise, crossed = name, loss, noise, mapped
    gain = CalibrationGain(map=best, before=before, after=best_loss, noise=best_noise)
    if best == "none":
        return (), scores, gain
    fitted = fits[best](y, scores)
    if fitted is None:
        return (), scores, CalibrationGain(map="none", before=before, after=before)
    knots = isotonic_knots(y, scores) if best == "isotonic" else knots_of(fitted.of_one)
    return knots, crossed, gain


def _crossed(fit: Fit, y: NDArray[Any], scores: Floats, part: NDArray[np.intp]) -> Floats:
    crossed = scores.copy()
    for i in np.unique(part):
        own = part == i
        fitted = fit(y[~own], scores[~own])
        if fitted is not None:
            crossed[own] = fitted(scores[own])
    return crossed


# Parametric


def fit_platt(y: NDArray[Any], scores: Floats) -> Map | None:
    """P = sigmoid(a · logit(score) + b), a > 0.

    Platt, "Probabilistic outputs for support vector machines", 1999, on the logit of scores that are probabilities.
    """
    found = _logistic(y, scores, lambda s: (np.log(s) - np.log1p(-s),))
    return None if found is None or found[0] <= 0 else _sigmoid_map(found[0], found[0], found[1])


def fit_beta(y: NDArray[Any], scores: Floats) -> Map | None:
    """P = sigmoid(a · ln(score) − b · ln(1 − score) + c), a and b >= 0, one of them > 0.

    Kull, Silva Filho and Flach, "Beta calibration", AISTATS 2017.
    """
    found = _logistic(y, scores, lambda s: (np.log(s), -np.log1p(-s)))
    if found is None:
        return None
    a, b, c = found
    if a < 0:
        a, (b, c) = 0.0, _logistic(y, scores, lambda s: (-np.log1p(-s),)) or (-1.0, 0.0)
    elif b < 0:
        b, (a, c) = 0.0, _logistic(y, scores, lambda s: (np.log(s),)) or (-1.0, 0.0)
    return None if min(a, b) < 0 or a + b <= 0 else _sigmoid_map(a, b, c)


def _sigmoid_map(a: float, b: float, c: float) -> Map:
    def mapped(scores: Floats) -> Floats:
        s = _inner(scores)
        return _sigmoid(a * np.log(s) - b * np.log1p(-s) + c)

    return Map(mapped)


def _logistic(
    y: NDArray[Any], scores: Floats, columns: Callable[[Floats], tuple[Floats, ...]]
) -> tuple[float, ...] | None:
    """Weights of the columns and the constant, by Newton's method; None of too few rows, or without an end.

    The labels are drawn in by half a row of each class, as Platt does, so that separated classes have an end as well.
    """
    positives = int(np.sum(y))
    if min(positives, len(y) - positives) < FEWEST:
        return None
    target = np.where(y == 1, (positives + 1.0) / (positives + 2.0), 1.0 / (len(y) - positives + 2.0))
    X = np.column_stack([*columns(_inner(scores)), np.ones(len(y))])
    weight = np.ones(len(y))
    if len(y) > 2 * BINS:  # rows of nearly equal score count together
        order = np.argsort(scores, kind="stable")
        starts = np.linspace(0, len(y), BINS, endpoint=False).astype(np.intp)
        weight = np.diff(np.append(starts, len(y))).astype(np.float64)
        X = np.add.reduceat(X[order], starts) / weight[:, None]
        target = np.add.reduceat(target[order], starts) / weight
    at = np.zeros(X.shape[1])
    loss = np.inf
    for _ in range(60):
        z = X @ at
        now = float(weight @ (np.logaddexp(0.0, z) - target * z)) + 1e-6 * float(at @ at)
        p = _sigmoid(z)
        gradient = X.T @ (weight * (p - target)) + 2e-6 * at
        curve = (X.T * (weight * p * (1.0 - p))) @ X + 2e-6 * np.eye(len(at))
        if loss - now <= 1e-10 * abs(now) and np.isfinite(loss):
            return tuple(at.tolist())
        loss = now
        step = np.linalg.solve(curve, gradient)
        scale = 1.0
        while scale > 1e-6:
            z = X @ (at - scale * step)
            if float(weight @ (np.logaddexp(0.0, z) - target * z)) <= now:
                break
            scale /= 2.0
        at = at - scale * step
    return tuple(at.tolist()) if np.isfinite(at).all() else None


def fit_temperature(y: NDArray[Any], scores: Floats) -> Map | None:
    """Every probability to the power 1/T, then made to sum to 1: one temperature for all classes.

    Guo et al., "On calibration of modern neural networks", ICML 2017. None of fewer than `FEWEST` rows.
    """
    if len(y) < FEWEST:
        return None
    logs = np.log(np.maximum(scores, NEAREST))
    own = logs[np.arange(len(y)), y]

    def loss(power: float) -> float:
        return float(np.mean(np.logaddexp.reduce(power * logs, axis=1) - power * own))

    low, high = -2.0, 2.0  # of ln(1 / T); the loss is convex in 1 / T, so it has one valley here
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = loss(float(np.exp(a))), loss(float(np.exp(b)))
    for _ in range(30):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = loss(float(np.exp(a)))
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = loss(float(np.exp(b)))
    power = float(np.exp((low + high) / 2.0))

    def one(p: Floats) -> Floats:
        raised: Floats = np.maximum(p, NEAREST) ** power
        return raised

    return Map(one)


def knots_of(fitted: Callable[[Floats], Floats]) -> Knots:
    """At most `CURVED_KNOTS + EVEN_KNOTS` points of an increasing map of [0, 1], between which it is nearly straight.

    They stand as dense as the root of its curvature, which makes the largest error between them about equal everywhere,
    and a few evenly along the logit, for the small probabilities whose ratio matters.
    """
    edge = np.log(NEAREST) - np.log1p(-NEAREST)
    x = np.unique(np.concatenate([_sigmoid(np.linspace(edge, -edge, 8_001)), np.linspace(0.0, 1.0, 4_001)[1:-1]]))
    level = np.clip(fitted(x), 0.0, 1.0)
    width = np.diff(x)
    bend = np.abs(np.diff(np.diff(level) / width))
    along = np.append(0.0, np.cumsum(np.sqrt(bend * (width[1:] + width[:-1]) / 2.0)))
    spread = np.linspace(0.0, along[-1], CURVED_KNOTS)[1:-1]
    even = _sigmoid(np.linspace(edge, -edge, EVEN_KNOTS))
    places = np.unique(np.append(np.searchsorted(along, spread) + 1, np.searchsorted(x, even)).clip(0, len(x) - 1))
    p = level[places]
    rising = np.append(True, p[1:] > np.maximum.accumulate(p)[:-1])
    return tuple(zip(x[places][rising].tolist(), p[rising].tolist(), strict=True))


def _inner(scores: Floats) -> Floats:
    inner: Floats = np.clip(scores, NEAREST, 1.0 - NEAREST)
    return inner


def _sigmoid(z: Floats) -> Floats:
    with np.errstate(over="ignore"):
        p: Floats = 1.0 / (1.0 + np.exp(-z))
    return p


# Isotonic


def fit_isotonic(y: NDArray[Any], scores: Floats) -> Map | None:
    """The map through `isotonic_knots`."""
    knots = isotonic_knots(y, scores)
    return Map(Calibration(knots).column) if knots else None


def isotonic_knots(y: NDArray[Any], scores: Floats) -> Knots:
    """Centred isotonic regression: P(y = 1 | score) through the centres of the blocks of pooled adjacent violators.

    Strictly increasing between its ends (plain isotonic regression is flat within a block, and so ties what the model
    told apart), at most `MOST_KNOTS` knots, never 0 or 1. Empty with fewer than `FEWEST` rows of either class.
    Oron and Flournoy, "Centered Isotonic Regression", Statistics in Biopharmaceutical Research, 2017.
    """
    from scipy.optimize import isotonic_regression  # scikit-learn's would take a second to load while workers wait

    if min(int(y.sum()), len(y) - int(y.sum())) < FEWEST:
        return ()
    x, place = np.unique(scores, return_inverse=True)
    weight = np.bincount(place).astype(np.float64)
    share = np.bincount(place, weights=y) / weight
    pooled = isotonic_regression(share, weights=weight).x
    block = np.cumsum(np.diff(pooled, prepend=pooled[0]) > 0)
    size = np.bincount(block, weight)
    centre = np.bincount(block, weight * x) / size
    level = np.bincount(block, weight * share) / size
    # a first block without a positive row (a last without a negative) is not proof of impossibility: half a row more
    last = level[-1]
    level[0] = max(level[0], min(0.5 / (size[0] + 1.0), level[1] / 2 if len(level) > 1 else 0.5))
    level[-1] = min(last, max(1.0 - 0.5 / (size[-1] + 1.0), (1.0 + level[-2]) / 2 if len(level) > 1 else 0.5))
    rising = np.append(True, (np.diff(centre) > 0) & (np.diff(level) > 0))
    centre, level, size = centre[rising], level[rising], size[rising]
    if len(centre) > MOST_KNOTS:
        # by number of rows, so that the knots stand where the scores are; the ends stay
        wanted = np.linspace(0.0, size.sum(), MOST_KNOTS)
        kept = np.unique(np.append(np.searchsorted(np.cumsum(size), wanted[:-1]), [0, len(centre) - 1]))
        centre, level = centre[kept], level[kept]
    return _told_apart(tuple(zip(centre.tolist(), level.tolist(), strict=True)))


def _told_apart(knots: Knots) -> Knots:
    """With ends at 0 and 1 that are hardly other than the first and the last knot: what lies beyond them keeps its
    order. Of a rare class half of all rows may lie below the first."""
    (first, low), (last, high) = knots[0], knots[-1]
    below = ((0.0, low * (1.0 - BARELY)),) if first > 0.0 else ()
    above = ((1.0, 1.0 - (1.0 - high) * (1.0 - BARELY)),) if last < 1.0 else ()
    return (*below, *knots, *above)


BINARY: dict[MapName, Fit] = {"platt": fit_platt, "beta": fit_beta, "isotonic": fit_isotonic}
"""The maps of P(positive), simplest first: of equal ones the first is taken."""
SEVERAL: dict[MapName, Fit] = {"temperature": fit_temperature}
