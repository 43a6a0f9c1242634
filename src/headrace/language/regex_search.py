"""Where a pattern matches, with its groups, in time linear in the text: one pass back and one forward.

The pass back finds, for each place, the states from which the rest of the text leads to a match; the pass forward then
goes the way that the pattern prefers among those that lead there, and never has to turn back. What leads to a match
does not depend on where it began, so one pass back serves all matches of a text. Frisch and Cardelli, "Greedy Regular
Expression Matching", ICALP 2004; the states are built as Rust's engine builds its own, so that the preferences are the
same.
"""

from __future__ import annotations

from headrace.language.regex_tree import (
    MAX_STATES,
    MOST_CACHED,
    Choice,
    Edge,
    Group,
    PatternError,
    Ranges,
    Repeat,
    Series,
    Set,
    Tree,
)

Span = tuple[int, int] | None
Match = tuple[Span, ...]
"""Begin and end of the whole match and of each group, None for a group that took no part."""


class _Live:
    """The states, as bits, from which a match is reached at some place of a text."""

    __slots__ = ("before", "begins", "first", "members", "turns")

    def __init__(self, members: int, *, begins: bool) -> None:
        self.members = members
        self.begins = begins
        self.before: dict[str, _Live] = {}
        """Of the place before, by the character there."""
        self.first: dict[str, _Live] = {}
        """Of the first place of a text, if it is the one before."""
        self.turns: dict[int, tuple[int, tuple[int, ...]]] = {}
        """Where a state goes on from here, and what it notes on the way."""


