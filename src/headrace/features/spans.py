"""History a span of prediction times at a time, so that lookups and windows over it fit into memory.

The rows of a frame lie in order of time. A window at time t reads events known in [floor(t - W, hop), t), so the rows
of a span need those between the reach of its first row and its last row alone; a lookup needs the rows that became
known within the span, and of those before it the newest of each key, which is carried from span to span. What is not
read cannot change an answer: the features are equal to the bit however history is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.features.columns import Index
from headrace.features.finish import Component, components_of
from headrace.features.keyed import known_at
from headrace.features.lookups import LookupIndex, lookup_rows
from headrace.features.model import LookupStep, Program, WindowStep
from headrace.features.naming import TEXT
from headrace.features.windows import WindowIndex, reach_back
from headrace.language.values import cell_bytes

BUCKETS: Final = 1 << 14
"""How finely it is known when the rows of a source became known: two bytes' worth."""
BUILDING: Final = 60
"""Bytes a row that an index takes beside what it holds while it is built: keys, numbers, codes, order."""
_NUMBER: Final = 8
_COLUMNS: Final[dict[Component, int]] = {
    "sum": 2,
    "squares": 4,
    "min": 2,
    "max": 2,
    "distinct": 3,
    "percentiles": 2,
    "frequent": 2,
}
"""Numbers a row that the components of windows hold beside the values and when they became known."""


@dataclass(frozen=True, slots=True)
class Span:
    """Rows [begin, stop) of the frame, and when their predictions are asked for."""

    begin: int
    stop: int
    first_us: int | None = None
    last_us: int | None = None


class SpannedHistory:
    """The history of a program's lookups and windows, indexed for one span after the other.

    Parameters
    ----------
    program, tables
        As `build_indexes` takes them.
    budget_bytes
        What the indexes of one span may take, as far as can be told before they are built.
    """

    def __init__(self, program: Program, tables: Mapping[str, pl.LazyFrame], budget_bytes: int) -> None:
        self._steps = {n: step for n, step in enumerate(program.steps) if isinstance(step, LookupStep | WindowStep)}
        self._tables = tables
        self._budget = budget_bytes
        self._spread = _Spread(tables)
        self._whole = {n for n, step in self._steps.items() if not _is_cut(step)}
        self._held: dict[int, Index] = {}
        self._carried: dict[int, pl.DataFrame] = {}

    def spans(self, times: pl.Series | None, rows: int, batch: int) -> list[Span]:
        """Cut the frame's rows at multiples of `batch`, so that each span's indexes fit into the budget.

        A span has at least one batch, whatever it takes: see `largest`.

        Parameters
        ----------
        times
            Prediction times in order, none null; None when the program has none: then there is one span.
        """
        whole = Span(0, rows)
        if times is None or rows <= batch or self.bytes_of(whole) <= self._budget:
            return [whole]
        instants = times.to_physical()
        cuts = [*range(0, rows, batch), rows]
        ends = [(int(instants[a]), int(instants[b - 1])) for a, b in pairwise(cuts)]
        found: list[Span] = []
        begin = 0
        for at in range(1, len(ends)):
            if self.bytes_of(Span(0, 0, ends[begin][0], ends[at][1])) > self._budget:
                found.append(Span(cuts[begin], cuts[at], ends[begin][0], ends[at - 1][1]))
                begin = at
        found.append(Span(cuts[begin], rows, ends[begin][0], ends[-1][1]))
        return found

    def largest(self, spans: Sequence[Span]) -> int:
        """What the indexes of the largest span take, in bytes, as far as can be told."""
        return max((self.bytes_of(span) for span in spans), default=0)

    def bytes_of(self, span: Span) -> int:
        """What the indexes of a span take while the last of them is built."""
        held, building = 0, 0
        for n, step in self._steps.items():
            rows = self._rows(n, step, span)
            held += rows * bytes_a_row(step)
            building = max(building, rows * BUILDING)
        return held + building

    def _rows(self, number: int, step: LookupStep | WindowStep, span: Span) -> int:
        if number in self._whole or span.first_us is None or span.last_us is None:
            return self._spread.total(step)
        if isinstance(step, WindowStep):
            return self._spread.between(step, reach_back(step, span.first_us), span.last_us)
        return self._spread.between(step, span.first_us, span.last_us) + self._spread.keys(step)

    def during(self, spans: Sequence[Span]) -> Iterator[tuple[Span, Mapping[int, Index]]]:
        """Each span with its indexes, which are dropped before those of the next are built."""
        for n in self._whole:
            self._held[n] = self._indexed(n, None, None)
        for at, span in enumerate(spans):
            for n in self._steps.keys() - self._whole:
                self._held[n] = self._indexed(n, span if len(spans) > 1 else None, spans[at - 1] if at else None)
            yield span, self._held  # the same each time, so that nobody holds what is dropped
            for n in self._steps.keys() - self._whole:
                del self._held[n]

    def _indexed(self, number: int, span: Span | None, before: Span | None) -> Index:
        step = self._steps[number]
        source = self._tables[step.source]
        until = None if span is None else span.last_us
        if isinstance(step, WindowStep):
            since = None if span is None or span.first_us is None else reach_back(step, span.first_us)
            return WindowIndex(step, source, since, until)
        rows = lookup_rows(step, source, None if before is None else before.last_us, until)
        if before is not None:
            rows = pl.concat([self._carried.pop(number), rows])
        index = LookupIndex(step, rows)
        if span is not None:
            self._carried[number] = rows[index.newest()]
        return index


