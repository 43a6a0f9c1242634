"""The holdout by segments, and whether groups are treated alike."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as sk

from headrace.training.segments import FEWEST_ROWS, by_segment, fairness_of, parts_of


def made(n: int = 6_000) -> tuple[pl.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Two large groups and a tiny one; of b the scores say nothing, and twice as many are acted on."""
    rng = np.random.default_rng(0)
    group = np.where(np.arange(n) < 20, "c", np.where(rng.random(n) < 0.5, "a", "b"))
    p = rng.beta(2, 5, n)
    y = (rng.random(n) < np.where(group == "a", p, 0.3)).astype(np.int64)
    decided = (p >= np.where(group == "b", 0.2, 0.4)).astype(np.int64)
    return pl.DataFrame({"group": group, "size": rng.normal(size=n)}), y, p, decided


def test_a_segment_that_is_worse_is_found_and_a_small_one_is_said_to_be_too_small() -> None:
    table, y, p, decided = made()
    found = by_segment(table["group"], "binary", y, p, decided, seed=0)
    parts = {segment.value: segment for segment in found.segments}
    assert sum(segment.rows for segment in found.segments) == len(y)
    assert parts["c"].rows == 20 < FEWEST_ROWS
    assert parts["c"].metrics == ()
    assert "roc_auc" in parts["b"].worse
    assert parts["a"].worse == (), "its recall is lower because its threshold is higher"
    own = table["group"].to_numpy() == "a"
    metrics = {m.name: m for m in parts["a"].metrics}
    assert metrics["roc_auc"].value == pytest.approx(sk.roc_auc_score(y[own], p[own]))
    assert metrics["recall"].value == pytest.approx(sk.recall_score(y[own], decided[own]))
    assert all(m.low <= m.value <= m.high for m in parts["a"].metrics)
    assert parts["a"].prevalence == pytest.approx(y[own].mean())


def test_many_numbers_are_told_in_four_parts_of_as_many_rows_and_nulls_apart() -> None:
    values = [float(i) for i in range(100)] + [None] * 7
    codes, names = parts_of(pl.Series("x", values))
    assert names == ["≤ 24.75", "24.75 to 49.5", "49.5 to 74.25", "> 74.25", "(null)"]
    assert np.bincount(codes).tolist() == [25, 25, 25, 25, 7]


def test_parts_of_numbers_have_names_of_their_own_and_rows() -> None:
    codes, names = parts_of(pl.Series("id", range(100_001, 100_401)))
    assert len(set(names)) == 4
    assert np.bincount(codes).tolist() == [100] * 4
    many_at_the_top = [*range(13), *[20] * 50]
    codes, names = parts_of(pl.Series("x", many_at_the_top))
    assert names == ["≤ 20"], "there is nothing above"
    assert not codes.any()
    codes, names = parts_of(pl.Series("x", [-np.inf] * 40 + [float(i) for i in range(20)] + [np.inf] * 40))
    assert names == ["≤ 4.75", "4.75 to 9.5", "9.5 to 14.25", "> 14.25"]
    assert np.bincount(codes).tolist() == [45, 5, 5, 45]


def test_a_part_whose_labels_are_all_alike_has_no_share_of_variance() -> None:
    rng = np.random.default_rng(0)
    y = np.append(np.full(60, 0.1), rng.normal(size=200))
    said = y + 0.01 * rng.normal(size=260)
    found = by_segment(pl.Series("s", ["fee"] * 60 + ["other"] * 200), "regression", y, said, said, seed=0)
    parts = {segment.value: segment for segment in found.segments}
    assert [one.name for one in parts["fee"].metrics] == ["rmse", "mae"]
    assert "r2" in [one.name for one in parts["other"].metrics]


def test_of_many_values_the_most_frequent_are_told_and_the_others_together() -> None:
    column = pl.Series("x", [f"v{i}" for i in range(30) for _ in range(31 - i)])
    codes, names = parts_of(column)
    assert names[:2] == ["v0", "v1"]
    assert names[-1] == "(others)"
    assert len(names) == 21
    assert np.bincount(codes)[-1] == sum(31 - i for i in range(20, 30))


