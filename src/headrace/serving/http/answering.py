"""Rows that wait and how they are answered: those of one turn of the loop in one model call an arm.

Where an arm cannot answer, the deployment's fallbacks do, each from the row as it reads it, and then its constant.
Shadows are asked once the answers have left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

from headrace.errors import HeadraceError
from headrace.scoring.bodies import Values
from headrace.scoring.model import Prediction
from headrace.serving.http.asked import Asked, Row, Tally
from headrace.serving.http.endpoint import Endpoint, Slot
from headrace.serving.http.refusals import OF_THE_ROW, deadline_passed, not_answered, not_kept, told_of, too_busy
from headrace.serving.http.responses import Problem, problem_of
from headrace.serving.http.shadows import Shadows
from headrace.serving.limits import Limits
from headrace.serving.log.record import Outcome
from headrace.serving.versions import Entity

Leave = Callable[[HeadraceError | None], object]
"""The answers may leave, or must not."""
_US: Final = 1e-3
_SMOOTHING: Final = 0.05
_AWAY: Final = 16
"""Requests whose rows are made ready on other threads at a time: they wait, they hardly work."""
Instead = tuple[Slot, bytes, tuple[object, ...], Prediction, tuple[float, ...]]
"""Who said what in place of an arm, and from which input."""
Prepared = tuple[bytes, tuple[object, ...], int]
"""The model's input, the row's own amounts, and nanoseconds that making them took."""


class Records(Protocol):
    """Who keeps every answer before it leaves."""

    def keep(self, asked: Sequence[Asked], leave: Leave) -> None:
        """Keep them, and call back, at once or later; raises what the log raises."""
        ...

    def keep_shadows(self, rows: Sequence[Row]) -> None:
        """Keep what shadows said; raises likewise."""
        ...

    def keep_outcomes(self, outcomes: Sequence[Outcome], leave: Leave) -> None:
        """The same for truths."""
        ...


class Answering:
    """Of one worker.

    Parameters
    ----------
    send : sends what was asked, once all its rows are answered and kept
    fail : tells a request that it has no answer
    later : calls back in the next turn of the loop
    soon : the same, from another thread
    fault : is told of faults of ours
    """

    def __init__(
        self,
        limits: Limits,
        *,
        records: Records | None,
        send: Callable[[Asked], None],
        fail: Callable[[Asked, Problem], None],
        later: Callable[[Callable[[], None]], object],
        soon: Callable[[Callable[[], None]], object],
        fault: Callable[[Exception], None],
    ) -> None:
        self._limits, self._records, self._send, self._fail_asked = limits, records, send, fail
        self._later, self._soon, self._fault = later, soon, fault
        self._pool = ThreadPoolExecutor(_AWAY, thread_name_prefix="headrace-away")  # begins no thread by itself
        self._rows: list[Row] = []
        self._unable: list[Row] = []
        """Rows that their arm could not even make ready."""
        self._flushing = False
        self._waiting = 0
        self._waiting_rows = self._waiting_bytes = 0
        """Of the requests that wait."""
        self._shadows = Shadows(
            limits,
            answer=self._answer,
            keep=None if records is None else records.keep_shadows,
            tally=self.tally,
            later=later,
            soon=soon,
            fault=fault,
        )
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.refusals = 0
        """Requests that were told to come again since that was last said."""
        self.row_us = 20.0
        """What a row took of late: a moving mean."""

    @property
    def is_full(self) -> bool:
        """Whether further requests are told to come again."""
        limits = self._limits
        return (
            self._waiting >= limits.waiting
            or self._waiting_rows >= limits.waiting_rows
            or self._waiting_bytes >= limits.waiting_bytes
        )

    @property
    def waiting(self) -> int:
        """Requests that have been taken and are not answered."""
        return self._waiting

    def ask(self, asked: Asked, *, many: bool, has_room: bool = False) -> None:
        """Take a request; its answer leaves after this turn of the loop, or once the log has it.

        Parameters
        ----------
        has_room : whether it was looked already that there is

        Raises
        ------
        Problem : there is too much to do.
        And what `Endpoint.read` and `Version.prepare` raise of the row itself.
        """
        if not has_room and self.is_full:
            self.refusals += 1
            raise too_busy()
        if asked.until_ns is not None:
            ready_ns = asked.began_ns + int((len(self._rows) + 1) * self.row_us / _US)
            if ready_ns > asked.until_ns:
                self.refusals += 1
                raise too_busy()
        slot = asked.endpoint.only
        if asked.endpoint.waits:
            self._ask_away(asked, many=many)
            return
        if slot is not None and not many:
            version = slot.version
            assert version is not None, "an arm has one"
            values = version.bodies.one(asked.body)
            row = self._row(asked, 0, slot, values, slot.entity_of(values), asked.began_ns)
            (self._rows if row.encoded else self._unable).append(row)
            asked.rows.append(row)
            asked.left = 1
        elif not self._ask_many(asked, many=many):
            self._nothing(asked)
            return
        self._waits(asked, len(asked.rows))
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._later(self.flush)

    def _waits(self, asked: Asked, rows: int) -> None:
        """It is taken: from now on it counts, until it is answered."""
        asked.size = rows
        self._waiting += 1
        self._waiting_rows += rows
        self._waiting_bytes += len(asked.body)

    def _waited(self, asked: Asked) -> None:
        """It is answered, so or so."""
        self._waiting -= 1
        self._waiting_rows -= asked.size
        self._waiting_bytes -= len(asked.body)
        asked.rows.clear()
        asked.left = 0
        if asked.release is not None:
            asked.release()

    def _nothing(self, asked: Asked) -> None:
        """No rows, no predictions."""
        if asked.release is not None:
            asked.release()
        self._send(asked)

    def _ask_away(self, asked: Asked, *, many: bool) -> None:
        """Make the rows ready on another thread, as that may wait for another machine."""
        read = asked.endpoint.read(asked.body, self._limits.rows, asked.id, many=many)
        if not read:
            self._nothing(asked)
            return
        away = self._pool.submit(_prepare_all, [(slot, values, asked.instant_us) for slot, values, _ in read])
        self._waits(asked, len(read))
        away.add_done_callback(lambda done: self._soon(partial(self._came_back, asked, read, done.result(), many=many)))

    def _came_back(
        self,
        asked: Asked,
        read: Sequence[tuple[Slot, Values, Entity]],
        made: Sequence[Prepared | Exception],
        *,
        many: bool,
    ) -> None:
        """What another thread made of a request's rows."""
        for place, each in enumerate(made):
            if isinstance(each, OF_THE_ROW):
                self._fail(asked, problem_of(_at(each, place, many=many)))
                return
        for place, ((slot, _, entity), each) in enumerate(zip(read, made, strict=True)):
            if isinstance(each, Exception):
                try:
                    self._unprepared(asked.endpoint, slot, each)
                except Problem as problem:
                    self._fail(asked, problem)
                    return
                row = Row(asked, place, slot, entity, b"", (), 0)
            else:
                row = Row(asked, place, slot, entity, *each)
            asked.rows.append(row)
        asked.left = len(asked.rows)
        for row in asked.rows:
            (self._rows if row.encoded else self._unable).append(row)
        self._flush_soon()

    def _ask_many(self, asked: Asked, *, many: bool) -> int:
        last_ns = asked.began_ns
        rows = []
        for place, (slot, values, entity) in enumerate(
            asked.endpoint.read(asked.body, self._limits.rows, asked.id, many=many)
        ):
            try:
                row = self._row(asked, place, slot, values, entity, last_ns)
            except OF_THE_ROW as error:
                raise _at(error, place, many=many) from None
            last_ns += row.took_ns
            rows.append(row)
        for row in rows:
            (self._rows if row.encoded else self._unable).append(row)
        asked.rows += rows
        asked.left = len(rows)
        return len(rows)

    def _row(self, asked: Asked, place: int, slot: Slot, values: Values, entity: Entity, since_ns: int) -> Row:
        """A row, made ready for its arm; without the model's input where that cannot be made, and another may."""
        version = slot.version
        assert version is not None, "an arm has one"
        try:
            encoded, amounts = version.prepare(values, asked.instant_us)
        except OF_THE_ROW:
            raise
        except Exception as error:
            self._unprepared(asked.endpoint, slot, error)
            return Row(asked, place, slot, entity, b"", (), 0)
        return Row(asked, place, slot, entity, encoded, amounts, time.perf_counter_ns() - since_ns)

    def _unprepared(self, endpoint: Endpoint, slot: Slot, error: Exception) -> None:
        self.tally(slot).failed += 1
        if not isinstance(error, HeadraceError):
            self._fault(error)
        if not endpoint.fallbacks and endpoint.constant is None:
            raise told_of(error) from error

    def flush(self) -> None:
        """Answer every row that waits."""
        self._flushing = False
        rows, self._rows = self._rows, []
        unable, self._unable = self._unable, []
        if not rows and not unable:
            return
        every = rows + unable if unable else rows
        asked = list(dict.fromkeys([row.asked for row in every])) if len(every) > 1 else [every[0].asked]
        began_ns = time.perf_counter_ns()
        try:
            late = [each for each in asked if each.until_ns is not None and each.until_ns < began_ns]
            for each in late:
                self._fail(each, deadline_passed())
            # what was told that it is late has no rows any more
            self._answer_all([row for row in rows if row.asked.rows] if late else rows)
            for row in unable:
                if row.asked.rows:
                    self._fall_back(row)
            whole = [each for each in asked if not each.left and each.rows]
            if len(whole) < len(asked):
                for each in asked:
                    if each.left and not each.away:
                        self._fail(each, not_answered())
            took_us = (time.perf_counter_ns() - began_ns) * _US
            self.row_us += _SMOOTHING * (took_us / len(every) - self.row_us)
            if whole:
                self._keep(whole)
        except Exception as error:  # nobody waits for an answer that never comes
            self._fault(error)
            for each in asked:
                if each.rows:
                    self._fail(each, Problem(500, "internal", "the server has a fault: it was noted"))

    def _answer_all(self, rows: list[Row]) -> None:
        if not rows:
            return
        slots = {row.slot for row in rows}
        if len(slots) == 1:
            self._answer(slots.pop(), rows)
            return
        by_slot: dict[Slot, list[Row]] = {}
        for row in rows:
            by_slot.setdefault(row.slot, []).append(row)
        for slot, group in by_slot.items():
            self._answer(slot, group)

    def _answer(self, slot: Slot, rows: Sequence[Row]) -> None:
        version = slot.version
        assert version is not None, "an arm has one"
        began_ns = time.perf_counter_ns()
        try:
            predictions, scores = version.answer([row.encoded for row in rows], [row.amounts for row in rows])
        except Exception as error:
            if len(rows) > 1:  # one of them alone may be at fault
                for row in rows:
                    self._answer(slot, [row])
                return
            self.tally(slot).failed += 1
            if not isinstance(error, HeadraceError):
                self._fault(error)
            if not slot.shadow:
                self._fall_back(rows[0])
            return
        tally = self.tally(slot)
        each_ns = (time.perf_counter_ns() - began_ns) / len(rows)
        for row, row.prediction, row.scores in zip(rows, predictions, scores, strict=True):
            row.by = slot
            row.asked.left -= 1
        tally.computed([(row.took_ns + each_ns) * _US for row in rows])
        endpoint = rows[0].asked.endpoint
        if endpoint.compared and endpoint.places > 1:
            for score in scores:
                tally.scored(endpoint.place_of_score(score), endpoint.places)

    def _fall_back(self, row: Row) -> None:
        """Another version's answer in place of one that there is not; on another thread if that may wait."""
        asked = row.asked
        if any(slot.version is not None and slot.version.waits for slot in asked.endpoint.fallbacks):
            asked.away += 1
            away = self._pool.submit(self._said_instead, row)
            away.add_done_callback(lambda done: self._soon(partial(self._fell_back_away, row, done.result())))
        else:
            self._fell_back(row, self._said_instead(row))

    def _said_instead(self, row: Row) -> Instead | Exception | None:
        """What the first fallback says that has an answer; None: none has. It changes nothing: any thread may ask."""
        asked, fault = row.asked, None
        for slot in asked.endpoint.fallbacks:
            version = slot.version
            assert version is not None, "a fallback has one"
            try:
                values = asked.endpoint.read_for(slot, asked, row.place, self._limits.rows)
                encoded, amounts = version.prepare(values, asked.instant_us)
                predictions, scores = version.answer([encoded], [amounts])
            except HeadraceError:
                continue
            except Exception as error:
                fault = error
                continue
            return slot, encoded, amounts, predictions[0], scores[0]
        return fault

    def _fell_back(self, row: Row, said: Instead | Exception | None) -> None:
        endpoint = row.asked.endpoint
        if isinstance(said, Exception):
            self._fault(said)
        if isinstance(said, tuple):
            row.by, row.encoded, row.amounts, row.prediction, row.scores = said
        elif endpoint.constant is not None:
            row.prediction, row.by = endpoint.constantly(row.slot), endpoint.constant
            row.encoded, row.amounts, row.scores = b"", (), (endpoint.deployment.constant or 0.0,)
        else:
            return
        tally = self.tally(row.slot)
        tally.fell_back += 1
        tally.rows += 1
        row.asked.left -= 1

    def _fell_back_away(self, row: Row, said: Instead | Exception | None) -> None:
        asked = row.asked
        asked.away -= 1
        if not asked.rows:  # it has been told otherwise
            return
        self._fell_back(row, said)
        if asked.away:
            return
        if asked.left:
            self._fail(asked, not_answered())
        else:
            self._keep([asked])

    # leaving

    def _keep(self, whole: list[Asked]) -> None:
        if self._records is None:
            self._leave(whole, None)
            return
        try:
            self._records.keep(whole, partial(self._leave, whole))
        except HeadraceError as error:
            self._leave(whole, error)

    def _leave(self, whole: Sequence[Asked], error: HeadraceError | None) -> None:
        """Send what is kept; nothing leaves that had to be kept and is not."""
        if error is not None:
            for each in whole:
                if each.rows:
                    self._fail(each, not_kept(error))
            return
        ended_ns = time.perf_counter_ns()
        for each in whole:
            if not each.rows:  # it has been told otherwise
                continue
            try:
                self._send(each)
            except Exception as fault:
                self._fault(fault)
                each.connection.abort()
            self.tally(each.rows[0].slot).answered((ended_ns - each.began_ns) * _US)
            if each.endpoint.shadows:
                self._shadows.ask(each)
            self._waited(each)

    def _fail(self, asked: Asked, problem: Problem) -> None:
        self._waited(asked)
        self._fail_asked(asked, problem)

    def tally(self, slot: Slot) -> Tally:
        """What is counted of an arm."""
        tally = self.tallies.get(slot.key)
        if tally is None:
            tally = self.tallies[slot.key] = Tally()
        return tally


def _at(error: HeadraceError, place: int, *, many: bool) -> HeadraceError:
    """What is wrong with a row, which of many it is said."""
    if many and "row" not in error.facts:
        error.facts["row"] = place
        error.message = f"rows[{place}]: {error.message}"
    return error


def _prepare_all(rows: Sequence[tuple[Slot, Values, int]]) -> list[Prepared | Exception]:
    """Each row made ready for its arm, or why it cannot be."""
    made: list[Prepared | Exception] = []
    for slot, values, instant_us in rows:
        version = slot.version
        assert version is not None, "an arm has one"
        began_ns = time.perf_counter_ns()
        try:
            encoded, amounts = version.prepare(values, instant_us)
        except Exception as error:
            made.append(error)
        else:
            made.append((encoded, amounts, time.perf_counter_ns() - began_ns))
    return made