def _is_cut(step: LookupStep | WindowStep) -> bool:
    """Whether what a step reads depends on the time."""
    return not step.half_lives if isinstance(step, WindowStep) else step.event_time is not None


def bytes_a_row(step: LookupStep | WindowStep) -> int:
    """What the index of a step holds for each row of its source, in bytes, without the keys themselves."""
    if isinstance(step, LookupStep):
        return 4 * _NUMBER + sum(cell_bytes(type_) for _, type_ in step.take)
    parts = components_of(step)
    texts = cell_bytes(step.value_type) if step.value_type in TEXT and len(parts) > 1 else 0
    return texts + (2 + 4 * len(step.half_lives) + sum(_COLUMNS.get(part, 0) for part in parts)) * _NUMBER


class _Spread:
    """How many rows of a source became known when; found out once, in two passes over the columns that say it."""

    def __init__(self, tables: Mapping[str, pl.LazyFrame]) -> None:
        self._tables = tables
        self._totals: dict[str, int] = {}
        self._keys: dict[tuple[str, tuple[str, ...]], int] = {}
        self._known: dict[tuple[str, tuple[tuple[str, int], ...]], tuple[int, int, NDArray[np.int64]]] = {}

    def total(self, step: LookupStep | WindowStep) -> int:
        """All rows of a step's source."""
        if step.source not in self._totals:
            self._totals[step.source] = int(self._tables[step.source].select(pl.len()).collect().item())
        return self._totals[step.source]

    def keys(self, step: LookupStep) -> int:
        """About how many keys the source of a lookup has."""
        key = tuple(theirs for _, theirs in step.key)
        if (step.source, key) not in self._keys:
            distinct = pl.struct(key).hash().approx_n_unique()
            self._keys[step.source, key] = int(self._tables[step.source].select(distinct).collect().item())
        return self._keys[step.source, key]

    def between(self, step: LookupStep | WindowStep, since_us: int, until_us: int) -> int:
        """At most how many became known in [since, until]."""
        first, width, up_to = self._counted(step)
        low, high = ((at - first) // width for at in (since_us, until_us))
        return int(up_to[min(max(high + 1, 0), BUCKETS)] - up_to[min(max(low, 0), BUCKETS)])

    def _counted(self, step: LookupStep | WindowStep) -> tuple[int, int, NDArray[np.int64]]:
        """First instant, width of a bucket, and the rows in the buckets before each."""
        key = (step.source, step.known_after)
        if key not in self._known:
            known = known_at(step.known_after)
            source = self._tables[step.source]
            first, last = source.select(known.min().alias("first"), known.max().alias("last")).collect().row(0)
            first, last = (0, 0) if first is None else (int(first), int(last))
            width = (last - first) // BUCKETS + 1
            bucket = ((known - first) // width).alias("bucket")
            counts = source.select(bucket).drop_nulls().group_by("bucket").len().collect()
            rows = np.zeros(BUCKETS, np.int64)
            rows[counts["bucket"].to_numpy()] = counts["len"].to_numpy()
            self._known[key] = first, width, np.concatenate([[0], np.cumsum(rows)])
        return self._known[key]