def test_rates_by_group_are_those_of_the_groups_own_rows() -> None:
    table, y, p, decided = made()
    found = fairness_of(table["group"], y, p, decided, seed=0)
    assert found.too_small == ("c",)
    assert {group.value for group in found.groups} == {"a", "b"}
    for group in found.groups:
        own = table["group"].to_numpy() == group.value
        rates = {rate.name: rate for rate in group.rates}
        assert rates["selection"].value == pytest.approx(decided[own].mean())
        assert rates["tpr"].value == pytest.approx(decided[own & (y == 1)].mean())
        assert rates["fpr"].value == pytest.approx(decided[own & (y == 0)].mean())
        assert rates["precision"].value == pytest.approx(y[own & (decided == 1)].mean())
        assert rates["calibration"].value == pytest.approx(y[own].mean() - p[own].mean())
        assert rates["selection"].low < rates["selection"].value < rates["selection"].high
    compared = {rate.name: rate for rate in found.compared}
    a, b = (decided[table["group"].to_numpy() == value].mean() for value in "ab")
    assert compared["selection"].difference.value == pytest.approx(b - a)
    assert compared["selection"].ratio is not None
    assert compared["selection"].ratio.value == pytest.approx(a / b)
    assert compared["selection"].below_four_fifths == "yes"
    assert compared["calibration"].ratio is None


def test_groups_that_are_treated_alike_are_not_accused() -> None:
    rng = np.random.default_rng(1)
    n = 8_000
    p = rng.beta(2, 5, n)
    y, decided = (rng.random(n) < p).astype(np.int64), (p >= 0.3).astype(np.int64)
    found = fairness_of(pl.Series("g", rng.integers(0, 2, n)), y, p, decided, seed=0)
    compared = {rate.name: rate for rate in found.compared}
    assert compared["selection"].below_four_fifths == "no"
    assert compared["tpr"].difference.value < 0.05


@pytest.mark.parametrize(("groups", "rows", "share"), [(5, 200, 0.1), (10, 300, 0.2), (20, 100, 0.1), (20, 60, 0.01)])
def test_of_many_groups_that_are_treated_alike_chance_accuses_none(groups: int, rows: int, share: float) -> None:
    held, told, accused = 0, 0, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        n = groups * rows
        p, decided = rng.beta(2, 5, n), (rng.random(n) < share).astype(np.int64)
        y = (rng.random(n) < p).astype(np.int64)
        found = fairness_of(pl.Series("g", np.arange(n) % groups).cast(pl.String), y, p, decided, seed=seed)
        assert len(found.groups) == groups
        for rate in found.compared:
            told += 1
            ratio = rate.ratio
            held += rate.difference.low == 0.0 and (ratio is None or ratio.low <= ratio.value <= ratio.high == 1.0)
            accused += rate.below_four_fifths == "yes"
    assert accused == 0
    assert held >= 0.9 * told


def test_one_group_of_many_that_is_acted_on_half_as_often_is_seen() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(20_000) % 10
    p = rng.beta(2, 5, 20_000)
    decided = (rng.random(20_000) < np.where(group == 3, 0.1, 0.2)).astype(np.int64)
    found = fairness_of(pl.Series("g", group), (rng.random(20_000) < p).astype(np.int64), p, decided, seed=0)
    (selection,) = (rate for rate in found.compared if rate.name == "selection")
    assert selection.below_four_fifths == "yes"
    assert selection.ratio is not None
    assert selection.ratio.low <= 0.5 <= selection.ratio.high
    assert selection.difference.low <= 0.1 <= selection.difference.high


def test_one_group_is_told_and_compared_with_nothing() -> None:
    _, y, p, decided = made(500)
    found = fairness_of(pl.Series("g", ["x"] * 500), y, p, decided, seed=0)
    assert len(found.groups) == 1
    assert found.compared == ()
