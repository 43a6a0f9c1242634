"""A multilayer perceptron: a few small networks, trained side by side in NumPy, compiled as one graph.

Numbers and levels are steps between 0 and 1 (`steps.py`); the networks and how they learn are in `network.py`. They err
where trees do not. `epochs` is an upper limit where there are rows to check by; what was found stands in `settled`.

Compiled: a batched matrix product by weights (members, in, out) is one product a row and member, whatever the number of
rows: a row has the same bits alone and in a batch, which a plain product of many rows does not promise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import EVERY, MEAN, Check, Fitted, Params
from headrace.training.families.boosted import boosting_bytes, last_nodes
from headrace.training.families.labels import ABSENT_SCORE, Labels
from headrace.training.families.network import EPOCHS, Recipe, train
from headrace.training.families.steps import Steps
from headrace.training.onnx_ops import model_bytes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MOST_KEPT_BYTES = 256 << 20
"""A design beyond this is made anew for every minibatch."""

_DEFAULT: dict[str, Any] = {
    "epochs": EPOCHS,
    "members": 2,
    "units": 96,
    "bins": 10,
    "learning_rate": 0.005,
    "decay": 0.3,
    "dropout": 0.1,
}


class MLP:
    """`Family` of multilayer perceptrons."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives = EVERY
    compiles = True
    bags = True

    def defaults(self) -> Sequence[Params]:
        """Two networks of 96 units; four wider ones; few steps and much dropout, for noisy labels."""
        return (
            _DEFAULT,
            _DEFAULT | {"members": 4, "units": 128, "learning_rate": 0.004, "dropout": 0.15},
            _DEFAULT | {"units": 64, "bins": 4, "learning_rate": 0.003, "decay": 2.0, "dropout": 0.3},
        )

    def space(self) -> Mapping[str, BaseDistribution]:
        """Epochs, size, steps a number, learning rate, penalties."""
        from optuna.distributions import FloatDistribution, IntDistribution

        return {
            "epochs": IntDistribution(1, EPOCHS),
            "members": IntDistribution(2, 4),
            "units": IntDistribution(32, 192, log=True),
            "bins": IntDistribution(1, 24),
            "learning_rate": FloatDistribution(1e-3, 2e-2, log=True),
            "decay": FloatDistribution(1e-2, 10.0, log=True),
            "dropout": FloatDistribution(0.0, 0.5),
        }

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[Any],
        params: Params,
        *,
        task: Task,
        n_classes: int,
        levels: Sequence[int | None],
        seed: int,
        threads: int,  # noqa: ARG002 - see below
        weights: NDArray[np.float64] | None = None,
        check: Check | None = None,
        objective: Objective = MEAN,
    ) -> Fitted:
        """See `Family.fit`."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        labels = Labels.learn(y, task, n_classes, objective, weights)
        steps = Steps.learn(X, levels, params["bins"])
        if labels.constant or not len(steps):
            return FittedMLP([], steps, labels, dict(params) | {"epochs": 1})
        design = steps.design(steps.rows(X)) if 4 * len(X) * len(steps) <= MOST_KEPT_BYTES else None

        taken = np.empty((0, 0), np.float32)

        def rows(places: NDArray[np.intp]) -> NDArray[np.float32]:
            nonlocal taken
            if design is None:
                return steps.design(steps.rows(X[places]))
            if len(taken) < len(places):
                taken = np.empty((len(places), design.shape[1]), np.float32)
            return np.take(design, places, axis=0, out=taken[: len(places)], mode="clip")  # they are within

        checked = None
        if check is not None and (known := labels.known(check.y)).any():
            heavy_checked = np.ones(int(known.sum())) if check.weights is None else check.weights[known]
            checked = (steps.design(steps.rows(check.X[known])), _own(labels, check.y[known]), heavy_checked)
        recipe = Recipe(
            members=params["members"],
            units=params["units"],
            learning_rate=params["learning_rate"],
            decay=params["decay"],
            dropout=params["dropout"],
            epochs=params["epochs"],
            seed=seed,
            horizon=params.get("horizon"),
            which=params.get("which"),
        )
        heavy = None if weights is None else weights.astype(np.float32)
        # one thread, whatever there are: with more of them wide products add up otherwise, and what is fitted in one
        # piece is to be what is fitted in parts
        with threadpool_limits(1):
            seconds = None if check is None else check.seconds
            layers, epochs, total = train(rows, _own(labels, y), labels, recipe, heavy, checked, seconds)
        if not all(np.isfinite(layer).all() for layer in layers):
            raise FloatingPointError("its weights grew beyond all bounds")
        found = epochs if checked is not None else params["epochs"]
        settled = dict(params) | {"epochs": found} | ({"horizon": total} if seconds is not None else {})
        return FittedMLP(_of_steps(steps, layers, params["members"]), steps, labels, settled)

    def parts(self, params: Params, most: int) -> Sequence[Params]:
        """See `Divides`: each has some of the members."""
        members = np.array_split(np.arange(params["members"]), min(most, params["members"]))
        return [dict(params) | {"which": tuple(each.tolist())} for each in members]

    def joined(self, parts: Sequence[Fitted]) -> Fitted:
        """See `Divides`."""
        own = [part for part in parts if isinstance(part, FittedMLP)]
        settled = {name: value for name, value in own[0].settled.items() if name != "which"}
        layers = [np.concatenate(each) for each in zip(*(part.layers for part in own), strict=True)]
        return FittedMLP(layers, own[0].steps, own[0].labels, settled)

    def restore(self, kept: bytes) -> Fitted:
        """See `Family.restore`."""
        labels, settled, steps, layers = msgspec.msgpack.decode(kept)
        return FittedMLP([_array(each) for each in layers], Steps(*map(_array, steps)), Labels.restore(labels), settled)


def _own(labels: Labels, y: NDArray[Any]) -> NDArray[np.float64]:
    """What the networks learn, shape (n, k)."""
    own = labels.encode(y)
    if labels.task == "multiclass":
        return np.asarray(np.eye(len(labels.present))[own])
    return np.asarray(own, np.float64)[:, None] / (labels.scale if labels.kind == "poisson" else 1.0)


def _of_steps(steps: Steps, layers: list[NDArray[np.float32]], members: int) -> list[NDArray[np.float32]]:
    """The layers with the first one's weights for steps in the place of the design's, and the mean in the last.

    Parameters
    ----------
    members : of the whole model, of which these may be some
    """
    first, shift = steps.of_steps(layers[0].astype(np.float64))
    bias = layers[1].astype(np.float64) + shift[:, None, :]
    return [
        first.astype(np.float32),
        bias.astype(np.float32),
        *(each.copy() for each in layers[2:4]),
        *(each / np.float32(members) for each in layers[4:]),
    ]


@dataclass(frozen=True, slots=True)
class FittedMLP:
    """Trained networks; without layers where there was nothing to learn."""

    layers: list[NDArray[np.float32]]
    """Weights (members, in, out) and biases (members, 1, out), layer by layer; the last adds up to the mean."""
    steps: Steps
    labels: Labels
    settled: Params

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`: in float64."""
        if not self.layers:
            return self.labels.answers(None, len(X))
        weights = [each.astype(np.float64) for each in self.layers]
        parts = []
        for start in range(0, len(X), 8_192):
            hidden = self.steps.rows(X[start : start + 8_192]).astype(np.float64)
            for weight, bias in zip(weights[:4:2], weights[1:4:2], strict=True):
                hidden = np.maximum(hidden @ weight + bias, 0.0)
            parts.append((hidden @ weights[4] + weights[5]).sum(axis=0))
        raw = np.concatenate(parts)
        return self.labels.answers(raw if self.labels.task == "multiclass" else raw[:, 0], len(X))

    def keep(self) -> bytes:
        """See `Fitted.keep`: arrays as bytes."""
        own = self.steps
        steps: list[NDArray[Any]] = [own.fill, own.column, own.start, own.inverse, own.levels, own.wide]
        facts = (self.labels.keep(), dict(self.settled), [_plain(each) for each in steps])
        return msgspec.msgpack.encode((*facts, [_plain(each) for each in self.layers]))

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        from onnx import helper

        labels, width = self.labels, len(self.steps.fill)
        if not self.layers:
            return boosting_bytes([], labels, width)
        nodes, constants = self.steps.nodes("steps")
        nodes.append(helper.make_node("Unsqueeze", ["steps", "axes"], ["layer0"]))  # (n, 1, 1, f)
        constants.append(("axes", np.array([1, 2], np.int64)))
        layers = [*self.layers[:4], *self._last_layer()]
        for place in range(3):
            names = [f"weight{place}", f"bias{place}"]
            constants += zip(names, layers[2 * place : 2 * place + 2], strict=True)
            nodes.append(helper.make_node("MatMul", [f"layer{place}", names[0]], [f"product{place}"]))
            rectified = place < 2
            summed = f"sum{place}" if rectified else "members"
            nodes.append(helper.make_node("Add", [f"product{place}", names[1]], [summed]))
            if rectified:
                nodes.append(helper.make_node("Relu", [summed], [f"layer{place + 1}"]))
        total = ""
        for member in range(len(self.layers[0])):
            constants.append((f"place{member}", np.array(member, np.int64)))
            nodes.append(helper.make_node("Gather", ["members", f"place{member}"], [f"member{member}"], axis=1))
            if total:
                nodes.append(helper.make_node("Add", [total, f"member{member}"], [f"total{member}"]))
            total = f"total{member}" if total else f"member{member}"
        nodes.append(helper.make_node("Flatten", [total], ["scores"], axis=1))
        more, constants_of_last = last_nodes(labels)
        return model_bytes([*nodes, *more], [*constants, *constants_of_last], width=width, outputs=labels.outputs)

    def _last_layer(self) -> list[NDArray[np.float32]]:
        """The last layer with a place for every class."""
        weight, bias = self.layers[4:]
        if self.labels.task != "multiclass":
            return [weight, bias]
        every = np.zeros((*weight.shape[:2], self.labels.n_classes), np.float32)
        level = np.full((len(bias), 1, self.labels.n_classes), ABSENT_SCORE / len(bias), np.float32)
        every[..., self.labels.present], level[..., self.labels.present] = weight, bias
        return [every, level]


def _plain(array: NDArray[Any]) -> tuple[str, list[int], bytes]:
    return array.dtype.str, list(array.shape), array.tobytes()


def _array(kept: tuple[str, list[int], bytes]) -> NDArray[Any]:
    dtype, shape, data = kept
    return np.frombuffer(data, dtype).reshape(shape)
