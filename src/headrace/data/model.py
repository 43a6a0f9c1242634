"""What the data station hands on: snapshots, accepted tables, and the report of what was done to every row."""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.definition.model import Combine, OnFail
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


class Increment(Struct, frozen=True, kw_only=True):
    """What one reading of a source that is read in increments added."""

    reading: str
    """Digest of how it was read: only to rows that were read alike others are appended."""
    base: str | None
    """Digest of the snapshot that the rows were appended to."""
    added: tuple[tuple[str, int, str], ...]
    """The files that were read, as in `SourceState.parts`."""
    seen: tuple[tuple[str, int, str], ...]
    """These and all files that were read before, also those that are gone."""
    again: str | None
    """The run that asked for everything to be read again."""


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
    increment: Increment | None = None
    """Of a source that is read in increments."""


class Table(Struct, frozen=True, kw_only=True):
    """Rows that the contract accepted, aligned: renamed, cast, in UTC, derived columns added, in the source's order."""

    source: str
    ref: ObjectRef
    rows: int
    fields: tuple[Field, ...]


RuleKind = Literal[
    "shape", "type", "range", "allowed", "pattern", "length", "monotone", "null", "unique", "row", "reference",
    "repair", "rows", "sum", "distribution", "fresh", "match",
]  # fmt: skip


class RuleResult(Struct, frozen=True, kw_only=True):
    """One rule of the contract and what it found."""

    rule: str
    """`type:distance`, `min:distance`, `check:plausible_air_time`, `unique`, `max_null:tailnum`, …"""
    kind: RuleKind
    column: str | None = None
    on_fail: OnFail
    failed: int
    first_row: int | None = None
    """Row number in the source, from 1, of the first failure."""
    detail: str = ""
    passed: bool


class Histogram(Struct, frozen=True, kw_only=True):
    """How often values fall into each bar, in a sample of the rows. A bar is open on its right, the last one closed."""

    kind: Literal["number", "time", "length"]
    """`length`: the number of characters of a text."""
    edges: tuple[float, ...]
    """One more than there are bars; seconds since 1970 for times."""
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0
    """Sampled values beyond the bars: far out, and few."""
    bucket: str = ""
    """Of times: hour, day, week, month, quarter, year."""


class Personal(Struct, frozen=True, kw_only=True):
    """What kind of personal data a column seems to hold, and why: never a value of it."""

    kind: str
    """`email`, `iban`, `us-ssn`, …: a name of `headrace.data.identifiers`."""
    label: str
    """For people: "e-mail address"."""
    share: float
    """Of the sampled distinct values, those that are of the kind."""
    confidence: Literal["high", "medium", "low"]
    evidence: str


class ColumnProfile(Struct, frozen=True, kw_only=True):
    """What one accepted column looks like."""

    name: str
    type: Type
    nulls: int
    distinct: int | None = None
    distinct_error: float | None = None
    """None: `distinct` is exact. Else its relative error is below this in 95 of 100 columns."""
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    deviation: float | None = None
    """Standard deviation of numbers, of the sample of rows."""
    quantiles: tuple[float, ...] = ()
    """At 0, .25, .5, .75, 1 for numbers: the outer ones exact, the inner ones of the sample."""
    top: tuple[tuple[str, int], ...] = ()
    """The most frequent levels of text columns; left out where the column seems to hold personal data."""
    histogram: Histogram | None = None
    """Of numbers and times; of text, the lengths."""
    personal: tuple[Personal, ...] = ()
    """Likely kinds of personal data, the most likely first."""


class Association(Struct, frozen=True, kw_only=True):
    """How much one column alone tells of the label, in a sample of the rows."""

    column: str
    measure: Literal["auc", "correlation", "correlation_ratio", "cramers_v"]
    value: float
    """`auc` in [0, 1] with .5 for nothing, `correlation` (Pearson) in [-1, 1], the others in [0, 1]."""
    strength: float
    """The same from 0 (nothing) to 1 (everything), to rank columns by."""
    rows: int
    """Sampled rows in which both are there."""


