"""Which split: what the definition says, unless it is shown to flatter; without a word of it, what the rows propose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from headrace.definition.lock import Lock, LockedSplit
from headrace.definition.lockfile import read_lock, write_lock
from headrace.definition.model import Split
from headrace.errors import CheckFailed
from headrace.language.types import Type
from headrace.stages.model import Checked, SplitAdvice, Workspace

if TYPE_CHECKING:
    from headrace.features.label import Label
    from headrace.runs.model import StageContext
    from headrace.runs.runner import Run
    from headrace.training.leak_model import Leak

MOST_ROWS: Final = 200_000
"""Rows that are read for it; of more, every n-th."""
DRAWN: Final = ("random", "stratified")


class SplitFlatters(CheckFailed):
    """A split that draws rows lets the model be asked about rows that it knows the neighbours of."""

    code = "split-flatters"

    def __init__(self, by: str, leak: Leak) -> None:
        honest = (
            "an honest split is by time" if leak.kind == "time" else f"an honest split keeps {leak.column} together"
        )
        fix = (
            f'[split] by = "time"\ntime = "{leak.column}"'
            if leak.kind == "time"
            else f'[split] by = "group"\ngroup = "{leak.column}"'
        )
        super().__init__(
            f'[split] by = "{by}" flatters: {leak}; {honest}',
            fix=f"write {fix}\nor, where predictions will be asked for among rows like these, trust = true",
            by=by,
            kind=leak.kind,
            column=leak.column,
            metric=leak.metric,
            drawn=leak.drawn,
            honest=leak.honest,
            rows=leak.rows,
        )


def settle_split(run: Run, work: Workspace, checked: Checked, label: Label) -> tuple[Workspace, SplitAdvice | None]:
    """The workspace with the split that holds, and what was looked at, if anything was.

    A split by time or by group, and one that the definition trusts, are taken as they are. Where the definition has no
    split, what headrace.lock has of an earlier run holds.

    Raises
    ------
    SplitFlatters : the definition says that rows are drawn, and a quick model shows what that hides.
    """
    split = work.definition.split
    if split.by not in DRAWN or split.trust:
        return work, None
    if split.is_open:
        lock = read_lock(work.lock_path) if work.lock_path.exists() else Lock()
        if lock.split is not None:
            locked = lock.split
            return _with_split(work, locked.by, locked.column), SplitAdvice(
                by=locked.by, column=locked.column, reason=f"{locked.evidence} (headrace.lock)"
            )
    advice = _advice(run, work, checked, label)
    leak = next((leak for leak in advice.leaks if leak.shown), None)
    if leak is None:
        return work, advice
    if not split.is_open:
        raise SplitFlatters(split.by, leak)
    lock = read_lock(work.lock_path) if work.lock_path.exists() else Lock()
    held = LockedSplit(by=leak.kind, column=leak.column, evidence=str(leak))
    write_lock(work.lock_path, msgspec.structs.replace(lock, split=held))
    return _with_split(work, leak.kind, leak.column), advice


def _with_split(work: Workspace, by: str, column: str | None) -> Workspace:
    split = work.definition.split
    given = {"time": column} if by == "time" else {"group": column}
    made: Split = msgspec.structs.replace(split, by=by, is_open=False, **given)
    return replace(work, definition=msgspec.structs.replace(work.definition, split=made))


def _advice(run: Run, work: Workspace, checked: Checked, label: Label) -> SplitAdvice:
    definition = work.definition
    source = definition.project.source
    table, types = checked.tables[source], checked.types[source]

    def compute(ctx: StageContext) -> SplitAdvice:
        import polars as pl

        from headrace.features.build import build_program

        program = build_program(definition, checked.types)
        url, options = ctx.scan(table.ref)
        rows = pl.scan_parquet(url, storage_options=options or None)
        if table.rows > MOST_ROWS:
            rows = rows.gather_every(-(-table.rows // MOST_ROWS))
        ctx.count(rows_in=min(table.rows, MOST_ROWS))
        request = {field.name: field.type for field in program.request}
        instants = [name for name in dict.fromkeys([program.time, *request]) if name and types[name] in _INSTANTS]
        named = [name for name in dict.fromkeys([*program.key, *request]) if types[name] in _NAMES]
        if len(program.key) == 1:
            named = [name for name in named if name not in program.key]  # a key of one column names rows
        return _looked_at(rows, request, label, instants, named, definition.split, definition.training.threads)

    return run.stage(
        "split",
        depends={
            "table": table,
            "project": definition.project,
            "types": types,
            "split": definition.split,
            "threads": definition.training.threads,
        },
        rooms=("training", "features", "stages"),
        compute=compute,
        kind=SplitAdvice,
    )


_INSTANTS: Final = frozenset({Type.TIMESTAMP, Type.DATE})
_NAMES: Final = frozenset({Type.INTEGER, Type.STRING, Type.CATEGORY})
_LOOKED_AT: Final = _NAMES | {Type.DECIMAL, Type.FLOAT, Type.BOOLEAN}


def _looked_at(
    rows: object,
    request: dict[str, Type],
    label: Label,
    instants: list[str],
    named: list[str],
    split: Split,
    threads: int,
) -> SplitAdvice:
    import numpy as np
    import polars as pl

    from headrace.data.model import Field
    from headrace.features.errors import LabelUnfit, OneClass
    from headrace.features.levels import target_of
    from headrace.language.columns import to_polars
    from headrace.training.leak_model import Leak, Untried
    from headrace.training.leaks import (
        FEWEST_ROWS,
        MOST_COLUMNS,
        Sample,
        group_columns,
        group_leak,
        time_leak,
    )

    assert isinstance(rows, pl.LazyFrame)
    outputs = tuple(Field(name=name, type=kind) for name, kind in request.items() if kind in _LOOKED_AT)[:MOST_COLUMNS]
    columns = dict.fromkeys([*(field.name for field in outputs), *instants, *named])
    node = to_polars(label.node)
    if label.node.type is Type.FLOAT:
        node = pl.when(node.is_finite()).then(node)
    found = rows.select(*columns, node.alias("_label")).filter(pl.col("_label").is_not_null()).collect()
    if found.height < FEWEST_ROWS or not outputs or not (instants or named):
        few = f"leaks could not be tried, with {found.height:,} labelled rows (fewer than {FEWEST_ROWS})"
        no_column = "there is no column to show a leak by"
        return SplitAdvice(by=split.by, reason=few if outputs and (instants or named) else no_column)
    try:
        target = target_of(label, found["_label"])
    except (OneClass, LabelUnfit):  # the frame says so
        return SplitAdvice(by=split.by, reason="the label cannot be learnt")
    y = target.values.cast(pl.Float64 if target.task == "regression" else pl.Int64).to_numpy()
    n_classes = {"binary": 2, "multiclass": len(target.classes), "regression": 0}[target.task]
    sample = Sample(target.task, n_classes, outputs, found, y)
    leaks = []
    for name in instants[:2]:
        known = found[name].is_not_null().to_numpy()
        part = (
            sample if known.all() else Sample(sample.task, n_classes, outputs, found.filter(pl.Series(known)), y[known])
        )
        times = found[name].drop_nulls().cast(pl.Datetime("us")).cast(pl.Int64).to_numpy()
        leaks.append(time_leak(part, name, times, seed=split.seed, threads=threads))
    codes = [(name, found[name].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()) for name in named]
    by_name = dict(codes)
    numbers = [name for name in named if found[name].dtype.is_numeric()]
    leaks += [
        group_leak(sample, name, by_name[name], seed=split.seed, threads=threads)
        for name in group_columns(codes, np.asarray(y), target.task, numbers=numbers)
    ]
    seen = tuple(leak for leak in leaks if isinstance(leak, Leak))
    untried = tuple(leak for leak in leaks if isinstance(leak, Untried))
    shown = next((leak for leak in seen if leak.shown), None)
    if shown is not None:
        return SplitAdvice(by=shown.kind, column=shown.column, reason=str(shown), leaks=seen, untried=untried)
    reason = "nothing shows that drawing rows flatters" if seen or not untried else "no leak could be tried"
    if untried:
        reason += f" ({'; '.join(map(str, untried))})"
    return SplitAdvice(by=split.by, reason=reason, leaks=seen, untried=untried)