class Search:
    """The states of a pattern; state 0 is a match."""

    def __init__(self, tree: Tree, groups: int) -> None:
        self._ranges: list[Ranges] = [()]
        self._jumps: list[tuple[int, ...]] = [()]
        self._edges: list[bool | None] = [None]
        self._notes: list[int | None] = [None]
        self._groups = groups
        self._start = self._add(tree, 0)
        self._comes_from: list[list[int]] = [[] for _ in self._jumps]
        for state, jumps in enumerate(self._jumps):
            if not self._ranges[state]:
                for other in jumps:
                    self._comes_from[other].append(state)
        self._takers = [state for state, ranges in enumerate(self._ranges) if ranges]
        self._forget()

    def first(self, text: str) -> Match | None:
        """The leftmost match."""
        lives = self._lives(text)
        start = self._next(lives, 0)
        return None if start is None else self._match(text, lives, start)

    def all(self, text: str) -> list[Match]:
        """The matches from left to right; they do not overlap, and no empty one touches the one before."""
        lives, found = self._lives(text), list[Match]()
        at, last = 0, -1
        while (start := self._next(lives, at)) is not None:
            match = self._match(text, lives, start)
            begin, end = match[0] or (0, 0)
            if begin == end == last:
                at += 1
                last = -1
                continue
            found.append(match)
            at = last = end
        return found

    # --- back --------------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._known: dict[int, _Live] = {}
        self._takers_of: dict[str, list[tuple[int, int]]] = {}
        self._end = self._made(self._closure(1, at_end=True))
        self._whole = self._made(self._closure(1, at_start=True, at_end=True))

    def _lives(self, text: str) -> list[_Live]:
        """The live states at each place of the text, its end included."""
        if len(self._known) > MOST_CACHED or len(self._takers_of) > MOST_CACHED:
            self._forget()
        if not text:
            return [self._whole]
        here = self._end
        lives = [here]
        for at in range(len(text) - 1, -1, -1):
            character, known = text[at], here.before if at else here.first
            before = known.get(character)
            if before is None:
                members = self._closure(self._taken(character, here.members), at_start=at == 0)
                before = self._known.get(members) if at else None
                if before is None:
                    before = self._made(members)
                    if at:
                        self._known[members] = before
                if len(known) < MOST_CACHED:
                    known[character] = before
            here = before
            lives.append(here)
        lives.reverse()
        return lives

    def _made(self, members: int) -> _Live:
        return _Live(members, begins=bool(members >> self._start & 1))

    def _taken(self, character: str, members: int) -> int:
        """The states that take the character to a live one, and the match itself."""
        takers = self._takers_of.get(character)
        if takers is None:
            point = ord(character)
            takers = self._takers_of[character] = [
                (1 << state, self._jumps[state][0])
                for state in self._takers
                if any(low <= point <= high for low, high in self._ranges[state])
            ]
        found = 1
        for bit, after in takers:
            if members >> after & 1:
                found |= bit
        return found

    def _closure(self, members: int, *, at_start: bool = False, at_end: bool = False) -> int:
        """The states, too, that reach `members` without a character."""
        waiting = [state for state in range(members.bit_length()) if members >> state & 1]
        while waiting:
            for other in self._comes_from[waiting.pop()]:
                edge = self._edges[other]
                if members >> other & 1 or (edge is not None and not (at_end if edge else at_start)):
                    continue
                members |= 1 << other
                waiting.append(other)
        return members

    # --- forward -----------------------------------------------------------------------------------------------------

    def _next(self, lives: list[_Live], at: int) -> int | None:
        return next((place for place in range(at, len(lives)) if lives[place].begins), None)

    def _match(self, text: str, lives: list[_Live], start: int) -> Match:
        """The match that begins at a place where one does."""
        noted = [-1] * (2 * self._groups)
        state, at, last = self._start, start, len(text)
        while True:
            here = lives[at]
            turn = here.turns.get(state)
            if turn is None:
                turn = here.turns[state] = self._turn(state, here.members, at_start=at == 0, at_end=at == last)
            state, notes = turn
            for note in notes:
                noted[note] = at
            if state == 0:
                pairs = zip(noted[::2], noted[1::2], strict=True)
                groups = (None if begin < 0 or end < 0 else (begin, end) for begin, end in pairs)
                return ((start, at), *groups)
            state = self._jumps[state][0]
            at += 1

    def _turn(self, state: int, members: int, *, at_start: bool, at_end: bool) -> tuple[int, tuple[int, ...]]:
        """The first state in the order of preference that takes a character here or is the match, and what is noted."""
        seen: set[int] = set()
        waiting: list[tuple[int, tuple[int, ...]]] = [(state, ())]
        while True:
            state, notes = waiting.pop()
            if state in seen or not members >> state & 1:
                continue
            seen.add(state)
            if state == 0 or self._ranges[state]:
                return state, notes
            edge, note = self._edges[state], self._notes[state]
            if edge is None or (at_end if edge else at_start):
                noted = notes if note is None else (*notes, note)
                waiting += [(other, noted) for other in reversed(self._jumps[state])]

    # --- the states --------------------------------------------------------------------------------------------------

    def _new(
        self, jumps: tuple[int, ...], *, ranges: Ranges = (), edge: bool | None = None, note: int | None = None
    ) -> int:
        if len(self._jumps) >= 4 * MAX_STATES:
            raise PatternError("the pattern is too large; repeat less")
        self._ranges.append(ranges)
        self._jumps.append(jumps)
        self._edges.append(edge)
        self._notes.append(note)
        return len(self._jumps) - 1

    def _add(self, tree: Tree, after: int) -> int:
        """Build from the end; gives the state to enter."""
        match tree:
            case Set(ranges):
                return self._new((after,), ranges=ranges)
            case Edge(at_end):
                return self._new((after,), edge=at_end)
            case Series(parts):
                for part in reversed(parts):
                    after = self._add(part, after)
                return after
            case Choice(arms):
                return self._new(tuple(self._add(arm, after) for arm in arms))
            case Group(part, number):
                inside = self._add(part, self._new((after,), note=2 * number - 1))
                return self._new((inside,), note=2 * number - 2)
            case Repeat():
                return self._add_repeat(tree, after)

    def _add_repeat(self, tree: Repeat, after: int) -> int:
        part, least, most = tree.part, tree.least, tree.most
        if _always_empty(part):  # as Rust's does, which repeats no emptiness
            least, most = min(least, 1), min(1 if most is None else most, 1)
        if most is None:
            loop = self._new(())
            entered = self._add(part, loop)
            self._jumps[loop] = self._order(tree, entered, after)
            if least == 0:
                return self._new(self._order(tree, entered, after)) if _may_be_empty(part) else loop
            after, least = entered, least - 1
        else:
            leave = after
            for _ in range(most - least):
                after = self._new(self._order(tree, self._add(part, after), leave))
        for _ in range(least):
            after = self._add(part, after)
        return after

    @staticmethod
    def _order(tree: Repeat, again: int, leave: int) -> tuple[int, ...]:
        return (leave, again) if tree.lazy else (again, leave)


def _may_be_empty(tree: Tree) -> bool:
    match tree:
        case Set():
            return False
        case Edge():
            return True
        case Series(parts):
            return all(map(_may_be_empty, parts))
        case Choice(arms):
            return any(map(_may_be_empty, arms))
        case Group(part):
            return _may_be_empty(part)
        case Repeat(part, least):
            return least == 0 or _may_be_empty(part)


def _always_empty(tree: Tree) -> bool:
    match tree:
        case Set():
            return False
        case Edge():
            return True
        case Series(parts) | Choice(parts):
            return all(map(_always_empty, parts))
        case Group(part):
            return _always_empty(part)
        case Repeat(part, _, most):
            return most == 0 or _always_empty(part)
