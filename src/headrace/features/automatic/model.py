"""What is looked at, and what is proposed."""

from __future__ import annotations

import msgspec

from headrace.definition.model import Features
from headrace.language.types import Type


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what this station records."""


class InputLook(Struct, frozen=True, kw_only=True):
    """One column of the request over all rows; the numbers are of finite values."""

    name: str
    type: Type
    rows: int
    distinct: int
    """Nulls left out."""
    least: float | None = None
    low: float | None = None
    """The 1st percentile."""
    middle: float | None = None
    high: float | None = None
    """The 99th."""


class Looks(Struct, frozen=True, kw_only=True):
    """All of them, in the request's order."""

    inputs: tuple[InputLook, ...]


class Family(Struct, frozen=True, kw_only=True):
    """Features that are tried together: they stand for one idea."""

    name: str
    why: str
    """What of the columns suggests them."""
    adds: Features
