"""The frame divided: holdout apart, labels that came too late left out, bad labels refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from headrace.data.model import Field
from headrace.definition.model import Split, Task
from headrace.features.model import Frame, Program
from headrace.language.types import Type
from headrace.runs.model import ObjectRef
from headrace.training.data import NEVER, TrainingData, divide
from headrace.training.errors import GroupColumnMissing, NoNewGroup, SegmentColumnMissing, TargetUnusable

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def frame_of(table: pl.DataFrame, task: Task, holdout_rows: int) -> Frame:
    program = Program(
        model="m",
        source="s",
        time="at" if "at" in table.columns else None,
        key=("id",),
        request=(),
        steps=(),
        outputs=(Field(name="x", type=Type.FLOAT), Field(name="c", type=Type.CATEGORY)),
    )
    return Frame(
        ref=ObjectRef("k", "0", 0),
        program=program,
        task=task,
        classes={"binary": ("false", "true"), "multiclass": ("a", "b", "c"), "regression": ()}[task],
        rows=table.height,
        holdout_rows=holdout_rows,
        unlabelled=0,
    )


def table_of(n: int, label: Any, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "_row": pl.Series(range(n), dtype=pl.UInt32),
            "id": range(n),
            "at": [START + dt.timedelta(hours=i) for i in range(n)],
            "_label": label,
            "x": np.linspace(0, 1, n),
            "c": [f"c{i % 3}" for i in range(n)],
            **columns,
        }
    )


def divided(
    table: pl.DataFrame, *, task: Task = "binary", held: int = 4, by: Any = "time", **split: Any
) -> TrainingData:
    return divide(frame_of(table, task, held), table, Split(by=by, **split))


def test_the_last_rows_are_the_holdout_and_only_features_are_features() -> None:
    data = divided(table_of(20, [i % 2 == 0 for i in range(20)]))
    assert (len(data.train), len(data.holdout), data.purged) == (16, 4, 0)
    assert data.train.rows.columns == ["x", "c"]
    assert data.train.y.tolist() == [1, 0] * 8
    assert data.train.time_us is not None
    assert data.holdout.time_us is not None
    assert data.train.time_us.max() < data.holdout.time_us.min()
    assert data.train.label_known_us is None


def test_a_holdout_column_wins_over_the_place() -> None:
    held = [i in (0, 5) for i in range(20)]
    data = divided(table_of(20, [i % 2 == 0 for i in range(20)], _holdout=held), by="random")
    assert data.holdout.rows["x"].to_list() == [0.0, 5 / 19]
    assert len(data.train) == 18


def test_labels_known_only_after_the_holdout_began_are_left_out() -> None:
    known = [START + dt.timedelta(hours=i + 3) for i in range(19)] + [None]
    data = divided(table_of(20, [i % 2 == 0 for i in range(20)], _label_known=known))
    assert data.purged == 3  # known at hours 16, 17, 18: the holdout begins at 16
    assert len(data.train) == 13
    assert data.holdout.label_known_us is not None
    assert data.holdout.label_known_us[-1] == NEVER


def test_labels_of_which_nothing_says_when_they_are_known_are_all_learnt_from() -> None:
    known = pl.Series([None] * 20, dtype=pl.Datetime("us", "UTC"))
    data = divided(table_of(20, [i % 2 == 0 for i in range(20)], _label_known=known))
    assert (len(data.train), data.purged, data.train.label_known_us) == (16, 0, None)


def test_the_holdout_carries_the_columns_that_segments_are_made_of() -> None:
    table = table_of(20, [i % 2 == 0 for i in range(20)])
    data = divide(frame_of(table, "binary", 4), table, Split(by="time"), ("c", "id", "c"))
    assert data.holdout.beside is not None
    assert data.holdout.beside.to_dict(as_series=False) == {"c": ["c1", "c2", "c0", "c1"], "id": [16, 17, 18, 19]}
    assert data.train.beside is None
    with pytest.raises(SegmentColumnMissing, match="'town', which is no column"):
        divide(frame_of(table, "binary", 4), table, Split(by="time"), ("town",))


def test_groups_are_codes_and_a_missing_group_column_is_named() -> None:
    table = table_of(20, [i % 2 == 0 for i in range(20)])
    data = divided(table, by="group", group="c")
    assert data.train.groups is not None
    assert len(set(data.train.groups.tolist())) == 3
    with pytest.raises(GroupColumnMissing, match="'town' is not a column"):
        divided(table, by="group", group="town")
    with pytest.raises(GroupColumnMissing, match="no column is named"):
        divided(table, by="group")


def test_codes_and_values_are_labels_too() -> None:
    codes = divided(table_of(9, pl.Series([0, 1, 2] * 3, dtype=pl.Int32)), task="multiclass", held=3)
    assert codes.train.y.dtype == np.int64
    assert codes.train.n_classes == 3
    values = divided(table_of(9, np.linspace(0, 1, 9)), task="regression", held=3)
    assert values.train.y.dtype == np.float64


@pytest.mark.parametrize(
    ("label", "task", "says"),
    [
        ([True] * 16 + [False] * 4, "binary", "the same in all 16 rows"),
        ([1.0, float("nan"), float("inf"), *range(17)], "regression", "not finite in 2 of 16"),
        ([2.5] * 20, "regression", "the same in all"),
        ([1e7 + i / 100 for i in range(20)], "regression", "too far from zero"),
    ],
)
def test_a_label_that_nothing_can_be_learnt_from_is_refused(label: list[Any], task: Task, says: str) -> None:
    table = table_of(20, pl.Series(label, strict=False))
    with pytest.raises(TargetUnusable, match=says):
        divided(table, task=task)


def test_no_rows_are_refused() -> None:
    with pytest.raises(TargetUnusable, match="empty"):
        divided(table_of(4, [True, False, True, False]), held=4)


def test_an_embargo_leaves_out_rows_before_the_holdout_whether_or_not_labels_have_instants() -> None:
    table = table_of(20, [i % 2 == 0 for i in range(20)])
    data = divided(table, embargo_us=2 * 3_600_000_000)
    assert (len(data.train), data.purged) == (14, 2)  # asked for at hours 14 and 15; the holdout begins at 16
    known = [START + dt.timedelta(hours=i + 1) for i in range(20)]
    data = divided(table.with_columns(_label_known=pl.Series(known)), embargo_us=2 * 3_600_000_000)
    assert (len(data.train), data.purged) == (13, 3)


def test_under_time_with_a_group_the_holdout_asks_about_new_groups_only() -> None:
    table = table_of(
        20, [i % 2 == 0 for i in range(20)], _group=pl.Series([*range(15), 3, 4, 20, 21, 5], dtype=pl.UInt64)
    )
    data = divided(table, group="tail")
    assert (len(data.train), len(data.holdout), data.unasked) == (16, 2, 2)
    assert data.holdout.rows["x"].to_list() == pytest.approx([17 / 19, 18 / 19])
    with pytest.raises(NoNewGroup, match="all 4 rows of the holdout"):
        divided(table.with_columns(_group=pl.Series([1] * 20, dtype=pl.UInt64)), group="tail")


def test_a_group_that_is_neither_key_nor_feature_divides_by_the_frames_own_marks() -> None:
    table = table_of(
        20, [i % 2 == 0 for i in range(20)], _group=pl.Series([2**64 - 1 - i // 4 for i in range(20)], dtype=pl.UInt64)
    )
    data = divided(table, by="group", group="town")
    assert data.train.groups is not None
    assert [len(set(data.train.groups[i : i + 4].tolist())) for i in range(0, 16, 4)] == [1] * 4
    assert len(set(data.train.groups.tolist())) == 4
