"""Nested validation: what the whole procedure is worth. Search, choice and fit are done again without each part of the
training rows, and what they give is asked about that part.

The figure that a search chooses by flatters, because it was chosen by; a holdout tells of one model and few rows. Here
every training row is asked about by a procedure that had never seen it: under a split by time, by one that had seen the
past alone (Cawley and Talbot, "On over-fitting in model selection", JMLR 11, 2010; Varma and Simon, 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from headrace.cost.prices import PriceBook
from headrace.definition.model import Budget, Costs, Encoding, Selection, Split, Training
from headrace.errors import HeadraceError
from headrace.features.encoder import encode_columns
from headrace.pages.scale import short
from headrace.scoring.decision import Decider
from headrace.training.comparing import asked_ratio
from headrace.training.data import Examples, check_target
from headrace.training.fit import fit_chosen
from headrace.training.flight import Recorder
from headrace.training.folding import Clock
from headrace.training.metrics import asked_metric
from headrace.training.model import Interval, Verdict
from headrace.training.nested_model import Nested, Without
from headrace.training.pricing import Pricing, amounts_in, decisions, mean_cost
from headrace.training.search import search
from headrace.training.select import select
from headrace.training.spending import counted
from headrace.training.splits import Fold, make_folds
from headrace.training.workers import Executor

_PART: Final = "part-"


@dataclass(frozen=True, slots=True)
class Procedure:
    """What is done with rows to make a model of them."""

    training: Training
    """Its budget is what all parts together may spend."""
    split: Split
    costs: Costs | None
    selection: Selection
    encodings: tuple[Encoding, ...]
    prices: PriceBook
    at_us: int
    """The instant whose prices hold."""


class _Within:
    """A recorder's place for one part."""

    def __init__(self, inner: Recorder, number: int, parts: int) -> None:
        self._inner, self._number, self._parts = inner, number, parts
        self._prefix = f"within-{number}-"
        self.keep_bytes, self.put_aside = inner.keep_bytes, inner.put_aside
        self.fetch = inner.fetch

    def recorded(self) -> Mapping[str, bytes]:
        found = self._inner.recorded().items()
        return {name.removeprefix(self._prefix): data for name, data in found if name.startswith(self._prefix)}

    def record(self, part: str, data: bytes) -> None:
        self._inner.record(self._prefix + part, data)

    def progress(self, done: float, total: float | None = None, *, unit: str = "rows", note: str = "") -> None:
        share = min(done / total, 1.0) if total else 0.0
        said = f"part {self._number + 1}, {note}" if note else ""
        del unit  # whatever the part's own budget is in
        self._inner.progress(self._number + share, self._parts, unit="parts", note=said)


def nested(
    examples: Examples,
    procedure: Procedure,
    parts: int,
    *,
    recorder: Recorder,
    clock: Clock,
    executor: Callable[[], AbstractContextManager[Executor]],
) -> Nested:
    """Do the procedure again without each part, and ask about it.

    Parameters
    ----------
    examples : training rows only
    parts : into how many the rows are cut, as the split cuts folds; each has its share of the budget
    recorder : where finished parts, and the trials of the one under way, are kept and found again after a kill
    executor : makes the place where one part's folds are fitted

    Raises
    ------
    FoldsImpossible : no part can be asked about.
    """
    metric = asked_metric(procedure.training, examples.task)
    folds = make_folds(examples, msgspec.structs.replace(procedure.split, folds=parts))
    training, said = share_of(procedure.training, parts)
    done = recorder.recorded()
    found = []
    for number, fold in enumerate(folds):
        name = f"{_PART}{number}"
        if name in done:
            found.append(msgspec.json.decode(done[name], type=Without))
            continue
        within = _Within(recorder, number, len(folds))
        try:
            one = _without(examples, fold, procedure, training, within, clock, executor)
        except HeadraceError as error:
            one = Without(learnt=len(fold.train), asked=len(fold.validation), note=f"{error.code}: {error.message}")
        recorder.record(name, msgspec.json.encode(one))
        found.append(one)
    ratio = asked_ratio(procedure.split, len(folds))
    asked = [one for one in found if one.found is not None and one.promised is not None]
    sign = metric.sign
    return Nested(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        budget=said,
        parts=tuple(found),
        found=_interval(metric.name, [one.found or 0.0 for one in asked], ratio, higher=metric.higher_is_better),
        optimism=_interval(
            "optimism", [sign * ((one.promised or 0.0) - (one.found or 0.0)) for one in asked], ratio, higher=False
        ),
        error_cost=_interval(
            "error_cost", [one.error_cost for one in asked if one.error_cost is not None], ratio, higher=False
        ),
    )


