"""Corrections: rows of a source that people have mended by hand, applied whenever the source is checked.

A correction says "the row that reads so, reads so": it holds the whole row as it was read and as it should be. It is
found again by its content (and, of rows that read alike, by which of them it is), never by its number alone, so that it
holds when rows are added around it, and no longer applies when its row has changed. Corrected rows stand where the row
stood and pass through the same rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from headrace.data.align import ROW
from headrace.data.cast import as_text
from headrace.data.places import numbered

TEXT = "_text"
NTH = "_nth"
"""Which of the rows that read alike, from 0."""
_BEFORE = "_before_"


@dataclass(frozen=True, slots=True)
class Rows:
    """A snapshot's rows as they are checked: with their place in the source, corrections applied."""

    frame: pl.LazyFrame
    """Place (from 0) and cells; all of them text where a correction applies."""
    malformed: pl.LazyFrame | None
    """Rows that are no rows, but for the corrected ones; with their text."""
    places: pl.DataFrame
    """Of these `row`, `file`, `line` and `reason`."""
    replayed: pl.Series
    """Places of corrected rows, ascending."""
    stale: int
    """Corrections whose row is not there, or has changed."""


_PLACES = {"row": pl.Int64, "file": pl.String, "line": pl.Int64, "reason": pl.String}


def rows_of(
    raw: pl.LazyFrame, malformed: pl.LazyFrame | None, corrections: Sequence[pl.DataFrame], missing: Sequence[str] = ()
) -> Rows:
    """A snapshot's rows with corrections in the place of what they correct.

    Parameters
    ----------
    raw, malformed
        The snapshot's two parts.
    corrections
        Made by `corrections_of`, the oldest first: of two for one row the later holds.
    missing
        Texts that mean null in a corrected cell, where the reader has seen to them in the others.
    """
    places = pl.DataFrame(schema=_PLACES) if malformed is None else malformed.select(list(_PLACES)).collect()
    frame = numbered(raw, places["row"].to_numpy())
    none = pl.Series(ROW, [], dtype=pl.UInt32)
    if not corrections:
        return Rows(frame, malformed, places, none, 0)
    columns = raw.collect_schema().names()
    found = [_found(frame, malformed, columns, one) for one in corrections]
    stale = sum(one.height - at.height for one, at in zip(corrections, found, strict=True))
    corrected = pl.concat(found).unique(ROW, keep="last", maintain_order=True).sort(ROW)
    corrected = corrected.with_columns(
        pl.when(~pl.col(name).is_in(missing)).then(pl.col(name)).alias(name) for name in columns
    )
    at = corrected.lazy().select(ROW)
    kept = as_texts(frame).join(at, on=ROW, how="anti", maintain_order="left")
    whole = kept.merge_sorted(corrected.lazy(), key=ROW)
    if malformed is not None:
        is_mended = pl.col("row").is_in((corrected[ROW].cast(pl.Int64) + 1).implode())
        malformed, places = malformed.filter(~is_mended), places.filter(~is_mended)
        malformed = None if places.is_empty() else malformed
    return Rows(whole, malformed, places, corrected[ROW], stale)


def as_texts(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Numbered rows with their cells as text that casts back to them."""
    schema = frame.collect_schema()
    return frame.select(ROW, *(as_text(name, type_) for name, type_ in schema.items() if name != ROW))


def _alike(frame: pl.LazyFrame, like: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The rows that read as some row of `like`, with which of those that read alike each is."""
    wanted = like.lazy().select(columns).unique()
    rows = frame.join(wanted, on=list(columns), how="semi", nulls_equal=True).collect().sort(ROW)
    return rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over(list(columns)).alias(NTH))


def _malformed_texts(malformed: pl.LazyFrame) -> pl.LazyFrame:
    return malformed.select((pl.col("row") - 1).cast(pl.UInt32).alias(ROW), pl.col("text").alias(TEXT))


def _found(
    frame: pl.LazyFrame, malformed: pl.LazyFrame | None, columns: Sequence[str], one: pl.DataFrame
) -> pl.DataFrame:
    """Place and cells of the rows that a correction corrects; columns that it does not know are as they were read."""
    known = [name.removeprefix(_BEFORE) for name in one.columns if name.startswith(_BEFORE)]
    found = pl.DataFrame(schema={ROW: pl.UInt32, **dict.fromkeys(columns, pl.String)})
    if not set(known) <= set(columns):
        return found
    proper, broken = one.filter(pl.col(TEXT).is_null()), one.filter(pl.col(TEXT).is_not_null())
    if not proper.is_empty():
        before = proper.select(NTH, *(pl.col(f"{_BEFORE}{name}").alias(name) for name in known))
        after = proper.select(pl.col(name).alias(f"_hr_after_{name}") for name in known)
        rows = _alike(as_texts(frame), before, known)
        matched = rows.join(pl.concat([before, after], how="horizontal"), on=[*known, NTH], nulls_equal=True)
        cells = [pl.col(f"_hr_after_{name}").alias(name) if name in known else pl.col(name) for name in columns]
        found = pl.concat([found, matched.select(ROW, *cells)])
    if not broken.is_empty() and malformed is not None:
        rows = _alike(_malformed_texts(malformed), broken, [TEXT])
        matched = rows.join(broken.select(TEXT, NTH, *known), on=[TEXT, NTH])
        nulls = [pl.lit(None, pl.String).alias(name) for name in columns if name not in known]
        found = pl.concat([found, matched.with_columns(nulls).select(ROW, *columns)])
    return found


def corrections_of(
    raw: pl.LazyFrame, malformed: pl.LazyFrame | None, places: Sequence[int], cells: pl.DataFrame
) -> pl.DataFrame:
    """Corrections of rows of a snapshot, to be kept and applied by `rows_of`.

    Parameters
    ----------
    raw, malformed
        The snapshot's two parts.
    places
        Of the rows to correct, from 0.
    cells
        What they should read: the snapshot's columns as text, in the order of `places`.
    """
    numbers = np.empty(0, np.int64) if malformed is None else malformed.select("row").collect()["row"].to_numpy()
    columns = cells.columns
    wanted = pl.DataFrame({ROW: pl.Series(places, dtype=pl.UInt32)})
    texts = as_texts(numbered(raw, numbers))
    before = texts.join(wanted.lazy(), on=ROW, how="semi").collect()
    nth = _alike(texts, before, columns).select(ROW, NTH)
    before = before.rename({name: f"{_BEFORE}{name}" for name in columns}).with_columns(
        pl.lit(None, pl.String).alias(TEXT)
    )
    if malformed is not None:
        lines = _malformed_texts(malformed)
        broken = lines.join(wanted.lazy(), on=ROW, how="semi").collect()
        nth = pl.concat([nth, _alike(lines, broken, [TEXT]).select(ROW, NTH)])
        before = pl.concat([before, broken], how="diagonal")
    after = pl.concat([wanted, cells], how="horizontal")
    return after.join(before.join(nth, on=ROW), on=ROW, maintain_order="left").drop(ROW)
