"""A project's own models, by name: a scikit-learn-compatible class, or an ONNX graph that is already trained.

`"my_models:Boosted"` is a class in my_models.py beside the definition, or in an installed package; its mixin says what
it does, its tags whether it takes missing values (else they are the training rows' medians). It is compared with the
others and never registered: nothing proves a graph equal to it. `"onnx:models/risk.onnx"` is a graph over the run's
encoded row, checked as a package's is; nothing is fitted, and since it is compiled it may be registered.

The author of a definition is trusted as code is: naming a class runs its module.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.scoring.errors import GraphRefused
from headrace.scoring.graph import Graph
from headrace.training.errors import OwnModelUnusable
from headrace.training.families import MEAN, Check, Fitted, Params, Single, SingleFitted
from headrace.training.families.labels import Labels
from headrace.training.families.places import MARK, ONNX, module_file

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_OPSETS: Mapping[str, range] = {"": range(13, 18), "ai.onnx.ml": range(3, 4)}
"""Versions of the operators that may be joined with our own in one graph: what they mean has not changed in them."""


def open_own(path: str) -> OwnEstimator | OwnGraph:
    """The family at a `path_of_own`; raises `OwnModelUnusable`."""
    root, _, name = path.removeprefix(MARK).partition("|")
    if name.startswith(ONNX):
        return OwnGraph(name, Path(root) / name.removeprefix(ONNX))
    return OwnEstimator(name, _class(name, Path(root)))


def _class(name: str, root: Path) -> Any:
    module_name, _, attribute = name.partition(":")
    file = module_file(name, root)
    if str(root) not in sys.path:
        sys.path.append(str(root))  # for what the file imports of its neighbours
    try:
        if file.is_file():
            spec = spec_from_file_location(f"headrace_own_{file.stem}", file)
            assert spec is not None, "a file that ends in .py has a loader"
            assert spec.loader is not None, "so has its spec"
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = import_module(module_name)
    except Exception as error:
        raise OwnModelUnusable(
            name, f"its module cannot be imported: {type(error).__name__}: {error}", fix=f"mend {file.name}"
        ) from error
    if not hasattr(module, attribute):
        raise OwnModelUnusable(name, f"its module has no {attribute}", fix="correct the name after the colon")
    return getattr(module, attribute)


class OwnEstimator(Single):
    """`Family` of one scikit-learn-compatible class, with the settings that it is made with."""

    objectives = frozenset({"mean"})  # so far as is known: see `load_family`
    compiles = False

    def __init__(self, name: str, kind: Any) -> None:
        from sklearn.base import is_classifier, is_regressor

        self._name, self._kind = name, kind
        try:
            made = kind()
        except Exception as error:
            raise OwnModelUnusable(
                name, f"it cannot be made without arguments: {error}", fix="give its arguments defaults"
            ) from error
        self.tasks: frozenset[Task] = frozenset()
        with suppress(AttributeError):  # a class that is not scikit-learn's has no tags to say what it is
            if is_classifier(made) and hasattr(made, "predict_proba"):
                self.tasks = frozenset({"binary", "multiclass"})
            elif is_regressor(made):
                self.tasks = frozenset({"regression"})
        if not self.tasks:
            raise OwnModelUnusable(
                name,
                "it is neither a regressor nor a classifier with predict_proba",
                fix="derive it from scikit-learn's ClassifierMixin or RegressorMixin, and BaseEstimator",
            )

    def defaults(self) -> Sequence[Params]:
        """The one configuration that its arguments' defaults are."""
        return ({},)

    def space(self) -> Mapping[str, BaseDistribution]:
        """Nothing is searched."""
        return {}

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[Any],
        params: Params,
        *,
        task: Task,
        n_classes: int,
        levels: Sequence[int | None],  # noqa: ARG002 - codes are numbers to it
        seed: int,
        threads: int,
        weights: NDArray[np.float64] | None = None,
        check: Check | None = None,  # noqa: ARG002 - a class of scikit-learn's kind has no place for them
        objective: Objective = MEAN,  # noqa: ARG002 - it learns what it learns; the metric judges it
    ) -> Fitted:
        """See `Family.fit`; `random_state` and `n_jobs` are set where it has them."""
        from sklearn.utils import get_tags
        from sklearn.utils.validation import has_fit_parameter
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        labels = Labels.learn(y, task, n_classes)
        model = self._kind()
        has = model.get_params()
        model.set_params(
            **{name: value for name, value in (("random_state", seed), ("n_jobs", threads)) if name in has}
        )
        fill = _fill(X, takes_missing=get_tags(model).input_tags.allow_nan)
        X = np.where(np.isnan(X), fill, X)
        more = {"sample_weight": weights} if weights is not None and has_fit_parameter(model, "sample_weight") else {}
        # some have no n_jobs and take all processors, whose waiting threads spin
        with warnings.catch_warnings(), threadpool_limits(threads):
            warnings.simplefilter("ignore")  # of a library that is not ours
            if not labels.constant:
                model.fit(X, y, **more)
        return FittedEstimator(None if labels.constant else model, labels, fill, dict(params))


