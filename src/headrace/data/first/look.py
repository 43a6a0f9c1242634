"""One look at a source that `init` was given: its rows up to a limit, in their types, and each column's profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl
from msgspec import structs

from headrace.data.blocks import row_count, sink
from headrace.data.files import fetch, find
from headrace.data.first.writing import doubt_of, is_like_a_row, is_utf8, rule_of, separator_of
from headrace.data.infer import FEWEST_ROWS, types_of_samples
from headrace.data.model import ColumnProfile
from headrace.data.personal import HIDDEN
from headrace.data.profile import profile
from headrace.data.rules import flag, read_rows
from headrace.data.sources import Place, adapter
from headrace.definition.lock import LockedColumn
from headrace.definition.model import ALL_TEXT, ColumnRule, Source
from headrace.language.types import Type

MOST_ROWS: Final = 1_000_000
"""Rows that are looked at of a source; of several files, as many of each."""
_TEXTS: Final = (Type.STRING, Type.CATEGORY)
_SEPARATED: Final = ("csv", "tsv")


@dataclass(frozen=True)
class Look:
    """What was seen of a source."""

    source: Source
    """As it is to be read: with the separator and the rules of writing that were found."""
    locked: Mapping[str, LockedColumn]
    table: Path
    """The rows that can be read, in their types (a Parquet file)."""
    rows: int
    is_cut: bool
    """Whether there are rows that were not looked at."""
    profiles: Mapping[str, ColumnProfile]
    doubts: Mapping[str, str]
    """Column of text → what it looks like, and why that was not taken."""
    is_headless: bool
    """Whether the line of names looks like a row."""
    is_foreign: bool
    """Whether a text file holds bytes that are not UTF-8, so that lines of it are no rows."""
    unread: tuple[tuple[str, str], ...] = ()
    """Columns that the query leaves out, and the kinds of personal data that they likely hold."""

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The rows."""
        return pl.read_parquet(self.table)

    @property
    def types(self) -> dict[str, Type]:
        """Column → type."""
        return {name: column.type for name, column in self.locked.items()}

    @property
    def extent(self) -> str:
        """The rows that a finding rests on: `in 600 rows`."""
        return f"in the first {self.rows:,} rows" if self.is_cut else f"in {self.rows:,} rows"

    def is_personal(self, column: str) -> bool:
        """Whether a column likely holds personal data, so that no value of it may be shown."""
        return any(one.confidence in HIDDEN for one in self.profiles[column].personal)


def look_at(source: Source, root: Path, env: Mapping[str, str], workdir: Path, *, most_rows: int = MOST_ROWS) -> Look:
    """Read a source up to a limit and profile it.

    Raises
    ------
    SourceMissing, SourceUnreadable, SourceEmpty, ColumnsDiffer, DuplicateColumn
    """
    workdir.mkdir(parents=True, exist_ok=True)
    place = Place(root, env)
    if source.format in _SEPARATED:
        source = _with_separator(source, place, workdir)
    format_ = adapter(source.format)
    limit = max(FEWEST_ROWS, most_rows // max(1, len(format_.state(source, place).parts)))
    samples = list(format_.sample(source, place, limit, workdir))
    locked = types_of_samples(source, samples, limit)
    raw = _together([sample.frame for sample in samples])
    source, locked, doubts = _as_written(source, raw, locked)
    types = {name: column.type for name, column in locked.items()}
    table = workdir / "rows.parquet"
    sink(_fitting(raw, source, types), table)
    rows = row_count(table)
    return Look(
        source=source,
        locked=locked,
        table=table,
        rows=rows,
        is_cut=any(sample.frame.height >= limit for sample in samples),
        profiles={one.name: one for one in profile(table, types)},
        doubts=doubts,
        is_headless=source.format in _SEPARATED and is_like_a_row(raw.columns),
        is_foreign=source.format in _SEPARATED and not is_utf8(_first_file(source, place, workdir)),
    )


def _with_separator(source: Source, place: Place, workdir: Path) -> Source:
    found = separator_of(_first_file(source, place, workdir))
    usual = "\t" if source.format == "tsv" else ","
    return source if found == usual else structs.replace(source, separator=found)


def _first_file(source: Source, place: Place, workdir: Path) -> Path:
    return fetch(source, find(source, place)[:1], place, workdir)[0].path


def _together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all files; a column that they disagree on is text."""
    first = frames[0]
    disagreed = [name for name in first.columns if len({frame[name].dtype for frame in frames}) > 1]
    texts = [pl.col(name).cast(pl.String) for name in disagreed]
    return pl.concat([frame.select(first.columns).with_columns(texts) for frame in frames], rechunk=False)


def _as_written(
    source: Source, raw: pl.DataFrame, locked: Mapping[str, LockedColumn]
) -> tuple[Source, dict[str, LockedColumn], dict[str, str]]:
    """The source with the rules that its texts need to be numbers and times, their types, and what was doubtful."""
    rules: list[tuple[str, ColumnRule]] = []
    types, doubts = dict(locked), {}
    for name, column in locked.items():
        if column.type not in _TEXTS or source.format not in ALL_TEXT:
            continue
        texts = raw[name].drop_nulls()
        if (found := rule_of(texts)) is not None:
            rules.append((name, found[0]))
            types[name] = found[1]
        elif doubt := doubt_of(texts):
            doubts[name] = doubt
    return structs.replace(source, columns=tuple(rules)), types, doubts


def _fitting(raw: pl.DataFrame, source: Source, types: Mapping[str, Type]) -> pl.LazyFrame:
    """The rows of which every cell is of its type."""
    read = read_rows(raw.lazy(), source, types, {})
    misfits = [pl.col(flag(n)) for n, rule in enumerate(read.rules) if not rule.is_repair]
    frame = read.frame.filter(~pl.any_horizontal(misfits)) if misfits else read.frame
    return frame.select(list(types))
