"""What is seen of the request's columns: how many levels, how skewed. Labels are not read."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.data.model import Field
from headrace.features.automatic.model import InputLook, Looks
from headrace.language.types import Type

_NUMBERS = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
_QUANTILES = {"low": 0.01, "middle": 0.5, "high": 0.99}


def look_at(table: pl.LazyFrame, request: Sequence[Field]) -> Looks:
    """Look at the request's columns in the accepted rows of their source. Every figure is one of the values or a count,
    so that it does not depend on the order in which an engine adds."""
    wanted = [pl.len().alias("rows")]
    for place, field in enumerate(request):
        column = pl.col(field.name)
        wanted.append(column.drop_nulls().n_unique().alias(f"{place} distinct"))
        if field.type in _NUMBERS:
            numbers = column.cast(pl.Float64)
            finite = numbers.filter(numbers.is_finite())
            wanted.append(finite.min().alias(f"{place} least"))
            wanted += [
                finite.quantile(share, interpolation="nearest").alias(f"{place} {name}")
                for name, share in _QUANTILES.items()
            ]
    found = table.select(wanted).collect().row(0, named=True)
    names = ("distinct", "least", *_QUANTILES)
    return Looks(
        inputs=tuple(
            InputLook(
                name=field.name,
                type=field.type,
                rows=found["rows"],
                **{name: found[f"{place} {name}"] for name in names if f"{place} {name}" in found},
            )
            for place, field in enumerate(request)
        )
    )
