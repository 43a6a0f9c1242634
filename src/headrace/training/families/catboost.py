"""Gradient-boosted symmetric trees by CatBoost (`headrace[catboost]`), compiled to ONNX tree ensembles.

All nodes of one depth ask the same question, which regularises: its defaults are the strongest of the boosting
libraries, and slow. A category is its code, a number: CatBoost's own handling of categories learns from labels inside
the library and does not compile to trees; encodings do the same ahead of the model. A missing value is below every
number. `rounds` is an upper limit where there are rows to check by; what was found stands in `settled`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.errors import MissingDependency
from headrace.training.families import EVERY, MEAN, Check, Fitted, Params
from headrace.training.families.boosted import boosting_bytes, patience
from headrace.training.families.ensemble import Tree
from headrace.training.families.labels import Labels, is_log

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_DEFAULT: dict[str, Any] = {
    "rounds": 1000,
    "learning_rate": 0.06,
    "depth": 6,
    "l2": 3.0,
    "random_strength": 1.0,
    "feature_fraction": 1.0,
    "bagging_temperature": 1.0,
}
_LOSSES: Mapping[Task, str] = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}


class CatBoost:
    """`Family` of CatBoost."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives = EVERY
    compiles = True
    bags = True

    def defaults(self) -> Sequence[Params]:
        """Shallow and quick; near CatBoost's own; deep and slow."""
        return (
            _DEFAULT | {"depth": 4, "learning_rate": 0.08, "feature_fraction": 0.7},
            _DEFAULT,
            _DEFAULT | {"depth": 8, "learning_rate": 0.05, "feature_fraction": 0.5, "l2": 6.0},
        )

    def space(self) -> Mapping[str, BaseDistribution]:
        """Rounds and learning rate together, depth, penalty, what is drawn."""
        from optuna.distributions import FloatDistribution, IntDistribution

        return {
            "rounds": IntDistribution(1, 2000, log=True),
            "learning_rate": FloatDistribution(0.02, 0.3, log=True),
            "depth": IntDistribution(2, 9),
            "l2": FloatDistribution(0.1, 100.0, log=True),
            "random_strength": FloatDistribution(0.0, 4.0),
            "feature_fraction": FloatDistribution(0.2, 1.0),
            "bagging_temperature": FloatDistribution(0.0, 2.0),
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
        objective: Objective = MEAN,
    ) -> Fitted:
        """See `Family.fit`. Everything that the library would derive from the number of rows or rounds is set."""
        catboost = _library()
        labels = Labels.learn(y, task, n_classes, objective, weights, log=is_log(params))
        varies = [j for j in range(X.shape[1]) if not _is_constant(X[:, j])]
        if labels.constant or not varies:
            return FittedCatBoost(None, labels, X.shape[1], dict(params) | {"rounds": 1})
        is_value = task == "regression" and not labels.is_exponential

        def pool(X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
            start = np.full(len(y), labels.before) if labels.is_exponential else None
            return catboost.Pool(X, labels.encode(y), weight=weight, baseline=start)

        model = catboost.CatBoost(
            {
                "loss_function": _loss(labels),
                "iterations": params["rounds"],
                "learning_rate": params["learning_rate"],
                "depth": params["depth"],
                "l2_leaf_reg": params["l2"],
                "random_strength": params["random_strength"],
                "rsm": params["feature_fraction"],
                "bootstrap_type": "Bayesian",
                "bagging_temperature": params["bagging_temperature"],
                "boosting_type": "Plain",
                "border_count": 128,
                "leaf_estimation_iterations": 1 if is_value else 5,
                "boost_from_average": is_value,
                "nan_mode": "Min",
                "random_seed": seed,
                "thread_count": threads,
                "allow_writing_files": False,
                "logging_level": "Silent",
            }
        )
        data = pool(X, y, weights)
        settled = dict(params)
        if check is None or not (known := labels.known(check.y)).any():
            model.fit(data)
        else:
            heavy = None if check.weights is None else check.weights[known]
            checked = pool(np.ascontiguousarray(check.X[known]), check.y[known], heavy)
            wait = patience(params["learning_rate"])
            ends = None if check.seconds is None else [_Until(time.monotonic() + check.seconds)]
            model.fit(data, eval_set=checked, use_best_model=True, early_stopping_rounds=wait, callbacks=ends)
            settled["rounds"] = max(1, model.tree_count_)
        return FittedCatBoost(model, labels, X.shape[1], settled)

    def restore(self, kept: bytes) -> Fitted:
        """See `Family.restore`."""
        labels, width, settled, form = msgspec.msgpack.decode(kept)
        model = None if form is None else _library().CatBoost().load_model(blob=form)
        return FittedCatBoost(model, Labels.restore(labels), width, settled)


class _Until:
    """A callback of the library: no further round after an instant of the monotonic clock."""

    def __init__(self, until: float) -> None:
        self._until = until

    def after_iteration(self, _: Any) -> bool:
        return time.monotonic() < self._until


def _loss(labels: Labels) -> str:
    if labels.kind == "quantile":
        return f"Quantile:alpha={labels.quantile!r}"
    return "Poisson" if labels.is_exponential else _LOSSES[labels.task]


def _library() -> Any:
    try:
        import catboost
    except ImportError as error:
        raise MissingDependency("catboost", extra="catboost", needed_for="the model family catboost") from error
    return catboost


def _is_constant(column: NDArray[np.float32]) -> bool:
    missing = np.isnan(column)
    if missing.any():
        return bool(missing.all())
    return bool((column == column[0]).all())


@dataclass(frozen=True, slots=True)
class FittedCatBoost:
    """A trained model; None where there was nothing to learn."""

    model: Any
    labels: Labels
    width: int
    settled: Params

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        if self.model is None:
            return self.labels.answers(None, len(X))
        raw = self.model.predict(np.ascontiguousarray(X), prediction_type="RawFormulaVal", thread_count=1)
        return self.labels.answers(np.asarray(raw, np.float64), len(X))

    def shortened(self, share: float) -> FittedCatBoost:
        """See `Shortens`."""
        rounds = max(1, round(self.settled["rounds"] * share))
        model = None if self.model is None else self.model.copy()
        if model is not None and rounds < model.tree_count_:
            model.shrink(rounds)
        return replace(self, model=model, settled={**self.settled, "rounds": rounds})

    @property
    def explained_by(self) -> Literal["tree", "linear"]:
        """See `headrace.training.effects.Explains`."""
        return "tree"

    def contributions(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `headrace.training.effects.Explains`."""
        if self.model is None:
            return self.labels.parts(None, len(X), self.width)
        rows = _library().Pool(np.ascontiguousarray(X))
        raw = self.model.get_feature_importance(rows, type="ShapValues", thread_count=1)
        return self.labels.parts(np.asarray(raw, np.float64), len(X), self.width)

    def keep(self) -> bytes:
        """See `Fitted.keep`: CatBoost's own binary form, and what is beside it."""
        form = None if self.model is None else _saved(self.model, "cbm")
        return msgspec.msgpack.encode((self.labels.keep(), self.width, dict(self.settled), form))

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        trees = [] if self.model is None else _read_trees(self.model, self.labels)
        return boosting_bytes(trees, self.labels, self.width)


def _saved(model: Any, form: str) -> bytes:
    """CatBoost writes to files only."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        file = Path(folder) / "model"
        model.save_model(str(file), format=form)
        return file.read_bytes()


def _read_trees(model: Any, labels: Labels) -> list[Tree]:
    """The trees of CatBoost's JSON form, whose numbers are exact."""
    form = json.loads(_saved(model, "json"))
    scale, bias = form["scale_and_bias"]
    columns = {f["feature_index"]: f["flat_feature_index"] for f in form["features_info"]["float_features"]}
    targets = labels.targets()
    trees = []
    for number, each in enumerate(form["oblivious_trees"]):
        splits = [(columns[s["float_feature_index"]], float(s["border"])) for s in each["splits"] or ()]
        answers = np.array(each["leaf_values"]).reshape(2 ** len(splits), len(targets)) * scale
        if number == 0:
            answers = answers + np.asarray(bias)
        leaf = answers
        if labels.task == "multiclass":
            leaf = np.zeros((len(answers), labels.n_classes))
            leaf[:, targets] = answers
        trees.append(symmetric_tree(splits, leaf))
    return trees


def symmetric_tree(splits: Sequence[tuple[int, float]], leaf: NDArray[np.float64]) -> Tree:
    """The binary tree that asks `x > border` of every split, without the questions whose answer does not matter.

    Parameters
    ----------
    splits : (column, border); NaN is not greater than a border
    leaf : shape (2 ** s, t): the answer's place has bit i set where x is greater in split i
    """
    feature: list[int] = []
    threshold: list[float] = []
    left: list[int] = []
    right: list[int] = []
    leaves: list[NDArray[np.float64]] = []
    known: dict[int, tuple[float, float]] = {}

    def grow(level: int, place: int) -> int:
        """The node of `place`, whose first `level` bits are found; a leaf c as ~c."""
        while level < len(splits):
            column, border = splits[level]
            above, below = known.get(column, (-np.inf, np.inf))
            if border <= above:  # it is greater than a larger border
                place |= 1 << level
            elif border < below:
                break
            level += 1
        if level == len(splits):
            leaves.append(leaf[place])
            return ~(len(leaves) - 1)
        node, column, border = len(feature), *splits[level]
        before = known.get(column, (-np.inf, np.inf))
        feature.append(column)
        threshold.append(border)
        left.append(0)
        right.append(0)
        n_leaves = len(leaves)
        known[column] = (before[0], border)
        lower = grow(level + 1, place)
        known[column] = (border, before[1])
        upper = grow(level + 1, place | 1 << level)
        known[column] = before
        if lower < 0 and upper < 0 and np.array_equal(leaves[~lower], leaves[~upper]):
            for each in (feature, threshold, left, right, leaves):
                each.pop()
            assert len(leaves) == n_leaves + 1
            return ~n_leaves
        left[node], right[node] = lower, upper
        return node

    grow(0, 0)
    answers = np.array(leaves)
    return Tree(
        feature=np.array(feature, np.int64),
        threshold=np.array(threshold, np.float64),
        missing_left=np.ones(len(feature), np.bool_),
        left=np.array(left, np.int64),
        right=np.array(right, np.int64),
        leaf=answers[:, 0] if answers.shape[1] == 1 else answers,
    )
