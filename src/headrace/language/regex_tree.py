"""What a pattern is made of; `headrace.language.regex` says what it means."""

from __future__ import annotations

from dataclasses import dataclass

MAX_STATES = 2_000
MOST_CACHED = 5_000
"""States of an automaton, and moves of a state, that are kept."""


class PatternError(ValueError):
    """A pattern outside the syntax; the message says what."""


Ranges = tuple[tuple[int, int], ...]
"""Sorted code points, both ends in."""


@dataclass(frozen=True, slots=True)
class Set:
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Edge:
    at_end: bool


@dataclass(frozen=True, slots=True)
class Series:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    arms: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    part: Tree
    least: int
    most: int | None
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    part: Tree
    number: int
    """From 1, in the order of the opening parentheses."""


Tree = Set | Edge | Series | Choice | Repeat | Group
