"""Networks: the suite, the steps that they see, and the gradients that they follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.definition.model import Task
from headrace.scoring.graph import Graph
from headrace.testing.families import LEVELS, FamilySuite, family_rows
from headrace.training.families import Family, network
from headrace.training.families.labels import Labels
from headrace.training.families.linear import Linear
from headrace.training.families.mlp import MLP
from headrace.training.families.steps import MOST_LEVELS, MOST_STEPS, REACH, Steps
from headrace.training.onnx_ops import model_bytes


class TestMLP(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return MLP()

    @pytest.mark.parametrize("members", [2, 3, 4])
    @pytest.mark.parametrize("width", [1, 3, 40])
    def test_many_rows_of_any_width_have_the_bits_of_a_row_alone(self, members: int, width: int) -> None:
        rng = np.random.default_rng(width)
        X = rng.normal(size=(900, width)).astype(np.float32)
        y = X.sum(axis=1) + rng.normal(size=len(X))
        params = dict(MLP().defaults()[0]) | {"members": members, "units": 37, "epochs": 1}
        fitted = MLP().fit(X, y, params, task="regression", n_classes=0, levels=[None] * width, seed=0, threads=1)
        graph = Graph(fitted.to_onnx())
        alone = np.array([graph.row(row.tobytes())[0] for row in X])
        for size in (2, 5, 64, 900):
            together = np.concatenate([graph.raw(X[start : start + size]) for start in range(0, len(X), size)])
            np.testing.assert_array_equal(together, alone)

    def test_it_learns_what_depends_on_two_columns_together(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(1_500, 3)).astype(np.float32)
        y = ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(np.int64)
        right = {}
        for family in (MLP(), Linear()):
            fitted = family.fit(
                X, y, family.defaults()[0], task="binary", n_classes=2, levels=[None] * 3, seed=0, threads=1
            )
            right[type(family)] = np.mean((fitted.predict(X) > 0.5) == y)
        assert right[MLP] > 0.95
        assert right[Linear] < 0.6

    def test_a_design_too_large_to_keep_is_made_for_every_minibatch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = self.fit(MLP(), "binary", n=500)
        monkeypatch.setattr("headrace.training.families.mlp.MOST_KEPT_BYTES", 0)
        assert self.fit(MLP(), "binary", n=500).to_onnx() == kept.to_onnx()


@given(seed=st.integers(0, 1 << 20), bins=st.integers(0, 12))
def test_weights_of_the_steps_give_what_weights_of_the_design_give(seed: int, bins: int) -> None:
    X, _ = family_rows(80, "binary", seed=seed)
    steps = Steps.learn(X, LEVELS, bins)
    rows = steps.rows(X)
    assert ((rows >= 0) & (rows <= 1)).all()
    weights = np.random.default_rng(seed).normal(size=(2, len(steps), 3))
    own, shift = steps.of_steps(weights)
    design = steps.design(rows).astype(np.float64)
    np.testing.assert_allclose(rows.astype(np.float64) @ own + shift[:, None], design @ weights, atol=1e-5)


def test_a_graph_takes_the_very_same_steps() -> None:
    X, _ = family_rows(1_000, "binary", seed=1)
    steps = Steps.learn(X, LEVELS, 8)
    asked, _ = family_rows(1_000, "binary", seed=2, unseen=True)
    graph = Graph(model_bytes(*steps.nodes("y"), width=X.shape[1], outputs=len(steps)))
    np.testing.assert_array_equal(graph.raw(asked), steps.rows(asked))


def test_what_is_learnt_from_says_levels_one_by_one_and_keeps_numbers_within_reach() -> None:
    number = np.array([-3e38, 0.0, 1.0, 2.0, 3.0, 4.0, np.nan, 3e38], np.float32)
    code = np.array([0, 1, 2, 3, 0, 1, np.nan, 3], np.float32)
    steps = Steps.learn(np.column_stack([number, code]), [None, 3], 0)
    design = steps.design(steps.rows(np.column_stack([number, code])))
    there, wide, *levels = design.T
    assert there.tolist() == [1, 1, 1, 1, 1, 1, 0, 1]
    assert wide[[0, 6, 7]].tolist() == [-REACH, 0.0, REACH]
    np.testing.assert_array_equal(np.argmax(levels, axis=0)[:6], code[:6])
    assert np.sum(levels, axis=0).tolist() == [1, 1, 1, 1, 1, 1, 0, 1]


def test_steps_are_bounded_in_number() -> None:
    X = np.random.default_rng(0).normal(size=(50, 3_000)).astype(np.float32)
    assert len(Steps.learn(X, [None] * 3_000, 24)) <= MOST_STEPS
    many = np.arange(500, dtype=np.float32)[:, None]
    assert len(Steps.learn(many, [500], 24)) == MOST_LEVELS + 1


def _generators() -> list[np.random.Generator]:
    return [np.random.default_rng(8), np.random.default_rng(9)]


@pytest.mark.parametrize("most", [1, 2, 3, 9])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_members_that_are_fitted_apart_are_the_model_of_one_piece(task: Task, most: int) -> None:
    X, y = family_rows(300, task, seed=4)
    params = dict(MLP().defaults()[0]) | {"members": 3, "epochs": 2, "units": 8}
    asked: dict[str, Any] = {"task": task, "n_classes": int(y.max()) + 1 if task == "multiclass" else 2}
    asked |= {"levels": LEVELS, "seed": 1, "threads": 1, "weights": np.linspace(0.5, 2.0, len(y))}
    whole = MLP().fit(X, y, params, **asked)
    parts = [MLP().fit(X, y, part, **asked) for part in MLP().parts(params, most)]
    assert len(parts) == min(most, 3)
    joined = MLP().joined([MLP().restore(part.keep()) for part in parts])
    assert joined.settled == whole.settled
    assert joined.to_onnx() == whole.to_onnx()
    assert parts[0].to_onnx() != whole.to_onnx() or most == 1


def test_threads_change_no_bit_of_a_wide_design() -> None:
    """From about 600 steps on a product adds up otherwise with two threads."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(600, 80)).astype(np.float32)
    y = X.sum(axis=1)
    params = dict(MLP().defaults()[0]) | {"epochs": 1, "units": 64}
    asked: dict[str, Any] = {"task": "regression", "n_classes": 0, "levels": (None,) * X.shape[1], "seed": 0}
    one, two = (MLP().fit(X, y, params, threads=threads, **asked) for threads in (1, 2))
    assert one.to_onnx() == two.to_onnx()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_gradients_are_those_of_the_loss(task: Task, dropout: float) -> None:
    """Against differences of the loss of the units that stay, in float64."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(7, 5))
    y = {"binary": rng.integers(0, 2, 7), "multiclass": np.arange(7) % 3, "regression": rng.normal(size=7)}[task]
    labels = Labels.learn(y, task, 3)
    own = np.eye(3)[y] if task == "multiclass" else np.asarray(labels.encode(y), np.float64)[:, None]
    k = own.shape[1]
    shapes = [(2, 5, 4), (2, 1, 4), (2, 4, 4), (2, 1, 4), (2, 4, k), (2, 1, k)]
    layers: list[NDArray[np.float64]] = [rng.normal(size=shape) for shape in shapes]
    drops = round(dropout * 256)
    masks = network._masks(_generators(), (2, 7, 4), drops)
    lower, upper = np.ones((2, 2, 7, 4)) if masks is None else masks.swapaxes(0, 1) * (256 / (256 - drops))
    assert masks is None or 0 < masks.sum() < masks.size

    def loss() -> float:
        first, first_bias, second, second_bias, last, last_bias = layers
        hidden = np.maximum(x @ first + first_bias, 0) * lower
        hidden = np.maximum(hidden @ second + second_bias, 0) * upper
        return sum(network._loss(member, own, np.ones(7), labels) for member in hidden @ last + last_bias)

    found = [np.empty(shape) for shape in shapes]
    put: Any = network._put_gradients  # in float64
    put(found, np.empty((4, 2, 7, 4)), _generators(), layers, x, own, None, labels, dropout)
    for layer, gradient in zip(layers, found, strict=True):
        for place in list(np.ndindex(layer.shape))[::3]:
            before = layer[place]
            layer[place] = before + 1e-6
            above = loss()
            layer[place] = before - 1e-6
            below = loss()
            layer[place] = before
            assert (above - below) / 2e-6 == pytest.approx(gradient[place], rel=1e-3, abs=1e-6)


def test_steps_are_those_of_adamw_and_biases_do_not_decay() -> None:
    """Against the method as it is written down (Loshchilov and Hutter 2019), in float64."""
    rng = np.random.default_rng(5)
    recipe = network.Recipe(members=2, units=96, learning_rate=0.01, decay=0.3, dropout=0.0, epochs=1, seed=0)
    shapes = [(2, 90, 96), (2, 1, 96), (2, 96, 96), (2, 1, 96), (2, 96, 1), (2, 1, 1)]
    drawn = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    adam = network._AdamW.of(drawn, recipe)
    wanted = [each.astype(np.float64) for each in drawn]
    moments, squares = [np.zeros(shape) for shape in shapes], [np.zeros(shape) for shape in shapes]
    for done in range(1, 6):
        for place, shape in enumerate(shapes):
            gradient = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 1)
            adam.gradients[place][:] = gradient
            moments[place] = 0.9 * moments[place] + 0.1 * gradient
            squares[place] = 0.999 * squares[place] + 0.001 * gradient**2
            if place % 2 == 0:
                wanted[place] *= 1 - 0.01 * 0.3
            mean, spread = moments[place] / (1 - 0.9**done), np.sqrt(squares[place] / (1 - 0.999**done))
            wanted[place] -= 0.01 * mean / (spread + 1e-8)
        adam.step(0.01, done)
    for layer, value in zip(adam.layers, wanted, strict=True):
        np.testing.assert_allclose(layer, value, rtol=2e-5, atol=2e-6)