def share_of(training: Training, parts: int) -> tuple[Training, str]:
    """The training of one part, and its budget in words: an equal share, at least one trial.

    Examples
    --------
    >>> share_of(Training(budget=Budget(trials=60)), 5)[1]
    '12 trials'
    """
    budget = training.budget
    if budget.trials is not None:
        budget = Budget(trials=max(budget.trials // parts, 1))
        return msgspec.structs.replace(training, budget=budget), f"{budget.trials} trials"
    budget = Budget(seconds=(budget.seconds or 0.0) / parts)
    return msgspec.structs.replace(training, budget=budget), f"{budget.seconds:.3g} s"


def _without(
    examples: Examples,
    fold: Fold,
    procedure: Procedure,
    training: Training,
    recorder: Recorder,
    clock: Clock,
    executor: Callable[[], AbstractContextManager[Executor]],
) -> Without:
    began = clock()
    own, asked = examples.at(fold.train), examples.at(fold.validation)
    check_target(own)
    split, costs = procedure.split, procedure.costs
    with counted(recorder, clock, began, seconds=training.budget.seconds) as started, executor() as workers:
        result = search(
            own,
            training,
            split,
            costs,
            recorder=recorder,
            clock=clock,
            encodings=procedure.encodings,
            executor=workers,
            started=started,
        )
    choice = select(
        result,
        selection=procedure.selection,
        costs=costs,
        prices=procedure.prices,
        threads=training.threads,
        at_us=procedure.at_us,
    )
    trial = next(t for t in result.trials if t.number == choice.trial)
    assert trial.decision is not None, "a trial that is done has a decision"
    fitted = fit_chosen(own, trial, training, split, procedure.encodings, trials=result.trials, fetch=recorder.fetch)
    raw = fitted.predict(encode_columns(fitted.encoder, asked.rows))
    answer = Decider(trial.decision).probabilities(raw.astype(np.float32))
    metric = asked_metric(training, examples.task)
    # the rows' own amounts alone: how many of a day can be acted on is in the decision
    pricing = Pricing({amount.column: amounts_in(asked.rows, amount.column) for amount in trial.decision.amounts})
    is_score = metric.of == "score"
    value = metric.value(asked.y, answer if is_score else decisions(answer, trial.decision, pricing.of(trial.decision)))
    cost = mean_cost(asked.y, answer, trial.decision, costs, pricing)
    return Without(
        learnt=len(own),
        asked=len(asked),
        family=trial.family,
        trials=sum(t.form != "ensemble" and t.shortened is None for t in result.trials),
        promised=None if trial.score is None else metric.sign * trial.score,
        found=float(value) if np.isfinite(value) else None,
        error_cost=cost,
        note="" if np.isfinite(value) else f"{metric.name} is undefined on its rows",
    )


def procedure_verdict(found: Nested) -> Verdict:
    """What it says, in a sentence or two."""
    failed = [one for one in found.parts if one.found is None]
    without = f" {len(failed)} of {len(found.parts)} parts came to nothing: {failed[0].note}." if failed else ""
    worth, flatters = found.found, found.optimism
    if worth is None or flatters is None:
        return Verdict(topic="procedure", level="look", says=f"Nested validation says nothing.{without}")
    words = found.metric.replace("_", " ")
    says = (
        f"Done again {len(found.parts) - len(failed)} times with {found.budget} each, search and choice give {words} "
        f"{_said(worth)} on rows that they never saw; their own figure out of fold was better by {_said(flatters)}."
    )
    if found.error_cost is not None:
        says += f" An error costs {_said(found.error_cost)}."
    flattered = flatters.low > 0.0
    return Verdict(topic="procedure", level="look" if flattered or failed else "good", says=says + without)


def _said(one: Interval) -> str:
    return f"{short(one.value)} (95 % {short(one.low)} to {short(one.high)})"


def _interval(name: str, values: Sequence[float], ratio: float, *, higher: bool) -> Interval | None:
    """Their mean with the t interval of parts that share training rows: their variance counts (1/k + ratio) times.

    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003. None of fewer than two.
    """
    from scipy.stats import t

    k = len(values)
    if k < 2:
        return None
    mean = float(np.mean(values))
    half = float(t.ppf(0.975, k - 1) * np.sqrt((1.0 / k + ratio) * np.var(values, ddof=1)))
    return Interval(name=name, value=mean, low=mean - half, high=mean + half, higher_is_better=higher)
