"""Regular expressions that match in time linear in the text, and alike in both forms.

The syntax is the part on which every engine agrees: characters, ``.`` (any but a line feed), classes ``[a-z]`` and
``[^…]``, ``\\d \\w \\s`` and their opposites (ASCII), groups, ``|``, ``* + ? {m} {m,} {m,n}`` and with a ``?`` more
their lazy kinds, and ``^`` and ``$`` for the ends of the text. Back references, look-around and flags do not exist.
Of several matches the leftmost counts, and of those from one place the one that the pattern names first, as in Perl.

A pattern becomes a small tree. For columns the tree is written out for Rust's engine, every character as its code; for
rows it becomes an automaton (`headrace.language.regex_automaton`) and, when it is asked where a match is, a search
(`headrace.language.regex_search`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

from headrace.language.regex_automaton import Automaton
from headrace.language.regex_search import Search
from headrace.language.regex_tree import Choice, Edge, Group, PatternError, Ranges, Repeat, Series, Set, Tree

__all__ = ["Pattern", "PatternError", "compile_pattern"]

MAX_PATTERN = 1_000
MAX_REPEAT = 200
MAX_GROUPS = 32
_LAST = 0x10FFFF


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Pattern:
    """The pattern, ready for both forms.

    Examples
    --------
    >>> compile_pattern("^N[0-9]+[A-Z]{0,2}$").matches("N14228")
    True
    """
    reader = _Reader(pattern)
    return Pattern(reader.read(), reader.groups)


class Pattern:
    """A compiled pattern."""

    def __init__(self, tree: Tree, groups: int) -> None:
        self.rust = _written(tree)
        """For Rust's engine."""
        self.groups = groups
        """How many groups it has."""
        self._tree = tree
        self._automaton = Automaton(tree)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches somewhere in the text."""
        return self._automaton.matches(text)

    @cached_property
    def search(self) -> Search:
        """Where it matches."""
        return Search(self._tree, self.groups)


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
        self.groups = 0

    def read(self) -> Tree:
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

    def _choice(self) -> Tree:
        arms = [self._series()]
        while self._peek() == "|":
            self._at += 1
            arms.append(self._series())
        return arms[0] if len(arms) == 1 else Choice(tuple(arms))

    def _series(self) -> Tree:
        parts: list[Tree] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return Series(tuple(parts))

    def _repeated(self, atom: Tree) -> Tree:
        bounds = self._bounds()
        if bounds is None:
            return atom
        if isinstance(atom, Edge):
            raise PatternError("^ and $ cannot be repeated")
        lazy = self._peek() == "?"
        self._at += lazy
        if self._peek() in ("*", "+", "?", "{") and self._peek():
            raise PatternError("a repetition is repeated; use a group")
        return Repeat(atom, *bounds, lazy)

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

    def _atom(self) -> Tree:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return Set(self._set())
        if character == "\\":
            return Set(self._escape())
        if character == ".":
            return Set(_ANY)
        if character in "^$":
            return Edge(at_end=character == "$")
        if character in "*+?{":
            raise PatternError(f"there is nothing to repeat before {character}")
        return Set(((ord(character), ord(character)),))

    def _group(self) -> Tree:
        number = 0
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._peek() == "?":
            raise PatternError("of groups with ? only (?:…) is part of the syntax")
        else:
            number = self.groups = self.groups + 1
        self._depth += 1
        if self._depth > MAX_GROUPS:
            raise PatternError(f"groups nest at most {MAX_GROUPS} deep")
        tree = self._choice()
        if self._peek() != ")":
            raise PatternError("a parenthesis is not closed")
        self._at += 1
        self._depth -= 1
        return Group(tree, number) if number else tree

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
        ranges = _invert(_merge(found)) if opposite else _merge(found)
        if not ranges:
            raise PatternError("[ ] stands for no character at all")
        return ranges

    def _member(self) -> Ranges:
        character = self._take()
        if character == "\\":
            return self._escape()
        if character == "[" or (character == "&" and self._peek() == "&"):
            raise PatternError(f"write \\{character} for the character in [ ]")
        return tuple(_points(character))


# --- for columns -----------------------------------------------------------------------------------------------------


def _written(tree: Tree) -> str:
    """The tree in Rust's syntax."""
    match tree:
        case Set(ranges):
            return "[" + "".join(f"\\x{{{low:X}}}-\\x{{{high:X}}}" for low, high in ranges) + "]"
        case Edge(at_end):
            return r"\z" if at_end else r"\A"
        case Series(parts):
            return "(?:" + "".join(_written(part) for part in parts) + ")"
        case Choice(arms):
            return "(?:" + "|".join(_written(arm) for arm in arms) + ")"
        case Group(part):
            return f"({_written(part)})"
        case Repeat(part, least, most, lazy):
            return f"(?:{_written(part)}){{{least},{'' if most is None else most}}}{'?' if lazy else ''}"
