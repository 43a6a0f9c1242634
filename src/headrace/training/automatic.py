"""Which proposed features pay: each family is tried with one fast, fixed model on top of the families kept before it.

A family is kept when the interval of what it saves lies above zero and it saves more than it costs itself. The model's
parameters, the folds, the rows and the draws of the interval are fixed, and so is what an input is said to cost, so
that a budget in trials gives the same families on every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.data.model import Field
from headrace.definition.model import Budget, Costs, Encoding, Split, Training
from headrace.features.automatic.model import Family
from headrace.features.encodings.plan import count_inputs
from headrace.training.answers import Answers
from headrace.training.automatic_model import Automatic, Tried
from headrace.training.calibration import decide
from headrace.training.data import Examples
from headrace.training.families import FAMILIES, Params
from headrace.training.flight import Recorder
from headrace.training.folding import Clock, EncodedFolds, cross_validate
from headrace.training.maps import calibrate
from headrace.training.measure import agreement_limit, spread_of_labels
from headrace.training.metrics import (
    Metric,
    Spread,
    asked_metric,
    bootstrap_weights,
    mean_of,
    plain_decisions,
    spread_of,
)
from headrace.training.pricing import is_priced, pricing_of, row_costs
from headrace.training.splits import Fold, make_folds
from headrace.training.trial_worker import Job
from headrace.training.workers import Threads

FAST: Final[Mapping[str, Params]] = {
    "lightgbm": {
        "rounds": 80,
        "learning_rate": 0.1,
        "num_leaves": 31,
        "min_data_in_leaf": 50,
        "feature_fraction": 1.0,
        "bagging_fraction": 1.0,
        "lambda_l1": 1e-8,
        "lambda_l2": 1.0,
    },
    "linear": {"l2": 1.0, "l1": 0.0},
}
"""The fixed models; the first that the project trains is the one that is asked."""
MOST_ROWS: Final = 100_000
"""Training rows, evenly spaced, that families are tried on."""
MOST_FOLDS: Final = 3
"""The last ones: under a time split those that learn from most rows."""
REPLICATES: Final = 200
BUDGET_SHARE: Final = 0.2
"""Of a budget in seconds; of one in trials, families beside them: one for every `TRIALS_A_FAMILY`, at least one."""
TRIALS_A_FAMILY: Final = 2


@dataclass(frozen=True, slots=True)
class Variant:
    """What the model would be given."""

    outputs: tuple[Field, ...]
    """Columns of the frame."""
    encodings: tuple[Encoding, ...]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is recorded of a family that was tried."""

    tried: Tried
    spent_s: float


def try_families(
    examples: Examples,
    families: Sequence[Family],
    variant: Callable[[Sequence[Family]], Variant],
    own_cost: Callable[[Sequence[Family], Family], float],
    *,
    training: Training,
    share: Share,
    split: Split,
    costs: Costs | None,
    recorder: Recorder,
    clock: Clock,
) -> Automatic:
    """Try the families one after the other.

    Parameters
    ----------
    examples : training rows, with the columns of every family
    variant : what the model is given with these families
    own_cost : what the last one costs on top of the others, a million predictions
    training : its families, metric, seed and threads; of its budget only `share` is spent
    recorder : where what was tried is kept, and found again after a kill
    clock : seconds, for a budget in seconds
    """
    trial = _Trials(examples, variant, training, split, costs)
    done = [
        msgspec.json.decode(data, type=_Part)
        for name, data in recorder.recorded().items()
        if name.startswith("family-")
    ]
    zero = clock() - max((part.spent_s for part in done), default=0.0)
    tried: list[Tried] = []
    kept: list[Family] = []
    spent_s = 0.0
    for number, family in enumerate(families):
        if number < len(done):
            tried.append(done[number].tried)
            spent_s = done[number].spent_s
        elif share.is_spent(number, clock() - zero):
            tried.append(_not_tried(family))
            continue
        else:
            tried.append(trial.of(kept, family, own_cost(kept, family)))
            spent_s = clock() - zero
            part = _Part(tried[-1], spent_s)
            recorder.record(f"family-{number}", msgspec.json.encode(part))
        if tried[-1].state == "kept":
            kept.append(family)
        recorder.progress(number + 1, len(families), unit="families", note=f"{len(kept)} kept")
    return Automatic(
        candidate=trial.candidate,
        measure=trial.measure,
        rows=len(trial.examples),
        folds=len(trial.folds),
        tried=tuple(tried),
        spent_s=0.0 if share.seconds is None else spent_s,  # what is measured is in nothing that is to be equal
    )


