"""What to try next: the families' own configurations, then a sampler over families and hyperparameters together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from headrace.definition.model import Training
from headrace.training.families import Family, Params

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution


MOST_POINTS: Final = 20_000
"""Of one family's grid."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate to try."""

    family: str
    params: Params
    first_of_family: bool = False
    """The family's safest configuration: it is always fitted on every fold."""
    imbalance: str = "none"
    asked: Trial | None = None
    """The sampler's own, to be told the outcome."""


class Proposer:
    """Proposes candidates one at a time and learns from what it is told.

    The proposals depend on the arguments and on what was told, and on nothing else: the same outcomes told again lead
    to the same proposals.
    """

    def __init__(self, families: Mapping[str, Family], training: Training) -> None:
        self._families = families
        self._training = training
        portfolio = {name: family.defaults() for name, family in families.items()}
        self._waiting = [  # the first of every family before the second of any
            Proposal(name, configurations[rank], first_of_family=rank == 0)
            for rank in range(max(map(len, portfolio.values()), default=0))
            for name, configurations in portfolio.items()
            if rank < len(configurations)
        ]
        self._known: list[tuple[Proposal, float]] = []
        self._bases: list[tuple[Proposal, float]] = []
        self._races = [name for name in training.imbalance if name != "none"]
        self._raced = False
        self._first_round = len(portfolio)
        self._proposed = 0
        self._study: Study | None = None
        self._alive: Sequence[str] = ()
        self._grid: list[Proposal] | None = None

    @property
    def needs_all(self) -> bool:
        """Whether the next proposal is the first of its kind: it is made of all that was tried before."""
        if self._proposed >= self._first_round and self._races:
            return not self._raced
        return not self._waiting and self._study is None and self._grid is None

    def propose(self) -> Proposal | None:
        """The next candidate; None when no family is left that could be fitted at all.

        Once every family's first configuration was tried, each strategy against imbalance is tried on the best of those
        that may be registered.
        """
        if self._proposed >= self._first_round and self._races and self._bases:
            self._raced = True
            best, _ = max(self._bases, key=lambda known: known[1])
            return replace(best, imbalance=self._races.pop(0), first_of_family=False, asked=None)
        self._proposed += 1
        if self._waiting:
            return self._waiting.pop(0)
        if self._training.search == "grid":
            return self._next_of_grid()
        if self._study is None:
            fitted = {proposal.family for proposal, _ in self._known}
            self._alive = [name for name, family in self._families.items() if name in fitted and family.space()]
            if not self._alive:
                return None
            self._study = self._start()
        trial = self._study.ask()
        family = trial.suggest_categorical("family", list(self._alive))
        space = self._families[family].space()
        params = {name: _suggest(trial, f"{family}.{name}", kind) for name, kind in space.items()}
        return Proposal(family, params, asked=trial)

    def tell(self, proposal: Proposal, value: float | None, *, done: bool) -> None:
        """How a proposal went.

        Parameters
        ----------
        value : its score, or an estimate of a pruned one's; higher is better; None when it failed
        done : fitted on every fold
        """
        if proposal.imbalance != "none":
            return  # another question: the sampler learns of trials without a strategy
        if proposal.asked is None:
            if value is not None:
                self._known.append((proposal, value))
                family = self._families[proposal.family]
                if done and family.compiles and family.space():  # it may be registered, and learns
                    self._bases.append((proposal, value))
        elif self._study is not None:
            from optuna.trial import TrialState

            self._study.tell(proposal.asked, value, state=TrialState.FAIL if value is None else TrialState.COMPLETE)

    def _next_of_grid(self) -> Proposal | None:
        """The next point of the families' grids, in an order drawn once; None at the end of all."""
        if self._grid is None:
            points = [
                Proposal(name, dict(zip(space, values, strict=True)))
                for name, family in self._families.items()
                if any(known.family == name for known, _ in self._known)
                for space in [family.space()]
                if space
                for values in islice(product(*(_three(kind) for kind in space.values())), MOST_POINTS)
            ]
            order = np.random.Generator(np.random.PCG64(self._training.seed)).permutation(len(points))
            self._grid = [points[place] for place in order.tolist()]
        return self._grid.pop(0) if self._grid else None

    def _start(self) -> Study:
        """A study that knows the portfolio's scores as if it had asked for them."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would write a line a trial to stderr
        seed = self._training.seed
        sampler: optuna.samplers.BaseSampler
        if self._training.search in ("random", "halving"):
            sampler = optuna.samplers.RandomSampler(seed=seed)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                # grouped: hyperparameters of one family are drawn together, and apart from those of the others
                sampler = optuna.samplers.TPESampler(
                    seed=seed, multivariate=True, group=True, n_startup_trials=8, constant_liar=False
                )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        family_kind = optuna.distributions.CategoricalDistribution(list(self._alive))
        for proposal, value in self._known:
            if proposal.family not in self._alive:
                continue
            space = self._families[proposal.family].space()
            params = {f"{proposal.family}.{name}": own for name, own in proposal.params.items()}
            kinds: dict[str, BaseDistribution] = {f"{proposal.family}.{name}": kind for name, kind in space.items()}
            study.add_trial(
                optuna.trial.create_trial(
                    params={"family": proposal.family, **params},
                    distributions={"family": family_kind, **kinds},
                    value=value,
                )
            )
        return study


def _three(kind: BaseDistribution) -> Sequence[Any]:
    """The ends and the middle of what a setting may be; every choice where there are choices."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match kind:
        case CategoricalDistribution():
            return kind.choices
        case IntDistribution() | FloatDistribution():
            middle = (kind.low * kind.high) ** 0.5 if kind.log else (kind.low + kind.high) / 2
            if isinstance(kind, IntDistribution):
                middle = round(middle)
            return tuple(dict.fromkeys((middle, kind.low, kind.high)))
        case _:
            raise TypeError(f"no such distribution: {type(kind).__name__}")


def _suggest(trial: Trial, name: str, kind: BaseDistribution) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match kind:
        case IntDistribution():
            return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
        case FloatDistribution():
            return trial.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)
        case CategoricalDistribution():
            return trial.suggest_categorical(name, kind.choices)
        case _:
            raise TypeError(f"{name}: no such distribution: {type(kind).__name__}")
