"""Candidates together: which are chosen, and that their one graph is their weighted mean."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.definition.model import Budget, Split, Task, Training
from headrace.features.encoder import encode_columns
from headrace.scoring.graph import Graph
from headrace.training.answers import Answers, pack_answers, unpack_answers
from headrace.training.data import Examples
from headrace.training.families.lightgbm import LightGBM
from headrace.training.families.mlp import MLP
from headrace.training.fit import fit_chosen
from headrace.training.greedy import Member, select_members
from headrace.training.learn import learn
from headrace.training.measure import agreement_limit, estimated_us, leaves_in
from headrace.training.metrics import measure, metric_of
from headrace.training.model import Member as Part
from headrace.training.model import SearchResult, Trial
from headrace.training.search import search

AUC = metric_of("roc_auc", "binary")


def truth(n: int = 4_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and two candidates that each know a half of what there is to know."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, n))
    y = (a + b + 0.5 * rng.normal(size=n) > 0.5).astype(np.int64)
    return y, 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))


def test_candidates_that_know_different_things_are_averaged() -> None:
    y, a, b = truth()
    members = {3: Member(a, 10.0), 5: Member(b, 10.0), 7: Member(np.full(len(y), 0.5), 1.0)}
    weights = select_members(members, y, AUC, "binary", row_limit_us=100.0)
    assert weights.keys() == {3, 5}
    assert sum(weights.values()) == pytest.approx(1.0)
    mean = weights[3] * a + weights[5] * b
    assert measure(AUC, y, mean, "binary") > max(measure(AUC, y, one, "binary") for one in (a, b)) + 0.05


def test_the_time_of_a_row_limits_an_ensemble() -> None:
    y, a, b = truth()
    members = {0: Member(a, 30.0), 1: Member(b, 30.0)}
    assert len(select_members(members, y, AUC, "binary", row_limit_us=59.0)) == 1
    assert len(select_members(members, y, AUC, "binary", row_limit_us=60.0)) == 2


@pytest.mark.parametrize(("second_us", "chosen"), [(25.0, {0, 1}), (25.1, {0})])
def test_where_the_best_alone_is_slow_an_ensemble_may_take_a_quarter_more(second_us: float, chosen: set[int]) -> None:
    y, a, b = truth()
    members = {0: Member(0.9 * a + 0.1 * b, 100.0), 1: Member(b, second_us)}
    assert select_members(members, y, AUC, "binary", row_limit_us=10.0).keys() == chosen


def test_where_the_best_takes_all_the_time_quicker_ones_together_are_chosen() -> None:
    y, a, b = truth()
    members = {0: Member(0.7 * a + 0.3 * b, 50.0), 1: Member(a, 20.0), 2: Member(b, 20.0), 3: Member(0.9 * a, 20.0)}
    assert select_members(members, y, AUC, "binary", row_limit_us=50.0).keys() == {1, 2}
    slow = {number: Member(member.scores, 1.6 * member.row_us) for number, member in members.items()}
    assert select_members(slow | {0: members[0]}, y, AUC, "binary", row_limit_us=50.0).keys() == {0}
    worse = {0: Member(0.5 * a + 0.5 * b, 50.0), 1: Member(a, 20.0), 2: Member(np.flip(b), 20.0)}
    assert select_members(worse, y, AUC, "binary", row_limit_us=50.0) == {0: 1.0}


def test_a_shorter_form_stands_for_its_trial_and_not_beside_it() -> None:
    y, a, b = truth()
    half, both = 0.7 * a + 0.3 * np.random.default_rng(3).random((2, len(y)))
    assert select_members(
        {0: Member(both, 50.0), 2: Member(half, 20.0)}, y, AUC, "binary", row_limit_us=90.0
    ).keys() == {0, 2}
    members = {0: Member(both + 0.1 * b, 50.0), 1: Member(b, 20.0), 2: Member(half, 20.0, of=0)}
    assert select_members(members, y, AUC, "binary", row_limit_us=60.0).keys() == {1, 2}
    assert not {0, 2} <= select_members(members, y, AUC, "binary", row_limit_us=900.0).keys()
    del members[1]
    assert len(select_members(members, y, AUC, "binary", row_limit_us=900.0)) == 1


def test_sets_are_judged_by_the_mean_of_their_folds_scores_as_candidates_are() -> None:
    y, a, _ = truth()
    fold = np.arange(len(y)) % 2
    good = np.where(fold == 0, 0.5 * a, 0.5 + 0.5 * a)  # its two models order rows well, and say other probabilities
    members = {0: Member(good, 1.0), 1: Member(0.6 * a + 0.4 * np.random.default_rng(5).random(len(y)), 1.0)}
    by_fold = select_members(members, y, AUC, "binary", row_limit_us=1.0, fold=fold)
    assert by_fold == {0: 1.0}
    assert select_members(members, y, AUC, "binary", row_limit_us=1.0) == {1: 1.0}
    alone = np.where(y == 1, 2, fold)  # a fold without a negative: all rows together
    assert select_members(members, y, AUC, "binary", row_limit_us=1.0, fold=alone) == {1: 1.0}


def test_a_member_that_brings_next_to_nothing_is_left_out() -> None:
    y, a, _ = truth()
    noise = 1e-6 * np.random.default_rng(1).normal(size=len(y))
    assert select_members({0: Member(a, 1.0), 1: Member(a + noise, 1.0)}, y, AUC, "binary", row_limit_us=9.0) == {
        0: 1.0
    }


@pytest.mark.parametrize("shape", [(50,), (50, 3)])
def test_answers_are_unpacked_as_they_were_packed(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    answers = Answers(rng.permutation(50), np.repeat(np.arange(5), 10), rng.random(shape))
    again = unpack_answers(pack_answers(answers))
    for name in Answers.__slots__:
        np.testing.assert_array_equal(getattr(again, name), getattr(answers, name))
    assert pack_answers(again) == pack_answers(answers)


def mixed(n: int, task: Task, *, seed: int = 0) -> Examples:
    """Rows of which a linear model and trees each see what the other does not, in such shares that both are needed."""
    examples = make_examples(n, task, seed=seed)
    rows = examples.rows.select(pl.col("speed").fill_null(0.0), "count", "open")
    speed, count, opened = (rows[name].cast(pl.Float64).to_numpy() for name in rows.columns)
    noise = np.random.default_rng(seed + 100).normal(size=n)
    slope, bend = {"binary": (2.0, 1.0), "multiclass": (3.0, 2.0), "regression": (3.0, 1.0)}[task]
    score = slope * speed + bend * opened * np.sin(2 * count) + noise
    y = {
        "binary": (score > np.quantile(score, 0.8)).astype(np.int64),
        "multiclass": np.searchsorted(np.quantile(score, [0.3, 0.6, 0.8]), score).astype(np.int64),
        "regression": score,
    }[task]
    return dataclasses.replace(examples, y=y)


def searched(task: Task, by: str, recorder: MemoryRecorder, n: int = 1_500) -> tuple[SearchResult, Training, Split]:
    training = Training(families=("linear", "lightgbm"), budget=Budget(trials=9), threads=1)
    split = Split(by=by, folds=3)  # type: ignore[arg-type]
    result = search(mixed(n, task), training, split, None, recorder=recorder, clock=StepClock(0.001))
    return result, training, split


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("by", ["random", "time"])
def test_an_ensemble_is_compiled_to_one_graph_that_agrees_with_its_members(
    task: Task, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.training.candidates.ROW_LIMIT_US", 500.0)  # of several classes one model takes 50
    recorder = MemoryRecorder()
    result, training, split = searched(task, by, recorder)
    last = result.trials[-1]
    assert last.form == "ensemble"
    assert len(last.members) > 1
    assert sum(member.weight for member in last.members) == pytest.approx(1.0)
    assert last.score is not None
    alone = [trial.score for trial in result.trials if trial.state == "done" and trial.form != "ensemble"]
    assert last.score > max(score for score in alone if score is not None) - 0.01
    examples = mixed(1_500, task)
    fitted = fit_chosen(examples, last, training, split, trials=result.trials, fetch=recorder.fetch)
    X = encode_columns(fitted.encoder, mixed(300, task, seed=9).rows)
    difference = np.abs(Graph(fitted.onnx).raw(X) - fitted.predict(X)).max()
    assert difference <= agreement_limit(task, float(np.std(examples.y)))


def test_members_of_a_search_are_chosen_by_the_mean_of_their_folds_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.training.candidates.ROW_LIMIT_US", 500.0)
    recorder = MemoryRecorder()
    result, *_ = searched("binary", "time", recorder)
    *alone, together = [trial for trial in result.trials if trial.state == "done"]
    answers = {trial.number: unpack_answers(recorder.fetch(trial.answers)) for trial in alone if trial.answers}
    members = {
        trial.number: Member(
            answers[trial.number].scores,
            trial.estimated_us or 0.0,
            None if trial.shortened is None else trial.shortened.of,
        )
        for trial in alone
    }
    first = answers[alone[0].number]
    y, metric = mixed(1_500, "binary").y[first.rows], metric_of(result.metric, "binary")
    by_fold = select_members(members, y, metric, "binary", row_limit_us=500.0, fold=first.fold)
    assert {member.trial: member.weight for member in together.members} == by_fold
    assert select_members(members, y, metric, "binary", row_limit_us=500.0) != by_fold


@pytest.mark.parametrize(("threads", "each"), [(1, 1), (2, 1), (4, 1), (6, 2)])
def test_members_that_learn_side_by_side_are_those_that_learn_one_after_the_other(
    threads: int, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, examples = MemoryRecorder(), mixed(1_500, "binary")
    result, training, split = searched("binary", "random", recorder)
    done = [trial for trial in result.trials if trial.state == "done"]
    trees = [trial for trial in done if trial.family == "lightgbm" and trial.shortened is None][:2]
    chosen = [next(trial for trial in done if trial.family == "linear"), *trees]
    members = tuple(Part(trial=trial.number, family=trial.family, weight=1 / 3) for trial in chosen)
    together = Trial(number=99, family="ensemble", params={}, state="done", metric="roc_auc", members=members)
    asked: list[int] = []

    def counted(*given: Any, threads: int, **rest: Any) -> Any:
        asked.append(threads)
        return learn(*given, threads=threads, **rest)

    one = fit_chosen(examples, together, training, split, trials=result.trials, fetch=recorder.fetch)
    monkeypatch.setattr("headrace.training.fit.learn", counted)
    several = msgspec.structs.replace(training, threads=threads)
    side = fit_chosen(examples, together, several, split, trials=result.trials, fetch=recorder.fetch)
    assert side.onnx == one.onnx
    assert asked == [each] * 3


@pytest.mark.parametrize("n", [1_500, 400])
def test_a_shorter_form_is_a_member_with_its_own_steps(n: int) -> None:
    recorder, examples = MemoryRecorder(), mixed(n, "binary")
    result, training, split = searched("binary", "random", recorder, n)
    linear = next(trial for trial in result.trials if trial.family == "linear" and trial.state == "done")
    short = next(trial for trial in result.trials if trial.shortened is not None)
    assert short.form == ("bag" if n == 400 else "refit")
    members = tuple(Part(trial=trial.number, family=trial.family, weight=1 / 2) for trial in (linear, short))
    together = Trial(number=99, family="ensemble", params={}, state="done", metric="roc_auc", members=members)
    fitted = fit_chosen(examples, together, training, split, trials=result.trials, fetch=recorder.fetch)
    alone = fit_chosen(examples, short, training, split, trials=result.trials, fetch=recorder.fetch)
    other = fit_chosen(examples, linear, training, split, trials=result.trials, fetch=recorder.fetch)
    assert leaves_in(fitted.onnx) == leaves_in(alone.onnx) + leaves_in(other.onnx)
    X = encode_columns(fitted.encoder, mixed(300, "binary", seed=9).rows)
    assert np.abs(Graph(fitted.onnx).raw(X) - fitted.predict(X)).max() <= agreement_limit("binary", 1.0)


def test_few_rows_of_a_class_keep_the_folds_models_and_the_pack_is_their_mean() -> None:
    recorder = MemoryRecorder()
    result, training, split = searched("binary", "random", recorder, n=200)
    trees = result.trials[1]
    assert (trees.family, trees.form) == ("lightgbm", "bag")
    fitted = fit_chosen(mixed(200, "binary"), trees, training, split, trials=result.trials, fetch=recorder.fetch)
    assert len(fitted.models) == result.folds
    X = encode_columns(fitted.encoder, mixed(300, "binary", seed=9).rows)
    mean = np.mean([model.predict(X) for _, model in fitted.models], axis=0)
    assert np.abs(Graph(fitted.onnx).raw(X) - mean).max() <= 1e-6
    again = fit_chosen(mixed(200, "binary"), trees, training, split, trials=result.trials, fetch=recorder.fetch)
    assert again.onnx == fitted.onnx


def test_under_a_time_split_no_model_of_an_early_fold_is_kept() -> None:
    result, _, _ = searched("binary", "time", MemoryRecorder(), n=200)
    assert {trial.form for trial in result.trials} <= {"refit", "ensemble"}


def test_folds_that_are_too_large_together_fail_their_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fold's graph passes alone; the three of a bag do not."""
    result, _, _ = searched("binary", "random", MemoryRecorder(), n=200)
    bag = result.trials[1]
    assert (bag.family, bag.form, bag.state) == ("lightgbm", "bag", "done")
    monkeypatch.setattr("headrace.scoring.onnx_file.MAX_BYTES", bag.model_bytes * 2 // 3)
    limited, _, _ = searched("binary", "random", MemoryRecorder(), n=200)
    assert limited.trials[1].state == "failed"
    assert "GraphRefused" in limited.trials[1].note
    assert limited.trials[0].state == "done"


def test_an_ensemble_that_is_too_large_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _, _ = searched("binary", "random", MemoryRecorder())
    together = result.trials[-1]
    assert together.form == "ensemble"
    members = [result.trials[member.trial] for member in together.members]
    assert together.model_bytes > max(trial.model_bytes for trial in members)
    others = [trial for trial in result.trials[:-1] if trial not in members]
    monkeypatch.setattr("headrace.scoring.onnx_file.MAX_BYTES", together.model_bytes - 1)
    assert others, "those that are larger than it fail by themselves"
    limited, _, _ = searched("binary", "random", MemoryRecorder())
    assert all(trial.form != "ensemble" for trial in limited.trials)


@pytest.mark.parametrize("classes", [2, 12, 40])
def test_the_time_of_a_row_is_estimated_of_many_classes_too(classes: int) -> None:
    """Each class has trees of its own: so many times as much."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4_000, 6)).astype(np.float32)
    y = np.argmax(X @ rng.normal(size=(6, classes)) + rng.gumbel(size=(4_000, classes)), axis=1)
    params = dict(LightGBM().defaults()[0]) | {"rounds": 20}
    task: Task = "binary" if classes == 2 else "multiclass"
    graph = LightGBM().fit(X, y, params, task=task, n_classes=classes, levels=[None] * 6, seed=0, threads=1).to_onnx()
    trees = 20 * (1 if classes == 2 else classes)
    assert 0.03 * trees < estimated_us(graph) < 0.25 * trees + 10


def test_of_more_rows_a_bag_learns_anew_each_model_from_its_part() -> None:
    """Of 200 rows the search had the first 160; a class has so few rows that folds' models are kept together."""
    whole, recorder, split = make_examples(200, "binary"), MemoryRecorder(), Split(by="random", folds=3)
    training = Training(families=("lightgbm",), budget=Budget(trials=1), threads=1)
    result = search(whole.at(np.arange(160)), training, split, None, recorder=recorder, clock=StepClock(0.001))
    trial = result.trials[0]
    assert trial.form == "bag"
    kept = fit_chosen(whole.at(np.arange(160)), trial, training, split, trials=result.trials, fetch=recorder.fetch)
    anew = fit_chosen(whole, trial, training, split, trials=result.trials, fetch=recorder.fetch, afresh=True)
    assert len(kept.models) == len(anew.models) == 3
    X = encode_columns(anew.encoder, whole.rows)
    np.testing.assert_allclose(Graph(anew.onnx).raw(X), anew.predict(X), atol=1e-6)
    learnt = [np.abs(each.predict(X)[160:] - whole.y[160:]).mean() for each in (kept, anew)]
    assert learnt[1] < learnt[0]  # it knows these rows


@pytest.mark.parametrize(("members", "units", "least", "most"), [(2, 32, 20, 35), (2, 96, 25, 45), (4, 192, 60, 110)])
def test_the_time_of_a_row_counts_what_a_network_multiplies(
    members: int, units: int, least: float, most: float
) -> None:
    """About 30 to 40 and 60 to 80 microseconds were measured of such networks."""
    X, y = np.random.default_rng(0).normal(size=(400, 40)).astype(np.float32), np.arange(400.0)
    params = dict(MLP().defaults()[0]) | {"members": members, "units": units, "bins": 10, "epochs": 1}
    fitted = MLP().fit(X, y, params, task="regression", n_classes=0, levels=[None] * 40, seed=0, threads=1)
    assert least < estimated_us(fitted.to_onnx()) < most