@dataclass(frozen=True, slots=True)
class Share:
    """What the families may spend: of the budget's seconds, or so many of them."""

    families: int
    seconds: float | None

    @classmethod
    def of(cls, budget: Budget, families: int) -> Share:
        """The share of a budget, for so many families."""
        if budget.trials is None:
            return cls(families, BUDGET_SHARE * (budget.seconds or 0.0))
        return cls(min(families, max(1, budget.trials // TRIALS_A_FAMILY)), None)

    def is_spent(self, number: int, seconds: float) -> bool:
        """Before the family of that number, after that time."""
        return number >= self.families or (self.seconds is not None and seconds >= self.seconds)


def _not_tried(family: Family) -> Tried:
    return Tried(name=family.name, why=family.why, inputs=0, state="not tried", reason="the budget was spent before")


class _Trials:
    """Where families are tried: the rows, the folds, and what is known of the families kept so far."""

    def __init__(
        self,
        examples: Examples,
        variant: Callable[[Sequence[Family]], Variant],
        training: Training,
        split: Split,
        costs: Costs | None,
    ) -> None:
        self.examples = _some(examples)
        self.candidate = next((name for name in FAST if name in training.families), "lightgbm")
        self.folds: Sequence[Fold] = make_folds(self.examples, split)[-MOST_FOLDS:]
        self._metric: Metric = asked_metric(training, examples.task)
        self._is_priced = costs is not None and is_priced(examples.task, costs)
        self.measure = (
            f"{costs.currency} a million predictions" if self._is_priced and costs is not None else self._metric.name
        )
        self._variant, self._training, self._split, self._costs = variant, training, split, costs
        self._base: tuple[int, _Answers] | None = None

    def of(self, kept: Sequence[Family], family: Family, cost: float) -> Tried:
        """The family on top of those kept."""
        inputs = 0
        try:
            before, after = self._inputs(kept), self._inputs([*kept, family])
            inputs = after - before
            if self._base is None or self._base[0] != len(kept):
                self._base = (len(kept), self._answers(kept))
            answers = self._answers([*kept, family])
            gain = self._gain(self._base[1], answers)
        except Exception as error:  # whatever a library throws is this family's failure, and is noted
            note = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
            return Tried(name=family.name, why=family.why, inputs=inputs, state="failed", reason=note)
        is_kept, reason = self._verdict(gain, cost)
        if is_kept:
            self._base = (len(kept) + 1, answers)
        return Tried(
            name=family.name,
            why=family.why,
            inputs=inputs,
            state="kept" if is_kept else "left out",
            gain=gain.value,
            low=gain.low,
            high=gain.high,
            cost=cost,
            reason=reason,
        )

    def _verdict(self, gain: Spread, cost: float) -> tuple[bool, str]:
        if not gain.low > 0:
            return False, "what it gains may be chance: the interval holds zero or less"
        if self._is_priced and not gain.value > cost:
            return False, "it costs more than it saves"
        return True, "it saves more than it costs" if self._is_priced else "it gains more than chance would"

    def _inputs(self, families: Sequence[Family]) -> int:
        given = self._variant(families)
        return count_inputs(given.outputs, given.encodings, self.examples.classes)

    def _answers(self, families: Sequence[Family]) -> _Answers:
        given = self._variant(families)
        examples = self.examples.with_outputs(given.outputs)
        folds = EncodedFolds(examples, self.folds, self._metric, split=self._split, encodings=given.encodings)
        training = self._training
        job = Job(
            family=FAMILIES[self.candidate],
            params=FAST[self.candidate],
            task=examples.task,
            n_classes=examples.n_classes,
            metric=self._metric.name,
            objective=training.objective,
            imbalance="none",
            seed=training.seed,
            threads=training.threads,
            limit=agreement_limit(examples.task, spread_of_labels(examples.y, training.objective)),
        )
        # LightGBM learns outside of the interpreter; the solvers of linear models are no quicker side by side
        with Threads(training.threads if self.candidate == "lightgbm" else 1, lambda: 0.0) as executor:
            executor.give(folds)
            result = cross_validate(executor, folds, job).answers
        return self._judged(result)

    def _judged(self, result: Answers) -> _Answers:
        """The answers out of fold as they would be acted on."""
        examples = self.examples
        y = examples.y[result.rows]
        if not self._is_priced:
            scores = result.scores if self._metric.of == "score" else plain_decisions(result.scores, examples.task)
            return _Answers(y, scores, None)
        pricing = pricing_of(examples, self._costs).at(result.rows)
        decided = decide(
            y,
            result.scores,
            result.fold,
            task=examples.task,
            classes=examples.classes,
            costs=self._costs,
            pricing=pricing,
        ).decision
        answer = calibrate(y, result.scores, result.fold)[1] if examples.task != "regression" else result.scores
        return _Answers(y, answer, row_costs(y, answer, decided, self._costs, pricing))

    def _gain(self, before: _Answers, after: _Answers) -> Spread:
        n = len(before.y)
        weights = bootstrap_weights(n, replicates=REPLICATES, seed=self._training.seed)
        if before.costs is not None and after.costs is not None:
            saved = mean_of((before.costs - after.costs) * 1e6)
            return spread_of(saved(np.ones(n)), np.array([saved(row) for row in weights]))
        metric = self._metric
        one, other = metric.prepare(before.y, before.answer), metric.prepare(after.y, after.answer)
        draws = np.array([metric.sign * (other(row) - one(row)) for row in weights])
        return spread_of(metric.sign * (other(np.ones(n)) - one(np.ones(n))), draws)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Of the rows that were asked in some fold."""

    y: NDArray[Any]
    answer: NDArray[Any]
    costs: NDArray[np.float64] | None
    """What each row's error costs, where errors are priced."""


def _some(examples: Examples) -> Examples:
    """At most `MOST_ROWS` rows, evenly spaced in the frame's order."""
    if len(examples) <= MOST_ROWS:
        return examples
    return examples.at(np.linspace(0, len(examples) - 1, MOST_ROWS).astype(np.intp))
