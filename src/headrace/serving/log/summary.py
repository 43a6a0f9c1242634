"""What was answered, in numbers: shipped and waiting, missing, repeated, known to be."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.serving.log.epochs import epochs, is_alive
from headrace.serving.log.outcomes import joined
from headrace.serving.log.reader import EpochReader, Predictions
from headrace.serving.log.ship import REPEATS
from headrace.serving.log.table import GAPS, OUTCOMES, PREDICTIONS, table_name

if TYPE_CHECKING:
    from headrace.stores.tables import TableStore

DAYS = 14


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day (UTC) of one arm; shadows and fallbacks are counted with the arm that they are logged under."""

    day: date
    deployment: str
    arm: str
    n: int
    known: int
    """Of them so many have a truth."""
    mean_latency_ms: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Of one project."""

    shipped: int = 0
    waiting: int = 0
    """In the log of this host."""
    repeats: int = 0
    missing: dict[str, int] = {}
    """Answers that were not logged, by the reason, as far as is shipped."""
    outcomes: int = 0
    """Truths, later ones about the same prediction included."""
    unmatched: int = 0
    days: tuple[Day, ...] = ()
    """The newest."""


def summary(log: Path, tables: TableStore, project: str, *, days: int = DAYS) -> Summary:
    """Count; raises `LogCorrupted` or `TableCorrupted`."""
    import polars as pl

    name, outcomes, gaps = (table_name(project, table) for table in (PREDICTIONS, OUTCOMES, GAPS))
    marks = tables.marks(name)
    waiting = 0
    for folder in epochs(log):
        reader, start = EpochReader(folder, alive=is_alive(folder)), marks.get(folder.name, 0)
        waiting += sum(len(r.records) for r in reader if isinstance(r, Predictions) and r.sequence >= start)
    with_truth = joined(tables, project)
    if with_truth is None:
        return Summary(waiting=waiting)
    by = ["day", "deployment", "arm"]
    known = pl.col("outcome").is_not_null().sum()
    grouped = with_truth.rows.group_by(by).agg(n=pl.len(), known=known, ms=pl.col("latency_us").mean() / 1000)
    counted = grouped.sort(by, descending=[True, False, False]).collect()
    newest = counted.filter(pl.col("day").is_in(counted["day"].unique().sort(descending=True).head(days).implode()))
    missing = tables.scan(gaps).group_by("reason").agg(pl.col("n").sum()) if tables.version(gaps) is not None else None
    return Summary(
        shipped=int(counted["n"].sum()),
        waiting=waiting,
        repeats=marks.get(REPEATS, 0),
        missing={} if missing is None else dict(missing.collect().iter_rows()),
        outcomes=0 if tables.version(outcomes) is None else tables.scan(outcomes).select(pl.len()).collect().item(),
        unmatched=with_truth.unmatched,
        days=tuple(
            Day(day=day, deployment=deployment, arm=arm, n=n, known=some, mean_latency_ms=ms)
            for day, deployment, arm, n, some, ms in newest.iter_rows()
        ),
    )
