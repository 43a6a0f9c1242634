"""Types from the data: the narrowest type that every value read is of, and the evidence, to freeze in headrace.lock."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.errors import SourceEmpty
from headrace.data.sources import Place, Sample, adapter
from headrace.definition.lock import LockedColumn
from headrace.definition.model import ALL_TEXT, Source
from headrace.definition.secrets import redact
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

SAMPLE_ROWS = 100_000
"""Most rows read of one file."""
ALL_ROWS = 1_000_000
"""Rows read of all files of a source; each gives as many, from its begin."""
FEWEST_ROWS = 100
"""Rows read of each file, however many there are."""
_YEAR = r"^[0-9]{4}-"
"""How every date and every instant begins."""
CATEGORY_LEVELS = 1_000
CATEGORY_SHARE = 4
"""Text is a category up to this many levels, if each occurs this many times on average."""

_NAMES = {
    Type.INTEGER: "whole numbers",
    Type.DECIMAL: "decimals of at most six places",
    Type.FLOAT: "numbers",
    Type.BOOLEAN: "true or false",
    Type.DATE: "dates",
    Type.TIMESTAMP: "ISO 8601 times",
    Type.DURATION: "durations",
}
"""The types that a value can be seen to be of, narrowest first."""


@dataclass(slots=True)
class _Seen:
    """What was seen of one column, over all files."""

    values: int = 0
    nulls: int = 0
    fits: dict[Type, int] = field(default_factory=lambda: dict.fromkeys(_NAMES, 0))
    leading_zeros: int = 0
    levels: set[str] = field(default_factory=set)
    """Up to one more than a category may have."""


def infer_types(source: Source, root: Path, env: Mapping[str, str]) -> dict[str, LockedColumn]:
    """Types of a source's columns, under their names after `rename`, in the source's order.

    The first rows of every file are read, at most `ALL_ROWS` in all. What the contract declares is taken as declared.

    Raises
    ------
    SourceMissing, SourceUnreadable, SourceUnavailable, SourceEmpty, ColumnsDiffer, DuplicateColumn
    """
    with tempfile.TemporaryDirectory(prefix="headrace-infer-") as folder:
        place, format_ = Place(root, env), adapter(source.format)
        rows = rows_of_each(len(format_.state(source, place).parts))
        return types_of_samples(source, format_.sample(source, place, rows, Path(folder)), rows)


def types_of_samples(source: Source, samples: Iterable[Sample], rows: int) -> dict[str, LockedColumn]:
    """The same from samples of at most `rows` rows of each file.

    Raises
    ------
    SourceEmpty
    """
    seen, was_cut = _look(source, samples, rows)
    if not seen:
        raise SourceEmpty(source.name, " and ".join(map(redact, source.read)))
    extent = f" in the first {rows:,} rows of each file" if was_cut else ""
    return {name: _locked(source, name, one, extent) for name, one in seen.items()}


def rows_of_each(n_files: int) -> int:
    """How many rows of each file are read.

    Examples
    --------
    >>> rows_of_each(1), rows_of_each(40), rows_of_each(1_000_000)
    (100000, 25000, 100)
    """
    return min(SAMPLE_ROWS, max(FEWEST_ROWS, ALL_ROWS // max(1, n_files)))


def type_of_values(values: pl.Series, missing: tuple[str, ...], *, is_all_text: bool) -> Type:
    """The narrowest type that all the values are of: text becomes a number, a date or a category as in a first look.

    `is_all_text`: digits in text are numbers, as the format knows nothing but text."""
    seen = _Seen()
    _note(seen, values, missing, is_all_text=is_all_text)
    bare = Source(name="", read=(), format="csv")
    return _locked(bare, values.name, seen, "").type


def _look(source: Source, samples: Iterable[Sample], limit: int) -> tuple[dict[str, _Seen], bool]:
    seen: dict[str, _Seen] = {}
    names = dict(source.rename)
    rows, was_cut = 0, False
    for sample in samples:
        rows += sample.frame.height
        was_cut |= sample.frame.height >= limit
        for series in sample.frame:
            name = names.get(series.name, series.name)
            missing = (*source.missing, *source.rule(name).missing)
            _note(seen.setdefault(name, _Seen()), series, missing, is_all_text=source.format in ALL_TEXT)
    return (seen if rows else {}), was_cut


def _note(seen: _Seen, series: pl.Series, missing: tuple[str, ...], *, is_all_text: bool) -> None:
    """Add one file's values of a column to what was seen."""
    import polars as pl

    from headrace.language.values import type_of_dtype

    if series.dtype == pl.String and missing:
        series = series.set(series.is_in(missing), None)
    present = series.drop_nulls()
    seen.values += len(present)
    seen.nulls += series.null_count()
    if series.dtype == pl.String:
        _note_texts(seen, present, is_all_text=is_all_text)
        return
    type_ = type_of_dtype(series.dtype)
    wider = {
        Type.INTEGER: (Type.INTEGER, Type.DECIMAL, Type.FLOAT),
        Type.DECIMAL: (Type.DECIMAL, Type.FLOAT),
        Type.DATE: (Type.DATE, Type.TIMESTAMP),
    }
    for one in wider.get(type_, (type_,)) if type_ is not None else ():
        if one in seen.fits:
            seen.fits[one] += len(present)


