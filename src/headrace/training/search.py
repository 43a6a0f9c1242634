"""The search for candidates, within a budget, recorded trial by trial.

A search that was killed proposes again what it had proposed, checks that it is the same, and learns the recorded
outcome instead of fitting: from there on the sampler is in the state in which it was killed, so a budget in trials
gives the very trials of an undisturbed search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
import numpy as np

from headrace.definition.model import Costs, Encoding, Split, Training
from headrace.training.calibration import cost_matrix, decide
from headrace.training.data import Examples
from headrace.training.errors import BudgetTooSmall, CurrencyNotPriced, NothingFitted, ReplayDiffers
from headrace.training.families import Family, load_family
from headrace.training.folding import Clock, CrossValidated, EncodedFolds, cross_validate, settle
from headrace.training.measure import agreement_limit, largest_difference, time_one_row
from headrace.training.metrics import Metric, metric_of
from headrace.training.model import SearchResult, Trial
from headrace.training.proposals import Proposal, Proposer
from headrace.training.splits import make_folds

CLEARLY_WORSE = 0.02
"""A trial ends when it lost every fold so far to the best one, on the mean by this share of the best one's score."""
FEWEST_FOLDS = 2
"""Folds that a trial must have lost before it can be ended."""
CHECKED_ROWS = 5_000
"""Validation rows on which a trial's compiled graph is compared with its library."""


class Recorder(Protocol):
    """What the search uses of a stage's context."""

    def recorded(self) -> Mapping[str, bytes]: ...
    def record(self, part: str, data: bytes) -> None: ...
    def progress(self, done: float, total: float | None = None, *, unit: str = "rows", note: str = "") -> None: ...


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is recorded of a finished trial."""

    trial: Trial
    told: float | None
    """What the proposer learnt: the score, or an estimate of a pruned trial's; None: it failed."""
    spent_s: float
    """Of the budget, up to the end of this trial."""


class _BudgetSpent(Exception):
    """The budget ended in the middle of a trial."""


def search(
    examples: Examples,
    training: Training,
    split: Split,
    costs: Costs | None,
    *,
    recorder: Recorder,
    clock: Clock,
    encodings: Sequence[Encoding] = (),
) -> SearchResult:
    """Try candidates until the budget is spent.

    Parameters
    ----------
    examples : training rows only
    recorder : where finished trials are kept, and found again after a kill
    clock : seconds; times fits, single rows, and a budget in seconds
    encodings : of the definition; fitted inside each fold

    Raises
    ------
    BudgetTooSmall : not one candidate was fitted on every fold within the seconds.
    NothingFitted : all trials failed.
    FoldsImpossible, UnknownMetric, UnknownFamily, UnknownClass, CurrencyNotPriced : before anything is fitted.
    """
    started = clock()
    if costs is not None and costs.currency != "USD":
        raise CurrencyNotPriced(costs.currency)
    if examples.task == "multiclass":
        cost_matrix(examples.classes, costs)  # refuses unknown classes now, not after the first fit
    metric = metric_of(training.metric, examples.task)
    families = {name: load_family(name, examples.task) for name in training.families}
    folds = EncodedFolds(examples, make_folds(examples, split), metric, split=split, encodings=encodings)
    bench = _Bench(examples, training, costs, metric, families, folds, clock)
    trials = _Search(bench, recorder, started).run()
    if not any(trial.state == "done" for trial in trials):
        if trials:
            raise NothingFitted([trial.note for trial in trials])
        raise BudgetTooSmall(seconds=training.budget.seconds or 0.0, spent=clock() - started)
    return SearchResult(
        metric=metric.name, higher_is_better=metric.higher_is_better, folds=len(folds), trials=tuple(trials)
    )


class _Search:
    """One search under way: its budget, its record, and the best so far."""

    def __init__(self, bench: _Bench, recorder: Recorder, started: float) -> None:
        self._bench, self._recorder = bench, recorder
        self._budget = bench.training.budget
        self._trials: list[Trial] = []
        self._parts = [
            msgspec.json.decode(data, type=_Part)
            for name, data in recorder.recorded().items()
            if name.startswith("trial-")
        ]
        # what a killed execution spent up to its last finished trial is spent
        self._zero = started - max((part.spent_s for part in self._parts), default=0.0)

    def run(self) -> list[Trial]:
        """Propose, try, record and learn until the budget ends."""
        proposer = Proposer(self._bench.families, self._bench.training)
        best: Trial | None = None
        while True:
            number = len(self._trials)
            if number >= len(self._parts) and self._is_spent():
                return self._trials
            proposal = proposer.propose()
            if proposal is None:
                return self._trials
            try:
                part = self._replayed(number, proposal) or self._tried(number, proposal, best)
            except _BudgetSpent:
                return self._trials
            self._trials.append(part.trial)
            proposer.tell(proposal, part.told)
            if part.trial.score is not None and (best is None or part.trial.score > (best.score or -np.inf)):
                best = part.trial
            self._say(best, part.spent_s)

    def _is_spent(self) -> bool:
        if self._budget.trials is not None:
            return len(self._trials) >= self._budget.trials
        return self._seconds() >= (self._budget.seconds or 0.0)

    def _seconds(self) -> float:
        return self._bench.clock() - self._zero

    def _replayed(self, number: int, proposal: Proposal) -> _Part | None:
        if number >= len(self._parts):
            return None
        part = self._parts[number]
        if (part.trial.family, part.trial.params) != (proposal.family, dict(proposal.params)):
            raise ReplayDiffers(number)
        return part

    def _tried(self, number: int, proposal: Proposal, best: Trial | None) -> _Part:
        def go_on(scores: Sequence[float]) -> bool:
            if self._budget.seconds is not None and self._is_spent():
                raise _BudgetSpent
            return proposal.first_of_family or best is None or not _clearly_worse(scores, best)

        trial = self._bench.trial(number, proposal, go_on)
        told = trial.score
        if trial.state == "pruned" and best is not None and best.score is not None:
            told = best.score - _shortfall(trial.fold_scores, best)
        part = _Part(trial, told, self._seconds())
        self._recorder.record(f"trial-{number}", msgspec.json.encode(part))
        return part

    def _say(self, best: Trial | None, spent_s: float) -> None:
        note = f"{len(self._trials)} trials"
        if best is not None and best.score is not None:
            metric = self._bench.metric
            note += f", best {metric.name} {metric.sign * best.score:.4g} ({best.family})"
        if self._budget.trials is not None:
            self._recorder.progress(len(self._trials), self._budget.trials, unit="trials", note=note)
        else:
            total = self._budget.seconds or 0.0
            self._recorder.progress(min(spent_s, total), total, unit="s", note=note)


