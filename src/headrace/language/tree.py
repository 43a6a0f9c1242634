"""The typed expression tree: three kinds of node, closed, made of data only.

A tree is what a saved program holds; nothing of the SQL parser survives in it. `Call.function` is a key of the one
table of functions (`headrace.language.functions`); operators are functions too.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from headrace.language.types import Type

MAX_DEPTH = 100
"""Calls in calls."""
MAX_SIZE = 10_000
"""Parts of a tree; what SQL writes once can come to stand in it twice, as in BETWEEN."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="column", tag_field="node"):
    """A named input."""

    name: str
    type: Type


class Literal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="literal", tag_field="node"):
    """A constant, in the row form of its type; `value = None` is the null of that type."""

    value: int | float | str | bool | None
    type: Type


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="call", tag_field="node"):
    """A function of the table applied to arguments."""

    function: str
    arguments: tuple[Column | Literal | Call, ...]
    type: Type


Node: TypeAlias = Column | Literal | Call
