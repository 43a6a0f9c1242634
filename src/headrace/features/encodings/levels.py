"""Levels: which a category has, and the code of every row's level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

MOST_LEVELS: Final = 255
"""Levels of a category that keep a code of their own; the rest share one."""
MOST_KEPT: Final = 100_000
"""Levels that keep a learnt value of their own: a package stays small and an attacker cannot fill it."""
LEVELLED: Final = (Type.STRING, Type.CATEGORY, Type.INTEGER)
"""The types that have levels; those of a whole number are its digits."""


def frequent_levels(values: pl.Series, *, most: int, min_rows: int = 1) -> tuple[str, ...]:
    """The levels of at least `min_rows` rows, the most frequent first, ties by name; `most` of them at most."""
    import polars as pl

    texts = as_texts(values).rename("level")
    counts = texts.drop_nulls().value_counts(name="rows").filter(pl.col("rows") >= min_rows)
    return tuple(counts.sort("rows", "level", descending=[True, False]).head(most)["level"].to_list())


def level_codes(values: pl.Series, levels: Sequence[str]) -> NDArray[np.int64]:
    """The place of each row's level in `levels`; len(levels) for any other, len(levels) + 1 for null."""
    import polars as pl

    codes = as_texts(values).cast(pl.Enum(levels), strict=False).to_physical().cast(pl.Int64)
    rest = pl.when(values.is_null()).then(len(levels) + 1).otherwise(len(levels)).cast(pl.Int64)
    return pl.select(pl.coalesce(codes, rest)).to_series().to_numpy()


def as_texts(values: pl.Series) -> pl.Series:
    """The levels as text."""
    import polars as pl

    return values.cast(pl.String)


class LevelTable(dict[object, float]):
    """Level as the row form has it → number; what is not there has the number `other`."""

    def __init__(self, numbers: Mapping[object, float], other: float) -> None:
        super().__init__(numbers)
        self.other = other

    def __missing__(self, key: object) -> float:
        return self.other


def level_table(
    levels: Sequence[str], values: Sequence[float], type_: Type, *, other: float, missing: float
) -> LevelTable:
    """What a row looks its level up in."""
    keys: Sequence[object] = [int(level) for level in levels] if type_ is Type.INTEGER else levels
    return LevelTable({None: missing, **dict(zip(keys, values, strict=True))}, other)