def _fill(X: NDArray[np.float32], *, takes_missing: bool) -> NDArray[np.float32]:
    """The columns' medians, or NaN; 0 for a column without a value, at which some libraries stumble."""
    fill = np.full(X.shape[1], np.nan, np.float32)
    for j, column in enumerate(X.T):
        known = column[~np.isnan(column)]
        if len(known) == 0:
            fill[j] = 0.0
        elif not takes_missing:
            fill[j] = np.median(known)
    return fill


@dataclass(frozen=True)
class FittedEstimator(SingleFitted):
    """A fitted estimator; None where there was one label."""

    model: Any
    labels: Labels
    fill: NDArray[np.float32]
    """Shape (m,): what a missing value becomes; NaN where it stays one."""
    settled: Params

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        if self.model is None:
            return self.labels.answers(None, len(X))
        from threadpoolctl import threadpool_limits

        X = np.where(np.isnan(X), self.fill, X)
        with warnings.catch_warnings(), threadpool_limits(1), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if self.labels.task == "regression":
                return np.asarray(self.model.predict(X), np.float64).reshape(len(X))
            shares = np.asarray(self.model.predict_proba(X), np.float64)
        every = np.zeros((len(X), self.labels.n_classes))
        every[:, np.asarray(self.model.classes_, np.intp)] = shares
        return every if self.labels.task == "multiclass" else np.ascontiguousarray(every[:, 1])

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`: never asked of a family that does not compile."""
        raise NotImplementedError("an estimator of the project's own is compared and not registered")


class OwnGraph(Single):
    """`Family` of one graph that is already trained."""

    tasks: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
    objectives = frozenset({"mean"})
    compiles = True

    def __init__(self, name: str, file: Path) -> None:
        self._name, self._file = name, file

    def defaults(self) -> Sequence[Params]:
        """The graph as it is."""
        return ({},)

    def space(self) -> Mapping[str, BaseDistribution]:
        """Nothing is searched."""
        return {}

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[Any],  # noqa: ARG002 - it is trained
        params: Params,
        *,
        task: Task,
        n_classes: int,
        levels: Sequence[int | None],  # noqa: ARG002 - it is trained
        seed: int,  # noqa: ARG002 - it is trained
        threads: int,  # noqa: ARG002 - it is trained
        weights: NDArray[np.float64] | None = None,  # noqa: ARG002 - it is trained
        check: Check | None = None,  # noqa: ARG002 - it is trained
        objective: Objective = MEAN,  # noqa: ARG002 - it learns what it learns; the metric judges it
    ) -> Fitted:
        """See `Family.fit`: reads and checks the file; raises `OwnModelUnusable`."""
        try:
            data = self._file.read_bytes()
            graph = Graph(data)
        except OSError as error:
            raise OwnModelUnusable(
                self._name, f"its file cannot be read: {error.strerror}", fix="mend the path"
            ) from error
        except GraphRefused as error:
            raise OwnModelUnusable(
                self._name, str(error), fix="export it with the operators that docs/reference/families.md names"
            ) from error
        outputs = n_classes if task == "multiclass" else 1
        if graph.width != X.shape[1] or graph.outputs != outputs:
            raise OwnModelUnusable(
                self._name,
                f"it takes {graph.width} columns and gives {graph.outputs}; the run's encoded row has {X.shape[1]}, "
                f"and a {task} label wants {outputs}",
                fix="export it for the run's encoded row",
            )
        _check_versions(self._name, data)
        return FittedGraph(graph, data, dict(params))


def _check_versions(name: str, data: bytes) -> None:
    import onnx

    for each in onnx.load_model_from_string(data).opset_import:
        if each.version not in _OPSETS.get(each.domain, range(0)):
            raise OwnModelUnusable(
                name,
                f"it uses version {each.version} of the operators of {each.domain or 'ONNX'}",
                fix="export it with opset 17 and ai.onnx.ml 3",
            )


@dataclass(frozen=True)
class FittedGraph(SingleFitted):
    """The graph that was given."""

    graph: Graph
    data: bytes
    settled: Params

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Fitted.predict`."""
        return self.graph.raw(np.ascontiguousarray(X), threads=1).astype(np.float64)

    def to_onnx(self) -> bytes:
        """See `Fitted.to_onnx`."""
        return self.data
