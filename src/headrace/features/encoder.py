"""Typed features → one float32 row, by the batch and alone, to the same bits. The row part loads no table engine."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.features.encodings.groups import as_floats, beside_many, beside_one
from headrace.features.encodings.levels import MOST_LEVELS as MOST_LEVELS
from headrace.features.encodings.levels import LevelTable, level_codes, level_table
from headrace.features.encodings.numbers import LARGEST as LARGEST
from headrace.features.encodings.numbers import as_float, clamped
from headrace.features.encodings.text import bucket_counts, buckets_of, count_many, count_one
from headrace.features.model import (
    CategoryLevels,
    EncodedColumn,
    Encoder,
    Frequency,
    GroupStatistic,
    HashedText,
    Numeric,
    TargetMean,
    TextStatistic,
)
from headrace.language.row_decimals import SCALE
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

    from headrace.features.encodings.targets import Labels

_NAN: Final = math.nan


def encode_columns(encoder: Encoder, rows: pl.DataFrame) -> NDArray[np.float32]:
    """The model's input of many rows: shape (rows, columns), C order."""
    matrix = np.empty((rows.height, len(encoder.columns)), np.float32)
    for places, columns in _together(encoder.columns):
        first = columns[0]
        if isinstance(first.encoding, HashedText):
            _hash_into(matrix, places, columns, rows[first.source])
        else:
            matrix[:, places[0]] = _encoded(first, rows)
    return matrix


def encode_training(encoder: Encoder, rows: pl.DataFrame, labels: Labels) -> NDArray[np.float32]:
    """The model's input of the very rows, and labels, that the encoder was fitted to: as `encode_columns`, but target
    encodings are made of other rows than the one that they encode (`headrace.features.encodings.targets`)."""
    from headrace.features.encodings.targets import LabelSums  # nothing that serves needs it

    matrix = encode_columns(encoder, rows)
    codes: dict[str, NDArray[np.int64]] = {}
    for place, column in enumerate(encoder.columns):
        encoding = column.encoding
        if isinstance(encoding, TargetMean):
            if column.source not in codes:
                codes = {column.source: level_codes(rows[column.source], encoding.levels)}
            sums = LabelSums(labels, encoding.class_code)
            apart = sums.apart(codes[column.source], len(encoding.levels) + 2, encoding.smoothing)
            matrix[:, place] = clamped(apart)
    return matrix


def row_encoder(encoder: Encoder) -> Callable[[Sequence[object]], bytes]:
    """The model's input of one row of features (the encoder's `inputs`) in the row form: little-endian float32, the
    bytes of one row of `encode_columns`."""
    pack = struct.Struct(f"<{len(encoder.columns)}f").pack
    columns = encoder.columns
    pick = _picker(encoder)
    tables = [(place, table) for place, column in enumerate(columns) if (table := _table(column)) is not None]
    fills = [*_groups(encoder), *_texts(encoder)]
    decimals = [place for place, field in enumerate(encoder.inputs) if field.type is Type.DECIMAL]

    def encode(values: Sequence[Any]) -> bytes:
        if decimals:
            values = [*values]
            for place in decimals:
                if values[place] is not None:
                    values[place] = (values[place] + 0.0) / SCALE
        encoded = pick(values)
        for place, table in tables:
            encoded[place] = table[encoded[place]]
        for fill in fills:
            fill(values, encoded)
        try:  # as usual: no null among them, and nothing that float32 cannot hold
            total = sum(encoded)
            if total - total == 0.0:
                return pack(*encoded)
        except (TypeError, OverflowError):
            pass
        return pack(
            *[
                _NAN if value is None or value != value else value if -LARGEST <= value <= LARGEST else _largest(value)
                for value in encoded
            ]
        )

    return encode


_Fill = Callable[[Sequence[Any], list[Any]], None]
"""Sets what is made of more than one value, or makes more than one; `encoded` holds 0.0 there before."""


def _picker(encoder: Encoder) -> Callable[[Sequence[Any]], list[Any]]:
    """The value that each column begins with: its own, or 0.0 where a `_Fill` sets or counts."""
    at = {field.name: place for place, field in enumerate(encoder.inputs)}
    filled = (GroupStatistic, TextStatistic, HashedText)
    zero = len(at)
    places = [zero if isinstance(column.encoding, filled) else at[column.source] for column in encoder.columns]
    if places == list(range(zero)):
        return list
    if len(places) == 1:
        return lambda values: [(*values, 0.0)[places[0]]]
    pick = itemgetter(*places)
    return lambda values: list(pick((*values, 0.0)))


def _table(column: EncodedColumn) -> LevelTable | None:
    """What the column's level is looked up in."""
    encoding = column.encoding
    type_ = column.type
    match encoding:
        case CategoryLevels():
            codes = [float(code) for code in range(len(encoding.levels))]
            return level_table(encoding.levels, codes, type_, other=float(len(codes)), missing=_NAN)
        case Frequency():
            return level_table(encoding.levels, encoding.values, type_, other=0.0, missing=encoding.missing)
        case TargetMean():
            return level_table(encoding.levels, encoding.values, type_, other=encoding.other, missing=encoding.missing)
        case _:
            return None


