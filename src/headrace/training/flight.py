"""The trials of one search: several in flight, their folds fitted side by side, concluded in order of their numbers.

While the last folds of one trial are fitted, or its answers are judged, the next ones use the rest of the machine. What
is proposed and compared depends on numbers alone and never on which fit ended first: trial n knows the trials up to n
less those that may be in flight. So a search that was killed proposes again what it had proposed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from headrace.training.candidates import Bench, Store
from headrace.training.errors import ReplayDiffers
from headrace.training.folding import Attempt
from headrace.training.model import Trial
from headrace.training.proposals import Proposal, Proposer
from headrace.training.shorter import Shorter
from headrace.training.stopping import Worth, expected_saving
from headrace.training.trial_worker import FoldAnswer
from headrace.training.workers import OutOfTime

NO_TIME = "it would not have ended within the budget"
CLEARLY_WORSE = 0.02
"""A trial ends when it lost every fold so far to the best one, on the mean by this share of the best one's score."""
FEWEST_FOLDS = 2
"""Folds that a trial must have lost before it can be ended."""
PROJECTED = 1.1
"""A trial ends after its first folds when all of them would take this share of the time that is left."""
TRIAL_SHARE = 0.5
"""Of the time that is left: the most that the fits of one trial take, where its family can end them."""
LEAST_FIT_S = 0.5
KEPT_SHARE = 3
"""Under halving one trial of so many goes on."""
AFTERWARDS = 12.0
"""What comes after the last trial takes about as long as judging so many."""
MOST_AFTERWARDS = 0.05
"""Share of a budget in seconds that is kept for it, at most."""
MOST_SKIPPED = 5
"""Proposals in a row for which no time is left; then the search ends."""


class Recorder(Store, Protocol):
    """What the search uses of a stage's context."""

    def recorded(self) -> Mapping[str, bytes]: ...
    def record(self, part: str, data: bytes) -> None: ...
    def progress(self, done: float, total: float | None = None, *, unit: str = "rows", note: str = "") -> None: ...


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is recorded of a finished trial."""

    trial: Trial
    told: float | None
    """What the proposer learnt: the score, or an estimate of a pruned trial's; None: it failed."""
    spent_s: float
    """Of the budget, up to the end of this trial."""
    shorter: tuple[Shorter, ...] = ()
    """Of the best trial so far that learns step by step: its models after shares of their steps."""


@dataclass(slots=True)
class _Flying:
    """A trial that was proposed and is not concluded."""

    number: int
    proposal: Proposal
    part: Part | None = None
    """Replayed from the record."""
    best: Trial | None = None
    """Of those it knows."""
    attempt: Attempt | None = None
    """None: nothing is fitted; it was fitted before, or there is no time for it."""

    @property
    def ended(self) -> bool:
        """Whether it may be concluded."""
        return self.attempt is None or self.attempt.ended


