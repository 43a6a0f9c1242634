"""The reference profile: the distributions that later data are compared with."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from headrace.data.model import Field
from headrace.features.model import Program
from headrace.language.types import Type

BINS: Final = 10
MOST_LEVELS: Final = 50


def profile_frame(program: Program, rows: pl.DataFrame) -> bytes:
    """The profile of the program's outputs in `rows`, as JSON.

    A number has edges at its deciles (fewer where they coincide) and the count of values in each bin, the first and the
    last open to infinity; a category its most frequent levels and the count of the others.
    """
    columns = [_column(field, rows[field.name]) for field in program.outputs]
    return msgspec.json.encode({"format": 1, "rows": rows.height, "columns": columns})


def _column(field: Field, values: pl.Series) -> dict[str, Any]:
    common = {"name": field.name, "type": field.type.value, "count": len(values), "nulls": values.null_count()}
    if field.type in (Type.STRING, Type.CATEGORY, Type.BOOLEAN):
        return common | _levels(values.cast(pl.String))
    return common | _bins(values.cast(pl.Float64).drop_nulls().to_numpy())


def _levels(values: pl.Series) -> dict[str, Any]:
    name = values.name
    counts = values.drop_nulls().value_counts(name="_rows").sort("_rows", name, descending=[True, False])
    kept, rest = counts.head(MOST_LEVELS), counts.slice(MOST_LEVELS)
    return {
        "kind": "category",
        "levels": [[level, rows] for level, rows in kept.iter_rows()],
        "other": int(rest["_rows"].sum()),
        "distinct": counts.height,
    }


def _bins(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {"kind": "numeric", "edges": [], "counts": [len(values)]}
    inner = np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf")
    edges = np.unique(inner)
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    low, high = float(finite.min()), float(finite.max())
    return {"kind": "numeric", "edges": edges.tolist(), "counts": counts.tolist(), "minimum": low, "maximum": high}
