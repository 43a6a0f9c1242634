"""Appends to the log: the only part of it on the hot path.

One call of `append` is one `write` of one frame for all records of an event-loop turn. With durability `process` it is
in the kernel when the call returns and survives kill -9; with `power` a thread syncs, and `when_durable` calls back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal
from zlib import crc32

import msgspec

from headrace.serving.log.epochs import begin_epoch, discard
from headrace.serving.log.errors import LogBehind, LogFull, LogUnavailable
from headrace.serving.log.frames import CHECK, END, HEAD, Kind, encode_frame
from headrace.serving.log.gap_slot import Missed, NoSlot, Reason, Slot
from headrace.serving.log.record import FORMAT, Gap, Outcome, Record, Route, SegmentHeader
from headrace.serving.log.segment import Segment
from headrace.serving.log.syncing import Asked, Loop, Syncer
from headrace.serving.log.waiting import Callback, Unsynced, Waiting
from headrace.stores.durable import from_os_error
from headrace.stores.errors import StoreFull, StoreUnavailable

Durability = Literal["process", "power"]
OnFull = Literal["refuse", "gap"]
LogError = LogFull | LogUnavailable | LogBehind

SEGMENT_BYTES: Final = 64 << 20
SEGMENT_S: Final = 600.0
WAITING_BYTES: Final = 64 << 20
"""Most bytes that wait to become durable."""
BEGIN_S: Final = 1.0
"""Between two tries to begin where there was no space for it."""
TRIES: Final = 3
"""New segments that are tried in a row when the disk refuses to sync."""

_encode: Final = msgspec.msgpack.Encoder().encode
_pack: Final = HEAD.pack
_check: Final = CHECK.pack


class LogHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Whose log it is."""

    project: str
    worker: str
    """Which worker of which host, for people: every start of a worker is an epoch of its own."""


