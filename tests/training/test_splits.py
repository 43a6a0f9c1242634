"""Folds: disjoint, complete, nothing from the future, groups whole."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.samples import HOUR, make_examples

from headrace.definition.model import Split
from headrace.training.errors import FoldsImpossible
from headrace.training.splits import (
    Fold,
    group_folds,
    make_folds,
    random_folds,
    stratified_folds,
    time_folds,
)

instants = st.lists(st.integers(0, 40), min_size=2, max_size=120)


def assert_every_row_is_asked_once(folds: list[Fold], n: int) -> None:
    asked = np.concatenate([fold.validation for fold in folds])
    assert sorted(asked.tolist()) == list(range(n))
    for fold in folds:
        assert sorted(np.concatenate([fold.train, fold.validation]).tolist()) == list(range(n))


@given(instants, st.integers(2, 7), st.integers(0, 5))
def test_time_folds_learn_only_from_what_was_known_before_they_ask(times: list[int], folds: int, lag: int) -> None:
    time = np.array(times, np.int64)
    known = time + lag
    asked: list[int] = []
    for fold in time_folds(time, folds, label_known_us=known):
        start = time[fold.validation].min()
        before = np.flatnonzero(time < start)
        assert (time[fold.train] < start).all()
        assert (known[fold.train] < start).all()
        # nothing but late labels is left out
        assert fold.train.tolist() == before[known[before] < start].tolist()
        asked += fold.validation.tolist()
    assert len(asked) == len(set(asked))


@given(instants, st.integers(2, 7))
def test_time_folds_ask_everything_after_the_first_block_and_keep_ties_together(times: list[int], folds: int) -> None:
    time = np.array(times, np.int64)
    made = time_folds(time, folds)
    if len(set(times)) == 1:
        assert made == []
        return
    asked = np.concatenate([fold.validation for fold in made])
    first = time[made[0].validation].min()
    assert sorted(asked.tolist()) == np.flatnonzero(time >= first).tolist()
    for fold in made:
        inside = set(time[fold.validation].tolist())
        outside = set(np.delete(time, fold.validation).tolist())
        assert not inside & outside
    assert 1 <= len(made) <= folds


def test_time_folds_have_about_equal_blocks() -> None:
    made = time_folds(np.arange(60, dtype=np.int64), 5)
    assert [len(fold.validation) for fold in made] == [10] * 5
    assert [len(fold.train) for fold in made] == [10, 20, 30, 40, 50]


@given(st.integers(2, 200), st.integers(2, 8), st.integers(0, 9))
def test_random_folds_ask_every_row_once_and_repeat_for_a_seed(n: int, folds: int, seed: int) -> None:
    made = random_folds(n, folds, seed=seed)
    assert_every_row_is_asked_once(made, n)
    sizes = [len(fold.validation) for fold in made]
    assert max(sizes) - min(sizes) <= 1
    again = random_folds(n, folds, seed=seed)
    assert [f.validation.tolist() for f in made] == [f.validation.tolist() for f in again]


def test_another_seed_gives_other_folds() -> None:
    one, two = (random_folds(100, 5, seed=seed)[0].validation.tolist() for seed in (1, 2))
    assert one != two


@given(st.lists(st.integers(0, 3), min_size=4, max_size=200), st.integers(2, 6), st.integers(0, 9))
def test_stratified_folds_spread_every_class_evenly(classes: list[int], folds: int, seed: int) -> None:
    y = np.array(classes)
    made = stratified_folds(y, folds, seed=seed)
    assert_every_row_is_asked_once(made, len(y))
    if len(made) == folds:
        for code in set(classes):
            counts = [int((y[fold.validation] == code).sum()) for fold in made]
            assert max(counts) - min(counts) <= 1


@given(st.lists(st.integers(0, 15), min_size=4, max_size=200), st.integers(2, 6), st.integers(0, 9))
def test_group_folds_never_divide_a_group(groups: list[int], folds: int, seed: int) -> None:
    codes = np.array(groups, np.int64)
    made = group_folds(codes, folds, seed=seed)
    assert_every_row_is_asked_once(made, len(codes))
    for fold in made:
        assert not set(codes[fold.train].tolist()) & set(codes[fold.validation].tolist())


@given(instants, st.integers(2, 7), st.integers(0, 5), st.integers(0, 9))
def test_an_embargo_leaves_out_exactly_the_labels_that_were_known_within_it(
    times: list[int], folds: int, lag: int, embargo: int
) -> None:
    time = np.array(times, np.int64)
    known = time + lag
    without = time_folds(time, folds, label_known_us=known)
    for free, kept in zip(without, time_folds(time, folds, label_known_us=known, embargo_us=embargo), strict=True):
        assert kept.validation.tolist() == free.validation.tolist()
        start = time[kept.validation].min()
        assert kept.train.tolist() == free.train[known[free.train] < start - embargo].tolist()


def test_without_known_instants_the_embargo_counts_from_when_rows_were_asked_for() -> None:
    first, *_ = time_folds(np.arange(60, dtype=np.int64), 5, embargo_us=3)
    assert first.train.tolist() == list(range(7))  # the block begins at 10: rows at 7, 8 and 9 are left out


@given(instants, st.data(), st.integers(2, 5))
def test_under_time_with_a_group_only_rows_of_new_groups_are_asked(
    times: list[int], data: st.DataObject, folds: int
) -> None:
    time = np.array(times, np.int64)
    groups = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(times), max_size=len(times))), np.int64)
    for whole, new in zip(time_folds(time, folds), time_folds(time, folds, groups=groups), strict=True):
        assert new.train.tolist() == whole.train.tolist()
        met = set(groups[new.train].tolist())
        assert new.validation.tolist() == [row for row in whole.validation.tolist() if groups[row] not in met]


@given(st.lists(st.integers(0, 15), min_size=4, max_size=200), st.data(), st.integers(2, 6))
def test_group_folds_of_classes_never_divide_a_group_either(groups: list[int], data: st.DataObject, folds: int) -> None:
    codes = np.array(groups, np.int64)
    strata = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(groups), max_size=len(groups))))
    made = group_folds(codes, folds, seed=1, strata=strata)
    assert_every_row_is_asked_once(made, len(codes))
    for fold in made:
        assert not set(codes[fold.train].tolist()) & set(codes[fold.validation].tolist())


def test_a_rare_class_is_in_every_fold_when_enough_groups_have_it() -> None:
    groups = np.repeat(np.arange(200, dtype=np.int64), np.arange(200) % 7 + 1)
    rare = np.isin(groups, [3, 40, 77, 120, 199]).astype(np.int64)
    for seed in range(5):
        made = group_folds(groups, 5, seed=seed, strata=rare)
        assert all(rare[fold.validation].any() for fold in made)
        sizes = [len(fold.validation) for fold in made]
        assert max(sizes) - min(sizes) <= 7  # as even as the largest group allows


@pytest.mark.parametrize("by", ["time", "random", "stratified", "group"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_rule_makes_folds_for_every_task(by: str, task: str) -> None:
    examples = make_examples(200, task)  # type: ignore[arg-type]
    folds = make_folds(examples, Split(by=by, folds=4))  # type: ignore[arg-type]
    assert len(folds) == 4
    if by == "time":
        assert examples.time_us is not None
        for fold in folds:  # labels are known 90 minutes later: the last row before the cut is not yet
            assert examples.time_us[fold.validation].min() - examples.time_us[fold.train].max() == 2 * HOUR


def test_a_fold_whose_training_rows_have_one_class_is_left_out() -> None:
    examples = make_examples(60)
    y = np.zeros(60, np.int64)
    y[25:] = np.arange(35) % 2
    folds = make_folds(dataclasses.replace(examples, y=y), Split(by="time", folds=5))
    assert len(folds) == 3
    assert all(len(np.unique(y[fold.train])) == 2 for fold in folds)


def test_no_usable_fold_is_an_error_that_says_why() -> None:
    examples = make_examples(60)
    y = np.zeros(60, np.int64)
    y[-1] = 1
    with pytest.raises(FoldsImpossible, match="one class or value only"):
        make_folds(dataclasses.replace(examples, y=y), Split(by="time", folds=5))
    same = dataclasses.replace(examples, time_us=np.zeros(60, np.int64))
    with pytest.raises(FoldsImpossible, match="too few"):
        make_folds(same, Split(by="time", folds=5))
    with pytest.raises(FoldsImpossible, match="time is not set"):
        make_folds(dataclasses.replace(examples, time_us=None), Split(by="time", folds=5))


@pytest.mark.parametrize(
    ("rows", "positives", "folds"),
    [(9_000, 0.5, 5), (15_000, 0.5, 3), (25_000, 0.5, 2), (25_000, 0.05, 2), (25_000, 0.02, 4), (25_000, 0.015, 5)],
)
def test_where_no_number_is_named_a_large_table_is_asked_about_in_fewer_folds(
    rows: int, positives: float, folds: int
) -> None:
    y = (np.arange(rows) < positives * rows).astype(np.int64)
    examples = dataclasses.replace(make_examples(rows), y=y)
    split = Split(by="stratified", folds=5)
    every, few = make_folds(examples, split), make_folds(examples, msgspec.structs.replace(split, few=True))
    assert len(every) == 5
    assert len(few) == folds
    for asked, same in zip(few, every[-folds:], strict=True):
        assert (asked.validation == same.validation).all()
