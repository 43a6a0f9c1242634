"""What the data station hands on: snapshots, accepted tables, and the report of what was done to every row."""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.language.types import Type
from headrace.runs.model import ObjectRef


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what this station records."""


class SourceState(Struct, frozen=True, kw_only=True):
    """What a source looked like when it was read, cheap to compare: names, sizes, modification times, ETags.

    For a query on a server there is no such state: `parts` is empty and `volatile` is true, so the query is read again
    on every run and only an equal content stops the work that follows."""

    source: str
    parts: tuple[tuple[str, int, str], ...]
    """(path or URL without credentials, bytes, modification time or ETag)."""
    volatile: bool = False


class Field(Struct, frozen=True, kw_only=True):
    """A column and its type."""

    name: str
    type: Type


class Snapshot(Struct, frozen=True, kw_only=True):
    """An immutable copy of a source as it was read. Columns as read, before `rename`; row order is the source's."""

    source: str
    ref: ObjectRef
    rows: int
    columns: tuple[str, ...]
    malformed: ObjectRef | None = None
    """Rows that are no rows (too many fields, bytes that are not UTF-8): Parquet of place, reason, raw text."""
    malformed_rows: int = 0
    state: SourceState
    files: tuple[tuple[str, int], ...] = ()
    """(file, rows in it, malformed ones included), in the order in which they were read; empty for a query."""
    warnings: tuple[str, ...] = ()


class Table(Struct, frozen=True, kw_only=True):
    """Rows that the contract accepted, aligned: renamed, cast, in UTC, derived columns added, in the source's order."""

    source: str
    ref: ObjectRef
    rows: int
    fields: tuple[Field, ...]


class RuleResult(Struct, frozen=True, kw_only=True):
    """One rule of the contract and what it found."""

    rule: str
    """`type:distance`, `min:distance`, `check:plausible_air_time`, `unique`, `max_null:tailnum`, …"""
    kind: Literal["shape", "type", "range", "allowed", "pattern", "null", "unique", "row"]
    column: str | None = None
    on_fail: Literal["fail", "quarantine", "warn"]
    failed: int
    first_row: int | None = None
    """Row number in the source, from 1, of the first failure."""
    detail: str = ""
    passed: bool


class ColumnProfile(Struct, frozen=True, kw_only=True):
    """What one accepted column looks like."""

    name: str
    type: Type
    nulls: int
    distinct: int | None = None
    """Exact up to 10,000 rows, an estimate (within some percent) above."""
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    quantiles: tuple[float, ...] = ()
    """At 0, .25, .5, .75, 1 for numbers."""
    top: tuple[tuple[str, int], ...] = ()
    """The most frequent levels of text columns."""


class QualityReport(Struct, frozen=True, kw_only=True):
    """The ledger: read = accepted + repaired + quarantined, to the row.

    `accepted` rows are as they were read (but for renames and casts); `repaired` rows were accepted with a cell mended
    by a stated rule (a NaN made null); `quarantined` rows are kept apart with their reasons."""

    source: str
    read: int
    accepted: int
    repaired: int
    quarantined: int
    reasons: tuple[tuple[str, int], ...]
    """Rule → rows quarantined first for it: sums to `quarantined`."""
    repairs: tuple[tuple[str, int], ...] = ()
    rules: tuple[RuleResult, ...] = ()
    columns: tuple[ColumnProfile, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no rule with `on_fail = "fail"` failed."""
        return all(rule.passed for rule in self.rules if rule.on_fail == "fail")


class CheckedSource(Struct, frozen=True, kw_only=True):
    """The outcome of checking one snapshot against its contract."""

    table: Table
    quarantine: ObjectRef | None = None
    """Parquet: `_row` (from 1, in the source), `_reasons` (list of rules), and the raw cells as text."""
    report: QualityReport