class _Bench:
    """Where a candidate is fitted, asked, compiled and timed."""

    def __init__(
        self,
        examples: Examples,
        training: Training,
        costs: Costs | None,
        metric: Metric,
        families: Mapping[str, Family],
        folds: EncodedFolds,
        clock: Clock,
    ) -> None:
        self.examples, self.training, self.costs = examples, training, costs
        self.metric, self.families, self.folds, self.clock = metric, families, folds, clock

    def trial(self, number: int, proposal: Proposal, go_on: Callable[[Sequence[float]], bool]) -> Trial:
        """The candidate as a trial; its failure is noted and never ends the search."""
        try:
            result = cross_validate(
                self.folds,
                self.families[proposal.family],
                proposal.params,
                examples=self.examples,
                metric=self.metric,
                seed=self.training.seed,
                threads=self.training.threads,
                clock=self.clock,
                go_on=go_on,
            )
            if result.stopped:
                note = f"clearly worse than the best so far on {len(result.fold_scores)} of {len(self.folds)} folds"
                scores = result.fold_scores
                return self._trial(number, proposal, "pruned", fold_scores=scores, fit_s=result.fit_s, note=note)
            return self._trial(number, proposal, "done", **self._measured(result))
        except _BudgetSpent:
            raise
        except Exception as error:  # whatever a library throws is this candidate's failure, and is noted
            note = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
            return self._trial(number, proposal, "failed", note=note)

    def _trial(
        self, number: int, proposal: Proposal, state: Literal["done", "pruned", "failed"], **facts: Any
    ) -> Trial:
        return Trial(
            number=number,
            family=proposal.family,
            params=dict(proposal.params),
            state=state,
            metric=self.metric.name,
            **facts,
        )

    def _measured(self, result: CrossValidated) -> dict[str, Any]:
        """The facts of a candidate that was fitted on every fold; the last fold's model is the one that is compiled."""
        y = self.examples.y[result.rows]
        task, classes = self.examples.task, self.examples.classes
        decided = decide(y, result.scores, result.fold, task=task, classes=classes, costs=self.costs)
        onnx = result.last.to_onnx()
        X = result.last_asked[:CHECKED_ROWS]
        difference = largest_difference(onnx, X, result.last.predict(X))
        limit = agreement_limit(task, float(np.std(self.examples.y)))
        if not difference <= limit:
            raise ArithmeticError(f"compiled, it is {difference:.3g} from its library; the limit is {limit:.3g}")
        train_score = float(np.mean(result.train_scores))
        return {
            "settled": settle(result.settled),
            "score": float(np.mean(result.fold_scores)),
            "fold_scores": result.fold_scores,
            "train_score": train_score if np.isfinite(train_score) else None,
            "threshold": decided.decision.threshold,
            "error_cost": decided.error_cost,
            "decision": decided.decision,
            "best_threshold": decided.best_threshold,
            "best_cost": decided.best_cost,
            "fit_s": result.fit_s,
            "model_bytes": len(onnx),
            "row_us": time_one_row(onnx, decided.decision, X, clock=self.clock),
        }


def _clearly_worse(scores: Sequence[float], best: Trial) -> bool:
    """Whether a trial need not be asked on further folds."""
    if len(scores) < FEWEST_FOLDS:
        return False
    lost_all = all(own < other for own, other in zip(scores, best.fold_scores, strict=False))
    level = abs(float(np.mean(best.fold_scores[: len(scores)])))
    return lost_all and _shortfall(scores, best) > CLEARLY_WORSE * level


def _shortfall(scores: Sequence[float], best: Trial) -> float:
    """By how much the best trial was better on the same folds, on the mean."""
    return float(np.mean(np.array(best.fold_scores[: len(scores)]) - np.array(scores)))
