"""What a package holds and what a prediction says. Loads no table engine and no training library."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.definition.model import Task


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what is saved in a package."""


class FileEntry(Struct, frozen=True, kw_only=True):
    """One file of a package."""

    name: str
    sha256: str
    size: int


class Manifest(Struct, frozen=True, kw_only=True):
    """`manifest.json`: every other file with its digest. Its own SHA-256 is the package's content id. No instant, no
    measured time and no path stands in it, so that the same training gives the same bytes."""

    format: int = 1
    model: str
    task: str
    files: tuple[FileEntry, ...]
    """Sorted by name."""


class ManifestSignature(Struct, frozen=True, kw_only=True):
    """`manifest.sig`: whose signature, and the signature."""

    format: int = 1
    signer: str
    """`ed25519:BASE64` of the public key."""
    signature: str
    """BASE64 of 64 bytes."""


class Reason(Struct, frozen=True, kw_only=True):
    """What one feature did to one prediction: the answer's change when the feature is set to its typical value."""

    feature: str
    value: float | str | bool | None
    effect: float


class Prediction(Struct, frozen=True, kw_only=True):
    """One answer."""

    model: str
    version: int | None
    probability: float | None = None
    """Binary: calibrated P(positive)."""
    decision: bool | str | None = None
    """Binary: probability >= threshold; multiclass: the class of least expected cost. None where it is left to people
    (`review`), and for a model that decides nothing."""
    review: bool | None = None
    """Whether deciding is expected to cost more than asking somebody; None: the model was told no price of that."""
    probabilities: dict[str, float] | None = None
    value: float | None = None
    """Regression."""
    low: float | None = None
    """Regression: the ends of an interval that holds the truth as often as the package's `coverage` says."""
    high: float | None = None
    set: tuple[str, ...] | None = None
    """Classes: those that are likely enough for one of them to be the truth as often; never empty."""
    reasons: tuple[Reason, ...] = ()


class Lineage(Struct, frozen=True, kw_only=True):
    """`lineage.json`: what the package was made from, by content."""

    format: int = 1
    definition_sha256: str
    snapshots: dict[str, str]
    """Source → SHA-256 of the snapshot."""
    tables: dict[str, str]
    frame: str
    trial: int
    family: str
    params: dict[str, Any]
    libraries: dict[str, str]
    headrace: str
    refitted: bool = False
    """Whether it learnt from the holdout too; the figures are then those of the same candidate before."""


class Amount(Struct, frozen=True, kw_only=True):
    """A cost that each row says in a column of its features."""

    truth: int
    """Code of the class that the row is of; binary: 0 and 1."""
    predicted: int
    column: str
    otherwise: float
    """What a row counts for whose amount is null, negative or no finite number: the mean of the training rows."""
    factor: float = 1.0
    """What amounts are multiplied with; `otherwise` is not."""


class Margin(Struct, frozen=True, kw_only=True):
    """How far the truth lies from values of `start` on, up to the next margin's."""

    start: float
    below: float
    """Added to the value: the low end of its interval."""
    above: float
    """The high end."""


class Decision(Struct, frozen=True, kw_only=True):
    """Calibration and threshold, fitted out of fold: part of the package, applied in float64 after the graph."""

    format: int = 1
    task: Task
    classes: tuple[str, ...] = ()
    knots: tuple[tuple[float, float], ...] = ()
    """The calibration map, piecewise linear through (raw score, probability), both increasing. Empty: identity.
    Multiclass: of each class's probability, which are then divided by their sum."""
    threshold: float | None = None
    """Binary: act when the calibrated probability is at least this."""
    cost_matrix: tuple[tuple[float, ...], ...] = ()
    """cost[truth][predicted]. Multiclass: the answer is the class of least expected cost; empty: the most probable.
    Binary: only where rows have amounts, or may be left to people; then it says what is decided, not `threshold`."""
    amounts: tuple[Amount, ...] = ()
    """In place of entries of the matrix."""
    reject: float | None = None
    """A row of which every decision is expected to cost more than this is left to people."""
    least_benefit: float | None = None
    """Binary, with a matrix: act when acting saves at least this; 0 when left out. More where few can be acted on."""
    coverage: float | None = None
    """Share of rows whose interval or set is to hold the truth."""
    margins: tuple[Margin, ...] = ()
    """Regression: by rising `start`, the first of which no value is below."""
    least_value: float | None = None
    """Regression: no end of an interval is below it; of counts 0."""
    set_least: tuple[float, ...] = ()
    """By class: the probability from which on it belongs to the set; of binary tasks that of false, then of true."""
