"""Whether a pattern matches: a finite automaton that is made deterministic as texts are read.

Thompson 1968; Cox 2007, "Regular Expression Matching Can Be Simple And Fast".
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


class _State:
    """A state of the deterministic automaton."""

    __slots__ = ("accepts", "accepts_at_end", "members", "moves")

    def __init__(self, members: frozenset[int], *, accepts: bool, accepts_at_end: bool) -> None:
        self.members = members
        self.accepts = accepts
        self.accepts_at_end = accepts_at_end
        self.moves: dict[str, _State] = {}


class Automaton:
    """Thompson's automaton of a pattern; state 0 accepts."""

    def __init__(self, tree: Tree) -> None:
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

    def _add(self, tree: Tree, after: int) -> int:
        """Build from the end; gives the state to enter."""
        match tree:
            case Set(ranges):
                return self._new(ranges=ranges, after=after)
            case Edge(at_end):
                return self._new(jumps=(after,), edge=at_end)
            case Series(parts):
                for part in reversed(parts):
                    after = self._add(part, after)
                return after
            case Choice(arms):
                return self._new(jumps=tuple(self._add(arm, after) for arm in arms))
            case Group(part):
                return self._add(part, after)
            case Repeat(part, least, most):
                return self._add_repeat(part, least, most, after)

    def _add_repeat(self, part: Tree, least: int, most: int | None, after: int) -> int:
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
        if len(self._states) > MOST_CACHED:
            self._forget()
        following = self._state(self._closure(reached) | self._again)
        if len(state.moves) < MOST_CACHED:
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
