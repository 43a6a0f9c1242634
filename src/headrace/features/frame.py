"""The frame: one row a labelled example, every value as it was known when its prediction was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from headrace.data.model import Table
from headrace.definition.model import Definition, Split
from headrace.features.columns import FeatureColumns
from headrace.features.duplicates import find_repeats, united
from headrace.features.errors import CannotSplit
from headrace.features.exact import scale_of
from headrace.features.examples import BATCH, Examples, sort_examples
from headrace.features.finish import sums_of
from headrace.features.holdout import as_units, drawn, key_hashes, last_in_time
from headrace.features.label import label_of
from headrace.features.levels import Target, target_of
from headrace.features.model import Frame, Program, WindowStep
from headrace.features.spans import SpannedHistory
from headrace.features.windows import largest_magnitude
from headrace.language.types import Type
from headrace.language.values import cell_bytes, dtype
from headrace.runs.errors import NotEnoughMemory
from headrace.runs.model import Memory, StageContext

_MARKS: Final = 100
"""Bytes of every row that are held at once: its time, its label, whether it is held out, hashes of what it holds, and
copies of these."""
_LARGEST_UNIT: Final = 0.5
"""A larger share of rows in one unit says that the group's rows repeat each other: only the groups are kept whole."""
_BATCHES: Final = 6
"""Batches in memory at once: one that is computed, those that wait to be written, and one as it is written."""


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
    ctx.progress(0, note="sorting")
    examples = sort_examples(program, label, scans[program.source], definition.split, ctx.workdir / "examples.parquet")
    target = target_of(label, examples.column("_label"))
    marks, held = _holdout(examples, program, definition.split, target)
    path = ctx.workdir / "frame.parquet"
    _write(examples, marks, program, scans, path, ctx)
    ctx.count(rows_out=examples.height)
    return Frame(
        ref=ctx.keep(path, "frames", ".parquet"),
        program=program,
        task=target.task,
        classes=target.classes,
        rows=examples.height,
        holdout_rows=held.rows,
        unlabelled=examples.unlabelled,
        label_too_early=examples.too_early,
        repeats=held.repeats,
        repeats_held_out=held.repeats_held_out,
    )


def with_scales(program: Program, scans: Mapping[str, pl.LazyFrame]) -> Program:
    """The program with the scale of every exact float sum fixed from history."""

    def fixed(step: WindowStep) -> WindowStep:
        if step.value_type is not Type.FLOAT or not sums_of(step):
            return step
        return msgspec.structs.replace(step, scale=scale_of(largest_magnitude(step, scans[step.source])))

    steps = tuple(fixed(step) if isinstance(step, WindowStep) else step for step in program.steps)
    return msgspec.structs.replace(program, steps=steps)


def _scan(table: Table, ctx: StageContext) -> pl.LazyFrame:
    url, options = ctx.scan(table.ref)
    return pl.scan_parquet(url, storage_options=options or None)


@dataclass(frozen=True, slots=True)
class _Held:
    """How many rows are held out, and how many repeat others."""

    rows: int
    repeats: int
    repeats_held_out: int = 0


def _holdout(examples: Examples, program: Program, split: Split, target: Target) -> tuple[pl.DataFrame, _Held]:
    """A narrow column a mark (`_label` as it is learnt, then `_group`, `_unit` and `_holdout` where they say which rows
    are held out; under a time split it is their place), and counts."""
    request = [field.name for field in program.request]
    copies = find_repeats(examples.batches(request)) if request else []
    observed = united(copies) if copies else np.arange(examples.height)
    repeated = examples.height - len(np.unique(observed))
    marks = target.values.alias("_label").to_frame()
    if split.group is not None:
        marks = marks.with_columns(pl.Series("_group", _key_hashes(examples, [split.group], split.seed)))
    if split.by == "time":
        if split.time is not None and split.time != program.time:
            return _by_another_time(examples, split.time, split, marks, observed)
        assert program.time is not None, "the reader refuses a time split without a time"
        held = last_in_time(examples.column(program.time), split.holdout)
        again = np.isin(observed[-held:], observed[:-held])
        return marks, _Held(held, repeated, int(again.sum()))
    if split.by == "group":
        hashes = marks["_group"].to_numpy()
    else:
        hashes = _key_hashes(examples, program.key or ("_row",), split.seed)
    if repeated:
        unit = united([*copies, hashes])
        if np.bincount(unit).max() <= _LARGEST_UNIT * examples.height:
            hashes = as_units(hashes, unit)
            marks = marks.with_columns(pl.Series("_unit", hashes))
    strata = marks["_label"] if split.by == "stratified" and target.task != "regression" else None
    chosen = pl.Series("_holdout", drawn(hashes, split.holdout, strata))
    return marks.with_columns(chosen), _Held(int(chosen.sum()), repeated)