def _note_texts(seen: _Seen, texts: pl.Series, *, is_all_text: bool) -> None:
    from headrace.data.times import to_dates, to_timestamps

    if len(seen.levels) <= CATEGORY_LEVELS:
        seen.levels.update(texts.unique(maintain_order=True).head(CATEGORY_LEVELS + 1).to_list())
    if texts.str.contains(_YEAR).any():  # of thousands of columns few are dates
        seen.fits[Type.DATE] += int(to_dates(texts).is_not_null().sum())
        seen.fits[Type.TIMESTAMP] += int(to_timestamps(texts, "UTC").is_not_null().sum())
    if is_all_text:
        _note_numbers(seen, texts)


def _note_numbers(seen: _Seen, texts: pl.Series) -> None:
    """In CSV and the like everything is text; elsewhere a text of digits was written as text on purpose."""
    import polars as pl

    from headrace.data.cast import number

    text = pl.col("text")
    is_blank = text.str.strip_chars() == ""
    found = (
        texts.alias("text")
        .to_frame()
        .select(
            integers=(is_blank | number(text, Type.INTEGER).is_not_null()).sum(),
            floats=(is_blank | number(text, Type.FLOAT).is_not_null()).sum(),
            booleans=text.str.to_lowercase().is_in(["true", "false"]).sum(),
            zeros=text.str.contains(r"^[+-]?0[0-9]").sum(),
        )
    )
    counts = found.row(0, named=True)
    seen.fits[Type.INTEGER] += counts["integers"]
    seen.fits[Type.FLOAT] += counts["floats"]
    seen.fits[Type.BOOLEAN] += counts["booleans"]
    seen.leading_zeros += counts["zeros"]


def _locked(source: Source, name: str, seen: _Seen, extent: str) -> LockedColumn:
    declared = source.rule(name).type
    if declared is not None:
        return LockedColumn(type=declared, evidence="declared in headrace.toml")
    if not seen.values:
        return LockedColumn(
            type=Type.STRING,
            evidence=f"all {seen.nulls:,} values are null{extent}: nothing tells its type, so it is text",
        )
    numbers = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
    for type_, count in seen.fits.items():
        if count == seen.values and not (seen.leading_zeros and type_ in numbers):
            return LockedColumn(type=type_, evidence=f"{count:,} of {seen.values:,} values are {_NAMES[type_]}{extent}")
    return _text(seen, extent)


def _text(seen: _Seen, extent: str) -> LockedColumn:
    n_levels = len(seen.levels)
    is_category = 0 < n_levels <= CATEGORY_LEVELS and n_levels * CATEGORY_SHARE <= seen.values
    levels = f"more than {CATEGORY_LEVELS:,}" if n_levels > CATEGORY_LEVELS else f"{n_levels:,}"
    evidence = f"text with {levels} levels in {seen.values:,} values{extent}"
    best, count = max(seen.fits.items(), key=lambda item: item[1])
    if seen.leading_zeros:
        evidence += f"; {seen.leading_zeros:,} are digits with leading zeros, which a number would lose"
    elif count:
        evidence += f'; {count:,} are {_NAMES[best]}: type = "{best}" in headrace.toml would quarantine the others'
    return LockedColumn(type=Type.CATEGORY if is_category else Type.STRING, evidence=evidence)
