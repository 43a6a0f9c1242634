"""How a snapshot's columns lie as read: a sample of every k-th row, cast and converted as the contract says.

Taken before any rule refuses a row: when a unit changes, a range rule would hide that by setting every row aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl
from msgspec import structs

from headrace.data.cast import plain
from headrace.data.infer import type_of_values
from headrace.data.model import ColumnShape, Shape
from headrace.data.personal import HIDDEN, find_personal
from headrace.data.rules import FlaggedRows, flag, read_rows
from headrace.definition.model import ALL_TEXT, Source
from headrace.language.types import Type

SAMPLE_ROWS: Final = 50_000
STEPS: Final = 50
"""Quantiles are taken at n / STEPS."""
LEVELS: Final = 200
FEW: Final = 12
"""Whole numbers of so few values may be codes."""
_TEXTS: Final = (Type.STRING, Type.CATEGORY)
_NUMBERS: Final = (Type.INTEGER, Type.DECIMAL, Type.FLOAT, Type.DURATION)
_TIMES: Final = (Type.DATE, Type.TIMESTAMP)


def take_shape(
    raw: pl.LazyFrame,
    source: Source,
    base: Mapping[str, Type],
    statics: Mapping[str, pl.LazyFrame],
    parts: Sequence[tuple[int, int]] | None = None,
    *,
    only_new: bool = False,
) -> Shape:
    """The shape of a snapshot, or of some of its rows.

    Parameters
    ----------
    raw
        The snapshot's rows, columns as read.
    base
        Types of the source's own columns, after `rename`.
    statics
        The accepted tables that `source.needs` names.
    parts
        (first row from 0, number of rows) of what counts; everything when left out.
    only_new
        Leave the columns of the contract out.
    """
    chosen = raw if parts is None else pl.concat([raw.slice(first, rows) for first, rows in parts])
    rows = int(chosen.select(pl.len()).collect().item())
    sample = chosen.gather_every(max(1, -(-rows // SAMPLE_ROWS))).collect()
    known = () if only_new else _known(sample, source, base, statics)
    return Shape(columns=known, new=_unknown(sample, source, base))


def _known(
    sample: pl.DataFrame, source: Source, base: Mapping[str, Type], statics: Mapping[str, pl.LazyFrame]
) -> tuple[ColumnShape, ...]:
    bare = structs.replace(source, joins=(), derive=(), checks=(), unique=())
    names = dict(source.rename)
    present = {names.get(column, column) for column in sample.columns}
    types = {name: type_ for name, type_ in base.items() if name in present}
    read = read_rows(sample.lazy(), bare, types, statics)
    frame = read.frame.collect()
    misfits = _misfits(read, frame)
    return _shapes(frame, types, misfits)


def _misfits(read: FlaggedRows, frame: pl.DataFrame) -> dict[str, int]:
    """Column → cells that are not of its type, code list or unit."""
    found: dict[str, int] = {}
    for n, rule in enumerate(read.rules):
        if rule.column is not None and not rule.name.startswith("nan:"):
            found[rule.column] = found.get(rule.column, 0) + int(frame[flag(n)].sum())
    return found


def _unknown(sample: pl.DataFrame, source: Source, base: Mapping[str, Type]) -> tuple[ColumnShape, ...]:
    """Columns that are not locked, in the narrowest type that all their values are of."""
    names = dict(source.rename)
    new = [column for column in sample.columns if names.get(column, column) not in base]
    held = [sample[name].cast(kind) for name in new if (kind := plain(sample[name].dtype)) is not None]
    types = {
        series.name: type_of_values(series, source.missing, is_all_text=source.format in ALL_TEXT) for series in held
    }
    bare = Source(name=source.name, read=source.read, format=source.format, missing=source.missing)
    read = read_rows(pl.DataFrame(held).lazy(), bare, types, {})
    return _shapes(read.frame.collect(), types, {}) if held else ()


def _shapes(frame: pl.DataFrame, types: Mapping[str, Type], misfits: Mapping[str, int]) -> tuple[ColumnShape, ...]:
    personal = find_personal(frame.select(list(types)), types)
    hidden = {name for name, kinds in personal.items() if any(one.confidence in HIDDEN for one in kinds)}
    return tuple(
        _shape(frame[name], type_, misfits.get(name, 0), is_hidden=name in hidden) for name, type_ in types.items()
    )


def _shape(column: pl.Series, type_: Type, misfits: int, *, is_hidden: bool) -> ColumnShape:
    present = column.drop_nulls()
    if type_ is Type.FLOAT:
        present = present.filter(present.is_finite())
    levels, n_levels = _levels(present, type_) if not is_hidden else ((), None)
    return ColumnShape(
        name=column.name,
        type=type_,
        rows=len(column),
        nulls=column.null_count() - misfits,
        misfits=misfits,
        quantiles=() if is_hidden else _quantiles(present, type_),
        levels=levels,
        n_levels=n_levels,
        clock=_clock(present) if type_ is Type.TIMESTAMP else (),
        calendar=_calendar(present) if type_ in _TIMES else (),
    )


def _quantiles(present: pl.Series, type_: Type) -> tuple[float, ...]:
    if type_ not in (*_NUMBERS, *_TIMES) or present.is_empty():
        return ()
    cast = {Type.DATE: pl.Datetime("us"), Type.DECIMAL: pl.Float64()}.get(type_)
    numbers = present if cast is None else present.cast(cast)
    scale = 1e-6 if type_ in (Type.DURATION, *_TIMES) else 1.0
    ranked = numbers.to_physical().sort()
    places = [round(n * (len(ranked) - 1) / STEPS) for n in range(STEPS + 1)]
    return tuple(float(value) * scale for value in ranked.gather(places).to_list())


def _levels(present: pl.Series, type_: Type) -> tuple[tuple[tuple[str, int], ...], int | None]:
    if type_ not in (*_TEXTS, Type.BOOLEAN, Type.INTEGER):
        return (), None
    counts = present.alias("level").value_counts()
    if type_ is Type.INTEGER and counts.height > FEW:
        return (), None
    text = counts.with_columns(pl.col("level").cast(pl.String))
    top = text.sort("count", "level", descending=[True, False]).head(LEVELS)
    return tuple((level, count) for level, count in top.iter_rows()), counts.height


def _clock(present: pl.Series) -> tuple[int, ...]:
    return _counts(present.dt.hour(), 24)


def _calendar(present: pl.Series) -> tuple[int, ...]:
    place = (present.dt.month().cast(pl.Int32) - 1) * 31 + present.dt.day().cast(pl.Int32) - 1
    return _counts(place, 12 * 31)


def _counts(places: pl.Series, size: int) -> tuple[int, ...]:
    import numpy as np

    return tuple(int(n) for n in np.bincount(places.to_numpy(), minlength=size))
