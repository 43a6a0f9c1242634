"""What a pattern is made of; `headrace.language.regex` says what it means."""

from __future__ import annotations

import msgspec

MAX_STATES = 2_000
MOST_CACHED = 5_000
"""States of an automaton, and moves of a state, that are kept."""


class PatternError(ValueError):
    """A pattern outside the syntax; the message says what."""


Ranges = tuple[tuple[int, int], ...]
"""Sorted code points, both ends in."""


class Set(msgspec.Struct, frozen=True):
    ranges: Ranges


class Edge(msgspec.Struct, frozen=True):
    at_end: bool


class Series(msgspec.Struct, frozen=True):
    parts: tuple[Tree, ...]


class Choice(msgspec.Struct, frozen=True):
    arms: tuple[Tree, ...]


class Repeat(msgspec.Struct, frozen=True):
    part: Tree
    least: int
    most: int | None
    lazy: bool = False


class Group(msgspec.Struct, frozen=True):
    part: Tree
    number: int
    """From 1, in the order of the opening parentheses."""


Tree = Set | Edge | Series | Choice | Repeat | Group
