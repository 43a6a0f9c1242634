"""A few small networks, trained side by side in NumPy: two hidden layers of rectified units, dropout, AdamW.

They differ in what they were drawn from and in which units drop out; the mean of their scores is the answer. Each has
a generator of its own for both, so that where they stop is known they learn the same apart as side by side. The
learning rate rises over the first epoch and falls as a cosine over a number of epochs that depends on the number of
rows alone (fewer where a fit has a time to end), so that stopping earlier learns the very same steps. Members share
the rows of a minibatch.

What is not a matrix product is kept small beside them: dropout draws a byte a unit and scales weights in the place of
units, and all weights are one vector for AdamW.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.training.families.labels import Labels, quantile_of

EPOCHS = 40
FEWEST_EPOCHS = 4
ROWS_IN_ALL = 4_000_000
"""With more than a hundred thousand rows there are fewer epochs, so that about as many are seen."""
_BETA1, _BETA2 = 0.9, 0.999
_EPSILON = 1e-8
_PART = 8_192
_BYTES = 256

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
    which: tuple[int, ...] | None = None
    """The members that are trained here; None: all."""


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
    rows : the design of the rows at some positions; it may be written over by the next
    own : shape (n, k): shares of the classes, P(positive), standardised values, or counts by their mean
    check : design, own labels and weights of rows to stop early by: the best epoch's weights are given back
    seconds : with `check`: as many epochs as they are about enough for
    """
    rng = np.random.Generator(np.random.PCG64(recipe.seed))
    which = range(recipe.members) if recipe.which is None else recipe.which
    members = [np.random.Generator(np.random.PCG64([recipe.seed, member])) for member in which]
    n, k = own.shape
    width = rows(np.zeros(1, np.intp)).shape[1]
    drawn = _drawn(members, recipe, width, k)
    drawn[5][:] = _prior(own, weights, labels)
    adam = _AdamW.of(drawn, recipe)
    layers = adam.layers
    target = own.astype(np.float32)
    size = min(batch_rows(n), n)
    steps, total, done = max(1, n // size), recipe.horizon or horizon(n), 0
    rooms = {
        each: np.empty((4, len(members), each, recipe.units), np.float32)
        for each in {len(part) for part in np.array_split(np.arange(n), steps)}
    }
    best, best_epoch, kept = np.inf, 0, layers
    began, epoch = time.monotonic(), 0
    while epoch < min(recipe.epochs, total):
        epoch += 1
        for places in np.array_split(rng.permutation(n), steps):
            share = done / (total * steps)
            done += 1
            rate = recipe.learning_rate * 0.5 * (1 + np.cos(np.pi * share)) * min(1.0, done / (steps + 5))
            heavy = None if weights is None else weights[places, None]
            x, room = rows(places), rooms[len(places)]
            _put_gradients(adam.gradients, room, members, layers, x, target[places], heavy, labels, recipe.dropout)
            adam.step(rate, done)
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


def _drawn(members: Sequence[np.random.Generator], recipe: Recipe, width: int, k: int) -> list[F32]:
    """First weights: He's, the last layer near 0."""
    layers = []
    for fan_in, out, gain in ((width, recipe.units, 1.0), (recipe.units, recipe.units, 1.0), (recipe.units, k, 0.1)):
        drawn = np.stack([rng.normal(size=(fan_in, out)) for rng in members])
        layers += [(drawn * gain * np.sqrt(2.0 / max(fan_in, 1))).astype(np.float32)]
        layers += [np.zeros((len(members), 1, out), np.float32)]
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


@dataclass(frozen=True, slots=True)
class _AdamW:
    """Weights, and what a step of AdamW needs: vectors, and layer by layer what is seen of two of them.

    Weights come before biases, which do not decay. Moments are sums and not means (of g and g² by the powers of beta):
    the factors are taken into the rate and epsilon.
    """

    weights: F32
    gradient: F32
    moments: F32
    squares: F32
    layers: list[F32]
    gradients: list[F32]
    decaying: int
    """How many of the weights, the first ones."""
    decay: float

    @classmethod
    def of(cls, drawn: Sequence[F32], recipe: Recipe) -> _AdamW:
        """All of them one after the other."""
        total = sum(each.size for each in drawn)
        weights, gradient = np.empty(total, np.float32), np.empty(total, np.float32)
        seen: dict[int, tuple[F32, F32]] = {}
        at = 0
        for place in (0, 2, 4, 1, 3, 5):
            layer = drawn[place]
            part = slice(at, at + layer.size)
            seen[place] = (weights[part].reshape(layer.shape), gradient[part].reshape(layer.shape))
            seen[place][0][:] = layer
            at += layer.size
        return cls(
            weights=weights,
            gradient=gradient,
            moments=np.zeros(total, np.float32),
            squares=np.zeros(total, np.float32),
            layers=[seen[place][0] for place in range(6)],
            gradients=[seen[place][1] for place in range(6)],
            decaying=sum(each.size for each in drawn[::2]),
            decay=recipe.decay,
        )

    def step(self, rate: float, done: int) -> None:
        """One step, the `done`th, by the gradient, which is spent."""
        root = np.sqrt((1 - _BETA2) / (1 - _BETA2**done))
        by = np.float32(rate * (1 - _BETA1) / ((1 - _BETA1**done) * root))
        epsilon, kept = np.float32(_EPSILON / root), np.float32(1 - rate * self.decay)
        gradient, moments, squares = self.gradient, self.moments, self.squares
        moments *= np.float32(_BETA1)
        moments += gradient
        gradient *= gradient
        squares *= np.float32(_BETA2)
        squares += gradient
        np.sqrt(squares, out=gradient)
        gradient += epsilon
        np.divide(moments, gradient, out=gradient)
        gradient *= by
        self.weights[: self.decaying] *= kept
        np.subtract(self.weights, gradient, out=self.weights)


def _put_gradients(
    into: Sequence[F32],
    room: F32,
    members: Sequence[np.random.Generator],
    layers: Sequence[F32],
    x: F32,
    target: F32,
    heavy: F32 | None,
    labels: Labels,
    dropout: float,
) -> None:
    """Of the mean loss of a minibatch, by layer.

    Parameters
    ----------
    room : shape (4, members, rows, units), written over: memory that is new costs as much as what is done in it
    """
    lower, upper, back, further = room
    first, first_bias, second, second_bias, last, last_bias = layers
    dropped = min(round(dropout * _BYTES), _BYTES - 1)
    masks = _masks(members, (2, len(x), first.shape[-1]), dropped)
    scale = np.float32(_BYTES / (_BYTES - dropped))
    if dropped:  # what is left counts for what is not: weights are scaled, which are fewer than units times rows
        second, last = second * scale, last * scale
    np.matmul(x, first, out=lower)
    lower += first_bias
    np.maximum(lower, 0, out=lower)
    if masks is not None:
        lower *= masks[:, 0]
    np.matmul(lower, second, out=upper)
    upper += second_bias
    np.maximum(upper, 0, out=upper)
    if masks is not None:
        upper *= masks[:, 1]
    out = upper @ last + last_bias
    error: NDArray[Any]
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
    error = np.asarray(error / np.float32(len(x)), out.dtype)
    across = last.transpose(0, 2, 1)
    (np.multiply if error.shape[-1] == 1 else np.matmul)(error, across, out=back)
    back *= upper > 0  # a unit that dropped out is 0 too
    np.matmul(back, second.transpose(0, 2, 1), out=further)
    further *= lower > 0
    np.matmul(x.T, further, out=into[0])
    further.sum(axis=1, keepdims=True, out=into[1])
    np.matmul(lower.transpose(0, 2, 1), back, out=into[2])
    back.sum(axis=1, keepdims=True, out=into[3])
    np.matmul(upper.transpose(0, 2, 1), error, out=into[4])
    error.sum(axis=1, keepdims=True, out=into[5])
    if dropped:
        into[2][:] *= scale
        into[4][:] *= scale


def _masks(members: Sequence[np.random.Generator], shape: tuple[int, ...], dropped: int) -> NDArray[np.bool_] | None:
    """Which units stay of each member where so many of 256 drop out; None: all."""
    if not dropped:
        return None
    size = math.prod(shape)
    drawn = np.empty((len(members), -(-size // 8)), np.uint64)
    for row, rng in zip(drawn, members, strict=True):
        row[:] = rng.bit_generator.random_raw(drawn.shape[1])
    return (drawn.view(np.uint8)[:, :size] >= dropped).reshape(len(members), *shape)


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
