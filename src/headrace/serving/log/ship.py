"""Moves what was logged into Delta tables, each prediction exactly once, and removes the segments it was in.

How far each epoch has come is a mark of the table of predictions, set in the same commit as the rows: killed anywhere
and run again, it goes on from there. A request that a front has retried on another worker is one row: the first in
order stays, the others are counted.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.errors import HeadraceError
from headrace.serving.log.epochs import epochs, is_alive
from headrace.serving.log.errors import ShippingBusy
from headrace.serving.log.gap_slot import NAME as GAP_SLOT
from headrace.serving.log.reader import EpochReader, Missing, Predictions, Read, Truths
from headrace.serving.log.table import (
    GAPS,
    OUTCOMES,
    PREDICTIONS,
    Logged,
    gap_rows,
    logged,
    outcome_rows,
    prediction_rows,
    table_name,
)
from headrace.stores.durable import translated
from headrace.stores.errors import TableMoved

if TYPE_CHECKING:
    import polars as pl

    from headrace.stores.tables import TableStore

MOST: Final = 100_000
"""Records of one commit."""
ID: Final = ("request_id", "row", "shadow_of")
REPEATS: Final = "repeats"
"""The mark that counts rows that were not kept because their id was there."""
_LOCK: Final = "ship.lock"


@dataclass(slots=True)
class Shipped:
    """What one call has moved."""

    predictions: int = 0
    repeats: int = 0
    outcomes: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    """Answers that were not logged, by the reason."""
    segments: int = 0
    """Removed."""


def ship(log: Path, tables: TableStore, project: str, *, most: int = MOST) -> Shipped:
    """Move everything that is whole at this moment.

    Raises
    ------
    ShippingBusy : another process ships this log.
    LogCorrupted, LogTooNew : what lies before the damage was moved.
    StoreFull, StoreUnavailable, TableCorrupted
    """
    done = Shipped()
    if not log.is_dir():
        return done
    with _locked(log):
        while _once(log, tables, project, most, done):
            pass
    return done


def tidy(tables: TableStore, project: str, *, keep_hours: float = 24.0) -> int:
    """Join the small files that shipping leaves, and delete those that no version younger than `keep_hours` needs; how
    many were deleted. Readers and shipping notice nothing."""
    deleted = 0
    for table in (PREDICTIONS, OUTCOMES, GAPS):
        name = table_name(project, table)
        if tables.version(name) is not None:
            tables.compact(name)
            deleted += tables.vacuum(name, keep_hours=keep_hours)
    return deleted


@dataclass(slots=True)
class _Batch:
    """What goes into one commit."""

    predictions: list[Logged] = field(default_factory=list)
    truths: list[Truths] = field(default_factory=list)
    gaps: list[Missing] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    removable: list[Path] = field(default_factory=list)
    """Segments of which everything is in this batch or was moved before."""
    ended: list[Path] = field(default_factory=list)
    """Epochs of dead workers that were read to the end."""
    full: bool = False
    error: HeadraceError | None = None

    @property
    def size(self) -> int:
        return len(self.predictions) + sum(len(one.outcomes) for one in self.truths)

    def add(self, read: Read) -> None:
        match read:
            case Predictions():
                self.predictions += logged(read)
            case Truths():
                self.truths.append(read)
            case Missing():
                self.gaps.append(read)


def _once(log: Path, tables: TableStore, project: str, most: int, done: Shipped) -> bool:
    """One commit; whether there is more."""
    name = table_name(project, PREDICTIONS)
    version = tables.version(name)
    marks = tables.marks(name)
    batch = _collect(log, marks, most)
    if batch.marks:
        _truths(tables, project, batch, done)
        _gaps(tables, project, batch, done)
        rows = prediction_rows(batch.predictions)
        kept = _new(tables, name, rows)
        repeats = rows.height - kept.height
        new = {**batch.marks, REPEATS: marks.get(REPEATS, 0) + repeats} if repeats else batch.marks
        try:
            tables.append(name, kept, partition="day", marks=new, after=-1 if version is None else version)
        except TableMoved:
            return True  # another host's shipping, or compaction: look again what is there
        done.predictions += kept.height
        done.repeats += repeats
    _remove(batch, done)
    if batch.error is not None:
        raise batch.error
    return batch.full


def _collect(log: Path, marks: Mapping[str, int], most: int) -> _Batch:
    """Read from where the marks say; damage ends the epoch that it is in, and is told once the rest is moved."""
    batch = _Batch()
    for folder in epochs(log):
        alive = is_alive(folder)
        start = marks.get(folder.name, 0)
        reader = EpochReader(folder, start, alive=alive)
        try:
            for read in reader:
                batch.add(read)
                if batch.size >= most:
                    batch.full = True
                    break
        except HeadraceError as error:
            batch.error = batch.error or error
        else:
            if not alive and not batch.full:
                batch.ended.append(folder)
        if reader.next is not None and reader.next > start:
            batch.marks[folder.name] = reader.next
        batch.removable += [segment.path for segment in reader.segments[:-1]]
        if batch.full:
            break
    return batch


def _new(tables: TableStore, name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Those whose id neither an earlier row nor the table has, within a day of it."""
    import polars as pl

    shadow_of = pl.when("shadow").then("package").otherwise(pl.lit("")).alias("shadow_of")
    ordered = rows.sort("at", "epoch", "sequence").with_columns(shadow_of)
    first = ordered.unique(ID, keep="first", maintain_order=True)
    if first.height and tables.version(name) is not None:
        day = pl.col("day")
        since, until = first.select(day.min().dt.offset_by("-1d"), day.max().dt.offset_by("1d").alias("until")).row(0)
        there = tables.scan(name).filter(day.is_between(since, until)).with_columns(shadow_of).select(ID)
        ids = first.lazy().select(ID)
        first = first.join(there.join(ids, on=ID, how="semi").collect(), on=ID, how="anti", maintain_order="left")
    return first.select(rows.columns)


