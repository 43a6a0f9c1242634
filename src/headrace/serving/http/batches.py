"""Batches in Arrow and Parquet: one more face on the same desk.

The bytes go to a process of their own, which reads them and gives rows back as JSON, a slice at a time; each slice is
asked for as a request of so many rows would be. So answers, arms, shadows, fallbacks, limits and the log are those of
JSON, and between two slices the loop answers whoever else has asked. Every value is checked before the first is
answered. What that process does not survive ends one request.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from headrace.errors import HeadraceError
from headrace.language.types import Type
from headrace.scoring.errors import ColumnMissing, ColumnUnknown
from headrace.scoring.model import Prediction
from headrace.serving.batch.counts import BatchCounts
from headrace.serving.batch.errors import BatchTooLarge
from headrace.serving.batch.messages import (
    FORMATS,
    MEDIA_TYPES,
    PART_BYTES,
    Answers,
    Begin,
    Begun,
    Busy,
    Columns,
    Crashed,
    Finish,
    Format,
    Message,
    More,
    Part,
    Refused,
    Rows,
    Told,
    ToWorker,
    Want,
    Who,
    Whole,
    Written,
    for_worker,
    framed,
)
from headrace.serving.http.asked import Asked, Row
from headrace.serving.http.endpoint import Endpoint, Slot
from headrace.serving.http.refusals import deadline_passed, too_busy
from headrace.serving.http.responses import Problem, problem_of, retry_after

if TYPE_CHECKING:
    from headrace.serving.http.connection import Request
    from headrace.serving.http.desk import Desk

BEGIN_S: Final = 5.0
"""Until the other process says that it lives."""
READ_S: Final = 60.0
"""Until it has read everything."""
SLICE_US: Final = 1_500.0
"""What the rows of one turn of the loop should take: whoever else asks waits as long."""
LEAST_ROWS: Final = 8
MOST_ROWS: Final = 512
FIRST_ROWS: Final = 32
_FULL_S: Final = 0.005
"""Between two looks whether there is room again."""
_SMOOTHING: Final = 0.2
_ROW_BYTES: Final = 64
"""Of an answer, about, beside its numbers."""
Of = Callable[[Prediction], Any]


class Batches:
    """Of one worker.

    Parameters
    ----------
    asks : the socket over which the other process is asked
    """

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop, asks: socket.socket) -> None:
        self._desk, self._loop, self._asks = desk, loop, asks
        self._under_way: set[Batch] = set()
        self.row_us = 50.0
        """What a row of a slice took of late, all in all: a moving mean."""

    def begin(self, request: Request, asked: Asked, formats: tuple[Format, Format]) -> None:
        """Answer a batch; what it is answered with comes later.

        Parameters
        ----------
        formats : of the body, and of the answer

        Raises
        ------
        Problem
        """
        if len(self._under_way) >= self._desk.limits.batches:
            self._desk.refusals += 1
            raise too_busy()
        mine, its = socket.socketpair()
        try:
            mine.setblocking(False)
            socket.send_fds(self._asks, [b"b"], [its.fileno()])
        except OSError:
            mine.close()
            raise away() from None
        finally:
            its.close()
        batch = Batch(self, self._desk, self._loop, request, asked, formats)
        self._under_way.add(batch)
        self._loop.create_task(batch.connect(mine))

    def ended(self, batch: Batch) -> None:
        """It is answered, so or so."""
        self._under_way.discard(batch)

    def took(self, us: float) -> None:
        """A row took so long."""
        self.row_us += _SMOOTHING * (us - self.row_us)

    @property
    def slice_rows(self) -> int:
        """How many rows are asked for at a time."""
        return int(min(max(SLICE_US / self.row_us, LEAST_ROWS), MOST_ROWS))


class Batch(asyncio.Protocol):
    """One request, from its body to its answer."""

    def __init__(
        self,
        batches: Batches,
        desk: Desk,
        loop: asyncio.AbstractEventLoop,
        request: Request,
        asked: Asked,
        formats: tuple[Format, Format],
    ) -> None:
        self._batches, self._desk, self._loop, self._request = batches, desk, loop, request
        self._asked, self._endpoint = asked, asked.endpoint
        self._format, self._answer = formats
        self._body: bytes = request.body
        request.body = asked.body = b""
        self._sent = 0
        """Bytes of the body that have left."""
        self._begun = self._is_paused = self._ended = False
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._timer = loop.call_later(BEGIN_S, self._fail, away())
        self._until = loop.time() + desk.limits.batch_s
        self._columns, self._of = _answers(self._endpoint)
        self._rows = self._come = self._place = 0
        """All of them, how many have come back as JSON, and how many of these have been asked for."""
        self._ready: deque[Rows] = deque()
        self._asking = False
        """Whether a slice is being answered."""
        self._arms: dict[Slot, int] = {}
        self._parts: list[bytes] = []
        self._took_s = 0.0

    async def connect(self, line: socket.socket) -> None:
        """Begin to speak over a socket."""
        try:
            await self._loop.create_unix_connection(lambda: self, sock=line)
        except OSError:
            line.close()
            self._fail(away())

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._ended:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            for message in for_worker(self._received):
                if self._ended:
                    return
                self._heard(message)
        except msgspec.DecodeError:
            self._fail(away())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self._fail(away())

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._send_body()

    # what the other process says

    def _heard(self, message: ToWorker) -> None:
        match message:
            case Begun():
                self._within(
                    READ_S,
                    Problem(
                        503, "batch-too-slow", f"the batch was not read within {READ_S:g} s", headers=(retry_after(),)
                    ),
                )
                limits = self._desk.limits
                self._say(
                    Begin(
                        format=self._format,
                        answer=self._answer,
                        size=len(self._body),
                        rows=limits.batch_rows,
                        decoded_bytes=limits.batch_decoded_bytes,
                        slice_bytes=limits.body_bytes,
                    )
                )
                self._begun = True
                self._send_body()
            case Busy():
                self._fail(too_busy())
            case Columns(names=names):
                self._body = b""
                try:
                    self._say(Want(columns=wanted(self._endpoint, names)))
                except HeadraceError as error:
                    self._fail(problem_of(error))
            case Whole(rows=rows):
                self._whole(rows)
            case Rows():
                self._given(message)
            case Part(data=data):
                self._parts.append(data)
            case Written():
                self._written()
            case Refused():
                self._fail(Problem(message.status, message.code, message.detail, fix=message.fix, facts=message.facts))
            case Crashed():
                self._fail(not_survived(message.signal))

    def _send_body(self) -> None:
        while self._begun and not self._is_paused and not self._ended and self._sent < len(self._body):
            part = self._body[self._sent : self._sent + PART_BYTES]
            self._sent += len(part)
            self._say(Part(data=part))

    def _whole(self, rows: int) -> None:
        self._rows = rows
        self._timer.cancel()
        limit = self._desk.limits.batch_bytes
        each = _ROW_BYTES + 8 * len(self._columns)
        if rows * each > limit:
            self._fail(problem_of(BatchTooLarge("rows with so many answers each", limit // each, found=rows), 413))
            return
        if not rows:
            self._go()
            return
        self._within(READ_S, away())
        self._say(More(rows=FIRST_ROWS))

    def _given(self, rows: Rows) -> None:
        self._timer.cancel()
        self._come += rows.rows
        self._ready.append(rows)
        if self._come < self._rows:
            self._say(More(rows=self._batches.slice_rows))  # it is read while these are answered
        if not self._asking:
            self._go()

    # rows

    def _go(self) -> None:
        """Ask for the next rows, if there are any and there is room."""
        if self._ended or self._asking:
            return
        if self._request.connection.is_gone:
            self._left()
            return
        until_ns = self._asked.until_ns
        if until_ns is not None and until_ns < time.perf_counter_ns():
            self._fail(deadline_passed())
        elif self._loop.time() > self._until:
            self._fail(too_busy())
        elif self._place == self._rows:
            self._within(READ_S, away())
            self._say(Finish(id=self._asked.id.decode(), columns=self._columns))
        elif self._ready:
            if self._desk.is_full:  # who asks for single rows goes before
                self._loop.call_later(_FULL_S, self._go)
            else:
                self._ask(self._ready.popleft())
        else:
            self._within(READ_S, away())

    def _ask(self, rows: Rows) -> None:
        whole = self._asked
        asked = Asked(whole.connection, whole.id, whole.endpoint, rows.body, whole.instant_us, keep=True)
        asked.trace, asked.batch, asked.first = whole.trace, self, self._place
        self._place += rows.rows
        self._asking = True
        try:
            self._batches.took(self._desk.ask_slice(asked))
        except Exception as error:
            self._fail(self._desk.problem_of(moved(error, asked.first)))

    def answered(self, asked: Asked) -> None:
        """So many rows are answered and kept."""
        if self._ended:
            return
        arms, by = [], []
        for row in asked.rows:
            slot = _who(row)
            place = self._arms.get(slot)
            if place is None:
                place = self._arms[slot] = len(self._arms)
                arms.append(_named(slot))
            by.append(place)
        said = [_said(row) for row in asked.rows]
        self._say(Told(arms=tuple(arms), by=by, values=[[of(each) for each in said] for of in self._of]))
        self._asking = False
        self._desk.later(self._go)

    def failed(self, problem: Problem) -> None:
        """Rows have no answer, and so the batch has none."""
        self._fail(problem)

    # the end

    def _written(self) -> None:
        self._timer.cancel()
        self._took_s = (time.perf_counter_ns() - self._asked.began_ns) / 1e9
        self._desk.send_parts(self._request, MEDIA_TYPES[self._answer], self._parts, self._said)
        self._stop()

    def _said(self) -> None:
        """The answer has left, or who waited for it has."""
        if self._request.connection.is_gone:
            self._left()
            return
        counts = BatchCounts.of_answered(self._format, rows=self._rows, took_s=self._took_s)
        self._desk.count_batch(counts)
        self._end()

    def _left(self) -> None:
        """Nobody waits for it."""
        self._desk.count_batch(BatchCounts.of_left(self._format))
        self._end()

    def _within(self, seconds: float, problem: Problem) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._fail, problem)

    def _say(self, message: Message) -> None:
        if self._transport is not None:
            self._transport.write(framed(message))

    def _fail(self, problem: Problem) -> None:
        if self._ended:
            return
        if self._request.connection.is_gone:
            self._left()
            return
        self._end()
        self._desk.fail(self._request, problem)

    def _stop(self) -> None:
        """Say and hear nothing more."""
        self._ended = True
        self._timer.cancel()
        self._body = b""
        self._ready.clear()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self._stop()
        self._batches.ended(self)
        if self._asked.release is not None:
            self._asked.release()
            self._asked.release = None


def away() -> Problem:
    """There is nobody to read batches at the moment."""
    return Problem(
        503,
        "batch-process-away",
        "the process that reads batches does not answer; rows in JSON are answered as always",
        headers=(retry_after(),),
    )


def not_survived(signal: int) -> Problem:
    """Reading it ended the process that read it."""
    how = f"signal {signal}" if signal else "an error"
    return Problem(
        422,
        "batch-not-survived",
        f"the process that read this batch ended with {how}: it is damaged, or takes more than a batch may",
        fix="see that the file is whole, or send it in parts",
    )


def not_served() -> Problem:
    """The server answers no batches."""
    return Problem(
        415,
        "batch-not-served",
        "this server answers rows in JSON, and no batches in Arrow or Parquet",
        fix='write batch = true under [serving], pip install "headrace[serve,batch]", and start it again; or send JSON',
    )


def answer_format(accept: bytes | None, sent: Format) -> Format:
    """The format that a client likes best, of two that it likes alike the one that it sent; raises `Problem`."""
    if accept is None:
        return sent
    best: dict[Format, tuple[int, float]] = {}
    for part in accept.split(b","):
        kind, *parameters = [each.strip().lower() for each in part.split(b";")]
        for name, media in MEDIA_TYPES.items():
            exact = {media: 3, media.partition(b"/")[0] + b"/*": 2, b"*/*": 1}.get(kind, 0)
            if exact and exact > best.get(name, (0, 0.0))[0]:
                best[name] = (exact, _quality(parameters))
    liked = sorted(((name != sent, name) for name, (_, q) in best.items() if q > 0), key=lambda each: each[0])
    if not liked:
        kinds = " or ".join(kind.decode() for kind in FORMATS)
        raise Problem(406, "not-acceptable", f"batches are answered as {kinds}", fix="send accept with one of these")
    return max((name for _, name in liked), key=lambda name: best[name][1])


def _quality(parameters: Sequence[bytes]) -> float:
    for each in parameters:
        if each.startswith(b"q="):
            try:
                return float(each[2:])
            except ValueError:
                return 0.0
    return 1.0


def wanted(endpoint: Endpoint, names: tuple[str, ...]) -> dict[str, tuple[Type, ...]]:
    """Of the columns that were sent those that somebody reads, with the types of all who do.

    Raises
    ------
    ColumnMissing, ColumnUnknown : as for a row in JSON with these columns
    """
    if not endpoint.alike:
        unknown = next((name for name in names if name not in endpoint.known), None)
        if unknown is not None:
            raise ColumnUnknown(unknown, row=0, near=None)
    found: dict[str, tuple[Type, ...]] = {}
    for slot in (*endpoint.slots, *endpoint.shadows, *endpoint.fallbacks):
        first = slot is endpoint.slots[0]
        try:
            columns = endpoint.version_of(slot).bodies.read_of(names, ignore_unknown=not (first and endpoint.alike))
        except ColumnMissing:
            if slot in endpoint.slots:
                raise
            continue  # a shadow or a fallback that lacks it says so itself
        for name, type_ in columns:
            if type_ not in found.get(name, ()):
                found[name] = (*found.get(name, ()), type_)
    return found


def moved(error: Exception, by: int) -> Exception:
    """An error of a slice's row, by its number in the batch."""
    if isinstance(error, HeadraceError) and by and isinstance(row := error.facts.get("row"), int):
        error.facts["row"] = row + by
        error.message = error.message.replace(f"rows[{row}]", f"rows[{row + by}]", 1)
    return error


