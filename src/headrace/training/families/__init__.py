"""What a model family is, and where to find one.

To add a family: write `families/NAME.py` with a class that keeps the promises of `Family`, add its line to `FAMILIES`,
and subclass `headrace.testing.families.FamilySuite`. Entries are strings: no library is loaded before it is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.errors import FamilyOfAnotherTask, ObjectiveNotLearnt, UnknownFamily
from headrace.training.families.places import is_own, is_path_of_own, path_of_own

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Params = Mapping[str, Any]
"""Hyperparameters as JSON values."""

FAMILIES: Mapping[str, str] = {
    "additive": "headrace.training.families.additive:Additive",
    "catboost": "headrace.training.families.catboost:CatBoost",
    "extra_trees": "headrace.training.families.forest:ExtraTrees",
    "forest": "headrace.training.families.forest:Forest",
    "knn": "headrace.training.families.knn:NearestNeighbours",
    "linear": "headrace.training.families.linear:Linear",
    "lightgbm": "headrace.training.families.lightgbm:LightGBM",
    "mlp": "headrace.training.families.mlp:MLP",
    "xgboost": "headrace.training.families.xgboost:XGBoost",
}


USUAL: Mapping[str, str] = {
    "linear": "sklearn",
    "lightgbm": "lightgbm",
    "mlp": "numpy",
    "catboost": "catboost",
    "extra_trees": "sklearn",
}
"""What is tried when nothing is said, in this order, with the library that each needs: on public tables a set of these
came close to larger ones. What is not installed is left out."""


Kind = Literal["mean", "poisson", "quantile"]
EVERY: Final[frozenset[Kind]] = frozenset({"mean", "poisson", "quantile"})
"""What a regression may be asked for: see `headrace.definition.model.Objective`."""
MEAN: Final = Objective()


@dataclass(frozen=True, slots=True)
class Check:
    """Rows that are not learnt from: a family that learns step by step stops when it no longer gets better on them."""

    X: NDArray[np.float32]
    y: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    """Shape (n,), positive: how much each row counts; None: all alike. Where training rows were weighed or sampled
    these are too, so that both are of one world."""
    seconds: float | None = None
    """After so long a family that learns step by step ends with what it has; None: it takes what it needs."""


class Fitted(Protocol):
    """A model that has learnt."""

    @property
    def settled(self) -> Params:
        """The parameters it was given, with what stopping early has found in the place of its upper limits: fitting
        with these and no `check` learns as many steps."""
        ...

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """The library's own answer: (n,) P(positive) or value; (n, k) probabilities for k classes."""
        ...

    def to_onnx(self) -> bytes:
        """One graph, `x` float32 (n, m) → `y` float32 of `predict`'s shape, of `EMITTED_OPS` only.

        It agrees with `predict` to 1e-6 on probabilities and to 1e-5 of the label's spread on values; equal models
        give equal bytes; with one thread, a row alone gives the bits that it gives in a batch."""
        ...

    def keep(self) -> bytes:
        """The model as data, for `Family.restore`: no code, no pickle. Asked only of families that bag."""
        ...


@runtime_checkable
class Shortens(Protocol):
    """A model that learnt step by step, so that its first steps are a smaller and faster model."""

    def shortened(self, share: float) -> Fitted:
        """The model after this share of its steps, one at least; `settled` says how many. Nothing is learnt again."""
        ...


@runtime_checkable
class AsksInSteps(Shortens, Protocol):
    """Such a model that answers for itself and for its shorter forms in the time of one answer."""

    def predict_after(self, X: NDArray[np.float32], shares: Sequence[float]) -> list[NDArray[np.float64]]:
        """What `shortened(share).predict` answers, of each share; 1.0 is the whole. Sums may round otherwise."""
        ...


@runtime_checkable
class Divides(Protocol):
    """A family whose models are several that learn without each other: where they stop is known, they may be fitted in
    several processes."""

    def parts(self, params: Params, most: int) -> Sequence[Params]:
        """At most so many parameters, each of a part of the model; fitted without `check`."""
        ...

    def joined(self, parts: Sequence[Fitted]) -> Fitted:
        """The model of all its parts, the very one that is fitted in one piece."""
        ...


