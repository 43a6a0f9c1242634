"""The search for candidates, within a budget, recorded trial by trial.

A search that was killed proposes again what it had proposed, checks that it is the same, and learns the recorded
outcome instead of fitting: from there on the sampler is in the state in which it was killed, so a budget in trials
gives the very trials of an undisturbed search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np

from headrace.definition.model import Costs, Encoding, Split, Training
from headrace.training.candidates import Bench, Store
from headrace.training.comparing import asked_ratio
from headrace.training.data import Examples
from headrace.training.errors import BudgetTooSmall, CurrencyNotPriced, NothingFitted, ReplayDiffers
from headrace.training.families import load_family, usual_families
from headrace.training.folding import Clock, EncodedFolds
from headrace.training.metrics import metric_of
from headrace.training.model import SearchResult, Trial
from headrace.training.pricing import cost_matrix, pricing_of
from headrace.training.proposals import Proposal, Proposer
from headrace.training.splits import make_folds
from headrace.training.workers import Executor, Inline, OutOfTime

NO_TIME = "it would not have ended within the budget"
CLEARLY_WORSE = 0.02
"""A trial ends when it lost every fold so far to the best one, on the mean by this share of the best one's score."""
FEWEST_FOLDS = 2
"""Folds that a trial must have lost before it can be ended."""
PROJECTED = 1.1
"""A trial ends after its first folds when all of them would take this share of the time that is left."""
KEPT_SHARE = 3
"""Under halving one trial of so many goes on."""
MOST_SKIPPED = 5
"""Proposals in a row for which no time is left; then the search ends."""


class Recorder(Store, Protocol):
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


def search(
    examples: Examples,
    training: Training,
    split: Split,
    costs: Costs | None,
    *,
    recorder: Recorder,
    clock: Clock,
    encodings: Sequence[Encoding] = (),
    executor: Executor | None = None,
) -> SearchResult:
    """Try candidates until the budget is spent; the best of them together are one more candidate, the last.

    Parameters
    ----------
    examples : training rows only
    recorder : where finished trials are kept, and found again after a kill
    clock : seconds; times fits, single rows, and a budget in seconds
    encodings : of the definition; fitted inside each fold
    executor : where folds are fitted; None: in this process, one after the other

    Raises
    ------
    BudgetTooSmall : not one candidate was fitted on every fold within the seconds.
    NothingFitted : all trials failed.
    FoldsImpossible, UnknownMetric, UnknownFamily, UnknownClass, CurrencyNotPriced : before anything is fitted.
    """
    started = clock()
    if costs is not None and costs.currency != "USD":
        raise CurrencyNotPriced(costs.currency)
    pricing_of(examples, costs)  # refuses amounts that cannot be used now, not after the first fit
    if examples.task == "multiclass":
        cost_matrix(examples.task, examples.classes, costs)  # refuses unknown classes now, not after the first fit
    metric = metric_of(training.metric, examples.task)
    families = {name: load_family(name, examples.task) for name in training.families or usual_families()}
    folds = EncodedFolds(examples, make_folds(examples, split), metric, split=split, encodings=encodings)
    executor = Inline(clock) if executor is None else executor
    executor.give(folds)
    bench = Bench(examples, training, costs, metric, families, folds, executor, recorder, clock)
    trials = _Search(bench, recorder, started).run()
    if not any(trial.state == "done" for trial in trials):
        if trials:
            raise NothingFitted([trial.note for trial in trials])
        raise BudgetTooSmall(seconds=training.budget.seconds or 0.0, spent=clock() - started)
    together = bench.ensemble(trials)
    if together is not None:
        trials.append(together)
    return SearchResult(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        folds=len(folds),
        ratio=asked_ratio(split, len(folds)),
        trials=tuple(trials),
    )


class _Search:
    """One search under way: its budget, its record, and the best so far."""

    def __init__(self, bench: Bench, recorder: Recorder, started: float) -> None:
        self._bench, self._recorder = bench, recorder
        self._budget = bench.training.budget
        self._trials: list[Trial] = []
        self._took: dict[int, tuple[str, float]] = {}
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
        skipped = 0
        while skipped < MOST_SKIPPED:
            number = len(self._trials)
            if number >= len(self._parts) and self._is_spent():
                return self._trials
            proposal = proposer.propose()
            if proposal is None:
                return self._trials
            try:
                part = self._replayed(number, proposal) or self._tried(number, proposal, best)
            except OutOfTime:
                return self._trials
            self._trials.append(part.trial)
            skipped = skipped + 1 if part.trial.note == NO_TIME else 0
            proposer.tell(proposal, part.told, done=part.trial.state == "done")
            plain = part.trial.imbalance == "none"
            score = part.trial.score
            if score is not None and plain and (best is None or best.score is None or score > best.score):
                best = part.trial
            self._say(best, part.spent_s)
        return self._trials

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
        asked = (proposal.family, dict(proposal.params), proposal.imbalance)
        if (part.trial.family, part.trial.params, part.trial.imbalance) != asked:
            raise ReplayDiffers(number)
        return part

    def _tried(self, number: int, proposal: Proposal, best: Trial | None) -> _Part:
        seconds = self._budget.seconds
        until = None if seconds is None else self._zero + seconds
        began = self._bench.clock()
        folds = len(self._bench.folds)

        def go_on(scores: Sequence[float]) -> str:
            if until is not None and best is not None:
                now = self._bench.clock()
                if (now - began) * (folds - len(scores)) / len(scores) > PROJECTED * (until - now):
                    return NO_TIME
            if proposal.first_of_family or proposal.imbalance != "none" or best is None:
                return ""
            if self._bench.training.search == "halving":
                return "" if self._goes_on(scores) else f"not among the best third after {len(scores)} of {folds} folds"
            if not _clearly_worse(scores, best):
                return ""
            return f"clearly worse than the best so far on {len(scores)} of {folds} folds"

        if until is not None and self._usual_s(proposal) > until - began:
            trial = self._bench.not_tried(number, proposal, NO_TIME)
        else:
            trial = self._bench.trial(number, proposal, go_on, until, self._plain(proposal))
        self._took[number] = (proposal.family, self._bench.clock() - began)
        told = trial.score
        if trial.state == "pruned" and best is not None and best.score is not None and trial.fold_scores:
            told = best.score - _shortfall(trial.fold_scores, best)
        part = _Part(trial, told, self._seconds())
        self._recorder.record(f"trial-{number}", msgspec.json.encode(part))
        return part

    def _plain(self, proposal: Proposal) -> Trial | None:
        """Of a strategy against imbalance: the trial of the same model without it."""
        if proposal.imbalance == "none":
            return None
        same = (proposal.family, dict(proposal.params), "none", "done")
        return next((t for t in self._trials if (t.family, t.params, t.imbalance, t.state) == same), None)

    def _goes_on(self, scores: Sequence[float]) -> bool:
        """Successive halving with folds for a resource: whether the trial is among the best third of those that came so
        far, itself included. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020."""
        rung = len(scores)
        reached = [float(np.mean(t.fold_scores[:rung])) for t in self._trials if len(t.fold_scores) >= rung]
        better = sum(other > float(np.mean(scores)) for other in reached)
        return better < max((len(reached) + 1) / KEPT_SHARE, 1)

    def _usual_s(self, proposal: Proposal) -> float:
        """Seconds that the quickest whole trial of the family took, this time; 0 when there was none."""
        done = {trial.number for trial in self._trials if trial.state == "done"}
        return min(
            (s for number, (name, s) in self._took.items() if name == proposal.family and number in done), default=0.0
        )

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
