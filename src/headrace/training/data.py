"""The frame as training sees it: rows to learn from, and rows that only the one last look may touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.data.model import Field
from headrace.definition.model import Split, Task
from headrace.features.holdout import key_hashes
from headrace.features.model import Frame
from headrace.training.errors import GroupColumnMissing, NoNewGroup, SegmentColumnMissing, TargetUnusable
from headrace.training.model import LeftOut

if TYPE_CHECKING:
    import polars as pl

NEVER = np.iinfo(np.int64).max
"""The instant at which a label without a known instant becomes known."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled rows in the frame's order."""

    task: Task
    classes: tuple[str, ...]
    outputs: tuple[Field, ...]
    rows: pl.DataFrame
    """The columns `outputs`, unencoded."""
    y: NDArray[Any]
    """int64 0 and 1, int64 class codes, or finite float64."""
    time_us: NDArray[np.int64] | None = None
    """Prediction time."""
    label_known_us: NDArray[np.int64] | None = None
    """When the label became known; `NEVER` for null."""
    groups: NDArray[np.int64] | None = None
    """Codes of the group column, where the split names one."""
    twins: NDArray[np.int64] | None = None
    """Codes of the key, where several rows have one, and of repeats: rows of a code are never divided by chance."""

    left_out: tuple[LeftOut, ...] | None = None
    """Columns of `outputs` that training leaves out (`headrace.training.guards`); None: that was not looked for."""
    beside: pl.DataFrame | None = None
    """Further columns, of the holdout: those that `[evaluation]` names."""

    def __len__(self) -> int:
        return len(self.y)

    def at(self, rows: NDArray[np.intp]) -> Examples:
        """The rows at these positions."""
        return replace(
            self,
            rows=self.rows[rows],
            y=self.y[rows],
            time_us=None if self.time_us is None else self.time_us[rows],
            label_known_us=None if self.label_known_us is None else self.label_known_us[rows],
            groups=None if self.groups is None else self.groups[rows],
            twins=None if self.twins is None else self.twins[rows],
            beside=None if self.beside is None else self.beside[rows],
        )

    def with_outputs(self, outputs: tuple[Field, ...]) -> Examples:
        """With these columns only."""
        rows = self.rows.select(field.name for field in outputs)
        return replace(self, outputs=outputs, rows=rows, left_out=None)

    @property
    def unlearnt(self) -> frozenset[str]:
        """The names of `left_out`."""
        return frozenset(each.name for each in self.left_out or ())

    @property
    def n_classes(self) -> int:
        """2 for binary; 0 for regression."""
        return {"binary": 2, "multiclass": len(self.classes), "regression": 0}[self.task]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The two parts of a frame. Search, calibration and the fit are given `train` and nothing else."""

    train: Examples
    holdout: Examples
    purged: int
    """Training rows left out because their label was not known the embargo before the holdout began (time split)."""
    held_out: str = ""
    """Names the holdout's rows and labels by their content, whatever the order of rows and the features."""
    unasked: int = 0
    """Rows of the holdout that are of a group that training rows are of, and so are not asked (time split with a
    group)."""


def divide(frame: Frame, table: pl.DataFrame, split: Split, beside: Sequence[str] = ()) -> TrainingData:
    """Divide the frame's rows, read from its Parquet, into training rows and holdout.

    Parameters
    ----------
    beside : further columns that the holdout's rows carry along

    Raises
    ------
    TargetUnusable : no rows, one class or value, NaN or infinite labels, values that float32 cannot tell apart.
    GroupColumnMissing : a group split without its column.
    SegmentColumnMissing : a column of `beside` is not there.
    NoNewGroup : under time, every row of the holdout is of a group that was learnt from.
    """
    import polars as pl

    whole = everything(frame, table, split)
    if "_holdout" in table.columns:
        held = table["_holdout"].to_numpy()
    else:
        held = np.arange(table.height) >= table.height - frame.holdout_rows
    train, groups = ~held, whole.groups
    purged = unasked = 0
    if split.by == "time" and whole.time_us is not None and held.any():
        start_us = int(whole.time_us[held].min())
        late = train & ~known_in_time(
            whole.time_us, start_us, label_known_us=whole.label_known_us, embargo_us=split.embargo_us
        )
        purged, train = int(late.sum()), train & ~late
        if groups is not None:
            new = held & ~np.isin(groups, groups[train])
            if not new.any():
                raise NoNewGroup(split.group or "", rows=int(held.sum()))
            unasked, held = int(held.sum() - new.sum()), new
    holdout = whole.at(np.flatnonzero(held))
    if beside:
        holdout = replace(holdout, beside=_beside(table, beside).filter(pl.Series(held)))
    data = TrainingData(
        train=whole.at(np.flatnonzero(train)),
        holdout=holdout,
        purged=purged,
        held_out=_content(table.filter(pl.Series(held)), frame.program.key),
        unasked=unasked,
    )
    if purged and not len(data.train):
        raise TargetUnusable(
            f"known too late: of {purged:,} rows before the holdout none had its label known when it began",
            expected="labels that become known while there are rows to come",
            fix="lower [split] holdout or embargo, or correct the `known` of the columns that the label uses",
            rows=purged,
        )
    check_target(data.train)
    return data


