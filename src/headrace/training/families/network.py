"""A few small networks, trained side by side in NumPy: two hidden layers of rectified units, dropout, AdamW.

They differ in what they were drawn from and in which units drop out; the mean of their scores is the answer. The
learning rate rises over the first epoch and falls as a cosine over a number of epochs that depends on the number of
rows alone (fewer where a fit has a time to end), so that stopping earlier learns the very same steps. Rows of a
minibatch are shared, so that the first layer of all members is one matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.training.families.labels import Labels, quantile_of

EPOCHS = 40
FEWEST_EPOCHS = 4
ROWS_IN_ALL = 4_000_000
"""With more than a hundred thousand rows there are fewer epochs, so that about as many are seen."""
_BETA1, _BETA2 = np.float32(0.9), np.float32(0.999)
_PART = 8_192

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the networks are trained."""

    members: int
    units: int
    """Of each hidden layer."""
    learning_rate: float
    decay: float
    """A step takes this times the learning rate off every weight."""
    dropout: float
    epochs: int
    """After which they stop, however long the learning rate would fall."""
    seed: int
    horizon: int | None = None
    """Epochs over which the learning rate falls; None: as many as `horizon` says."""


def horizon(rows: int) -> int:
    """Epochs over which the learning rate falls.

    Examples
    --------
    >>> horizon(1_000), horizon(400_000), horizon(10_000_000)
    (40, 10, 4)
    """
    return max(FEWEST_EPOCHS, min(EPOCHS, ROWS_IN_ALL // max(rows, 1)))


def batch_rows(rows: int) -> int:
    """Rows of a minibatch: small data takes more, smaller steps."""
    return 64 if rows < 2_000 else 128 if rows < 20_000 else 256 if rows < 80_000 else 512


def scores(layers: list[F32], design: F32) -> NDArray[np.float64]:
    """The members' mean, shape (n, k)."""
    first, first_bias, second, second_bias, last, last_bias = layers
    parts = []
    for start in range(0, len(design), _PART):
        hidden = np.maximum(design[start : start + _PART] @ first + first_bias, 0)
        hidden = np.maximum(hidden @ second + second_bias, 0)
        parts.append((hidden @ last + last_bias).mean(axis=0, dtype=np.float64))
    return np.concatenate(parts)


def train(
    rows: Callable[[NDArray[np.intp]], F32],
    own: NDArray[np.float64],
    labels: Labels,
    recipe: Recipe,
    weights: F32 | None,
    check: tuple[F32, NDArray[np.float64], NDArray[np.float64]] | None,
    seconds: float | None = None,
) -> tuple[list[F32], int, int]:
    """Weights and biases, layer by layer, each with the members first; the epochs that they were trained for; and the
    epochs over which the rates fall.

    Parameters
    ----------
    rows : the design of the rows at some positions
    own : shape (n, k): shares of the classes, P(positive), standardised values, or counts by their mean
    check : design, own labels and weights of rows to stop early by: the best epoch's weights are given back
    seconds : with `check`: as many epochs as they are about enough for
    """
    rng = np.random.Generator(np.random.PCG64(recipe.seed))
    n, k = own.shape
    width = rows(np.zeros(1, np.intp)).shape[1]
    layers = _drawn(rng, recipe, width, k)
    layers[5][:] = _prior(own, weights, labels)
    moments = [np.zeros_like(each) for each in layers]
    squares = [np.zeros_like(each) for each in layers]
    target = own.astype(np.float32)
    size = min(batch_rows(n), n)
    steps, total, done = max(1, n // size), recipe.horizon or horizon(n), 0
    best, best_epoch, kept = np.inf, 0, layers
    began, epoch = time.monotonic(), 0
    while epoch < min(recipe.epochs, total):
        epoch += 1
        for places in np.array_split(rng.permutation(n), steps):
            share = done / (total * steps)
            done += 1
            rate = recipe.learning_rate * 0.5 * (1 + np.cos(np.pi * share)) * min(1.0, done / (steps + 5))
            heavy = None if weights is None else weights[places, None]
            gradients = _gradients(rng, layers, rows(places), target[places], heavy, labels, recipe.dropout)
            _step(layers, moments, squares, gradients, rate=rate, done=done, decay=recipe.decay)
        if check is None:
            best_epoch = epoch
            continue
        loss = _loss(scores(layers, check[0]), check[1], check[2], labels)
        if loss < best:
            best, best_epoch, kept = loss, epoch, [each.copy() for each in layers]
        elif epoch - best_epoch > max(3, total * 3 // 10):
            break
        if epoch == 1 and seconds is not None:  # the rates fall over as many epochs as there is time for
            total = min(total, max(int(seconds / max(time.monotonic() - began, 1e-9)), FEWEST_EPOCHS))
    return (layers if check is None or best_epoch == 0 else kept), max(best_epoch, 1), total


def _drawn(rng: np.random.Generator, recipe: Recipe, width: int, k: int) -> list[F32]:
    """First weights: He's, the last layer near 0."""
    layers = []
    for fan_in, out, gain in ((width, recipe.units, 1.0), (recipe.units, recipe.units, 1.0), (recipe.units, k, 0.1)):
        drawn = rng.normal(size=(recipe.members, fan_in, out)) * gain * np.sqrt(2.0 / max(fan_in, 1))
        layers += [drawn.astype(np.float32), np.zeros((recipe.members, 1, out), np.float32)]
    return layers


def _prior(own: NDArray[np.float64], weights: F32 | None, labels: Labels) -> NDArray[np.float64]:
    """The scores of a model that knows the training labels only."""
    if labels.kind == "quantile":
        return np.array(
            [quantile_of(own[:, 0], labels.quantile, None if weights is None else weights.astype(np.float64))]
        )
    if labels.task == "regression":
        return np.zeros(1)
    mean = np.clip(np.average(own, axis=0, weights=weights), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(mean) if labels.task == "multiclass" else np.log(mean / (1 - mean)))


def _gradients(
    rng: np.random.Generator,
    layers: list[F32],
    x: F32,
    target: F32,
    heavy: F32 | None,
    labels: Labels,
    dropout: float,
) -> list[F32]:
    """Of the mean loss of a minibatch, by layer."""
    first, first_bias, second, second_bias, last, last_bias = layers
    lower = np.maximum(x @ first + first_bias, 0)
    lower_mask = _mask(rng, lower, dropout)
    lower *= lower_mask
    upper = np.maximum(lower @ second + second_bias, 0)
    upper_mask = _mask(rng, upper, dropout)
    upper *= upper_mask
    out = upper @ last + last_bias
    match labels.kind if labels.task == "regression" else labels.task:
        case "mean":
            error = 2 * (out - target)
        case "poisson":
            error = np.exp(np.minimum(out, np.float32(labels.highest))) - target
        case "quantile":
            error = (out >= target).astype(np.float32) - np.float32(labels.quantile)
        case "binary":
            error = 1 / (1 + np.exp(-np.clip(out, -60, 60))) - target
        case _:
            shares = np.exp(out - out.max(axis=-1, keepdims=True))
            error = shares / shares.sum(axis=-1, keepdims=True) - target
    if heavy is not None:
        error = error * heavy
    error = error / np.float32(len(x))
    back = (error @ last.transpose(0, 2, 1)) * upper_mask * (upper > 0)
    further = (back @ second.transpose(0, 2, 1)) * lower_mask * (lower > 0)
    return [
        x.T @ further,
        further.sum(axis=1, keepdims=True),
        lower.transpose(0, 2, 1) @ back,
        back.sum(axis=1, keepdims=True),
        upper.transpose(0, 2, 1) @ error,
        error.sum(axis=1, keepdims=True),
    ]


def _mask(rng: np.random.Generator, hidden: F32, dropout: float) -> F32:
    """0 for units that drop out, else what keeps the mean."""
    kept = rng.random(hidden.shape, dtype=np.float32) >= dropout
    return kept.astype(np.float32) * np.float32(1 / (1 - dropout))


def _step(
    layers: list[F32],
    moments: list[F32],
    squares: list[F32],
    gradients: list[F32],
    *,
    rate: float,
    done: int,
    decay: float,
) -> None:
    """One step of AdamW, in place; biases do not decay."""
    first = np.float32(rate / (1 - float(_BETA1) ** done))
    second = np.float32(1 - float(_BETA2) ** done)
    for place, (layer, moment, square, gradient) in enumerate(zip(layers, moments, squares, gradients, strict=True)):
        moment *= _BETA1
        moment += (1 - _BETA1) * gradient
        square *= _BETA2
        square += (1 - _BETA2) * gradient * gradient
        if place % 2 == 0:
            layer *= np.float32(1 - rate * decay)
        layer -= first * moment / (np.sqrt(square / second) + np.float32(1e-8))


def _loss(out: NDArray[np.float64], own: NDArray[np.float64], weights: NDArray[np.float64], labels: Labels) -> float:
    match labels.kind if labels.task == "regression" else labels.task:
        case "mean":
            each = ((out - own) ** 2)[:, 0]
        case "poisson":
            each = (np.exp(np.minimum(out, labels.highest)) - own * out)[:, 0]
        case "quantile":
            each = np.maximum(labels.quantile * (own - out), (labels.quantile - 1.0) * (own - out))[:, 0]
        case "binary":
            each = (np.logaddexp(0, out) - own * out)[:, 0]
        case _:
            out = out - out.max(axis=1, keepdims=True)
            each = np.log(np.exp(out).sum(axis=1)) - (own * out).sum(axis=1)
    return float(np.average(each, weights=weights))
