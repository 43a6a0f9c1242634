"""What was written and is not known to be durable, and who waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from headrace.errors import HeadraceError

Callback = Callable[[HeadraceError | None], object]


class Unsynced(NamedTuple):
    """One append."""

    ticket: int
    n: int
    data: bytes
    """Frames; empty for answers that left without being logged."""
    outcomes: bool


class Waiting:
    """Appends in the order of their tickets; a ticket is the sequence number that follows the append."""

    def __init__(self) -> None:
        self.durable = 0
        """Everything up to this ticket is on the disk."""
        self.bytes = 0
        self._unsynced: deque[Unsynced] = deque()
        self._callbacks: deque[tuple[int, Callback]] = deque()

    def __bool__(self) -> bool:
        return bool(self._unsynced)

    def add(self, append: Unsynced) -> None:
        """It was written, or counted as missing."""
        self._unsynced.append(append)
        self.bytes += len(append.data)

    def when(self, ticket: int, callback: Callback) -> None:
        """Call back once the ticket is durable; tickets come in order."""
        self._callbacks.append((ticket, callback))

    def frames(self) -> bytes:
        """All that waits, to be written anew."""
        return b"".join(one.data for one in self._unsynced)

    def became_durable(self, ticket: int) -> None:
        """Everything up to the ticket is on the disk: tell who waits for it."""
        self.durable = max(self.durable, ticket)
        while self._unsynced and self._unsynced[0].ticket <= ticket:
            self.bytes -= len(self._unsynced.popleft().data)
        while self._callbacks and self._callbacks[0][0] <= ticket:
            self._callbacks.popleft()[1](None)

    def give_up(self, ticket: int, error: HeadraceError, *, refuse: bool) -> int:
        """Nothing of it will be on the disk: tell all, with the error if answers are refused; who brought outcomes
        is refused in any case. How many answers that makes which were not counted as missing before."""
        n = sum(one.n for one in self._unsynced if one.data and not one.outcomes)
        outcomes = {one.ticket for one in self._unsynced if one.outcomes}
        self._unsynced.clear()
        self.bytes, self.durable = 0, ticket
        callbacks, self._callbacks = self._callbacks, deque()
        for waits, callback in callbacks:
            callback(error if refuse or waits in outcomes else None)
        return n
