"""The labelled rows of a source, sorted on disk: what becomes the frame, before its features are computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from headrace.definition.model import Split
from headrace.features.errors import LabelKnownTooEarly, NoLabelledRows, NullTime
from headrace.features.keyed import known_at
from headrace.features.label import Label
from headrace.features.model import Program
from headrace.language.columns import to_polars
from headrace.language.types import Type

BATCH: Final = 1 << 18
"""Rows that are read, computed and written together: a row group."""
_TOO_EARLY: Final = 0.9
"""A larger share of labels known before their predictions says that the definition, not the data, is wrong."""


@dataclass(frozen=True, slots=True)
class Examples:
    """The labelled rows on disk: `_row`, key, time, `_label`, `_label_known` and the request columns, sorted by (time,
    key, `_row`)."""

    path: Path
    height: int
    unlabelled: int
    too_early: int

    @property
    def schema(self) -> pl.Schema:
        """Types by column."""
        return pl.read_parquet_schema(self.path)  # type: ignore[return-value]

    def column(self, name: str) -> pl.Series:
        """One column of all rows."""
        return pl.scan_parquet(self.path).select(name).collect().to_series()

    def batches(
        self, columns: Sequence[str] | None = None, begin: int = 0, stop: int | None = None
    ) -> Iterator[pl.DataFrame]:
        """The rows [begin, stop) in order, `BATCH` at a time."""
        rows = pl.scan_parquet(self.path)
        if columns is not None:
            rows = rows.select(columns)
        stop = self.height if stop is None else stop
        for at in range(begin, stop, BATCH):
            yield rows.slice(at, min(BATCH, stop - at)).collect()


def sort_examples(program: Program, label: Label, source: pl.LazyFrame, split: Split, path: Path) -> Examples:
    """Write the labelled rows, in order, to `path`: they are counted in one pass and sorted in another."""
    when = [program.time] if program.time is not None else []
    group = [name for name in (split.group, split.time) if name is not None]
    carried = list(dict.fromkeys([*program.key, *when, *group, *(field.name for field in program.request)]))
    target = to_polars(label.node)
    if label.node.type is Type.FLOAT:
        target = pl.when(target.is_finite()).then(target)
    known = known_at(label.known_after) if label.known_after else pl.lit(None, pl.Int64)
    table = source.with_row_index("_row").select(
        "_row",
        *carried,
        target.alias("_label"),
        known.cast(pl.Datetime("us", "UTC")).alias("_label_known"),
    )
    is_labelled, is_early = pl.col("_label").is_not_null(), pl.lit(value=False)
    if label.known_after:
        is_labelled &= pl.col("_label_known").is_not_null()  # what never becomes known cannot be learnt from
        if program.time is not None:
            is_early = is_labelled & (pl.col("_label_known") <= pl.col(program.time))
    if program.time is not None:
        _check_times(table, program.time)
    counts = table.select(pl.len(), is_labelled.sum().alias("labelled"), is_early.sum().alias("early"))
    rows, labelled, early = counts.collect().row(0)
    if not labelled:
        raise NoLabelledRows(label=label.text, rows=rows, unlabelled=rows)
    if early > _TOO_EARLY * labelled:
        raise LabelKnownTooEarly(label=label.text, time=program.time or "", rows=labelled, early=early)
    ordered = table.filter(is_labelled & ~is_early).sort(*when, *program.key, "_row")
    ordered.sink_parquet(path, compression="lz4", row_group_size=BATCH, maintain_order=True)
    return Examples(path, labelled - early, unlabelled=rows - labelled, too_early=early)


def _check_times(table: pl.LazyFrame, time: str) -> None:
    is_null = pl.col(time).is_null()
    rows, nulls, first = (
        table.select(pl.len(), is_null.sum().alias("nulls"), is_null.arg_max().alias("first")).collect().row(0)
    )
    if nulls:
        raise NullTime(time=time, nulls=nulls, rows=rows, first_row=first + 1)
