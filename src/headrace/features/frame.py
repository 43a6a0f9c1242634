"""The frame: one row a labelled example, every value as it was known when its prediction was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from headrace.data.model import Table
from headrace.definition.model import Definition, Split, Task
from headrace.features.columns import FeatureColumns
from headrace.features.errors import LabelKnownTooEarly, NoLabelledRows, NullTime
from headrace.features.exact import scale_of
from headrace.features.holdout import drawn, key_hashes, last_in_time
from headrace.features.keyed import known_at
from headrace.features.label import Label, label_of
from headrace.features.levels import target_of
from headrace.features.model import Frame, Program, WindowStep
from headrace.features.windows import largest_magnitude
from headrace.language.columns import to_polars
from headrace.language.types import Type
from headrace.language.values import dtype
from headrace.runs.model import StageContext

_BATCH: Final = 1 << 18
_TOO_EARLY: Final = 0.9
"""A larger share of labels known before their predictions says that the definition, not the data, is wrong."""


def assemble(program: Program, definition: Definition, tables: Mapping[str, Table], ctx: StageContext) -> Frame:
    """Gather the training table.

    Parameters
    ----------
    program
        From `build_program`; the frame's own program has the scales of exact sums filled in.
    tables
        The accepted tables by source.

    Raises
    ------
    CheckFailed : no labelled rows, one class, a null prediction time, labels known too early, no possible holdout.
    """
    scans = {name: _scan(table, ctx) for name, table in tables.items()}
    label = label_of(definition, {field.name: field.type for field in tables[program.source].fields})
    ctx.count(rows_in=sum(table.rows for table in tables.values()))
    program = with_scales(program, scans)
    examples = _examples(program, label, scans[program.source], tables[program.source].rows, definition.split)
    target = target_of(label, examples.rows["_label"])
    rows = examples.rows.with_columns(target.values.alias("_label"))
    rows, holdout_rows = _with_holdout(rows, program, definition.split, target.task)
    path = ctx.workdir / "frame.parquet"
    _write(rows, program, scans, path, ctx)
    ctx.count(rows_out=rows.height)
    return Frame(
        ref=ctx.keep(path, "frames", ".parquet"),
        program=program,
        task=target.task,
        classes=target.classes,
        rows=rows.height,
        holdout_rows=holdout_rows,
        unlabelled=examples.unlabelled,
        label_too_early=examples.too_early,
    )


@dataclass(frozen=True, slots=True)
class _Examples:
    rows: pl.DataFrame
    """`_row`, key, time, `_label`, `_label_known` and the request columns, sorted by (time, key, `_row`)."""
    unlabelled: int
    too_early: int


def with_scales(program: Program, scans: Mapping[str, pl.LazyFrame]) -> Program:
    """The program with the scale of every exact float sum fixed from history."""

    def fixed(step: WindowStep) -> WindowStep:
        if step.value_type is not Type.FLOAT or not {"sum", "mean"} & set(step.take):
            return step
        return msgspec.structs.replace(step, scale=scale_of(largest_magnitude(step, scans[step.source])))

    steps = tuple(fixed(step) if isinstance(step, WindowStep) else step for step in program.steps)
    return msgspec.structs.replace(program, steps=steps)


def _scan(table: Table, ctx: StageContext) -> pl.LazyFrame:
    url, options = ctx.scan(table.ref)
    return pl.scan_parquet(url, storage_options=options or None)


def _examples(program: Program, label: Label, source: pl.LazyFrame, rows: int, split: Split) -> _Examples:
    """The labelled rows, in order."""
    when = [program.time] if program.time is not None else []
    group = [split.group] if split.by == "group" and split.group is not None else []
    carried = list(dict.fromkeys([*program.key, *when, *group, *(field.name for field in program.request)]))
    target = to_polars(label.node)
    if label.node.type is Type.FLOAT:
        target = pl.when(target.is_finite()).then(target)
    known = known_at(label.known_after) if label.known_after else pl.lit(None, pl.Int64)
    table = (
        source.with_row_index("_row")
        .select(
            "_row",
            *carried,
            target.alias("_label"),
            known.cast(pl.Datetime("us", "UTC")).alias("_label_known"),
        )
        .collect()
    )
    if program.time is not None:
        _check_times(table, program.time)
    labelled = pl.col("_label").is_not_null()
    if label.known_after:
        labelled &= pl.col("_label_known").is_not_null()  # a label that never becomes known cannot be learnt from
    table = table.filter(labelled)
    unlabelled = rows - table.height
    if not table.height:
        raise NoLabelledRows(label=label.text, rows=rows, unlabelled=unlabelled)
    too_early = 0
    if program.time is not None and label.known_after:
        before = table.height
        table = table.filter(pl.col("_label_known") > pl.col(program.time))
        too_early = before - table.height
        if too_early > _TOO_EARLY * before:
            raise LabelKnownTooEarly(label=label.text, time=program.time, rows=before, early=too_early)
    return _Examples(table.sort(*when, *program.key, "_row"), unlabelled, too_early)


def _check_times(table: pl.DataFrame, time: str) -> None:
    nulls = table[time].null_count()
    if nulls:
        first = table[time].is_null().arg_max()
        assert first is not None
        raise NullTime(time=time, nulls=nulls, rows=table.height, first_row=first + 1)


def _with_holdout(rows: pl.DataFrame, program: Program, split: Split, task: Task) -> tuple[pl.DataFrame, int]:
    """Say which rows are held out: by place under a time split, else in a column `_holdout`."""
    if split.by == "time":
        assert program.time is not None, "the reader refuses a time split without a time"
        return rows, last_in_time(rows[program.time], split.holdout)
    if split.by == "group":
        assert split.group is not None, "the reader refuses a group split without a group"
        keys = rows.select(split.group)
        rows = rows.with_columns(pl.Series("_group", key_hashes(keys, split.seed)))
    else:
        keys = rows.select(program.key or ("_row",))
    strata = rows["_label"] if split.by == "stratified" and task != "regression" else None
    chosen = pl.Series("_holdout", drawn(keys, split.holdout, split.seed, strata))
    return rows.with_columns(chosen), int(chosen.sum())


def _write(
    rows: pl.DataFrame, program: Program, scans: Mapping[str, pl.LazyFrame], path: Path, ctx: StageContext
) -> None:
    """Compute the features batch by batch and write them as they come, so that only one batch is held at a time."""
    features = FeatureColumns(program, scans)
    when = [program.time] if program.time is not None else []
    marks = [name for name in ("_group", "_holdout") if name in rows.columns]
    kept = list(dict.fromkeys(["_row", *program.key, *when, "_label", "_label_known", *marks]))
    schema = dict(rows.select(kept).schema) | {field.name: dtype(field.type) for field in program.outputs}

    def batches(*_: object) -> Iterator[pl.DataFrame]:
        for begin in range(0, rows.height, _BATCH):
            batch = rows[begin : begin + _BATCH]
            ctx.progress(begin, rows.height)
            yield batch.select(kept).with_columns(features.add(batch)).select(list(schema))
        ctx.progress(rows.height, rows.height)

    register_io_source(batches, schema=schema).sink_parquet(
        path, compression="zstd", row_group_size=_BATCH, maintain_order=True, statistics=True
    )
