"""What is seen of the request's columns: how many levels, how skewed. Labels are not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from headrace.data.model import Field
from headrace.features.automatic.model import InputLook, Looks
from headrace.language.types import Type

AT_ONCE: Final = 20_000_000
"""Values that are held in memory at a time, one column at least."""
_NUMBERS = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
_QUANTILES = {"low": 0.01, "middle": 0.5, "high": 0.99}


def look_at(table: pl.LazyFrame, request: Sequence[Field]) -> Looks:
    """Look at the request's columns in the accepted rows of their source. Every figure is one of the values or a count,
    so that it does not depend on the order in which an engine adds."""
    rows = int(table.select(pl.len()).collect().item())
    at_once = max(1, AT_ONCE // max(rows, 1))
    found: dict[str, Any] = {}
    for start in range(0, len(request), at_once):
        part = list(enumerate(request))[start : start + at_once]
        held = table.select([field.name for _, field in part]).collect()
        # asked of columns in memory: one lazy question of so many quantiles took a time that grew as their square
        found |= held.select(expression for place, field in part for expression in _wanted(place, field)).row(
            0, named=True
        )
    names = ("distinct", "least", *_QUANTILES)
    return Looks(
        inputs=tuple(
            InputLook(
                name=field.name,
                type=field.type,
                rows=rows,
                **{name: found[f"{place} {name}"] for name in names if f"{place} {name}" in found},
            )
            for place, field in enumerate(request)
        )
    )


def _wanted(place: int, field: Field) -> list[pl.Expr]:
    column = pl.col(field.name)
    wanted = [column.drop_nulls().n_unique().alias(f"{place} distinct")]
    if field.type in _NUMBERS:
        numbers = column.cast(pl.Float64)
        finite = numbers.filter(numbers.is_finite())
        wanted.append(finite.min().alias(f"{place} least"))
        wanted += [
            finite.quantile(share, interpolation="nearest").alias(f"{place} {name}")
            for name, share in _QUANTILES.items()
        ]
    return wanted
