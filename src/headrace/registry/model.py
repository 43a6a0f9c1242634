"""What the registry records of a version."""

from __future__ import annotations

from typing import Any

import msgspec


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
