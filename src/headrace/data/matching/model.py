"""What matching hands on: the weights, what was compared, and how it went."""

from __future__ import annotations

import msgspec

from headrace.data.model import CheckedSource
from headrace.definition.model import MatchKind
from headrace.runs.model import ObjectRef


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what this station records."""


class Level(Struct, frozen=True, kw_only=True):
    """One outcome of a comparison."""

    name: str
    matched: float
    """Share of the pairs that are one, 0 to 1, both values present."""
    unmatched: float
    """Share of the pairs that are not."""
    related: float | None = None
    """Share of the pairs that are not one but have something to do with each other, such as members of a household;
    None when the rows show no such pairs."""
    bits: float
    """What it adds to a pair's weight; of equal values, before their frequency is allowed for."""


class Weights(Struct, frozen=True, kw_only=True):
    """What one compared column says, from equal values to different ones."""

    column: str
    kind: MatchKind
    levels: tuple[Level, ...]
    learnt: bool
    """False: the stated default weights, as these rows do not teach better ones."""


class BlockingPass(Struct, frozen=True, kw_only=True):
    """Rows that share this are compared."""

    parts: tuple[tuple[str, str], ...]
    """Pairs (column, what of its value)."""
    estimated: int
    """Pairs of distinct records that share it."""
    pairs: int
    """At most so many are compared: large blocks only row by neighbouring row."""


class Matching(Struct, frozen=True, kw_only=True):
    """How rows were matched."""

    rows: int
    records: int
    """Distinct ones, in normal form."""
    compared: int
    """Pairs of records."""
    prior_bits: float
    """Weight of a pair of which nothing is known: log2 of the odds that two rows are one."""
    related_bits: float | None = None
    """log2 of the odds that two rows are related and not one."""
    threshold: float
    weights: tuple[Weights, ...]
    passes: tuple[BlockingPass, ...]
    clusters: int
    """Of two rows or more."""
    extra: int
    """Rows beyond the first of their cluster."""
    notes: tuple[str, ...] = ()
    """For people: what could not be learnt, and what was left out."""


class MatchedSource(Struct, frozen=True, kw_only=True):
    """A source's accepted rows after those that are about one thing have been found."""

    checked: CheckedSource
    """As `check` left it, or without the rows set aside."""
    clusters: ObjectRef
    """Parquet: `cluster` (from 1), `row` (number in the source, from 1), `stays`."""
    pairs: ObjectRef
    """Parquet: `Matched.pairs`, rows by their numbers in the source."""
    told: Matching
