"""Versions that answer the same rows unseen: once the answers have left, a few rows a turn, and never at their cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from headrace.errors import HeadraceError
from headrace.serving.http.asked import Asked, Row, Tally
from headrace.serving.http.endpoint import Slot
from headrace.serving.limits import Limits

ROWS_A_TURN: Final = 128
_AWAY: Final = 4
"""Threads on which rows are made ready that wait for another machine."""


class Shadows:
    """Of one worker.

    Parameters
    ----------
    answer : asks a version some rows that are ready
    keep : keeps what was said; None: nothing is kept
    tally : what is counted of a shadow
    later, soon, fault : as for `Answering`
    """

    def __init__(
        self,
        limits: Limits,
        *,
        answer: Callable[[Slot, Sequence[Row]], None],
        keep: Callable[[Sequence[Row]], None] | None,
        tally: Callable[[Slot], Tally],
        later: Callable[[Callable[[], None]], object],
        soon: Callable[[Callable[[], None]], object],
        fault: Callable[[Exception], None],
    ) -> None:
        self._limits, self._answer, self._keep, self._tally = limits, answer, keep, tally
        self._later, self._soon, self._fault = later, soon, fault
        self._pool = ThreadPoolExecutor(_AWAY, thread_name_prefix="headrace-shadows")  # begins no thread by itself
        self._rows: list[Row] = []
        """Answered rows that are still to be answered by shadows."""
        self._away = 0
        """Rows that are on other threads."""

    def ask(self, asked: Asked) -> None:
        """Let the shadows answer in a later turn, or say that there was no time for it."""
        if len(self._rows) + self._away >= self._limits.waiting_rows:
            for slot in asked.endpoint.shadows:
                self._tally(slot).skipped += len(asked.rows)
            return
        if not self._rows:
            self._later(self._turn)
        self._rows += asked.rows

    def _turn(self) -> None:
        rows, self._rows = self._rows[:ROWS_A_TURN], self._rows[ROWS_A_TURN:]
        if self._rows:
            self._later(self._turn)
        asked = [(slot, row) for row in rows for slot in row.asked.endpoint.shadows]
        here = [(slot, row) for slot, row in asked if slot.version is not None and not slot.version.waits]
        if len(here) < len(asked):
            waits = [(slot, row) for slot, row in asked if slot.version is not None and slot.version.waits]
            self._away += len(waits)
            away = self._pool.submit(self._made_ready, waits)
            away.add_done_callback(lambda done: self._soon(partial(self._came_back, done.result())))
        self._answer_all(self._made_ready(here))

    def _came_back(self, made: Sequence[tuple[Slot, Row | Exception]]) -> None:
        self._away -= len(made)
        self._answer_all(made)

    def _made_ready(self, asked: Sequence[tuple[Slot, Row]]) -> list[tuple[Slot, Row | Exception]]:
        return [(slot, self._as_read(slot, row)) for slot, row in asked]

    def _as_read(self, slot: Slot, row: Row) -> Row | Exception:
        """The row as a shadow reads it, or why it cannot."""
        version, asked = slot.version, row.asked
        assert version is not None, "a shadow has one"
        began_ns = time.perf_counter_ns()
        try:
            values = asked.endpoint.read_for(slot, asked, row.place, self._limits.rows)
            encoded, amounts = version.prepare(values, asked.instant_us)
        except Exception as error:
            return error
        return Row(asked, row.place, slot, row.entity, encoded, amounts, time.perf_counter_ns() - began_ns)

    def _answer_all(self, made: Sequence[tuple[Slot, Row | Exception]]) -> None:
        by_slot: dict[Slot, list[Row]] = {}
        for slot, row in made:
            if isinstance(row, Row):
                by_slot.setdefault(slot, []).append(row)
                continue
            self._tally(slot).failed += 1
            if not isinstance(row, HeadraceError):
                self._fault(row)
        for slot, group in by_slot.items():
            self._answer(slot, group)
            answered = [row for row in group if row.by is slot]
            if self._keep is not None and answered:
                try:
                    self._keep(answered)
                except HeadraceError:
                    self._tally(slot).skipped += len(answered)
