"""Regular expressions that match in time linear in the text, and alike in both forms.

The syntax is the part on which every engine agrees: characters, ``.`` (any but a line feed), classes ``[a-z]`` and
``[^…]``, ``\\d \\w \\s`` and their opposites (ASCII), groups, ``|``, ``* + ? {m} {m,} {m,n}`` (lazy marks change
nothing, since only whether there is a match is asked), and ``^`` and ``$`` for the ends of the text. Back references,
look-around and flags do not exist here.

A pattern becomes a small tree. For columns the tree is written out for Rust's engine, every character as its code; for
rows it becomes a finite automaton that is made deterministic as texts are read (Thompson 1968; Cox 2007, "Regular
Expression Matching Can Be Simple And Fast").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_PATTERN = 1_000
MAX_STATES = 2_000
MAX_REPEAT = 200
MAX_GROUPS = 32
_LAST = 0x10FFFF
_MOST_CACHED = 5_000


class PatternError(ValueError):
    """A pattern outside the syntax; the message says what."""


Ranges = tuple[tuple[int, int], ...]
"""Sorted code points, both ends in."""


@dataclass(frozen=True, slots=True)
class _Set:
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class _Edge:
    at_end: bool


@dataclass(frozen=True, slots=True)
class _Series:
    parts: tuple[_Tree, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    arms: tuple[_Tree, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Tree
    least: int
    most: int | None


_Tree = _Set | _Edge | _Series | _Choice | _Repeat


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Pattern:
    """The pattern, ready for both forms.

    Examples
    --------
    >>> compile_pattern("^N[0-9]+[A-Z]{0,2}$").matches("N14228")
    True
    """
    return Pattern(_Reader(pattern).read())


class Pattern:
    """A compiled pattern."""

    def __init__(self, tree: _Tree) -> None:
        self.rust = _written(tree)
        """For Rust's engine."""
        self._automaton = _Automaton(tree)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches somewhere in the text."""
        return self._automaton.matches(text)


# --- reading ---------------------------------------------------------------------------------------------------------


def _invert(ranges: Ranges) -> Ranges:
    gaps, after = [], 0
    for low, high in ranges:
        if low > after:
            gaps.append((after, low - 1))
        after = high + 1
    if after <= _LAST:
        gaps.append((after, _LAST))
    return tuple(gaps)


def _merge(ranges: Sequence[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _points(text: str) -> list[tuple[int, int]]:
    return [(ord(character), ord(character)) for character in text]


_DIGITS: Ranges = ((48, 57),)
_WORD = _merge([(48, 57), (65, 90), (95, 95), (97, 122)])
_SPACE = _merge(_points(" \t\n\r\f\v"))
_CLASSES: dict[str, Ranges] = {
    "d": _DIGITS,
    "D": _invert(_DIGITS),
    "w": _WORD,
    "W": _invert(_WORD),
    "s": _SPACE,
    "S": _invert(_SPACE),
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_SPECIAL = frozenset("\\.+*?()|[]{}^$-/&~#\"' ,:;<=>!@%_`")
_ANY = _invert(((10, 10),))


class _Reader:
    """Recursive descent over the pattern."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_PATTERN:
            raise PatternError(f"a pattern has at most {MAX_PATTERN} characters")
        self._text = pattern
        self._at = 0
        self._depth = 0

    def read(self) -> _Tree:
        tree = self._choice()
        if self._at < len(self._text):
            raise PatternError("a parenthesis is closed that was not opened")
        return tree

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise PatternError("the pattern ends too early")
        self._at += 1
        return character

    def _choice(self) -> _Tree:
        arms = [self._series()]
        while self._peek() == "|":
            self._at += 1
            arms.append(self._series())
        return arms[0] if len(arms) == 1 else _Choice(tuple(arms))

    def _series(self) -> _Tree:
        parts: list[_Tree] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return _Series(tuple(parts))

    def _repeated(self, atom: _Tree) -> _Tree:
        bounds = self._bounds()
        if bounds is None:
            return atom
        if isinstance(atom, _Edge):
            raise PatternError("^ and $ cannot be repeated")
        if self._peek() == "?":
            self._at += 1
        if self._peek() in ("*", "+", "?", "{") and self._peek():
            raise PatternError("a repetition is repeated; use a group")
        return _Repeat(atom, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        sign = self._peek()
        if sign in ("*", "+", "?") and sign:
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        if sign != "{":
            return None
        inside, closed, _ = self._text[self._at + 1 :].partition("}")
        low, comma, high = inside.partition(",")
        if not closed or not low.isdecimal() or (high and not high.isdecimal()) or not inside.isascii():
            raise PatternError("a { begins a repetition such as {2} or {2,3}; write \\{ for the character")
        self._at += len(inside) + 2
        least = int(low[:9])
        most = int(high[:9]) if high else None if comma else least
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise PatternError(f"a repetition is {{m,n}} with m <= n <= {MAX_REPEAT}")
        return least, most

    def _atom(self) -> _Tree:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return _Set(self._set())
        if character == "\\":
            return _Set(self._escape())
        if character == ".":
            return _Set(_ANY)
        if character in "^$":
            return _Edge(at_end=character == "$")
        if character in "*+?{":
            raise PatternError(f"there is nothing to repeat before {character}")
        return _Set(((ord(character), ord(character)),))

    def _group(self) -> _Tree:
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._peek() == "?":
            raise PatternError("of groups with ? only (?:…) is part of the syntax")
        self._depth += 1
        if self._depth > MAX_GROUPS:
            raise PatternError(f"groups nest at most {MAX_GROUPS} deep")
        tree = self._choice()
        if self._peek() != ")":
            raise PatternError("a parenthesis is not closed")
        self._at += 1
        self._depth -= 1
        return tree

    def _escape(self) -> Ranges:
        character = self._take()
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _ESCAPES:
            return tuple(_points(_ESCAPES[character]))
        if character in _SPECIAL:
            return tuple(_points(character))
        raise PatternError(f"\\{character} is not part of the syntax")

    def _set(self) -> Ranges:
        opposite = self._peek() == "^"
        self._at += opposite
        found: list[tuple[int, int]] = []
        while self._peek() != "]":
            low = self._member()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._member()
                if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or low[0][0] > high[0][0]:
                    raise PatternError("a range in [ ] goes from a character to a later one")
                low = ((low[0][0], high[0][0]),)
            found += low
        self._at += 1
        if not found:
            raise PatternError("[ ] holds at least one character")
        ranges = _merge(found)
        return _invert(ranges) if opposite else ranges

    def _member(self) -> Ranges:
        character = self._take()
        if character == "\\":
            return self._escape()
        if character == "[" or (character == "&" and self._peek() == "&"):
            raise PatternError(f"write \\{character} for the character in [ ]")
        return tuple(_points(character))


# --- for columns -----------------------------------------------------------------------------------------------------


def _written(tree: _Tree) -> str:
    """The tree in Rust's syntax."""
    match tree:
        case _Set(ranges):
            return "[" + "".join(f"\\x{{{low:X}}}-\\x{{{high:X}}}" for low, high in ranges) + "]"
        case _Edge(at_end):
            return r"\z" if at_end else r"\A"
        case _Series(parts):
            return "(?:" + "".join(_written(part) for part in parts) + ")"
        case _Choice(arms):
            return "(?:" + "|".join(_written(arm) for arm in arms) + ")"
        case _Repeat(part, least, most):
            return f"(?:{_written(part)}){{{least},{'' if most is None else most}}}"


# --- for rows --------------------------------------------------------------------------------------------------------


class _State:
    """A state of the deterministic automaton."""

    __slots__ = ("accepts", "accepts_at_end", "members", "moves")

    def __init__(self, members: frozenset[int], *, accepts: bool, accepts_at_end: bool) -> None:
        self.members = members
        self.accepts = accepts
        self.accepts_at_end = accepts_at_end
        self.moves: dict[str, _State] = {}


class _Automaton:
    """Thompson's automaton of a pattern; state 0 accepts."""

    def __init__(self, tree: _Tree) -> None:
        self._ranges: list[Ranges] = [()]
        self._after: list[int] = [0]
        self._jumps: list[tuple[int, ...]] = [()]
        self._edges: list[bool | None] = [None]
        self._start = self._add(tree, 0)
        self._forget()

    def _new(
        self, *, ranges: Ranges = (), after: int = 0, jumps: tuple[int, ...] = (), edge: bool | None = None
    ) -> int:
        if len(self._ranges) >= MAX_STATES:
            raise PatternError("the pattern is too large; repeat less")
        self._ranges.append(ranges)
        self._after.append(after)
        self._jumps.append(jumps)
        self._edges.append(edge)
        return len(self._ranges) - 1

    def _add(self, tree: _Tree, after: int) -> int:
        """Build from the end; gives the state to enter."""
        match tree:
            case _Set(ranges):
                return self._new(ranges=ranges, after=after)
            case _Edge(at_end):
                return self._new(jumps=(after,), edge=at_end)
            case _Series(parts):
                for part in reversed(parts):
                    after = self._add(part, after)
                return after
            case _Choice(arms):
                return self._new(jumps=tuple(self._add(arm, after) for arm in arms))
            case _Repeat(part, least, most):
                return self._add_repeat(part, least, most, after)

    def _add_repeat(self, part: _Tree, least: int, most: int | None, after: int) -> int:
        if most is None:
            loop = self._new()
            self._jumps[loop] = (self._add(part, loop), after)
            after = loop
        else:
            leave = after
            for _ in range(most - least):
                after = self._new(jumps=(self._add(part, after), leave))
        for _ in range(least):
            before, after = after, self._add(part, after)
            if after == before:  # the part is empty, however often it is repeated
                break
        return after

    def _forget(self) -> None:
        self._states: dict[frozenset[int], _State] = {}
        self._first = self._made(self._closure({self._start}, at_start=True), at_start=True)
        self._again = self._closure({self._start})

    def _closure(self, members: set[int], *, at_start: bool = False, at_end: bool = False) -> frozenset[int]:
        found, waiting = set(members), list(members)
        while waiting:
            state = waiting.pop()
            edge = self._edges[state]
            if edge is not None and not (at_end if edge else at_start):
                continue
            for other in self._jumps[state]:
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return frozenset(found)

    def _state(self, members: frozenset[int]) -> _State:
        state = self._states.get(members)
        if state is None:
            state = self._states[members] = self._made(members)
        return state

    def _made(self, members: frozenset[int], *, at_start: bool = False) -> _State:
        at_end = self._closure(set(members), at_start=at_start, at_end=True)
        return _State(members, accepts=0 in members, accepts_at_end=0 in at_end)

    def _step(self, state: _State, character: str) -> _State:
        point = ord(character)
        reached = {
            self._after[member]
            for member in state.members
            if any(low <= point <= high for low, high in self._ranges[member])
        }
        if len(self._states) > _MOST_CACHED:
            self._forget()
        following = self._state(self._closure(reached) | self._again)
        if len(state.moves) < _MOST_CACHED:
            state.moves[character] = following
        return following

    def matches(self, text: str) -> bool:
        state = self._first
        if state.accepts:
            return True
        for character in text:
            following = state.moves.get(character)
            state = self._step(state, character) if following is None else following
            if state.accepts:
                return True
        return state.accepts_at_end
