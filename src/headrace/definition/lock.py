"""`headrace.lock`: the inferred types, frozen, with the evidence they rest on."""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.definition.model import Task
from headrace.language.types import Type


class LockedColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One column's type, and why."""

    type: Type
    evidence: str
    """For people: "336,776 of 336,776 values are whole numbers"."""


class LockedSplit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How rows are divided where the definition does not say, and why."""

    by: Literal["time", "group"]
    column: str
    evidence: str


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Types of every column of every source, as read: after `rename`, before `derive`."""

    format: int = 1
    sources: dict[str, dict[str, LockedColumn]] = {}
    task: Task | None = None
    split: LockedSplit | None = None

    def types(self, source: str) -> dict[str, Type]:
        """Column → type of one source; empty when it is not locked yet."""
        return {name: column.type for name, column in self.sources.get(source, {}).items()}
