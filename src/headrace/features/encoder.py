"""Typed features → one float32 row, by the batch and alone, to the same bits. The row part loads no table engine."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.data.model import Field
from headrace.features.model import CategoryLevels, EncodedColumn, Encoder, Numeric
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

MOST_LEVELS: Final = 255
"""Levels of a category that keep a code of their own; the rest share one."""
LARGEST: Final = float(np.finfo(np.float32).max)
_NAN: Final = math.nan


def fit_encoder(outputs: Sequence[Field], rows: pl.DataFrame) -> Encoder:
    """Learn levels and typical values from training rows, which hold the columns `outputs`."""
    return Encoder(columns=tuple(_fit(field, rows[field.name]) for field in outputs))


def encode_columns(encoder: Encoder, rows: pl.DataFrame) -> NDArray[np.float32]:
    """The model's input of many rows: shape (rows, columns), C order."""
    matrix = np.empty((rows.height, len(encoder.columns)), np.float32)
    for place, column in enumerate(encoder.columns):
        _encode_into(matrix[:, place], column, rows[column.name])
    return matrix


def row_encoder(encoder: Encoder) -> Callable[[Sequence[object]], bytes]:
    """The model's input of one row of features in the row form: little-endian float32, the bytes of one row of
    `encode_columns`."""
    pack = struct.Struct(f"<{len(encoder.columns)}f").pack
    categories = [
        (place, codes) for place, column in enumerate(encoder.columns) if (codes := _codes(column)) is not None
    ]

    def encode(values: Sequence[Any]) -> bytes:
        encoded = list(values)
        for place, codes in categories:
            encoded[place] = codes[encoded[place]]
        return pack(
            *[
                _NAN if value is None or value != value else value if -LARGEST <= value <= LARGEST else _largest(value)
                for value in encoded
            ]
        )

    return encode


class _Codes(dict[object, float]):
    """Level → code; a level that was not learnt has the code after the last."""

    def __missing__(self, key: object) -> float:
        return float(len(self) - 1)  # null has an entry too


def _codes(column: EncodedColumn) -> _Codes | None:
    if isinstance(column.encoding, Numeric):
        return None
    codes = _Codes({level: float(code) for code, level in enumerate(column.encoding.levels)})
    codes[None] = _NAN
    return codes


def _largest(value: float) -> float:
    return math.copysign(LARGEST, value)


def _fit(field: Field, values: pl.Series) -> EncodedColumn:
    if field.type in (Type.STRING, Type.CATEGORY):
        counts = values.drop_nulls().value_counts(name="_rows")
        kept = counts.sort("_rows", values.name, descending=[True, False]).head(MOST_LEVELS)
        encoding: CategoryLevels | Numeric = CategoryLevels(levels=tuple(kept[values.name].to_list()))
        typical = 0.0
    else:
        encoding = Numeric()
        median = _as_float(values).clip(-LARGEST, LARGEST).median()
        typical = float(median) if isinstance(median, float) else 0.0
    return EncodedColumn(name=field.name, type=field.type, encoding=encoding, typical=typical)


def _encode_into(out: NDArray[np.float32], column: EncodedColumn, values: pl.Series) -> None:
    import polars as pl

    if isinstance(column.encoding, Numeric):
        out[:] = _as_float(values).clip(-LARGEST, LARGEST).fill_null(_NAN).to_numpy()
        return
    levels = column.encoding.levels
    codes = values.cast(pl.Enum(levels), strict=False).to_physical().cast(pl.Float32)
    unseen = pl.when(values.is_not_null()).then(float(len(levels))).otherwise(_NAN).cast(pl.Float32)
    out[:] = pl.select(pl.coalesce(codes, unseen)).to_series().to_numpy()


def _as_float(values: pl.Series) -> pl.Series:
    import polars as pl

    return values.cast(pl.Float64).fill_nan(None)