def _groups(encoder: Encoder) -> list[_Fill]:
    fields = encoder.inputs
    at = {field.name: place for place, field in enumerate(fields)}

    def made(place: int, column: EncodedColumn, encoding: GroupStatistic) -> _Fill:
        own, by = at[column.source], at[encoding.by]
        type_ = fields[by].type
        means, stds = (
            level_table(encoding.levels, known, type_, other=other, missing=missing)
            for *known, other, missing in (as_floats(encoding.means).tolist(), as_floats(encoding.stds).tolist())
        )
        take = beside_one(encoding.take)

        def fill(values: Sequence[Any], encoded: list[Any]) -> None:
            value, level = values[own], values[by]
            encoded[place] = take(_NAN if value is None else float(value), means[level], stds[level])

        return fill

    return [
        made(place, column, column.encoding)
        for place, column in enumerate(encoder.columns)
        if isinstance(column.encoding, GroupStatistic)
    ]


def _texts(encoder: Encoder) -> list[_Fill]:
    at = {field.name: place for place, field in enumerate(encoder.inputs)}
    fills: list[_Fill] = []
    for places, columns in _together(encoder.columns):
        first = columns[0]
        if isinstance(first.encoding, TextStatistic):
            fills.append(_count_fill(at[first.source], places[0], count_one(first.encoding.statistic)))
        elif isinstance(first.encoding, HashedText):
            fills.append(_hash_fill(at[first.source], _slots(places, columns), first.encoding))
    return fills


def _slots(places: Sequence[int], columns: Sequence[EncodedColumn]) -> dict[int, int]:
    """Bucket → the place of the column that counts it."""
    encodings = [column.encoding for column in columns]
    return {each.bucket: place for place, each in zip(places, encodings, strict=True) if isinstance(each, HashedText)}


def _count_fill(own: int, place: int, count: Callable[[str], float]) -> _Fill:
    def fill(values: Sequence[Any], encoded: list[Any]) -> None:
        text = values[own]
        encoded[place] = _NAN if text is None else count(text)

    return fill


def _hash_fill(own: int, slots: dict[int, int], encoding: HashedText) -> _Fill:
    buckets, ngrams = encoding.buckets, encoding.ngrams

    def fill(values: Sequence[Any], encoded: list[Any]) -> None:
        text = values[own]
        if text is None:
            for place in slots.values():
                encoded[place] = _NAN
            return
        for bucket in buckets_of(text, buckets, ngrams):
            if bucket in slots:
                encoded[slots[bucket]] += 1.0

    return fill


def _together(columns: Sequence[EncodedColumn]) -> list[tuple[list[int], list[EncodedColumn]]]:
    """Columns with their places; those that count pieces of one text in the same way stand together."""
    groups: dict[object, tuple[list[int], list[EncodedColumn]]] = {}
    for place, column in enumerate(columns):
        encoding = column.encoding
        key: object = place
        if isinstance(encoding, HashedText):
            key = (column.source, encoding.buckets, encoding.ngrams)
        places, members = groups.setdefault(key, ([], []))
        places.append(place)
        members.append(column)
    return list(groups.values())


def _encoded(column: EncodedColumn, rows: pl.DataFrame) -> NDArray[np.float64]:
    """The column's numbers, within float32."""
    values, encoding = rows[column.source], column.encoding
    match encoding:
        case Numeric():
            return clamped(as_float(values).fill_null(_NAN).to_numpy())
        case CategoryLevels():
            return np.array([*range(len(encoding.levels) + 1), _NAN])[level_codes(values, encoding.levels)]
        case Frequency():
            return clamped(np.array([*encoding.values, 0.0, encoding.missing]))[level_codes(values, encoding.levels)]
        case TargetMean():
            means = clamped(np.array([*encoding.values, encoding.other, encoding.missing]))
            return means[level_codes(values, encoding.levels)]
        case GroupStatistic():
            codes = level_codes(rows[encoding.by], encoding.levels)
            means, stds = as_floats(encoding.means)[codes], as_floats(encoding.stds)[codes]
            return clamped(beside_many(encoding.take, as_float(values).fill_null(_NAN).to_numpy(), means, stds))
        case TextStatistic():
            return count_many(encoding.statistic, values)
        case HashedText():
            raise AssertionError("these are made together")


def _hash_into(matrix: NDArray[np.float32], places: list[int], columns: list[EncodedColumn], texts: pl.Series) -> None:
    encoding = columns[0].encoding
    assert isinstance(encoding, HashedText)
    counts = np.empty((len(texts), encoding.buckets), np.float32)
    bucket_counts(texts, encoding.buckets, encoding.ngrams, counts)
    for bucket, place in _slots(places, columns).items():
        matrix[:, place] = counts[:, bucket]


def _largest(value: float) -> float:
    return math.copysign(LARGEST, value)