class LogWriter:
    """The log of one worker. Not for several threads: it belongs to the thread of its event loop.

    Where there is no space for it to begin, it begins once there is: until then answers are treated by the policy.

    Parameters
    ----------
    folder
        Of all workers' logs; the writer makes a folder for its epoch there.
    durability
        `process` or `power`.
    on_full
        What becomes of answers when the log cannot be written. `refuse`: `append` raises and they must not leave.
        `gap`: they leave, are counted, and the count stands in the log in their place.
    clock
        Microseconds since 1970 UTC; for people only, it may jump.
    loop
        The running event loop; needed for `power`.

    Raises
    ------
    LogUnavailable : it cannot be begun, for another reason than space.
    """

    def __init__(
        self,
        folder: Path,
        *,
        header: LogHeader,
        durability: Durability,
        on_full: OnFull,
        clock: Callable[[], int],
        loop: Loop | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        segment_s: float = SEGMENT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if durability == "power" and loop is None:
            raise ValueError("durability = 'power' needs the running event loop")
        self._header: Final = header
        self._on_full: Final = on_full
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._segment_bytes: Final = segment_bytes
        self._segment_s: Final = segment_s
        self._log: Final = folder
        self.epoch = ""
        """The name of its folder; none before there is one."""
        self._folder = -1
        self._slot: Slot = NoSlot()
        self._where = str(folder)
        self._begun = 0.0
        """When it was last tried to begin."""
        self._routes: dict[int, bytes] = {}
        self._introduced = 0
        self._forgotten: list[int] = []
        self._ahead = b""
        """Frames that go before the next one."""
        self._sequence = 0
        self._missed: Missed | None = None
        self.missed_total = 0
        """Answers that left without being logged, in this life of the worker."""
        self._number = 0
        self._segment: Segment | None = None
        self._until = 0.0
        self._waiting: Final = Waiting()
        self._unproved: tuple[Missed, int] | None = None
        """A gap that was written up to a ticket and is not known to be durable."""
        self._generation = 0
        self._failures = 0
        self._syncer: Syncer | None = None
        if durability == "power" and loop is not None:
            self._syncer = Syncer(loop, durable=self._became_durable, failed=self._sync_failed)
        try:
            self._begin()
            self._open_segment()
        except LogFull:
            pass
        except (OSError, LogUnavailable) as error:
            ours = self._error(error)
            if isinstance(ours, LogUnavailable):
                self.close()
                raise ours from error

    @property
    def is_open(self) -> bool:
        """Whether there is a file that answers are written to."""
        return self._segment is not None

    @property
    def unkept(self) -> int:
        """Answers that left without being logged, and that nothing but this process counts yet."""
        return self._missed.n if self._missed is not None and not self.epoch else 0

    @property
    def sequence(self) -> int:
        """The number that the next record gets: so many were answered in this epoch."""
        return self._sequence

    def introduce(self, route: Route) -> int:
        """The number by which records name a route. Never fails: it is written together with the next records."""
        self._introduced += 1
        frame = encode_frame(Kind.ROUTE, self._sequence, 0, _encode((self._introduced, route)))
        self._routes[self._introduced] = frame
        self._ahead += frame
        return self._introduced

    def forget(self, route: int) -> None:
        """No record will name this route any more: segments to come need not introduce it."""
        self._forgotten.append(route)

    def append(self, records: Sequence[Record]) -> int:
        """Log answers, all or none of them; a ticket for `when_durable`.

        Raises
        ------
        LogFull, LogUnavailable, LogBehind : with `on_full = "refuse"`; none of the answers may leave.
        """
        return self._write(Kind.RECORDS, len(records), _encode(records))

    def append_outcomes(self, outcomes: Sequence[Outcome]) -> int:
        """Log truths, all or none of them; a ticket for `when_durable`.

        Raises
        ------
        LogFull, LogUnavailable, LogBehind : whatever the policy for answers; the sender may try again.
        """
        return self._write(Kind.OUTCOMES, len(outcomes), _encode(outcomes))

    def when_durable(self, ticket: int, callback: Callback) -> None:
        """Call back once everything up to the ticket is as durable as was asked for.

        At once with durability `process`. With `power` from the loop, in order of tickets: with None when the answers
        may leave, with the error when they must not.
        """
        if self._syncer is None or ticket <= self._waiting.durable:
            callback(None)
        else:
            self._waiting.when(ticket, callback)

    def close(self) -> None:
        """Make everything durable, mark the segment's end and let go of the files."""
        if self.unkept:
            with suppress(OSError, LogFull, LogUnavailable):
                self._begin()
                self._open_segment()
        segment = self._segment
        if segment is not None:
            try:
                segment.write(self._before() + encode_frame(Kind.CLOSE, self._sequence, 0, b""))
            except OSError:
                pass  # a segment without its end is one of a worker that was killed; the slot keeps the gap
            else:
                self._went_on()
            if self._syncer is None:
                with suppress(OSError):  # durability process promises less
                    segment.sync()
            self._let_go(segment)
            self._segment = None
        if self._syncer is not None:
            self._syncer.close()
        if self._folder >= 0:
            self._slot.close()
            if not self._number and self._missed is None:
                discard(self._log / self.epoch)
            os.close(self._folder)  # it counts as alive until then: nobody else removes it
            self._folder = -1

    def _write(self, kind: Kind, count: int, payload: bytes) -> int:
        head = _pack(len(payload), count, self._sequence, kind, crc32(payload))
        data = b"".join((head, _check(crc32(head)), payload, END))
        segment = self._segment
        if segment is None or segment.size > self._segment_bytes or self._monotonic() > self._until:
            segment = self._rotate()
        if self._ahead or self._missed is not None:
            data = self._before() + data
        try:
            if segment is None:
                if not self.epoch:
                    self._begin_again()
                segment = self._open_segment()
            if self._waiting.bytes > WAITING_BYTES:
                raise LogBehind(self._where, self._waiting.bytes)
            segment.write(data)
        except (OSError, LogBehind, LogFull, LogUnavailable) as error:
            return self._not_written(kind, count, error)
        if self._ahead or self._missed is not None:
            self._went_on()
        self._sequence = ticket = self._sequence + count
        if self._syncer is not None:
            self._waiting.add(Unsynced(ticket, count, data, kind is Kind.OUTCOMES))
            self._syncer.submit(Asked(segment, ticket, self._generation))
        return ticket

    def _before(self) -> bytes:
        """What has to be written before the next records: the gap, and routes that are new."""
        missed = self._missed
        if missed is None:
            return self._ahead
        gap = Gap(n=missed.n, since_us=missed.since_us, until_us=missed.until_us, reason=missed.reason)
        return encode_frame(Kind.GAP, missed.first, missed.n, _encode(gap)) + self._ahead

    def _went_on(self) -> None:
        """It was written."""
        missed, before = self._missed, self._unproved
        if missed is not None and self._syncer is not None:
            if before is not None:
                missed = missed._replace(first=before[0].first, since_us=before[0].since_us)
            self._unproved = (missed, self._sequence)
        self._ahead = b""
        self._missed = None

    def _not_written(self, kind: Kind, count: int, error: OSError | LogError) -> int:
        """The policy for what the log did not take."""
        if self._segment is not None and self._segment.size < 0:
            self._abandon()
        ours = self._error(error)
        if self._on_full == "refuse" or kind is not Kind.RECORDS:
            raise ours
        before, now = self._missed, self._clock()
        reason: Reason = "full" if isinstance(ours, LogFull) else "failed"
        self._miss(
            Missed(self._sequence, count, now, now, reason)
            if before is None
            else Missed(before.first, before.n + count, before.since_us, now, before.reason)
        )
        self.missed_total += count
        self._sequence = ticket = self._sequence + count
        if self._syncer is not None:
            self._waiting.add(Unsynced(ticket, count, b"", outcomes=False))
            self._syncer.submit(Asked(self._slot, ticket, self._generation))
        return ticket

    def _miss(self, missed: Missed) -> None:
        self._missed = missed
        self._slot.put(missed)

    def _error(self, error: OSError | LogError) -> LogError:
        if not isinstance(error, OSError):
            return error
        if isinstance(from_os_error(error, self._where), StoreFull):
            return LogFull(self._where)
        return LogUnavailable(self._where, error.strerror or str(error))

    def _begin(self) -> None:
        """Have a folder, which may be one that was made while there was space; raises `LogFull`, `LogUnavailable`."""
        self._begun = self._monotonic()
        try:
            self.epoch, self._folder, self._slot = begin_epoch(self._log, self._header.worker, self._clock())
        except StoreFull as error:
            raise LogFull(self._where) from error
        except StoreUnavailable as error:
            raise LogUnavailable(self._where, error.facts["reason"]) from error
        self._where = str(self._log / self.epoch)
        if self._missed is not None:
            self._slot.put(self._missed)

    def _begin_again(self) -> None:
        """As `_begin`, once in a while: it takes too long to be tried for every answer."""
        if self._monotonic() < self._begun + BEGIN_S:
            raise LogFull(self._where)
        self._begin()

    def _open_segment(self) -> Segment:
        self._number += 1
        waits = [self._waiting.durable] if self._waiting else []
        header = SegmentHeader(
            format=FORMAT,
            project=self._header.project,
            worker=self._header.worker,
            epoch=self.epoch,
            number=self._number,
            first=min([self._sequence, *waits, *(one.first for one in self._pending())]),
            opened_us=self._clock(),
        )
        beginning = encode_frame(Kind.HEADER, header.first, 0, _encode(header)) + b"".join(self._routes.values())
        try:
            self._segment = Segment(self._folder, self._number, beginning)
        except OSError:
            self._number -= 1
            raise
        self._until = self._monotonic() + self._segment_s
        return self._segment

    def _rotate(self) -> Segment | None:
        """Begin a new segment; while there is no space for one, the old one goes on."""
        old = self._segment
        if old is None:
            return None
        if not self._waiting:  # else what waits may have to be written anew, with the routes that it names
            for route in self._forgotten:
                self._routes.pop(route, None)
            self._forgotten.clear()
        try:
            self._open_segment()
        except OSError:
            return old
        with suppress(OSError):  # without it the old one's end is found by what the new one begins with
            old.write(encode_frame(Kind.CLOSE, self._sequence, 0, b""))
        self._let_go(old)
        return self._segment

    def _abandon(self) -> None:
        if self._segment is not None:
            self._let_go(self._segment)
            self._segment = None

    def _let_go(self, segment: Segment) -> None:
        if self._syncer is None:
            segment.close()
        else:
            self._syncer.submit(Asked(segment, self._sequence, self._generation, last=True))

    def _became_durable(self, ticket: int, generation: int) -> None:
        if generation != self._generation:
            return
        self._failures = 0
        if self._unproved is not None and self._unproved[1] < ticket:
            self._unproved = None
        self._waiting.became_durable(ticket)

    def _sync_failed(self, error: OSError, generation: int) -> None:
        """The disk did not take a segment: what is not known to be durable goes into a new one."""
        if generation != self._generation:
            return
        self._abandon()
        self._generation += 1
        if not self._waiting:
            return
        self._failures += 1
        try:
            if self._failures > TRIES:
                raise error
            fresh = self._open_segment()
            fresh.write(self._waiting.frames())
        except OSError as last:
            self._give_up(self._error(last))
        else:
            if self._syncer is not None:
                self._syncer.submit(Asked(fresh, self._sequence, self._generation))

    def _give_up(self, error: LogError) -> None:
        """No segment takes what waits: the answers are refused, or they leave and are counted, as the policy says."""
        self._abandon()
        refuse = self._on_full == "refuse"
        reason: Reason = "refused" if refuse else "full" if isinstance(error, LogFull) else "failed"
        pending, now = self._pending(), self._clock()
        first = min([self._waiting.durable, *(one.first for one in pending)])
        since = min([now, *(one.since_us for one in pending)])
        self._miss(Missed(first, self._sequence - first, since, now, reason))
        self._unproved = None
        self._failures = 0
        n = self._waiting.give_up(self._sequence, error, refuse=refuse)
        if not refuse:
            self.missed_total += n

    def _pending(self) -> list[Missed]:
        """Gaps that are not in the log for certain."""
        return [one for one in (self._missed, self._unproved and self._unproved[0]) if one is not None]