def everything(frame: Frame, table: pl.DataFrame, split: Split) -> Examples:
    """All labelled rows of the frame, read from its Parquet: those of the holdout too."""
    import polars as pl

    program = frame.program
    twins = None
    if split.by in ("random", "stratified"):
        twins = _codes(table["_unit"]) if "_unit" in table.columns else _twins(table, program.key)
    time = "_asked" if "_asked" in table.columns else program.time
    return Examples(
        task=frame.task,
        classes=frame.classes,
        outputs=program.outputs,
        rows=table.select(field.name for field in program.outputs),
        y=table["_label"].cast(pl.Float64 if frame.task == "regression" else pl.Int64).to_numpy(),
        time_us=None if time is None else _instants(table[time]),
        label_known_us=_instants(table["_label_known"]) if _is_known(table) else None,
        groups=_groups(table, split),
        twins=twins,
    )


def known_in_time(
    time_us: NDArray[np.int64], start_us: int, *, label_known_us: NDArray[np.int64] | None, embargo_us: int
) -> NDArray[np.bool_]:
    """Which rows may be learnt from before rows from `start_us` on are asked: those asked for before it whose label was
    known more than the embargo before it. Where nothing says when labels are known, they are taken to be known when
    they are asked for, so that the embargo counts from there.

    Purging and embargo: Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 7. Nothing is learnt from
    after what is asked, so the embargo lies before it.
    """
    known = time_us if label_known_us is None else label_known_us
    in_time: NDArray[np.bool_] = (time_us < start_us) & (known < start_us - embargo_us)
    return in_time


def _groups(table: pl.DataFrame, split: Split) -> NDArray[np.int64] | None:
    """A code for each group; rows without one are of one group."""
    if split.group is None and split.by != "group":
        return None
    marks = ("_unit", "_group") if split.by == "group" else ("_group",)
    column = next((mark for mark in marks if mark in table.columns), split.group)
    if column is None or column not in table.columns:
        raise GroupColumnMissing(split.group, columns=[c for c in table.columns if not c.startswith("_")])
    return _codes(table[column])


def _content(held: pl.DataFrame, key: tuple[str, ...]) -> str:
    """BLAKE2 over the sorted hashes of (key or place in the source, label)."""
    named = held.select(*(key or ("_row",)), "_label")
    return blake2b(np.sort(key_hashes(named, seed=0)).tobytes(), digest_size=16).hexdigest()


def _codes(column: pl.Series) -> NDArray[np.int64]:
    import polars as pl

    return column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _twins(table: pl.DataFrame, key: tuple[str, ...]) -> NDArray[np.int64] | None:
    """A code for each key, one of its own for each row of which a part of the key is null: such rows need not be of one
    entity. None when no key comes twice."""
    import polars as pl

    if not key:
        return None
    known = pl.all_horizontal(pl.col(name).is_not_null() for name in key)
    codes = table.select(pl.when(known).then(pl.struct(key).rank("dense").cast(pl.Int64))).to_series()
    if codes.drop_nulls().n_unique() == len(codes) - codes.null_count():
        return None
    own = pl.int_range(table.height, dtype=pl.Int64, eager=True) + (table.height + 1)
    return codes.fill_null(own).to_numpy()


def _beside(table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    for name in names:
        if name not in table.columns or name.startswith("_"):
            raise SegmentColumnMissing(name, columns=[c for c in table.columns if not c.startswith("_")])
    return table.select(list(dict.fromkeys(names)))


def _is_known(table: pl.DataFrame) -> bool:
    """Whether anything says when labels become known."""
    return "_label_known" in table.columns and table["_label_known"].null_count() < table.height


def check_target(examples: Examples) -> None:
    """Raise `TargetUnusable` unless there is something to learn."""
    y = examples.y
    if not len(y):
        raise TargetUnusable(
            "empty: there are no rows", expected="at least a few rows", fix="read more rows, or check the label's nulls"
        )
    if examples.task == "regression":
        bad = int((~np.isfinite(y)).sum())
        if bad:
            raise TargetUnusable(
                f"not finite in {bad} of {len(y)} rows (NaN or infinite)",
                expected="finite numbers",
                fix="repair the label's columns, or make such labels null: null labels are left out",
                rows=bad,
            )
    if len(np.unique(y)) < 2:
        raise TargetUnusable(
            f"the same in all {len(y)} rows",
            expected="at least two classes, or values that vary",
            fix="check [project] label, and that [split] leaves every class in the training rows",
            rows=len(y),
        )
    if examples.task == "regression":
        spread, step = float(np.std(y)), float(np.spacing(np.float32(np.abs(y).max())))
        if step > 1e-5 * spread:
            raise TargetUnusable(
                f"too far from zero for its spread: float32 steps of {step:.3g} against a spread of {spread:.3g}",
                expected="values that float32 tells apart to 1e-5 of their spread",
                fix='subtract a constant in the label, for example label = "year - 2000"',
                step=step,
                spread=spread,
            )


def _instants(column: pl.Series) -> NDArray[np.int64]:
    import polars as pl

    if column.dtype.is_temporal():
        column = column.cast(pl.Datetime("us"))
    return column.cast(pl.Int64).fill_null(NEVER).to_numpy()
