"""Bars of a small histogram: numbers over the bulk of the values, times by calendar buckets, texts by length."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

from headrace.data.model import Histogram
from headrace.language.types import Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

BARS: Final = 24
TAIL: Final = 0.005
"""Share of values on either side that may lie beyond the bars, when the rest would otherwise be a single bar."""
_FAR: Final = 3.0
"""The bars leave the tails out when the whole reach is this many times that of the bulk."""
_BUCKETS: Final = (
    ("hour", "1h", 3_600),
    ("day", "1d", 86_400),
    ("week", "1w", 604_800),
    ("month", "1mo", 2_629_746),
    ("quarter", "1q", 7_889_238),
    ("year", "1y", 31_556_952),
)
_MOST_BUCKETS: Final = 54
"""A year of weeks, four years of months."""


def histogram(values: pl.Series, type_: Type) -> Histogram | None:
    """Bars of a column's sampled values; None where there is nothing to draw (no value, or true and false)."""
    present = values.drop_nulls()
    if present.is_empty() or type_ is Type.BOOLEAN:
        return None
    if type_ in (Type.STRING, Type.CATEGORY):
        import polars as pl

        return _numbers(present.cast(pl.String).str.len_chars().to_numpy(), "length", is_whole=True)
    if type_ in (Type.DATE, Type.TIMESTAMP):
        return _times(present)
    if type_ is Type.DURATION:
        return _numbers(present.to_physical().to_numpy() / 1e6, "number", is_whole=False)
    if type_ is Type.DECIMAL:
        import polars as pl

        present = present.cast(pl.Float64)
    return _numbers(present.to_numpy(), "number", is_whole=type_ is Type.INTEGER)


def _numbers(found: NDArray[np.number], kind: str, *, is_whole: bool) -> Histogram | None:
    import numpy as np

    numbers = np.sort(found.astype(np.float64))
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    low, high = float(numbers[0]), float(numbers[-1])
    least, most = (float(numbers[round(q * (len(numbers) - 1))]) for q in (TAIL, 1 - TAIL))
    if high - low > _FAR * (most - least) > 0:
        low, high = least, most
    if not math.isfinite(high - low):
        return None
    edges = _edges(low, high, is_whole=is_whole)
    inside = numbers[(numbers >= edges[0]) & (numbers <= edges[-1])]
    counts, _ = np.histogram(inside, np.array(edges))
    return Histogram(
        kind="length" if kind == "length" else "number",
        edges=tuple(edges),
        counts=tuple(int(n) for n in counts),
        below=int((numbers < edges[0]).sum()),
        above=int((numbers > edges[-1]).sum()),
    )


def _edges(low: float, high: float, *, is_whole: bool) -> list[float]:
    """Even steps; whole numbers get whole steps, so that no bar holds more of them than another."""
    if low == high:
        pad = 0.5 if is_whole or abs(low) < 1e15 else abs(low) * 1e-3
        return [low - pad, high + pad]
    if is_whole and high - low < 2**53:
        step = max(1, math.ceil((high - low + 1) / BARS))
        first = low - 0.5
        return [first + step * n for n in range(math.ceil((high - low + 1) / step) + 1)]
    width = (high - low) / BARS
    edges = [low + width * n for n in range(BARS)] + [high]
    return edges if all(a < b for a, b in itertools.pairwise(edges)) else [low, high]


def _times(present: pl.Series) -> Histogram:
    """Counts by the finest calendar bucket that gives few enough bars; empty buckets are there."""
    import polars as pl

    instants = present.cast(pl.Datetime("us")).alias("t") if present.dtype == pl.Date else present.alias("t")
    instants = instants.dt.replace_time_zone(None) if instants.dtype != pl.Datetime("us") else instants
    micros = instants.to_physical()
    reach = (int(micros.max()) - int(micros.min())) / 1e6  # type: ignore[arg-type]  # whole numbers, one at least
    smallest = 1 if present.dtype == pl.Date else 0
    usable = [bucket for bucket in _BUCKETS[smallest:] if reach / bucket[2] <= _MOST_BUCKETS]
    name, every, width = usable[0] if usable else _BUCKETS[-1]
    if not usable:  # centuries: several years a bar
        every = f"{math.ceil(reach / width / _MOST_BUCKETS)}y"
    truncated = instants.dt.truncate(every).alias("t")
    counted = truncated.value_counts().sort("t")
    first, last = counted["t"][0], counted["t"][-1]
    starts = pl.datetime_range(first, last, every, eager=True, time_unit="us").alias("t")
    bars = starts.to_frame().join(counted, on="t", how="left", maintain_order="left")["count"].fill_null(0)
    end = starts.tail(1).dt.offset_by(every)
    edges = pl.concat([starts, end]).to_physical() / 1_000_000
    return Histogram(kind="time", edges=tuple(edges.to_list()), counts=tuple(bars.to_list()), bucket=name)