class Change(Struct, frozen=True, kw_only=True):
    """One way in which a snapshot differs from the contract or from the snapshot before it."""

    kind: Literal[
        "new-column", "missing-column", "type", "new-level", "scale", "shift", "sign", "recoded", "zone", "date-order"
    ]
    impact: Literal["additive", "breaking", "semantic"]
    policy: Literal["accept", "warn", "fail"]
    """What `[sources.NAME.schema]` says of this impact."""
    column: str
    """As after `rename`."""
    message: str
    """For people, in one sentence; it names no cell value of a column that seems to hold personal data."""
    score: float
    """How sure, 0 to 1."""
    fix: str = ""
    """A line for headrace.toml, where one would settle it."""


class QualityReport(Struct, frozen=True, kw_only=True):
    """The ledger: read = accepted + repaired + replayed + quarantined, to the row.

    `accepted` rows are as they were read (but for renames and casts); `repaired` rows were accepted with a cell mended
    by a stated rule (a NaN made null, a number clipped); `replayed` rows were accepted as people have corrected them;
    `quarantined` rows are kept apart with their reasons."""

    source: str
    read: int
    accepted: int
    repaired: int
    replayed: int = 0
    quarantined: int
    reasons: tuple[tuple[str, int], ...]
    """Rule → rows quarantined first for it: sums to `quarantined`."""
    repairs: tuple[tuple[str, int], ...] = ()
    rules: tuple[RuleResult, ...] = ()
    columns: tuple[ColumnProfile, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    """Against the contract and the snapshot before, the gravest first."""
    drift: tuple[tuple[str, float], ...] = ()
    """Column → the largest difference of the shares of its values to the snapshot before (Kolmogorov's distance for
    numbers and times, total variation for levels), 0 to 1; empty when there is none before."""

    @property
    def passed(self) -> bool:
        """Whether no rule with `on_fail = "fail"` failed, and no change that `[sources.NAME.schema]` fails on."""
        return not self.broken

    @property
    def broken(self) -> list[str]:
        """The rules and changes that fail the contract: `min:distance`, `change:scale:distance`."""
        rules = [rule.rule for rule in self.rules if not rule.passed and rule.on_fail == "fail"]
        return rules + [f"change:{one.kind}:{one.column}" for one in self.changes if one.policy == "fail"]


class Sketch(Struct, frozen=True, kw_only=True):
    """How the accepted values of one column are distributed: counts of bins, for a later snapshot to compare with."""

    column: str
    type: Type
    edges: tuple[int | float, ...] = ()
    """Of numbers and times: upper ends of all bins but the last, included in their bin; times in microseconds."""
    levels: tuple[str, ...] = ()
    """Of the rest: the most frequent ones."""
    counts: tuple[int, ...]
    """Rows of each bin or level, then of all other levels, then of nulls."""


class Compared(Struct, frozen=True, kw_only=True):
    """What the rules about distributions found."""

    rules: tuple[RuleResult, ...]


class ColumnShape(Struct, frozen=True, kw_only=True):
    """How the values of one column lay in a snapshot as it was read, to tell later what changed."""

    name: str
    """After `rename`."""
    type: Type
    rows: int
    """Sampled rows."""
    nulls: int
    misfits: int = 0
    """Cells that are not of the type."""
    quantiles: tuple[float, ...] = ()
    """Of numbers, times (seconds since 1970) and durations (seconds): at 0, .02, …, 1."""
    levels: tuple[tuple[str, int], ...] = ()
    """The most frequent levels of text, of true and false and of few whole numbers, with their rows; none of a column
    that seems to hold personal data."""
    n_levels: int | None = None
    """How many levels there are; None when `levels` says nothing."""
    clock: tuple[int, ...] = ()
    """Of timestamps: rows in each hour of the day, UTC."""
    calendar: tuple[int, ...] = ()
    """Of dates and timestamps: rows by month and day of the month, 12 times 31."""


class Shape(Struct, frozen=True, kw_only=True):
    """How the columns of a snapshot lay, before any rule refused a row."""

    columns: tuple[ColumnShape, ...]
    new: tuple[ColumnShape, ...] = ()
    """Columns that headrace.lock does not know, under their names as read, of the type that their values are of."""

    def column(self, name: str) -> ColumnShape | None:
        """The column of that name."""
        return next((one for one in self.columns if one.name == name), None)


class Before(Struct, frozen=True, kw_only=True):
    """The snapshot that another is compared with: the newest that was accepted when the other was first seen."""

    shape: ObjectRef
    """JSON of its `Shape`."""
    files: tuple[tuple[str, int], ...]
    rows: int


class Watched(Struct, frozen=True, kw_only=True):
    """What one snapshot changed, and what a later one is compared with."""

    snapshot: str
    """Digest of its rows."""
    before: Before | None
    this: Before
    """This snapshot, as a later one sees it."""
    changes: tuple[Change, ...] = ()
    drift: tuple[tuple[str, float], ...] = ()
    part: tuple[str, ...] = ()
    """The files that were compared, when all others were there before; else everything was."""
    accepted: bool
    """Whether contract and policies let it pass: only then later snapshots are compared with it."""


class CheckedSource(Struct, frozen=True, kw_only=True):
    """The outcome of checking one snapshot against its contract."""

    table: Table
    quarantine: ObjectRef | None = None
    """Parquet: `_row` (from 1, in the source), `_reasons` (list of rules), and the raw cells as text."""
    snapshot: ObjectRef | None = None
    """The rows that were checked; None of a source that is made of others."""
    malformed: ObjectRef | None = None
    """Those that were no rows."""
    corrections: tuple[ObjectRef, ...] = ()
    """What people have corrected in them, the oldest first."""
    report: QualityReport
    mended: ObjectRef | None = None
    """Of sources that match. Parquet: `_row`, `_repairs` (rules) and `_replayed` of accepted rows not as read."""
    sketches: tuple[Sketch, ...] = ()
    """Of the columns that a rule compares with the last snapshot."""
    newest_us: int | None = None
    """The newest `event_time` accepted, microseconds since 1970: of sources that promise to be fresh."""


class Member(Struct, frozen=True, kw_only=True):
    """What became of the rows of one source that an entity is made from: rows = entities + merged + quarantined."""

    source: str
    rows: int
    """Of its accepted table."""
    entities: int
    """Rows that lead an entity: of its rows, this one stands first."""
    merged: int
    """Rows that joined an entity which another row leads."""
    quarantined: int
    """Rows with a null in the key."""
    snapshot: str
    """Content of the snapshot that the rows are from."""
    table: Table
    """Its accepted table, whose values the entity's are."""
    event_time: str | None = None
    quarantine: ObjectRef | None = None
    """What was set aside before: with it a row of the table is a row of the snapshot."""
    files: tuple[tuple[str, int], ...] = ()
    """The snapshot's files and their rows."""


class Conflict(Struct, frozen=True, kw_only=True):
    """A column in which the rows of some entities disagree."""

    column: str
    rule: str
    entities: int
    values: int
    """Values that lost."""


class Combined(Struct, frozen=True, kw_only=True):
    """Entities made from the rows of several sources, and where everything came from."""

    snapshot: Snapshot
    """The entities, in order of their key, before the contract is held against them."""
    fields: tuple[Field, ...]
    combine: Combine
    """The rules that made them, whatever the definition says now."""
    members: tuple[Member, ...]
    conflicts: tuple[Conflict, ...] = ()
    lineage: ObjectRef
    """Parquet: `entity` (its number in the snapshot, from 1), `source` and `row` (number in the source, from 1), in
    the order in which an entity's rows stand."""
    overridden: ObjectRef | None = None
    """Parquet: `entity`, `column`, `source`, `row`, `value` (as text), `rule`, `why`: every value that lost."""