class Family(Protocol):
    """A kind of model. `headrace.testing.families.FamilySuite` checks what is promised here."""

    @property
    def tasks(self) -> frozenset[Task]: ...

    @property
    def objectives(self) -> frozenset[Kind]:
        """What it can learn of a value, where it does regressions."""
        ...

    @property
    def compiles(self) -> bool:
        """Whether `Fitted.to_onnx` keeps its promises; one that cannot is compared, and never registered."""
        ...

    @property
    def bags(self) -> bool:
        """Whether the mean of the folds' models is worth keeping; else one model of all rows is as good and smaller."""
        ...

    def defaults(self) -> Sequence[Params]:
        """Configurations to try before any search, the safest first; each is a point of `space`."""
        ...

    def space(self) -> Mapping[str, BaseDistribution]:
        """What the search may vary."""
        ...

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
        threads: int,
        weights: NDArray[np.float64] | None = None,
        check: Check | None = None,
        objective: Objective = MEAN,
    ) -> Fitted:
        """Learn from encoded rows.

        Parameters
        ----------
        X : shape (n, m); NaN is missing
        y : shape (n,); 0 and 1, class codes below `n_classes`, or finite float64
        params : a point of `space`
        levels : for each column None (a number) or L: codes 0 … L-1 are levels, L is "some other level"
        seed, threads : equal arguments give an equal model, byte by byte
        weights : shape (n,), positive, of mean 1: how much each row counts; None: all alike
        check : rows to stop early by; a family that does not learn step by step leaves them unread
        objective : of a regression, one of `objectives`; answers to counts are above 0
        """
        ...

    def restore(self, kept: bytes) -> Fitted:
        """The model of `Fitted.keep`: it predicts and compiles to the same bits."""
        ...


class Single:
    """What a family inherits of which one model of all rows is kept: nothing of a fold is ever put away."""

    bags = False

    def restore(self, kept: bytes) -> Fitted:
        """See `Family.restore`."""
        raise NotImplementedError("a family that does not bag keeps nothing of its folds")


class SingleFitted:
    """What its models inherit."""

    def keep(self) -> bytes:
        """See `Fitted.keep`."""
        raise NotImplementedError("a family that does not bag keeps nothing of its folds")


def usual_families(objective: Objective = MEAN) -> tuple[str, ...]:
    """The names of `USUAL` whose library is installed, and which learn this."""
    installed = (name for name, library in USUAL.items() if find_spec(library) is not None)
    return tuple(name for name in installed if objective.kind == "mean" or _learns(name, objective))


def _learns(name: str, objective: Objective) -> bool:
    return objective.kind in load_from(FAMILIES[name]).objectives


def load_from(path: str) -> Family:
    """The family at `module:Class`, or one of the project's own at what `path_of` says of it."""
    if is_path_of_own(path):
        return cast("Family", import_module("headrace.training.families.own").open_own(path))
    module, _, attribute = path.partition(":")
    return cast("Family", getattr(import_module(module), attribute)())


def path_of(name: str) -> str:
    """Where a family is: `module:Class`, or a place in the project's folder (`places.own_models_in`)."""
    return path_of_own(name) if is_own(name) else FAMILIES[name]


def load_family(name: str, task: Task, objective: Objective = MEAN) -> Family:
    """The family of that name.

    Raises
    ------
    UnknownFamily : there is none.
    FamilyOfAnotherTask : it does not do this one.
    ObjectiveNotLearnt : it cannot learn that of a value.
    """
    if name not in FAMILIES and not is_own(name):
        raise UnknownFamily(name, known=sorted(FAMILIES))
    family = load_from(path_of(name))
    if task not in family.tasks:
        others = [other for other in FAMILIES if other != name and task in load_from(path_of(other)).tasks]
        raise FamilyOfAnotherTask(name, does=sorted(family.tasks), task=task, known=sorted(others))
    # what a model of the project's own learns only its author knows; the metric says what it is worth
    if objective.kind != "mean" and not is_own(name) and objective.kind not in family.objectives:
        others = [other for other in FAMILIES if other != name and _learns(other, objective)]
        raise ObjectiveNotLearnt(name, objective=objective.kind, known=sorted(others))
    return family
