"""What the registry records of a version."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from headrace.scoring.model import Lineage


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An immutable, signed package: number n of its model."""

    model: str
    number: int
    package: str
    """SHA-256 of the manifest: the content id."""
    signer: str
    """`ed25519:BASE64` of the public key."""
    run: str
    created_us: int
    summary: dict[str, Any]
    """Family, metrics with intervals, cost a million predictions: what lists and comparisons show."""
    aliases: tuple[str, ...] = ()


class AliasChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One movement of an alias; the newest before t says what held at t."""

    model: str
    alias: str
    number: int | None
    """None: the alias was removed."""
    at_us: int
    by: str
    reason: str


class Verified(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was read and found whole."""

    version: Version
    files: int
    size: int
    """Bytes of the files that the manifest lists."""
    signer: str
    lineage: Lineage
    snapshots_kept: dict[str, bool]
    """Source → whether the snapshot that it was trained on is still in the store."""


class ComparedNumber(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One metric or cost of two versions."""

    name: str
    a: float | None
    b: float | None
    better: Literal["a", "b"] | None
    """None: equal, or not known of both."""


class ComparedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of two packages."""

    name: str
    same: bool


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two versions side by side."""

    a: Version
    b: Version
    metrics: tuple[ComparedNumber, ...]
    costs: tuple[ComparedNumber, ...]
    files: tuple[ComparedFile, ...]
