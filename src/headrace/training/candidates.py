"""A candidate from proposal to trial: cross-validated, decided, compiled, measured, put away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

import numpy as np
import zstandard
from numpy.typing import NDArray

from headrace.definition.model import Costs, Training
from headrace.errors import HeadraceError
from headrace.runs.model import ObjectRef
from headrace.scoring.errors import GraphRefused
from headrace.training.answers import Answers, pack_answers, unpack_answers
from headrace.training.calibration import decide
from headrace.training.data import Examples
from headrace.training.families import Family, Fitted, Shortens, path_of
from headrace.training.folding import Attempt, Clock, CrossValidated, EncodedFolds, TrialFailed
from headrace.training.greedy import Member as Choosable
from headrace.training.greedy import select_members
from headrace.training.kept import pack_fitted, pack_models, unpack_models
from headrace.training.learn import BALANCED
from headrace.training.mean_graph import mean_graph
from headrace.training.measure import agreement_limit, estimated_us, largest_difference, spread_of_labels, time_rows
from headrace.training.metrics import Metric, measure
from headrace.training.model import Member, Shortened, Trial, is_candidate
from headrace.training.pricing import pricing_of
from headrace.training.proposals import Proposal
from headrace.training.races import race
from headrace.training.settled import settle
from headrace.training.shorter import SHARES, Shorter, mean_train_score, put_away
from headrace.training.trial_worker import CHECKED_ROWS, FoldAnswer, Job, failure
from headrace.training.workers import Executor

ROW_LIMIT_US: Final = 65.0
"""Time of one row that an ensemble may take, by `estimated_us`; on a quiet machine a sixth less was seen."""
FEW_ROWS: Final = 100
"""Of a class: with fewer, the mean of the folds' models is kept and not one model of all rows. On ten public tasks such
means were a little better alone, on a par in ensembles, and took three to ten times as long a row."""
TIMED_ROWS: Final = 200


class Store(Protocol):
    """Where what a trial leaves behind is put."""

    def keep_bytes(self, data: bytes, kind: str, suffix: str) -> ObjectRef: ...
    def put_aside(self, data: bytes, kind: str, suffix: str) -> ObjectRef: ...
    def fetch(self, ref: ObjectRef) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Bench:
    """Where candidates are fitted, asked, compiled and timed."""

    examples: Examples
    training: Training
    costs: Costs | None
    metric: Metric
    families: Mapping[str, Family]
    folds: EncodedFolds
    executor: Executor
    store: Store
    clock: Clock

    def attempt(
        self, proposal: Proposal, go_on: Callable[[Sequence[FoldAnswer]], str], seconds: float | None = None
    ) -> Attempt:
        """The candidate before its first fold; each of its fits ends after `seconds`, if it can."""
        job = replace(self._job(proposal), seconds=seconds)
        return Attempt(self.folds, job, width=self.executor.width, go_on=go_on)

    def trial(
        self,
        number: int,
        proposal: Proposal,
        attempt: Attempt,
        against: Trial | None = None,
        to_beat: float | None = None,
    ) -> tuple[Trial, tuple[Shorter, ...]]:
        """The attempt, which has ended, as a trial; its failure is noted and never ends the search.

        Parameters
        ----------
        against : of a strategy against imbalance: the same model without it
        to_beat : the score beyond which its shorter forms are put away; None: any
        """
        try:
            result = attempt.result()
            if result.stopped:
                scores = result.fold_scores
                note = result.stopped
                return self._trial(number, proposal, "pruned", note=note, fold_scores=scores, fit_s=result.fit_s), ()
            facts = self._measured(proposal, result)
            if against is not None and against.decision is not None:
                facts["race"] = race(
                    self.examples,
                    self.metric,
                    self.costs,
                    against=against.number,
                    plain=(self._answers(against), against.decision),
                    other=(result.answers, facts["decision"]),
                    seed=self.training.seed,
                )
            shorter: tuple[Shorter, ...] = ()
            if to_beat is None or facts["score"] > to_beat:
                shorter = put_away(self.store, result, facts.get("kept"))
            return self._trial(number, proposal, "done", **facts), shorter
        except TrialFailed as error:
            return self._trial(number, proposal, "failed", note=str(error)), ()
        except GraphRefused as error:  # the folds' graphs together are larger than a package may hold
            return self._trial(number, proposal, "failed", note=failure(error)), ()

    def not_tried(self, number: int, proposal: Proposal, why: str) -> Trial:
        """A trial of which nothing was fitted."""
        return self._trial(number, proposal, "pruned", note=why)

    def shortened(self, of: Trial, wanted: Sequence[Shorter]) -> Iterator[Trial | None]:
        """The trial's models after shares of their steps, as candidates of their own that have no number yet, one after
        the other; None where one cannot be compiled, or answers otherwise than its library does."""
        restore = self.families[of.family].restore
        models: list[Fitted] = []
        rows: list[NDArray[np.float32]] = []
        for shorter in wanted:
            form = None
            try:
                if not models:
                    models = [restore(kept.data) for kept in unpack_models(self.store.fetch(shorter.models))]
                    folds = range(len(self.folds) - len(models), len(self.folds))
                    rows = [self.folds[fold].X_validation[:CHECKED_ROWS].copy() for fold in folds]
                form = self._shortened(of, shorter, models, rows)
            except GraphRefused:
                pass
            except HeadraceError:  # trouble of a store is no fault of the form
                raise
            except Exception:  # a library's: the whole model is a candidate all the same
                form = None
            yield form

    def _shortened(
        self, of: Trial, shorter: Shorter, whole: Sequence[Fitted], rows: Sequence[NDArray[np.float32]]
    ) -> Trial | None:
        """One of them.

        Parameters
        ----------
        whole : the whole models: of a bag all folds', else the last fold's
        rows : of each one's validation part, encoded
        """
        models = [model.shortened(shorter.share) for model in whole if isinstance(model, Shortens)]
        graphs = [model.to_onnx() for model in models]
        answers = unpack_answers(self.store.fetch(shorter.answers))
        folds = range(len(self.folds) - len(graphs), len(self.folds))
        for fold, graph, X in zip(folds, graphs, rows, strict=True):
            told = answers.scores[answers.fold == fold][: len(X)]
            if not largest_difference(graph, X, told) <= self._limit:
                return None
        facts: dict[str, Any] = {}
        if of.form == "bag":
            facts["kept"] = self.store.keep_bytes(pack_fitted(models), "models", ".zst")
        return Trial(
            number=-1,
            family=of.family,
            params=of.params,
            settled=shorter.settled,
            form=of.form,
            shortened=Shortened(of=of.number, share=shorter.share),
            state="done",
            metric=of.metric,
            score=float(np.mean(shorter.fold_scores)),
            fold_scores=shorter.fold_scores,
            train_score=shorter.train_score,
            fit_s=shorter.fit_s,
            **facts,
            **self._decided(answers, mean_graph([(1.0 / len(graphs), graph) for graph in graphs])),
        )

    def ensemble(self, trials: Sequence[Trial]) -> Trial | None:
        """The best trials together; None when no set of them is better than the best alone, or fits into a package."""
        usable = [trial for trial in trials if is_candidate(trial)]
        if len(usable) < 2:
            return None
        answers = {trial.number: self._answers(trial) for trial in usable}
        rows = answers[usable[0].number].rows
        y = self.examples.y[rows]
        choosable = {
            trial.number: Choosable(
                answers[trial.number].scores,
                trial.estimated_us or 0.0,
                None if trial.shortened is None else trial.shortened.of,
            )
            for trial in usable
        }
        fold = answers[usable[0].number].fold
        weights = select_members(choosable, y, self.metric, self.examples.task, row_limit_us=ROW_LIMIT_US, fold=fold)
        if len(weights) < 2:
            return None
        by_number = {trial.number: trial for trial in usable}
        members = [by_number[number] for number in weights]
        scores = sum(weight * answers[number].scores for number, weight in weights.items())
        assert not isinstance(scores, int), "there are members"
        graph = mean_graph([(weights[trial.number], self._graph(trial)) for trial in members])
        pooled = Answers(rows, fold, scores)
        try:
            decided = self._decided(pooled, graph)
        except GraphRefused:
            return None
        per_fold = [
            measure(self.metric, y[fold == number], scores[fold == number], self.examples.task)
            for number in range(len(self.folds))
        ]
        gaps = [trial.train_score for trial in members]
        train_score = None if None in gaps else float(np.dot(list(weights.values()), [gap or 0.0 for gap in gaps]))
        return Trial(
            number=len(trials),
            family="ensemble",
            params={str(number): weight for number, weight in weights.items()},
            state="done",
            metric=self.metric.name,
            form="ensemble",
            members=tuple(
                Member(trial=trial.number, family=trial.family, weight=weights[trial.number]) for trial in members
            ),
            score=float(np.mean(per_fold)),
            fold_scores=tuple(per_fold),
            train_score=train_score,
            fit_s=sum(trial.fit_s for trial in members),
            **decided,
        )

    def _job(self, proposal: Proposal) -> Job:
        examples, bag, last = self.examples, self._bags(proposal), len(self.folds) - 1
        return Job(
            family=path_of(proposal.family),
            params=dict(proposal.params),
            task=examples.task,
            n_classes=examples.n_classes,
            metric=self.metric.name,
            objective=self.training.objective,
            imbalance=proposal.imbalance,
            seed=self.training.seed,
            threads=self.training.threads,
            limit=self._limit,
            # of a model of all rows the last fold's stands in: under a time split it has learnt from most
            compiled=tuple(range(last + 1)) if bag else (last,),
            kept=bag,
            # folds drawn by lot share most of their training rows and know them about as well; those of a time split
            # are of other times, with other shares of classes
            trained=(last,) if self.folds.alike else tuple(range(last + 1)),
            shares=SHARES if proposal.imbalance == "none" else (),
        )

    @property
    def _limit(self) -> float:
        """How far a graph may be from its library."""
        examples = self.examples
        return agreement_limit(examples.task, spread_of_labels(examples.y, self.training.objective))

    def _trial(
        self, number: int, proposal: Proposal, state: Literal["done", "pruned", "failed"], **facts: Any
    ) -> Trial:
        return Trial(
            number=number,
            family=proposal.family,
            params=dict(proposal.params),
            imbalance=proposal.imbalance,
            state=state,
            metric=self.metric.name,
            **facts,
        )

    def _measured(self, proposal: Proposal, result: CrossValidated) -> dict[str, Any]:
        """The facts of a candidate that was fitted on every fold."""
        folds = result.folds
        facts: dict[str, Any] = {
            "settled": settle([fold.settled for fold in folds]),
            "score": float(np.mean(result.fold_scores)),
            "fold_scores": result.fold_scores,
            "train_score": mean_train_score(folds),
            "fit_s": result.fit_s,
        }
        graph = folds[-1].onnx
        if self._bags(proposal):
            facts["form"] = "bag"
            graph = mean_graph([(1.0 / len(folds), fold.onnx) for fold in folds])
            facts["kept"] = self.store.keep_bytes(pack_models(folds), "models", ".zst")
        return facts | self._decided(result.answers, graph)

    def _bags(self, proposal: Proposal) -> bool:
        """Whether the folds' models are kept together: a class has so few rows that one model of all rows depends on
        the luck of its draws, and the folds' models take one input. A balanced ensemble is a mean of several already.
        """
        examples = self.examples
        if proposal.imbalance == BALANCED:
            return False
        if not (self.families[proposal.family].bags and self.folds.alike) or examples.task == "regression":
            return False
        return int(np.bincount(examples.y).min()) < FEW_ROWS

    def _decided(self, answers: Answers, graph: bytes) -> dict[str, Any]:
        """What is decided by the answers, and what the graph takes."""
        examples = self.examples
        y = examples.y[answers.rows]
        decided = decide(
            y,
            answers.scores,
            answers.fold,
            task=examples.task,
            classes=examples.classes,
            costs=self.costs,
            pricing=pricing_of(examples, self.costs).at(answers.rows),
        )
        facts: dict[str, Any] = {
            "threshold": decided.decision.threshold,
            "error_cost": decided.error_cost,
            "decision": decided.decision,
            "best_threshold": decided.best_threshold,
            "best_cost": decided.best_cost,
            "cost_ifs": decided.ifs,
            "calibration": decided.calibration,
            "answers": self.store.keep_bytes(pack_answers(answers), "answers", ".msgpack"),
        }
        if not graph:  # compared, never packed
            return facts
        took = time_rows(graph, decided.decision, self.folds.some_validation_rows(TIMED_ROWS), clock=self.clock)
        return facts | {
            "model_bytes": len(graph),
            "estimated_us": estimated_us(graph),
            "row_us": took.alone,
            "batch_us": took.batched,
            "graph": self.store.keep_bytes(zstandard.compress(graph, 3), "graphs", ".onnx.zst"),
        }

    def _answers(self, trial: Trial) -> Answers:
        assert trial.answers is not None, "a trial that is done has answers"
        return unpack_answers(self.store.fetch(trial.answers))

    def _graph(self, trial: Trial) -> bytes:
        assert trial.graph is not None, "asked of what compiles"
        return zstandard.decompress(self.store.fetch(trial.graph))
