"""Smaller and faster forms: candidates of their own, with what they lose."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from tests.training.samples import MemoryRecorder, StepClock
from tests.training.test_ensembles import mixed, searched

from headrace.cost.prices import load_prices
from headrace.definition.model import Budget, Selection, Split, Task, Training
from headrace.features.encoder import encode_columns
from headrace.scoring.graph import Graph
from headrace.stores.errors import StoreFull
from headrace.training.answers import unpack_answers
from headrace.training.candidates import Bench
from headrace.training.families.lightgbm import FittedTrees, _PutAway
from headrace.training.fit import fit_chosen
from headrace.training.measure import agreement_limit
from headrace.training.metrics import measure, metric_of
from headrace.training.model import SearchResult, Trial, form_of, is_candidate
from headrace.training.search import search
from headrace.training.select import select
from headrace.training.shorter import SHARES


def short(result: SearchResult) -> list[Trial]:
    return [trial for trial in result.trials if trial.shortened is not None]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_best_boosted_trial_has_shorter_forms_with_scores_times_and_sizes_of_their_own(task: Task) -> None:
    recorder = MemoryRecorder()
    result, training, split = searched(task, "random", recorder)
    best = max(
        (t for t in result.trials if t.family == "lightgbm" and t.score is not None and t.shortened is None),
        key=lambda t: t.score or 0.0,
    )
    forms = short(result)
    assert [(t.shortened.of, t.shortened.share) for t in forms if t.shortened] == [(best.number, s) for s in SHARES]
    assert all(is_candidate(t) for t in forms)
    sizes = [best.model_bytes, *(t.model_bytes for t in forms)]
    assert sizes == sorted(sizes, reverse=True)
    times = [best.estimated_us or 0.0, *(t.estimated_us or 0.0 for t in forms)]
    assert times == sorted(times, reverse=True)
    steps = [(t.settled or {})["rounds"] for t in (best, *forms)]
    assert steps == sorted(steps, reverse=True)
    examples = mixed(1_500, task)
    for trial in forms:
        assert trial.answers is not None
        answers = unpack_answers(recorder.fetch(trial.answers))
        first = answers.fold == 0
        metric = metric_of(None, task)
        scored = measure(metric, examples.y[answers.rows[first]], answers.scores[first], task)
        assert scored == pytest.approx(trial.fold_scores[0])
        fitted = fit_chosen(examples, trial, training, split, trials=result.trials, fetch=recorder.fetch)
        X = encode_columns(fitted.encoder, mixed(300, task, seed=9).rows)
        difference = np.abs(Graph(fitted.onnx).raw(X) - fitted.predict(X)).max()
        assert difference <= agreement_limit(task, float(np.std(examples.y)))
        assert trial.form == "bag" or len(fitted.onnx) < 1.5 * trial.model_bytes


def test_of_a_mean_of_the_folds_models_the_short_form_is_a_mean_too() -> None:
    recorder = MemoryRecorder()
    result, training, split = searched("binary", "random", recorder, n=200)
    trial = short(result)[-1]
    assert trial.form == "bag"
    fitted = fit_chosen(mixed(200, "binary"), trial, training, split, trials=result.trials, fetch=recorder.fetch)
    assert len(fitted.models) == result.folds
    assert len(fitted.onnx) == trial.model_bytes
    X = encode_columns(fitted.encoder, mixed(300, "binary", seed=9).rows)
    assert np.abs(Graph(fitted.onnx).raw(X) - fitted.predict(X)).max() <= 1e-6


def test_shorter_forms_join_no_ensemble_and_are_named_where_they_are_chosen() -> None:
    result, _, _ = searched("binary", "random", MemoryRecorder())
    together = result.trials[-1]
    assert together.form == "ensemble"
    assert not {member.trial for member in together.members} & {trial.number for trial in short(result)}
    of_trees = tuple(t for t in result.trials if t.family == "lightgbm" and t.form != "ensemble")
    choice = select(
        msgspec.structs.replace(result, trials=of_trees),
        selection=Selection(rule="cheapest_within", within=0.9, interval=False),
        costs=None,
        prices=load_prices(),
        threads=1,
        at_us=1_790_000_000_000_000,
    )
    chosen = short(result)[-1]
    assert choice.trial == chosen.number  # all take as long on this clock: the smallest
    assert chosen.shortened is not None
    assert f"(lightgbm, the first 1/8 of trial {chosen.shortened.of})" in choice.reason
    shown = next(candidate for candidate in choice.candidates if candidate.trial == choice.trial)
    assert shown.form == form_of(chosen)
    assert shown.loss > 0


@pytest.mark.parametrize("killed_at", [1, 2, 4, 6, 7, 8, 9])
def test_a_killed_search_finds_the_same_shorter_forms(killed_at: int) -> None:
    def again(recorder: MemoryRecorder) -> SearchResult:
        training = Training(families=("linear", "lightgbm"), budget=Budget(trials=7), threads=1)
        return search(
            mixed(600, "binary"),
            training,
            Split(by="random", folds=3),
            None,
            recorder=recorder,
            clock=StepClock(0.001),
        )

    recorder = MemoryRecorder(kill_after=killed_at)
    with pytest.raises(KeyboardInterrupt):
        again(recorder)

    def facts(result: SearchResult) -> list[Trial]:
        return [msgspec.structs.replace(trial, fit_s=0.0, row_us=None, batch_us=None) for trial in short(result)]

    found = facts(again(MemoryRecorder(recorder)))
    assert len(found) == len(SHARES)
    assert found == facts(again(MemoryRecorder()))


def test_a_search_without_boosted_families_has_none() -> None:
    training = Training(families=("linear",), budget=Budget(trials=2), threads=1)
    split = Split(by="random", folds=3)
    result = search(mixed(300, "binary"), training, split, None, recorder=MemoryRecorder(), clock=StepClock(0.001))
    assert not short(result)


@pytest.mark.parametrize("does", ["fails", "answers otherwise"])
def test_a_form_that_cannot_be_compiled_or_answers_otherwise_is_left_out(
    does: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = FittedTrees.to_onnx

    def broken(model: FittedTrees) -> bytes:
        if not isinstance(model.model, _PutAway):
            return compiled(model)
        if does == "fails":
            raise RuntimeError("a fault of the library")
        return compiled(dataclasses.replace(model, settled={**model.settled, "rounds": 1}))

    monkeypatch.setattr(FittedTrees, "to_onnx", broken)
    result, _, _ = searched("binary", "random", MemoryRecorder())
    assert not short(result)
    assert [trial.number for trial in result.trials] == list(range(len(result.trials)))
    assert result.trials[-1].form == "ensemble"


def test_trouble_of_a_store_is_told_and_no_form_is_left_out_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreFull("objects")

    monkeypatch.setattr(Bench, "_shortened", full)
    with pytest.raises(StoreFull):
        searched("binary", "random", MemoryRecorder())