def _by_another_time(
    examples: Examples, time: str, split: Split, marks: pl.DataFrame, observed: NDArray[np.int64]
) -> tuple[pl.DataFrame, _Held]:
    """The marks when rows are divided by a column that they are not sorted by; those without an instant are oldest."""
    if not examples.schema[time].is_temporal():
        raise CannotSplit(
            f"[split] time is {time}, which is {examples.schema[time]}: expected instants or dates",
            fix="name a column of type timestamp or date, or give it that type in the contract",
            column=time,
        )
    instants = examples.column(time).cast(pl.Datetime("us")).cast(pl.Int64).fill_null(np.iinfo(np.int64).min // 2)
    ordered = instants.sort()
    held = last_in_time(ordered, split.holdout)
    chosen = (instants >= ordered[-held]).to_numpy()
    again = np.isin(observed[chosen], observed[~chosen])
    marks = marks.with_columns(instants.alias("_asked"), pl.Series("_holdout", chosen))
    return marks, _Held(int(chosen.sum()), examples.height - len(np.unique(observed)), int(again.sum()))


def _key_hashes(examples: Examples, columns: Sequence[str], seed: int) -> NDArray[np.uint64]:
    return np.concatenate([key_hashes(rows, seed) for rows in examples.batches(columns)])


def _write(
    examples: Examples,
    marks: pl.DataFrame,
    program: Program,
    scans: Mapping[str, pl.LazyFrame],
    path: Path,
    ctx: StageContext,
) -> None:
    """Compute the features batch by batch and write them as they come, over as much of history as fits into memory."""
    when = [program.time] if program.time is not None else []
    kept = list(dict.fromkeys(["_row", *program.key, *when, "_label", "_label_known", *marks.columns[1:]]))
    schema = dict(examples.schema) | dict(marks.schema)
    schema = {name: schema[name] for name in kept} | {field.name: dtype(field.type) for field in program.outputs}
    history = SpannedHistory(program, scans, _budget(program, examples, ctx.memory))
    times = None if program.time is None else examples.column(program.time)
    spans = history.spans(times, examples.height, BATCH)
    del times
    _refuse_without_memory(history.largest(spans), program, examples, ctx.memory)

    def batches(*_: object) -> Iterator[pl.DataFrame]:
        for span, indexes in history.during(spans):
            features = FeatureColumns(program, indexes)
            begin = span.begin
            for batch in examples.batches(begin=span.begin, stop=span.stop):
                ctx.progress(begin, examples.height)
                marked = batch.with_columns(marks[begin : begin + batch.height])
                yield marked.select(kept).with_columns(features.add(batch)).select(list(schema))
                begin += batch.height
        ctx.progress(examples.height, examples.height)

    register_io_source(batches, schema=schema).sink_parquet(
        path, compression="zstd", row_group_size=BATCH, maintain_order=True, statistics=True
    )


def _narrow_bytes(program: Program, examples: Examples) -> int:
    """What is held of every row at once, and of the batches that are computed and written."""
    request = sum(cell_bytes(field.type) for field in program.request)
    outputs = sum(cell_bytes(field.type) for field in program.outputs)
    return examples.height * _MARKS + _BATCHES * BATCH * (request + outputs)


def _budget(program: Program, examples: Examples, memory: Memory) -> int:
    """What is left for the history's indexes."""
    return memory.free_bytes - _narrow_bytes(program, examples)


def _refuse_without_memory(indexes: int, program: Program, examples: Examples, memory: Memory) -> None:
    """Say before it begins that the limit does not suffice; what the machine has left is no limit but a guess."""
    needed = memory.limit_bytes - memory.free_bytes + _narrow_bytes(program, examples) + indexes
    if memory.is_given and needed > memory.limit_bytes:
        raise NotEnoughMemory(
            "assembling the frame",
            needed=needed,
            limit=memory.limit_bytes,
            why=f"{examples.height:,} rows, and {indexes / 10**9:.1f} GB of history that one batch of them reads",
            fix="shorten the longest windows in [features.windows]",
        )