def _answers(endpoint: Endpoint) -> tuple[tuple[Answers, ...], list[Of]]:
    """The columns of a deployment's answers, beside who answered; as `headrace predict` writes them."""
    versions = [endpoint.version_of(slot) for slot in (*endpoint.slots, *endpoint.fallbacks)]
    deciders = [version.scorer.decider for version in versions]
    found: list[tuple[Answers, Of]] = []

    def add(name: str, kind: str, of: Of) -> None:
        found.append((Answers(name=name, kind=kind), of))  # type: ignore[arg-type]

    task = versions[0].task
    if task == "regression":
        add("value", "number", lambda said: said.value)
        if any(each.uncertainty.intervals_known for each in deciders):
            add("low", "number", lambda said: said.low)
            add("high", "number", lambda said: said.high)
    elif task == "binary":
        add("probability", "number", lambda said: said.probability)
        add("decision", "flag", lambda said: said.decision)
    else:
        for name in dict.fromkeys(name for each in deciders for name in each.decision.classes):
            add(f"probability_{name}", "number", _share(name))
        add("decision", "text", lambda said: said.decision)
    if any(each.decision.reject is not None for each in deciders):
        add("review", "flag", lambda said: said.review)
    if any(each.uncertainty.sets_known for each in deciders):
        add("set", "texts", lambda said: said.set)
    return tuple(column for column, _ in found), [of for _, of in found]


def _share(name: str) -> Of:
    return lambda said: None if said.probabilities is None else said.probabilities.get(name)


def _named(slot: Slot) -> Who:
    if slot.version is None:  # the constant: nobody's answer
        return *slot.key, None, None
    served = slot.version.served
    return *slot.key, served.model, served.version


def _who(row: Row) -> Slot:
    assert row.by is not None, "it is answered"
    return row.by


def _said(row: Row) -> Prediction:
    assert row.prediction is not None, "it is answered"
    return row.prediction
