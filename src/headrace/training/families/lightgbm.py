"""Gradient-boosted trees by LightGBM, compiled to one ONNX tree ensemble.

Categories are integer codes, most frequent first: on flights this was both faster and better than LightGBM's own
categories. `rounds` is an upper limit where there are rows to check by; what was found stands in `settled`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import EVERY, MEAN, Check, Fitted, Params
from headrace.training.families.boosted import last_nodes, patience
from headrace.training.families.ensemble import Tree, sum_of_trees
from headrace.training.families.labels import Labels, is_log
from headrace.training.onnx_ops import model_bytes

if TYPE_CHECKING:
    from lightgbm import Booster
    from optuna.distributions import BaseDistribution

FEW_ROWS: Final = 10_000
FEW_BINS: Final = 127
"""Of fewer rows than that a column's values are told apart by so many bins: beside LightGBM's own 255 a round takes 0.5
to 0.8 of the time, and on eleven public tables the error on new rows was smaller by 1 %. With more rows fine borders
matter: of 34,000 rows of a census, with amounts that are mostly 0, 127 bins took the AUC from 0.930 to 0.927."""
ALONE_CELLS: Final = 1_500_000
"""Values of the matrix up to which one thread is quicker than two, which wait for each other at every split: 3,000 x 14
took 2.0 against 3.5 ms a round, 40,000 x 14 7.6 against 9.2, 75,000 x 29 21.8 against 16.9."""

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


class LightGBM:
    """`Family` of LightGBM."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives = EVERY
    compiles = True
    bags = True

    def defaults(self) -> Sequence[Params]:
        """LightGBM's own; trees of eight leaves, each of half of the columns, the quickest and with few rows the best;
        slower and regularised; shallow with large leaves (noisy labels, drift); with split points drawn at random;
        deep."""
        first = {"rounds": 600, "feature_fraction": 0.9, "bagging_fraction": 0.9}
        small = {"rounds": 1000, "num_leaves": 8, "min_data_in_leaf": 10, "lambda_l2": 3.0}
        slow = {"rounds": 1500, "learning_rate": 0.03, "feature_fraction": 0.5, "bagging_fraction": 0.8}
        shallow = {"rounds": 1000, "learning_rate": 0.08, "num_leaves": 8, "min_data_in_leaf": 100, "lambda_l2": 10.0}
        deep = {"rounds": 800, "learning_rate": 0.04, "num_leaves": 96, "min_data_in_leaf": 40, "lambda_l2": 1.0}
        drawn = {"extra_trees": True, "rounds": 1500, "learning_rate": 0.06, "num_leaves": 48, "min_data_in_leaf": 10}
        return (
            DEFAULT | first,
            DEFAULT | {"feature_fraction": 0.5, "bagging_fraction": 0.8} | small,
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
        objective: Objective = MEAN,
    ) -> Fitted:
        """See `Family.fit`. Labels of a regression are standardised, so that penalties and float32 sums mean the same
        whatever the label's unit."""
        # By libgomp's default, waiting threads spin: on a machine with other work 225,000 x 25 rows took 11 s instead
        # of 2.6 s. It is read when the library is loaded, so it has to stand before.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import lightgbm

        own = {name: value for name, value in params.items() if name not in ("rounds", "link")}
        rounds = params["rounds"]
        # ten rows must still be able to split
        own["min_data_in_leaf"] = min(own["min_data_in_leaf"], max(1, len(y) // 20))
        labels = Labels.learn(y, task, n_classes, objective, weights, log=is_log(params))
        settings = own | {
            "objective": "poisson" if labels.is_exponential else "quantile" if labels.kind == "quantile" else task,
            "num_threads": 1 if X.size <= ALONE_CELLS else threads,
            "max_bin": FEW_BINS if len(y) < FEW_ROWS else 255,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "bagging_freq": 1,
            "verbosity": -1,
        }
        if task == "multiclass":
            settings["num_class"] = n_classes
        elif labels.kind == "quantile":
            settings["alpha"] = labels.quantile

        def data(X: NDArray[np.float32], y: NDArray[Any], weight: Any, reference: Any = None) -> Any:
            start = np.full(len(y), labels.before) if labels.is_exponential else None
            own_labels = labels.encode(y) if task == "regression" else y
            return lightgbm.Dataset(
                X, own_labels, weight=weight, init_score=start, reference=reference, params=settings
            )

        rows = data(X, y, weights)
        if check is None:
            booster = lightgbm.train(settings, rows, num_boost_round=rounds)
            return FittedTrees(booster, labels, X.shape[1], dict(params))
        checked = data(check.X, check.y, check.weights, rows)
        stop: list[Any] = [lightgbm.early_stopping(patience(own["learning_rate"]), verbose=False)]
        if check.seconds is not None:
            stop.append(_ends_at(time.monotonic() + check.seconds))
        booster = lightgbm.train(settings, rows, num_boost_round=rounds, valid_sets=[checked], callbacks=stop)
        return FittedTrees(booster, labels, X.shape[1], {**params, "rounds": max(booster.best_iteration, 1)})

    def restore(self, kept: bytes) -> Fitted:
        """See `Family.restore`."""
        labels, width, settled, text = msgspec.msgpack.decode(kept)
        return FittedTrees(_PutAway(text), Labels.restore(labels), width, settled)


def _ends_at(until: float) -> Callable[[Any], None]:
    """A callback of the library: no further round after an instant of the monotonic clock."""
    from lightgbm.callback import EarlyStopException

    def after(environment: Any) -> None:
        if time.monotonic() >= until:
            raise EarlyStopException(environment.iteration, environment.evaluation_result_list)

    return after


class _PutAway:
    """A booster as text, of which the library is loaded when it is asked: to compile its trees nobody needs it."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def booster(self) -> Booster:
        """The library's own."""
        import lightgbm

        return lightgbm.Booster(model_str=self.text)


@dataclass(frozen=True, slots=True)
class FittedTrees:
    """A trained booster, of which the first rounds count."""

    model: Booster | _PutAway
    labels: Labels
    width: int
    settled: Params
    read: list[Tree] = field(default_factory=list, repr=False, compare=False)
    """The booster's first trees, once they were read; its shorter forms share them."""
    written: list[str] = field(default_factory=list, repr=False, compare=False)
    """Its text, once it was asked for."""

    @property
    def booster(self) -> Booster:
        """The library's own."""
        return self.model.booster if isinstance(self.model, _PutAway) else self.model

    @property
    def text(self) -> str:
        """LightGBM's own form, of these rounds at least."""
        if isinstance(self.model, _PutAway):
            return self.model.text
        if not self.written:
            self.written.append(self.model.model_to_string(num_iteration=self.settled["rounds"]))
        return self.written[0]

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        raw = self.labels.task == "regression"
        answer = self.booster.predict(X, num_iteration=self.settled["rounds"], raw_score=raw)
        scores = np.asarray(answer, dtype=np.float64)
        return self.labels.answers(scores, len(X)) if raw else scores

    def shortened(self, share: float) -> FittedTrees:
        """See `Shortens`."""
        return replace(self, settled={**self.settled, "rounds": self._rounds_of(share)}, written=[])

    def predict_after(self, X: NDArray[np.float32], shares: Sequence[float]) -> list[NDArray[np.float64]]:
        """See `AsksInSteps`: the trees between two shares are asked once for all that have them."""
        ends = [self._rounds_of(share) for share in shares]
        raw = np.zeros(1)
        found: dict[int, NDArray[np.float64]] = {}
        before = 0
        for end in sorted(set(ends)):
            part = self.booster.predict(X, start_iteration=before, num_iteration=end - before, raw_score=True)
            raw = raw + np.asarray(part, np.float64)
            found[end], before = self._answers(raw), end
        return [found[end] for end in ends]

    def _answers(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """What `predict` makes of scores, whatever classes the training rows had."""
        if self.labels.task == "regression":
            return self.labels.answers(raw, len(raw))
        if self.labels.task == "multiclass":
            odds = np.exp(raw - raw.max(axis=1, keepdims=True))
            return np.asarray(odds / odds.sum(axis=1, keepdims=True))
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-raw)))

    def _rounds_of(self, share: float) -> int:
        return max(1, round(int(self.settled["rounds"]) * share))

    @property
    def explained_by(self) -> Literal["tree", "linear"]:
        """See `headrace.training.effects.Explains`."""
        return "tree"

    def contributions(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `headrace.training.effects.Explains`."""
        found = self.booster.predict(X, num_iteration=self.settled["rounds"], pred_contrib=True)
        parts: NDArray[np.float64] = np.asarray(found, np.float64).reshape(len(X), self.labels.outputs, -1)
        return self.labels.parts(parts, len(X), self.width) if self.labels.task == "regression" else parts

    def keep(self) -> bytes:
        """See `Fitted.keep`: LightGBM's own text, and what is beside it."""
        return msgspec.msgpack.encode((self.labels.keep(), self.width, dict(self.settled), self.text))

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        outputs = self.labels.outputs
        nodes, constants = last_nodes(self.labels)
        wanted = self.settled["rounds"] * outputs
        if len(self.read) < wanted:
            self.read[:] = read_trees(self.text, outputs)
        nodes = [*sum_of_trees(self.read[:wanted], outputs, "scores"), *nodes]
        return model_bytes(nodes, constants, width=self.width, outputs=outputs)


def read_trees(text: str, n_targets: int) -> list[Tree]:
    """The trees of LightGBM's text form, whose numbers are exact."""
    forms = []
    for block in text.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.split("\n\n", 1)[0].splitlines() if "=" in line)
        if fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
            raise ValueError("only trees of numeric splits and constant leaves can be compiled")
        forms.append(fields)
    ends = np.cumsum([int(fields["num_leaves"]) for fields in forms]).tolist()

    def numbers(name: str) -> NDArray[np.float64]:
        """Of all trees, read at once: a call for each tree took half of the time."""
        return np.fromstring(" ".join(filter(None, (fields.get(name) for fields in forms))), np.float64, sep=" ")

    feature, left, right, decision = (
        numbers(name).astype(np.int64) for name in ("split_feature", "left_child", "right_child", "decision_type")
    )
    threshold, leaf = numbers("threshold"), numbers("leaf_value")
    # a node that saw NaN sends it its default way, any other takes NaN for 0.0 (bits 2-3: missing type; bit 1: way)
    missing_left = np.where((decision >> 2) & 3 == 2, (decision & 2) != 0, threshold >= 0.0)
    trees = []
    for number, (start, end) in enumerate(pairwise([0, *ends])):
        splits = slice(start - number, end - number - 1)  # one less than leaves, in each tree
        trees.append(
            Tree(
                feature=feature[splits],
                threshold=threshold[splits],
                missing_left=missing_left[splits],
                left=left[splits],
                right=right[splits],
                leaf=leaf[start:end],
                target=number % n_targets,
            )
        )
    return trees
