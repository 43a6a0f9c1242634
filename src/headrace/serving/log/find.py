"""Looks logged predictions up, in the table and in what is not shipped yet."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.serving.log.epochs import epochs
from headrace.serving.log.errors import PredictionUnknown
from headrace.serving.log.reader import EpochReader, Predictions
from headrace.serving.log.table import PREDICTIONS, Logged, from_row, logged, table_name

if TYPE_CHECKING:
    from headrace.stores.tables import TableStore


def find(log: Path, tables: TableStore, project: str, request_id: str) -> list[Logged]:
    """The answers of a request, row by row, each with those of its shadows.

    Raises
    ------
    PredictionUnknown, LogCorrupted, TableCorrupted
    """
    # The log first: what is shipped meanwhile is in the table by then, where it may be another worker's answer.
    name = table_name(project, PREDICTIONS)
    found: dict[tuple[int, str], Logged] = {}
    for folder in epochs(log):
        for read in EpochReader(folder, alive=True):
            if isinstance(read, Predictions) and any(one.request_id == request_id for one in read.records):
                for one in logged(read):
                    if one.record.request_id == request_id:
                        found.setdefault(_key(one), one)
    if tables.version(name) is not None:
        rows = tables.scan(name).filter(request_id=request_id).collect()
        found |= {_key(one): one for one in map(from_row, rows.iter_rows(named=True))}
    if not found:
        raise PredictionUnknown(request_id)
    return [found[key] for key in sorted(found)]


def sample(tables: TableStore, project: str, *, day: date, n: int, seed: int = 0) -> list[Logged]:
    """Some of the predictions of a day (UTC) that were shipped, the same for a seed; all where there are not more."""
    name = table_name(project, PREDICTIONS)
    if tables.version(name) is None:
        return []
    rows = tables.scan(name).filter(day=day).sort("epoch", "sequence").collect()
    drawn = rows if rows.height <= n else rows.sample(n, seed=seed).sort("epoch", "sequence")
    return [from_row(row) for row in drawn.iter_rows(named=True)]


def _key(one: Logged) -> tuple[int, str]:
    return one.record.row, one.route.package if one.route.shadow else ""
