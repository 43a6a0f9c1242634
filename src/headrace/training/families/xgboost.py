"""Gradient-boosted trees by XGBoost (`headrace[xgboost]`), compiled to ONNX tree ensembles.

Histograms of 256 bins; a category is its code, a number; a missing value goes the better way at every split, and the
usual way where training had none. `rounds` is an upper limit where there are rows to check by; what was found stands
in `settled`. Each model starts from the training rows' own prior, which is ours, outside the library.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.errors import MissingDependency
from headrace.training.families import EVERY, MEAN, Check, Fitted, Params
from headrace.training.families.boosted import boosting_bytes, patience
from headrace.training.families.ensemble import TOGETHER, Tree
from headrace.training.families.labels import Labels, is_log, quantile_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_DEFAULT: dict[str, Any] = {
    "rounds": 1000,
    "learning_rate": 0.05,
    "max_depth": 6,
    "max_leaves": 0,
    "min_child_weight": 1.0,
    "subsample": 0.9,
    "colsample_bytree": 0.8,
    "l1": 1e-8,
    "l2": 1.0,
}
_OBJECTIVES: Mapping[Task, tuple[str, str]] = {
    "binary": ("binary:logistic", "logloss"),
    "multiclass": ("multi:softprob", "mlogloss"),
    "regression": ("reg:squarederror", "rmse"),
}
_VALUES: Mapping[str, tuple[str, str]] = {
    "poisson": ("count:poisson", "poisson-nloglik"),
    "quantile": ("reg:quantileerror", "quantile"),
}


class XGBoost:
    """`Family` of XGBoost."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives = EVERY
    compiles = True
    bags = True

    def defaults(self) -> Sequence[Params]:
        """Shallow and penalised; trees of depth 6, slower; trees that grow where it pays most."""
        return (
            _DEFAULT | {"max_depth": 3, "learning_rate": 0.08, "colsample_bytree": 0.6, "l2": 5.0},
            _DEFAULT,
            _DEFAULT
            | {"max_depth": 12, "max_leaves": 48, "learning_rate": 0.04, "min_child_weight": 4.0}
            | {"colsample_bytree": 0.6, "subsample": 0.8, "l2": 3.0},
        )

    def space(self) -> Mapping[str, BaseDistribution]:
        """Rounds and learning rate together, shape (`max_leaves` 0: level by level), sampling, penalties."""
        from optuna.distributions import FloatDistribution, IntDistribution

        return {
            "rounds": IntDistribution(1, 2000, log=True),
            "learning_rate": FloatDistribution(0.02, 0.3, log=True),
            "max_depth": IntDistribution(2, 12),
            "max_leaves": IntDistribution(0, 128),
            "min_child_weight": FloatDistribution(0.01, 100.0, log=True),
            "subsample": FloatDistribution(0.5, 1.0),
            "colsample_bytree": FloatDistribution(0.2, 1.0),
            "l1": FloatDistribution(1e-8, 10.0, log=True),
            "l2": FloatDistribution(1e-3, 100.0, log=True),
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
        """See `Family.fit`."""
        labels = Labels.learn(y, task, n_classes, objective, weights, log=is_log(params))
        if labels.constant:
            return FittedXGBoost(None, labels, np.zeros(0), X.shape[1], dict(params) | {"rounds": 1})
        library = _library()
        loss, metric = _VALUES.get("poisson" if labels.is_exponential else labels.kind, _OBJECTIVES[task])
        settings = {
            "objective": loss,
            "eval_metric": metric,
            "base_score": 0.5 if task != "regression" else 1.0 if labels.is_exponential else 0.0,
            "tree_method": "hist",
            "max_bin": 256,
            "grow_policy": "lossguide" if params["max_leaves"] else "depthwise",
            "learning_rate": params["learning_rate"],
            "max_depth": params["max_depth"],
            "max_leaves": max(params["max_leaves"], 2) if params["max_leaves"] else 0,
            # ten rows must still be able to split
            "min_child_weight": min(params["min_child_weight"], max(0.1, len(y) / 80)),
            "subsample": params["subsample"],
            "colsample_bytree": params["colsample_bytree"],
            "alpha": params["l1"],
            "lambda": params["l2"],
            "seed": seed,
            "nthread": threads,
            "verbosity": 0,
        }
        if task == "multiclass":
            settings["num_class"] = len(labels.present)
        elif labels.kind == "quantile":
            settings["quantile_alpha"] = labels.quantile
        own = labels.encode(y)
        prior = _prior(own, weights, labels)

        def margin(rows: int) -> NDArray[np.float64]:
            return np.tile(prior, (rows, 1)) if task == "multiclass" else np.tile(prior + labels.before, rows)

        data = library.QuantileDMatrix(X, own, weight=weights, base_margin=margin(len(y)), max_bin=256, nthread=threads)
        settled = dict(params)
        if check is None or not (known := labels.known(check.y)).any():
            booster = library.train(settings, data, num_boost_round=params["rounds"])
        else:
            checked = library.DMatrix(
                check.X[known],
                labels.encode(check.y[known]),
                weight=None if check.weights is None else check.weights[known],
                base_margin=margin(int(known.sum())),
                nthread=threads,
            )
            stop = [library.callback.EarlyStopping(rounds=patience(params["learning_rate"]))]
            if check.seconds is not None:  # after the other, which has to have seen the last round
                stop.append(_until(library, time.monotonic() + check.seconds))
            booster = library.train(
                settings,
                data,
                num_boost_round=params["rounds"],
                evals=[(checked, "check")],
                callbacks=stop,
                verbose_eval=False,
            )
            settled["rounds"] = booster.best_iteration + 1
            booster = booster[: settled["rounds"]]
        return FittedXGBoost(booster, labels, prior, X.shape[1], settled)

    def restore(self, kept: bytes) -> Fitted:
        """See `Family.restore`."""
        labels, prior, width, settled, form = msgspec.msgpack.decode(kept)
        booster = None
        if form is not None:
            booster = _library().Booster()
            booster.load_model(bytearray(form))
        return FittedXGBoost(booster, Labels.restore(labels), np.array(prior), width, settled)


def _library() -> Any:
    # see lightgbm.py: read when the library is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import xgboost
    except ImportError as error:
        raise MissingDependency("xgboost", extra="xgboost", needed_for="the model family xgboost") from error
    return xgboost


def _prior(own: NDArray[Any], weights: NDArray[np.float64] | None, labels: Labels) -> NDArray[np.float64]:
    """What a model without trees answers, as a score: shape (present,) for classes, else (1,)."""
    if labels.kind == "quantile":
        return np.array([quantile_of(own, labels.quantile, weights)])
    if labels.task == "regression":
        return np.zeros(1)
    shares = np.bincount(own, weights, minlength=len(labels.present)) / (len(own) if weights is None else weights.sum())
    logs = np.log(shares)
    return logs if labels.task == "multiclass" else logs[1:] - logs[:1]


def _until(library: Any, until: float) -> Any:
    """A callback of the library: no further round after an instant of the monotonic clock."""

    class Until(library.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, *_: Any) -> bool:
            return time.monotonic() >= until

    return Until()


@dataclass(frozen=True, slots=True)
class FittedXGBoost:
    """A trained booster; None where there was nothing to learn."""

    booster: Any
    labels: Labels
    prior: NDArray[np.float64]
    width: int
    settled: Params

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`: the library's float32 sums of `TOGETHER` rounds at a time, added up in float64."""
        if self.booster is None:
            return self.labels.answers(None, len(X))
        self.booster.set_param({"nthread": 1})
        base = 0.5 if self.labels.task == "multiclass" else 0.0  # the library's base score, as a margin
        raw: NDArray[np.float64] = np.tile(self.prior, (len(X), 1))
        for start in range(0, self.settled["rounds"], TOGETHER):
            end = min(start + TOGETHER, self.settled["rounds"])
            part = self.booster.inplace_predict(X, iteration_range=(start, end), predict_type="margin")
            raw += part.reshape(len(X), -1).astype(np.float64) - base
        return self.labels.answers(raw if self.labels.task == "multiclass" else raw[:, 0], len(X))

    def shortened(self, share: float) -> FittedXGBoost:
        """See `Shortens`."""
        rounds = max(1, round(self.settled["rounds"] * share))
        booster = None if self.booster is None else self.booster[:rounds]
        return replace(self, booster=booster, settled={**self.settled, "rounds": rounds})

    @property
    def explained_by(self) -> Literal["tree", "linear"]:
        """See `headrace.training.effects.Explains`."""
        return "tree"

    def contributions(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `headrace.training.effects.Explains`."""
        if self.booster is None:
            return self.labels.parts(None, len(X), self.width)
        rows = _library().DMatrix(X, nthread=1)
        raw = self.booster.predict(rows, pred_contribs=True).astype(np.float64).reshape(len(X), -1, self.width + 1)
        raw[:, :, -1] += self.prior - (0.5 if self.labels.task == "multiclass" else 0.0)  # see `predict`
        return self.labels.parts(raw, len(X), self.width)

    def keep(self) -> bytes:
        """See `Fitted.keep`: XGBoost's own JSON, and what is beside it."""
        form = None if self.booster is None else bytes(self.booster.save_raw("json"))
        facts = (self.labels.keep(), self.prior.tolist(), self.width, dict(self.settled), form)
        return msgspec.msgpack.encode(facts)

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        if self.booster is None:
            return boosting_bytes([], self.labels, self.width)
        targets = self.labels.targets()
        prior = [_leaf_alone(score, target) for score, target in zip(self.prior.tolist(), targets, strict=True)]
        return boosting_bytes([*prior, *_read_trees(self.booster, targets)], self.labels, self.width)


def _leaf_alone(score: float, target: int) -> Tree:
    empty = np.empty(0, np.int64)
    return Tree(empty, empty.astype(np.float64), empty.astype(np.bool_), empty, empty, np.array([score]), target)


def _read_trees(booster: Any, targets: Sequence[int]) -> list[Tree]:
    """The trees of XGBoost's JSON form. It asks `x < split`, in float32: the same as `x <=` the float32 before."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    trees = []
    for form, group in zip(model["trees"], model["tree_info"], strict=True):
        if any(form["split_type"]):
            raise ValueError("only trees of numeric splits can be compiled")
        left, right = np.array(form["left_children"]), np.array(form["right_children"])
        inner, leaves = np.flatnonzero(left >= 0), np.flatnonzero(left < 0)
        name = np.empty(len(left), np.int64)
        name[inner], name[leaves] = np.arange(len(inner)), ~np.arange(len(leaves))
        conditions = np.array(form["split_conditions"], np.float32)
        trees.append(
            Tree(
                feature=np.array(form["split_indices"], np.int64)[inner],
                threshold=np.nextafter(conditions[inner], np.float32(-np.inf)).astype(np.float64),
                missing_left=np.array(form["default_left"], np.bool_)[inner],
                left=name[left[inner]],
                right=name[right[inner]],
                leaf=conditions[leaves].astype(np.float64),
                target=targets[group],
            )
        )
    return trees
