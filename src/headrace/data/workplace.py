"""The quarantine as a workplace: rows set aside are listed, taken out to a file, corrected there and handed back.

What is handed back is kept for good as a correction (`headrace.data.corrections`) and applied from the next check on. A
correction can be withdrawn: a check that is repeated without it finds what it found before it was made.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from headrace.data.correction_log import Correction, note
from headrace.data.corrections import corrections_of
from headrace.data.errors import CorrectionStale, CorrectionUnreadable, NothingCorrected
from headrace.data.ledger import REASONS
from headrace.data.model import CheckedSource
from headrace.runs.model import ObjectRef
from headrace.stores.catalog import Catalog
from headrace.stores.objects import ObjectStore

SNAPSHOT = "_snapshot"
"""Column of a file of rows set aside: the beginning of the digest of the snapshot that they are from."""
_DIGITS = 16
OURS = (SNAPSHOT, "_row", REASONS, "_file", "_line", "_text")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a spreadsheet would take for the beginning of a formula, and what shows that a cell was written so."""
_BETWEEN = "; "


def rows_aside(
    checked: CheckedSource, objects: ObjectStore, *, rule: str | None = None, limit: int | None = None
) -> pl.DataFrame:
    """Rows that the newest check of a source set aside, in the source's order, with reasons and place.

    Parameters
    ----------
    rule
        Only rows that broke this rule: `min:amount`, or all of one word: `min`.
    """
    if checked.quarantine is None:
        return pl.DataFrame(schema={SNAPSHOT: pl.String, "_row": pl.Int64, REASONS: pl.List(pl.String)})
    rows = _scan(checked.quarantine, objects)
    if rule is not None:
        is_meant = (pl.element() == rule) | pl.element().str.starts_with(f"{rule}:")
        rows = rows.filter(pl.col(REASONS).list.eval(is_meant).list.any())
    rows = rows if limit is None else rows.head(limit)
    digest = None if checked.snapshot is None else checked.snapshot.sha256[:_DIGITS]
    snapshot = pl.lit(digest, pl.String).alias(SNAPSHOT)
    return rows.select(snapshot, pl.all()).collect()


def _scan(ref: ObjectRef, objects: ObjectStore) -> pl.LazyFrame:
    target = objects.scan_target(ref.key)
    return pl.scan_parquet(target.url, storage_options=target.options or None)


def write_rows(rows: pl.DataFrame, path: Path) -> None:
    """Write rows set aside to a CSV or Parquet file, by its ending.

    A text that a spreadsheet would run as a formula is written with a ' before it, and so is one that begins with '
    itself, so that `read_rows` gives the same text back."""
    if _format(path) == "parquet":
        rows.write_parquet(path)
        return
    flat = rows.with_columns(pl.col(REASONS).list.join(_BETWEEN))
    texts = [name for name, type_ in flat.schema.items() if type_ == pl.String]
    flat.with_columns(_guarded(pl.col(name)).alias(name) for name in texts).write_csv(path)


def _guarded(text: pl.Expr) -> pl.Expr:
    begins = text.str.slice(0, 1).is_in(_FORMULA)
    return pl.when(begins).then(pl.concat_str(pl.lit("'"), text)).otherwise(text)


def _unguarded(text: pl.Expr) -> pl.Expr:
    is_guarded = text.str.starts_with("'") & text.str.slice(1, 1).is_in(_FORMULA)
    return pl.when(is_guarded).then(text.str.slice(1)).otherwise(text)


def read_rows(path: Path) -> pl.DataFrame:
    """Rows of a CSV or Parquet file that people have corrected; every column as text.

    Raises
    ------
    CorrectionUnreadable : there is no such file, or it is none.
    """
    try:
        if _format(path) == "parquet":
            read = pl.read_parquet(path)
            if REASONS in read.columns:
                read = read.drop(REASONS)
            return read.select(pl.all().cast(pl.String))
        read = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise CorrectionUnreadable(path.name, reason) from None
    return read.with_columns(_unguarded(pl.col(name)).alias(name) for name in read.columns)


def _format(path: Path) -> str:
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in ("csv", "parquet"):
        raise CorrectionUnreadable(path.name, "its name ends in neither .csv nor .parquet")
    return suffix