class Flight:
    """A search under way: its budget, its record, its trials."""

    def __init__(self, bench: Bench, recorder: Recorder, started: float, worth: Worth | None = None) -> None:
        self._bench, self._recorder, self._executor = bench, recorder, bench.executor
        self._worth = worth
        self.stopped = ""
        """Why it ended before its budget did; empty: it did not."""
        self._budget = bench.training.budget
        self._proposer = Proposer(bench.families, bench.training)
        width = self._executor.width
        self._most = 1 if width == 1 else 3 + -(-width // len(bench.folds))
        """Trials in flight, at most."""
        self._flying: deque[_Flying] = deque()
        self._fold_of: dict[int, tuple[_Flying, int]] = {}
        self._parts: list[tuple[Proposal, Part]] = []
        """Of concluded trials."""
        self._in_steps: Part | None = None
        """The best of them that learns step by step."""
        self._told = 0
        """Trials that the proposer, and those who are proposed now, know."""
        self._best: Trial | None = None
        """Of those without a strategy against imbalance that are known."""
        self._drawn: Proposal | None = None
        """The next one, before its turn."""
        self._skipped = 0
        self._over = False
        self._took: dict[str, float] = {}
        """Seconds of the quickest whole trial of a family, this time."""
        self._recorded = [
            msgspec.json.decode(data, type=Part)
            for name, data in recorder.recorded().items()
            if name.startswith("trial-")
        ]
        # what a killed execution spent up to its last finished trial is spent
        self._zero = started - max((part.spent_s for part in self._recorded), default=0.0)
        self._judged_s: float | None = None
        """Of the trial that was judged quickest, this time."""

    @property
    def _until(self) -> float | None:
        """When the last fit has to end, so that what comes after it (shorter forms, the candidates together) ends
        within the budget too; None: the budget is in trials."""
        seconds = self._budget.seconds
        if seconds is None:
            return None
        afterwards = AFTERWARDS * self._judged_s if self._judged_s is not None else seconds * bool(self._recorded)
        return self._zero + seconds - min(afterwards, MOST_AFTERWARDS * seconds)

    @property
    def trials(self) -> list[Trial]:
        """Those that are concluded, by number."""
        return [part.trial for _, part in self._parts]

    def run(self) -> list[Trial]:
        """Propose, fit, record and learn until the budget ends."""
        if self._recorded and self._is_spent(len(self._recorded)):
            self._take_recorded()
            return self.trials
        while True:
            self._start_folds()
            if not self._flying:
                return self.trials
            if self._flying[0].ended:
                self._conclude(self._flying.popleft())
                continue
            self._look_ahead()
            try:
                ended = self._executor.wait(self._until)
            except OutOfTime:
                self._land()
                return self.trials
            for fit, outcome in ended.items():
                flying, fold = self._fold_of.pop(fit)
                assert flying.attempt is not None, "it has folds"
                flying.attempt.take(fold, outcome)

    def _take_recorded(self) -> None:
        """Nothing more is tried: the sampler need not propose again what a killed execution has tried."""
        for part in self._recorded:
            trial = part.trial
            self._take(Proposal(trial.family, trial.params, imbalance=trial.imbalance), part)

    def shorter_forms(self) -> list[Trial]:
        """Of the best trial that learns step by step: its models after shares of their steps; each measured once."""
        if self._in_steps is None:
            return []
        part, known = self._in_steps, self._recorder.recorded()
        names = [f"form-{len(self._parts)}-{place}" for place in range(len(part.shorter))]
        made = self._bench.shortened(
            part.trial, [one for name, one in zip(names, part.shorter, strict=True) if name not in known]
        )
        forms = list[Trial]()
        for name in names:
            number = len(self._parts) + len(forms)
            form = msgspec.json.decode(known[name], type=Trial) if name in known else next(made)
            if form is None:
                continue
            forms.append(msgspec.structs.replace(form, number=number))
            if name not in known:
                self._recorder.record(name, msgspec.json.encode(forms[-1]))
        return forms

    def _start_folds(self) -> None:
        """Give every free place a fold, of the oldest trial that has one to start; propose where none has."""
        while self._executor.free:
            for flying in self._flying:
                fold = flying.attempt.next_fold() if flying.attempt is not None else None
                if flying.attempt is not None and fold is not None:
                    self._fold_of[self._executor.start(flying.attempt.job, fold)] = (flying, fold)
                    break
            else:
                if not self._propose():
                    return

    def _look_ahead(self) -> None:
        """Draw the next proposal while every place is taken, so that no place waits for it. Whether and for how long it
        is tried is decided in its turn; if it is not, nothing of it stays."""
        if self._has_room and not self._is_spent(self._number):
            self._draw()

    def _propose(self) -> bool:
        """Put one more trial into flight; whether there is one."""
        number = self._number
        if not self._has_room:
            return False
        if number >= len(self._recorded) and (self._is_spent(number) or self._is_enough()):
            return False
        proposal = self._draw()
        if proposal is None:
            return False
        self._drawn = None
        self._flying.append(self._begin(number, proposal))
        return True

    @property
    def _number(self) -> int:
        """Of the next trial."""
        return len(self._parts) + len(self._flying)

    @property
    def _has_room(self) -> bool:
        """Whether one more trial may be in flight."""
        return len(self._flying) < self._most and not self._over and self._skipped < MOST_SKIPPED

    def _draw(self) -> Proposal | None:
        """What the next trial is to try, drawn once; None: it is to wait for those in flight, or there is no more."""
        if self._drawn is not None:
            return self._drawn
        if self._proposer.needs_all and self._flying:
            return None
        known = len(self._parts) if self._proposer.needs_all else max(self._number - self._most + 1, self._told)
        self._tell(known)
        self._drawn = self._proposer.propose()
        self._over = self._drawn is None
        return self._drawn

    def _begin(self, number: int, proposal: Proposal) -> _Flying:
        if number < len(self._recorded):
            part = self._recorded[number]
            asked = (proposal.family, dict(proposal.params), proposal.imbalance)
            if (part.trial.family, part.trial.params, part.trial.imbalance) != asked:
                raise ReplayDiffers(number)
            return _Flying(number, proposal, part)
        if self._until is not None and self._took.get(proposal.family, 0.0) > self._until - self._bench.clock():
            return _Flying(number, proposal)
        flying = _Flying(number, proposal, best=self._best)
        flying.attempt = self._bench.attempt(proposal, self._go_on(flying, self._told), self._seconds_a_fit())
        return flying

    def _seconds_a_fit(self) -> float | None:
        """So that no trial takes more than a share of the time that is left: several that are not quite done are worth
        more together than one that is. None: the budget is in trials."""
        if self._until is None:
            return None
        waves = -(-len(self._bench.folds) // self._executor.width)
        return max(TRIAL_SHARE * (self._until - self._bench.clock()) / waves, LEAST_FIT_S)

    def _go_on(self, flying: _Flying, known: int) -> Callable[[Sequence[FoldAnswer]], str]:
        """Why the trial is to end after some of its folds; empty: it goes on.

        Parameters
        ----------
        known : trials that it may be compared with
        """
        folds, width = len(self._bench.folds), self._executor.width

        def why(done: Sequence[FoldAnswer]) -> str:
            scores, proposal = [fold.score for fold in done], flying.proposal
            if self._until is not None and any(trial.state == "done" for trial in self.trials):
                usual = float(np.mean([fold.took_s for fold in done]))
                waves = -(-(folds - len(done)) // width)
                if usual * waves > PROJECTED * (self._until - self._bench.clock()):
                    return NO_TIME
            if proposal.first_of_family or proposal.imbalance != "none" or flying.best is None:
                return ""
            if self._bench.training.search == "halving":
                if _among_best_third(scores, self.trials[:known]):
                    return ""
                return f"not among the best third after {len(scores)} of {folds} folds"
            if not _clearly_worse(scores, flying.best):
                return ""
            return f"clearly worse than the best so far on {len(scores)} of {folds} folds"

        return why

    def _conclude(self, flying: _Flying) -> None:
        """Judge a trial that has ended, record it, and say how the search stands."""
        part = flying.part
        if part is None:
            number, proposal, best = flying.number, flying.proposal, flying.best
            shorter: tuple[Shorter, ...] = ()
            if flying.attempt is None or not flying.attempt.ended:
                trial = self._bench.not_tried(number, proposal, NO_TIME)
            else:
                began = self._bench.clock()
                to_beat = None if self._in_steps is None else self._in_steps.trial.score
                trial, shorter = self._bench.trial(number, proposal, flying.attempt, self._plain(proposal), to_beat)
                if trial.state == "done":
                    judged = self._bench.clock() - began
                    self._judged_s = min(judged, self._judged_s or judged)
                    fits_s = sum(fold.took_s for fold in flying.attempt.result().folds)
                    took = fits_s / self._executor.width + self._bench.clock() - began
                    self._took[proposal.family] = min(took, self._took.get(proposal.family, took))
            told = trial.score
            if trial.state == "pruned" and best is not None and best.score is not None and trial.fold_scores:
                told = best.score - _shortfall(trial.fold_scores, best)
            part = Part(trial, told, self._seconds(), shorter)
            self._recorder.record(f"trial-{number}", msgspec.json.encode(part))
        self._take(flying.proposal, part)
        self._skipped = self._skipped + 1 if part.trial.note == NO_TIME else 0
        self._say(part.spent_s)

    def _take(self, proposal: Proposal, part: Part) -> None:
        """One more trial is concluded."""
        self._parts.append((proposal, part))
        if part.shorter:
            self._in_steps = part

    def _land(self) -> None:
        """The time is over: what had ended is kept, and what is older, of which nothing was learnt, is noted."""
        while any(flying.attempt is not None and flying.ended for flying in self._flying):
            self._conclude(self._flying.popleft())

    def _tell(self, known: int) -> None:
        """Let the proposer learn of the trials before the number `known`."""
        while self._told < known:
            proposal, part = self._parts[self._told]
            self._proposer.tell(proposal, part.told, done=part.trial.state == "done")
            self._best = _better(self._best, part.trial)
            self._told += 1

    def _is_spent(self, number: int) -> bool:
        if self._budget.trials is not None:
            return number >= self._budget.trials
        return self._until is None or self._bench.clock() >= self._until

    def _is_enough(self) -> bool:
        """Whether one more trial is expected to save less than it costs, where that has a price. Not under a budget in
        trials, whose runs are to be equal to the byte: prices are of measured seconds."""
        if self._worth is None or self._budget.trials is not None:
            return False
        drawn = [part for proposal, part in self._parts if proposal.asked is not None]
        judged = [part.trial.error_cost for part in drawn if part.trial.error_cost is not None]
        saving = expected_saving(judged, sum(part.told is not None for part in drawn))
        if saving is None or len(drawn) < 2:
            return False
        seconds = (drawn[-1].spent_s - drawn[0].spent_s) / (len(drawn) - 1)
        saved, price = saving * self._worth.predictions, seconds * self._worth.second
        if saved < price:
            self._over = True
            self.stopped = (
                f"after {len(self._parts)} trials one more was expected to save {saved:.2g} USD and to cost {price:.2g}"
            )
        return self._over

    def _seconds(self) -> float:
        return self._bench.clock() - self._zero

    def _plain(self, proposal: Proposal) -> Trial | None:
        """Of a strategy against imbalance: the trial of the same model without it."""
        if proposal.imbalance == "none":
            return None
        same = (proposal.family, dict(proposal.params), "none", "done")
        return next((t for t in self.trials if (t.family, t.params, t.imbalance, t.state) == same), None)

    def _say(self, spent_s: float) -> None:
        best: Trial | None = None
        for trial in self.trials:
            best = _better(best, trial)
        note = f"{len(self._parts)} trials"
        if best is not None and best.score is not None:
            metric = self._bench.metric
            note += f", best {metric.name} {metric.sign * best.score:.4g} ({best.family})"
        if self._budget.trials is not None:
            self._recorder.progress(len(self._parts), self._budget.trials, unit="trials", note=note)
        else:
            total = self._budget.seconds or 0.0
            self._recorder.progress(min(spent_s, total), total, unit="s", note=note)


def _better(best: Trial | None, trial: Trial) -> Trial | None:
    """The better one of those without a strategy against imbalance."""
    if trial.score is None or trial.imbalance != "none":
        return best
    return trial if best is None or best.score is None or trial.score > best.score else best


def _among_best_third(scores: Sequence[float], trials: Sequence[Trial]) -> bool:
    """Successive halving with folds for a resource: whether the trial is among the best third of those that came so
    far, itself included. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020."""
    rung = len(scores)
    reached = [float(np.mean(t.fold_scores[:rung])) for t in trials if len(t.fold_scores) >= rung]
    better = sum(other > float(np.mean(scores)) for other in reached)
    return better < max((len(reached) + 1) / KEPT_SHARE, 1)


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
