"""The search for candidates, within a budget, recorded trial by trial.

A search that was killed proposes again what it had proposed, checks that it is the same, and learns the recorded
outcome instead of fitting: from there on the sampler is in the state in which it was killed, so a budget in trials
gives the very trials of an undisturbed search.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.definition.model import Costs, Encoding, Split, Training
from headrace.training.candidates import Bench
from headrace.training.comparing import asked_ratio
from headrace.training.data import Examples
from headrace.training.errors import BudgetTooSmall, CurrencyNotPriced, NothingFitted
from headrace.training.families import load_family, usual_families
from headrace.training.families.links import with_links
from headrace.training.flight import Flight, Recorder
from headrace.training.folding import Clock, EncodedFolds
from headrace.training.guards import guarded
from headrace.training.metrics import asked_metric
from headrace.training.model import SearchResult
from headrace.training.objectives import check_objective
from headrace.training.pricing import cost_matrix, pricing_of
from headrace.training.splits import make_folds
from headrace.training.stopping import Worth
from headrace.training.workers import Executor, Inline


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
    worth: Worth | None = None,
    started: float | None = None,
) -> SearchResult:
    """Try candidates until the budget is spent; the best of them together are one more candidate, the last.

    Parameters
    ----------
    examples : training rows only
    recorder : where finished trials are kept, and found again after a kill
    clock : seconds; times fits, single rows, and a budget in seconds
    encodings : of the definition; fitted inside each fold
    worth : of a better model; None: the search does not ask whether it is worth going on
    executor : where folds are fitted; None: in this process, one after the other
    started : when a budget in seconds began to run, by the clock (`headrace.training.spending`); None: now

    Raises
    ------
    BudgetTooSmall : not one candidate was fitted on every fold within the seconds.
    NothingFitted : all trials failed.
    FoldsImpossible, UnknownMetric, UnknownFamily, ObjectiveNotLearnt, TargetUnusable, UnknownClass, CurrencyNotPriced
        : before anything is fitted.
    """
    started = clock() if started is None else started
    if costs is not None and costs.currency != "USD":
        raise CurrencyNotPriced(costs.currency)
    pricing_of(examples, costs)  # refuses amounts that cannot be used now, not after the first fit
    if examples.task == "multiclass":
        cost_matrix(examples.task, examples.classes, costs)  # refuses unknown classes now, not after the first fit
    examples = guarded(examples, encodings)
    check_objective(examples, training.objective)
    metric = asked_metric(training, examples.task)
    names = training.families or usual_families(training.objective)
    asked = (examples.y, examples.task, training.objective)
    families = {name: with_links(name, load_family(name, *asked[1:]), *asked) for name in names}
    folds = EncodedFolds(examples, make_folds(examples, split), metric, split=split, encodings=encodings)
    executor = Inline(clock) if executor is None else executor
    executor.give(folds)
    bench = Bench(examples, training, costs, metric, families, folds, executor, recorder, clock)
    flight = Flight(bench, recorder, started, worth)
    trials = flight.run()
    if not any(trial.state == "done" for trial in trials):
        if trials:
            raise NothingFitted([trial.note for trial in trials])
        raise BudgetTooSmall(seconds=training.budget.seconds or 0.0, spent=clock() - started)
    trials += flight.shorter_forms()
    together = bench.ensemble(trials)
    if together is not None:
        trials.append(together)
    return SearchResult(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        folds=len(folds),
        ratio=asked_ratio(split, len(folds)),
        trials=tuple(trials),
        stopped=flight.stopped,
        left_out=examples.left_out or (),
    )
