"""Gradient-boosted trees by LightGBM, compiled to one ONNX tree ensemble.

Categories are integer codes, most frequent first: on flights this was both faster and better than LightGBM's own
categories. `rounds` is an upper limit where there are rows to check by; what was found stands in `settled`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Task
from headrace.training.families import Check, Fitted, Params
from headrace.training.families.ensemble import Tree, sum_of_trees
from headrace.training.onnx_ops import model_bytes

if TYPE_CHECKING:
    from lightgbm import Booster
    from optuna.distributions import BaseDistribution

PATIENCE = 40
"""Rounds without getting better on the checked rows, at a learning rate of 0.1; slower learners get more."""

DEFAULT: dict[str, Any] = {
    "rounds": 300,
    "learning_rate": 0.1,
    "extra_trees": False,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 1.0,
    "bagging_fraction": 1.0,
    "lambda_l1": 1e-8,
    "lambda_l2": 1e-8,
}
_OBJECTIVES: Mapping[Task, str] = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}


class LightGBM:
    """`Family` of LightGBM."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    compiles = True
    bags = True

    def defaults(self) -> Sequence[Params]:
        """LightGBM's own, which is the quickest; slower and regularised; shallow with large leaves (noisy labels,
        drift); with split points drawn at random; deep."""
        first = {"rounds": 600, "feature_fraction": 0.9, "bagging_fraction": 0.9}
        slow = {"rounds": 1500, "learning_rate": 0.03, "feature_fraction": 0.5, "bagging_fraction": 0.8}
        shallow = {"rounds": 1000, "learning_rate": 0.08, "num_leaves": 8, "min_data_in_leaf": 100, "lambda_l2": 10.0}
        deep = {"rounds": 800, "learning_rate": 0.04, "num_leaves": 96, "min_data_in_leaf": 40, "lambda_l2": 1.0}
        drawn = {"extra_trees": True, "rounds": 1500, "learning_rate": 0.06, "num_leaves": 48, "min_data_in_leaf": 10}
        return (
            DEFAULT | first,
            DEFAULT | slow,
            DEFAULT | shallow,
            DEFAULT | drawn,
            DEFAULT | {"feature_fraction": 0.6, "bagging_fraction": 0.8} | deep,
        )

    def space(self) -> Mapping[str, BaseDistribution]:
        """Rounds and learning rate together, shape, sampling, penalties."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        return {
            "rounds": IntDistribution(1, 2000, log=True),
            "learning_rate": FloatDistribution(0.02, 0.2, log=True),
            "extra_trees": CategoricalDistribution([False, True]),
            "num_leaves": IntDistribution(4, 128, log=True),
            "min_data_in_leaf": IntDistribution(5, 400, log=True),
            "feature_fraction": FloatDistribution(0.3, 1.0),
            "bagging_fraction": FloatDistribution(0.5, 1.0),
            "lambda_l1": FloatDistribution(1e-8, 10.0, log=True),
            "lambda_l2": FloatDistribution(1e-8, 30.0, log=True),
        }

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[Any],
        params: Params,
        *,
        task: Task,
        n_classes: int,
        levels: Sequence[int | None],  # noqa: ARG002 - codes are numbers to this family
        seed: int,
        threads: int,
        weights: NDArray[np.float64] | None = None,
        check: Check | None = None,
    ) -> Fitted:
        """See `Family.fit`. Labels of a regression are standardised, so that penalties and float32 sums mean the same
        whatever the label's unit."""
        # By libgomp's default, waiting threads spin: on a machine with other work 225,000 x 25 rows took 11 s instead
        # of 2.6 s. It is read when the library is loaded, so it has to stand before.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import lightgbm

        own = dict(params)
        rounds = own.pop("rounds")
        # ten rows must still be able to split
        own["min_data_in_leaf"] = min(own["min_data_in_leaf"], max(1, len(y) // 20))
        settings = own | {
            "objective": _OBJECTIVES[task],
            "num_threads": threads,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "bagging_freq": 1,
            "verbosity": -1,
        }
        center, scale = 0.0, 1.0
        if task == "multiclass":
            settings["num_class"] = n_classes
        elif task == "regression":
            center, scale = float(np.mean(y)), float(np.std(y)) or 1.0
            y = (y - center) / scale
        data = lightgbm.Dataset(X, y, weight=weights, params=settings)
        if check is None:
            booster = lightgbm.train(settings, data, num_boost_round=rounds)
            return FittedTrees(booster, task, X.shape[1], n_classes, center, scale, dict(params))
        checked = lightgbm.Dataset(check.X, (check.y - center) / scale, weight=check.weights, reference=data)
        patience = int(PATIENCE * max(1.0, (0.1 / own["learning_rate"]) ** 0.5))
        stop = lightgbm.early_stopping(patience, verbose=False)
        booster = lightgbm.train(settings, data, num_boost_round=rounds, valid_sets=[checked], callbacks=[stop])
        best = max(booster.best_iteration, 1)
        return FittedTrees(booster, task, X.shape[1], n_classes, center, scale, {**params, "rounds": best})

    def restore(self, kept: bytes) -> Fitted:
        """See `Family.restore`."""
        import lightgbm

        task, width, n_outputs, center, scale, settled, text = msgspec.msgpack.decode(kept)
        booster = lightgbm.Booster(model_str=text)
        return FittedTrees(booster, task, width, n_outputs, center, scale, settled)


@dataclass(frozen=True, slots=True)
class FittedTrees:
    """A trained booster; of a regression, on the standardised label."""

    booster: Booster
    task: Task
    width: int
    n_outputs: int
    center: float
    scale: float
    settled: Params

    @property
    def text(self) -> str:
        """LightGBM's own form."""
        text: str = self.booster.model_to_string(num_iteration=self.settled["rounds"])
        return text

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        answer = np.asarray(self.booster.predict(X, num_iteration=self.settled["rounds"]), dtype=np.float64)
        return answer * self.scale + self.center if self.task == "regression" else answer

    def keep(self) -> bytes:
        """See `Fitted.keep`: LightGBM's own text, and what is beside it."""
        facts = (self.task, self.width, self.n_outputs, self.center, self.scale, dict(self.settled), self.text)
        return msgspec.msgpack.encode(facts)

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        from onnx import helper

        outputs = self.n_outputs if self.task == "multiclass" else 1
        nodes = sum_of_trees(read_trees(self.text, outputs), outputs, "scores")
        constants: list[tuple[str, NDArray[Any]]] = []
        if self.task == "binary":
            nodes.append(helper.make_node("Sigmoid", ["scores"], ["y"]))
        elif self.task == "multiclass":
            nodes.append(helper.make_node("Softmax", ["scores"], ["y"]))
        else:
            constants = [("scale", np.array([self.scale], np.float32)), ("center", np.array([self.center], np.float32))]
            nodes += [
                helper.make_node("Mul", ["scores", "scale"], ["scaled"]),
                helper.make_node("Add", ["scaled", "center"], ["y"]),
            ]
        return model_bytes(nodes, constants, width=self.width, outputs=outputs)


def read_trees(text: str, n_targets: int) -> list[Tree]:
    """The trees of LightGBM's text form, whose numbers are exact."""
    trees = []
    for number, block in enumerate(text.split("\nTree=")[1:]):
        fields = dict(line.split("=", 1) for line in block.split("\n\n", 1)[0].splitlines() if "=" in line)
        if fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
            raise ValueError("only trees of numeric splits and constant leaves can be compiled")
        splits = {
            name: np.array(fields.get(name, "").split(), np.float64)
            for name in ("split_feature", "threshold", "decision_type", "left_child", "right_child")
        }
        decision = splits["decision_type"].astype(np.int64)
        # a node that saw NaN sends it its default way, any other takes NaN for 0.0 (bits 2-3: missing type; bit 1: way)
        missing_left = np.where((decision >> 2) & 3 == 2, (decision & 2) != 0, splits["threshold"] >= 0.0)
        trees.append(
            Tree(
                feature=splits["split_feature"].astype(np.int64),
                threshold=splits["threshold"],
                missing_left=missing_left,
                left=splits["left_child"].astype(np.int64),
                right=splits["right_child"].astype(np.int64),
                leaf=np.array(fields["leaf_value"].split(), np.float64),
                target=number % n_targets,
            )
        )
    return trees
