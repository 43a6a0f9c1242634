"""How many workers a server has, between the fewest and the most that it may: as many as what is asked keeps busy.

A worker is a queue: while it computes for half of the time nobody waits long, and from nine tenths on everybody does.
What is asked is measured as work (the workers' own CPU time), so that the number that is wanted follows by division,
at once and not by trial. Up goes at once, down after a while: a worker too many costs memory, one too few answers.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from headrace.serving.model import LATENCY_EDGES_US, Struct

AIM: Final = 0.6
"""The share of its time that a worker should compute for."""
BUSY: Final = 0.8
"""From this share on there are too few."""
IDLE: Final = 0.45
"""One worker less must leave each of the others below this share."""
UP_TURNS: Final = 2
"""Turns in a row that call for more before there are more: one may be a pause of the machine."""
DOWN_TURNS: Final = 60
"""Turns in a row that do with less before there are less."""
TURN_S: Final = 1.0


class Load(Struct, frozen=True, kw_only=True):
    """What was seen in a turn."""

    workers: int
    """That took requests."""
    busy: float
    """CPU seconds of all of them a second."""
    refused: int
    """Requests that were told to come again because there was too much to do."""
    latency_us: tuple[int, ...] = ()
    """Requests by `LATENCY_EDGES_US`."""


class Scaling:
    """Decides, turn by turn.

    Parameters
    ----------
    least, most : workers
    p99_us : what 99 of 100 answers should take at most

    Examples
    --------
    >>> scaling = Scaling(1, 4, p99_us=20_000)
    >>> [scaling.turn(Load(workers=1, busy=0.95, refused=0)) for _ in range(2)]
    [1, 2]
    """

    def __init__(self, least: int, most: int, *, p99_us: int) -> None:
        self._least, self._most, self._p99_us = least, most, p99_us
        self._hard = self._easy = 0
        self._wanted = least

    def turn(self, load: Load) -> int:
        """How many workers there should be."""
        n = max(load.workers, 1)
        share = load.busy / n
        slow = p99_of(load.latency_us)
        is_hard = share > BUSY or load.refused > 0 or (slow > self._p99_us and share > AIM)
        is_easy = n > 1 and load.busy / (n - 1) < IDLE and not load.refused and slow <= self._p99_us
        self._hard = self._hard + 1 if is_hard else 0
        self._easy = self._easy + 1 if is_easy else 0
        wanted = max(n, self._wanted)  # those that are still beginning are wanted as well: less work is no reason yet
        if self._hard >= UP_TURNS:
            self._hard = 0
            wanted = max(wanted, n + 1, ceil(load.busy / AIM))
        elif self._easy >= DOWN_TURNS:
            self._easy = 0
            wanted -= 1
        self._wanted = min(max(wanted, self._least), self._most)
        return self._wanted


def p99_of(counts: tuple[int, ...]) -> float:
    """The edge below which 99 of 100 requests were; 0 without any.

    >>> p99_of((0, 0, 99, 1))
    500.0
    """
    total = sum(counts)
    if not total:
        return 0.0
    reached = 0
    for edge, count in zip(LATENCY_EDGES_US, counts, strict=False):
        reached += count
        if reached >= 0.99 * total:
            return float(edge)
    return float("inf")