def _truths(tables: TableStore, project: str, batch: _Batch, done: Shipped) -> None:
    """Move outcomes; what a killed shipping has moved already is passed over."""
    import polars as pl

    name = table_name(project, OUTCOMES)
    rows = _beyond(outcome_rows(batch.truths), tables.marks(name)) if batch.truths else pl.DataFrame()
    if rows.height:
        tables.append(name, rows, partition="day", marks=_marks(batch, rows))
        done.outcomes += rows.height


def _gaps(tables: TableStore, project: str, batch: _Batch, done: Shipped) -> None:
    import polars as pl

    name = table_name(project, GAPS)
    rows = _beyond(gap_rows(batch.gaps), tables.marks(name)) if batch.gaps else pl.DataFrame()
    if rows.height:
        tables.append(name, rows, marks=_marks(batch, rows))
        done.missing.update(dict(rows.group_by("reason").agg(pl.col("n").sum()).iter_rows()))


def _marks(batch: _Batch, rows: pl.DataFrame) -> dict[str, int]:
    return {epoch: batch.marks[epoch] for epoch in rows["epoch"].unique()}


def _beyond(rows: pl.DataFrame, marks: Mapping[str, int]) -> pl.DataFrame:
    """Rows that the marks do not cover."""
    import polars as pl

    starts = pl.Series([marks.get(epoch, 0) for epoch in rows["epoch"]], dtype=pl.Int64)
    return rows.filter(rows["sequence"] >= starts)


def _remove(batch: _Batch, done: Shipped) -> None:
    """Remove what is in the tables, from the front: whatever is left is a whole end."""
    for path in batch.removable:
        with translated(str(path)):
            path.unlink(missing_ok=True)
        done.segments += 1
    for folder in batch.ended:
        with translated(str(folder)):
            (folder / GAP_SLOT).unlink(missing_ok=True)  # first: one that is alone counts what no segment tells
            for path in sorted(folder.glob("*.log")):
                path.unlink()
                done.segments += 1
            folder.rmdir()


@contextmanager
def _locked(log: Path) -> Iterator[None]:
    """Keep other processes of this host from shipping the same log."""
    with translated(str(log)):
        descriptor = os.open(log / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShippingBusy(str(log)) from None
        yield
    finally:
        os.close(descriptor)