def replay(
    path: Path,
    checked: CheckedSource,
    key: Sequence[str],
    *,
    project: str,
    catalog: Catalog,
    objects: ObjectStore,
    clock: Callable[[], int],
    reason: str = "",
) -> Correction:
    """Keep the rows of a file as corrections of rows that the newest check of a source set aside.

    Rows are matched by `_row`, or by the source's key where the file has no `_row`. Rows that read as they did are left
    out; columns that the file lacks stay as they are.

    Parameters
    ----------
    checked
        The outcome of the newest check.
    key
        The source's `unique`, as read; empty when it has none.

    Raises
    ------
    CorrectionUnreadable : the file has columns that the source has not, or nothing to match its rows by.
    CorrectionStale : a row is not set aside by the newest check, or the file is from another snapshot.
    NothingCorrected : no row differs from what was set aside.
    """
    source = checked.report.source
    if checked.snapshot is None:
        raise CorrectionUnreadable(path.name, f"source {source!r} is made of others, whose rows are to be corrected")
    aside = rows_aside(checked, objects).drop(REASONS)
    columns = [name for name in aside.columns if name not in OURS]
    given = _matched(read_rows(path), aside, key, source, path.name)
    corrected = _corrected(given, aside, columns)
    if corrected.is_empty():
        raise NothingCorrected(source, path.name)
    raw = _scan(checked.snapshot, objects)
    malformed = None if checked.malformed is None else _scan(checked.malformed, objects)
    places = [row - 1 for row in corrected["_row"]]
    made = corrections_of(raw, malformed, places, corrected.select(columns))
    out = io.BytesIO()
    made.write_parquet(out, compression="zstd")
    ref = _keep(out.getvalue(), objects)
    return note(
        catalog,
        project,
        source,
        ref,
        rows=made.height,
        snapshot=checked.snapshot.sha256,
        made_us=clock(),
        reason=reason,
    )


def _keep(data: bytes, objects: ObjectStore) -> ObjectRef:
    sha256 = hashlib.sha256(data).hexdigest()
    ref = ObjectRef(f"corrections/{sha256}.parquet", sha256, len(data))
    objects.put_if_absent(ref.key, data)
    return ref


def _matched(given: pl.DataFrame, aside: pl.DataFrame, key: Sequence[str], source: str, name: str) -> pl.DataFrame:
    """The rows of the file with the number in `_row` of the row set aside that each corrects."""
    unknown = [column for column in given.columns if column not in (*aside.columns, *OURS)]
    if unknown:
        raise CorrectionUnreadable(name, f"source {source!r} has no column {', '.join(map(repr, unknown))}")
    if SNAPSHOT in given.columns:
        ours = aside[SNAPSHOT].first() if aside.height else None
        if not (given[SNAPSHOT] == ours).fill_null(value=False).all():
            raise CorrectionStale(source, name, "they are from another snapshot than the one checked last")
    if "_row" in given.columns:
        numbers = given["_row"].cast(pl.Int64, strict=False)
    elif key and set(key) <= set(given.columns):
        found = aside.select("_row", *key).join(given.select(key).unique(), on=list(key), how="semi")
        if found.select(key).is_duplicated().any():
            raise CorrectionStale(source, name, "several rows that are set aside have the same key: give _row")
        numbers = given.select(key).join(found, on=list(key), how="left", maintain_order="left")["_row"]
    else:
        by = f"_row, or the key {', '.join(key)}" if key else "_row"
        raise CorrectionUnreadable(name, f"it has nothing to match its rows by: {by}")
    at = [n for n, number in enumerate(numbers, start=1) if number is None or number not in set(aside["_row"])]
    if at:
        raise CorrectionStale(source, name, "the newest check does not set these rows aside", at)
    if numbers.is_duplicated().any():
        raise CorrectionStale(source, name, "a row is corrected twice")
    return given.with_columns(numbers.alias("_row"))


def _corrected(given: pl.DataFrame, aside: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """`_row` and all cells of the rows that read otherwise than they did; an empty cell is a null that stays."""
    held = [name for name in columns if name in given.columns]
    said = given.select("_row", *(pl.col(name).alias(f"_hr_said_{name}") for name in held))
    both = aside.join(said, on="_row", how="inner", maintain_order="left")
    cells = []
    for name in held:
        was, now = pl.col(name), pl.col(f"_hr_said_{name}")
        cells.append(pl.when(was.fill_null("") == now.fill_null("")).then(was).otherwise(now).alias(name))
    changed = [pl.col(name).fill_null("") != pl.col(f"_hr_said_{name}").fill_null("") for name in held]
    is_changed = pl.any_horizontal([pl.lit(value=False), *changed])
    return both.filter(is_changed).with_columns(cells).select("_row", *columns)
