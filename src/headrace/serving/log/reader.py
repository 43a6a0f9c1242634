"""Reads what workers have logged: whole frames in the order of their sequence numbers, each once.

A torn tail ends an epoch's records, as a killed worker or a power cut leaves it. Damage anywhere else is refused, and
so are records that are missing though nothing was torn. Answers that are known to be missing come as a `Gap`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from headrace.serving.log.epochs import epochs, is_alive, segments
from headrace.serving.log.errors import LogCorrupted, LogTooNew
from headrace.serving.log.frames import COUNTED, DamagedFrameError, Frame, Frames, Kind
from headrace.serving.log.gap_slot import read_slot
from headrace.serving.log.record import FORMAT, Gap, Outcome, Record, Route, SegmentHeader
from headrace.stores.durable import translated
from headrace.stores.errors import StoreUnavailable

_header: Final = msgspec.msgpack.Decoder(SegmentHeader).decode
_route: Final = msgspec.msgpack.Decoder(tuple[int, Route]).decode
_records: Final = msgspec.msgpack.Decoder(list[Record]).decode
_outcomes: Final = msgspec.msgpack.Decoder(list[Outcome]).decode
_gap: Final = msgspec.msgpack.Decoder(Gap).decode


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers of one event-loop turn."""

    epoch: str
    sequence: int
    """Of the first; the others follow."""
    records: list[Record]
    routes: list[Route]
    """Of each record."""


@dataclass(frozen=True, slots=True)
class Truths:
    """Outcomes that came in one request."""

    epoch: str
    sequence: int
    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class Missing:
    """Answers that are not there, in their place."""

    epoch: str
    sequence: int
    gap: Gap


Read = Predictions | Truths | Missing


@dataclass(frozen=True, slots=True)
class SegmentRead:
    """A segment as far as it was read."""

    path: Path
    next: int
    """Everything that it holds has a lower sequence number."""
    torn: int
    """Bytes after its last whole frame."""


class EpochReader:
    """Iterates over one epoch from a sequence number on.

    Parameters
    ----------
    folder
        The epoch's.
    start
        Sequence number from which on records are wanted; None: whatever is there, also while it is being shipped.
    alive
        Whether its worker may still write (`epochs.is_alive`, asked before).

    Raises
    ------
    LogCorrupted, LogTooNew : while iterating.
    StoreUnavailable : a file cannot be read.
    """

    def __init__(self, folder: Path, start: int | None = None, *, alive: bool = False) -> None:
        self._folder: Final = folder
        self._alive: Final = alive
        self.epoch: Final = folder.name
        self._start: Final = start
        self.next = start
        """Everything before this sequence number was yielded; None: nothing is there."""
        self.segments: list[SegmentRead] = []
        self._routes: dict[int, Route] = {}
        self._closed = True

    def __iter__(self) -> Iterator[Read]:
        before: int | None = None
        for number, path in segments(self._folder):
            if before is not None and number != before + 1:
                raise LogCorrupted(str(path), 0, f"the segment before it, number {number - 1}, is missing")
            if before is None and number == 1 and self.next is None:
                self.next = 0  # so that a first segment without its header is missed
            before = number
            yield from self._segment(number, path)
        missed = read_slot(self._folder)
        if before is None and self.next is None:
            self.next = 0  # its worker found no space for a segment yet: once one was shipped the slot went first
        if missed is None or self.next is None or missed.first + missed.n <= self.next:
            return
        if missed.first > self.next:
            if self._alive:
                return  # its worker has gone on since we read the segments
            yield self._missing(missed.first - self.next, missed.since_us, missed.since_us, "cut")
        n = missed.first + missed.n - self.next
        yield self._missing(n, missed.since_us, missed.until_us, missed.reason)

    def _segment(self, number: int, path: Path) -> Iterator[Read]:
        try:
            with translated(str(path)):
                frames = Frames(path.read_bytes())
        except StoreUnavailable:
            if self._start is None and not path.exists():  # shipped meanwhile
                self.next = None
                return
            raise
        try:
            yield from self._frames(frames, number, path)
        except DamagedFrameError as damage:
            raise LogCorrupted(str(path), damage.offset, damage.what) from damage
        if self.next is not None:
            self.segments.append(SegmentRead(path, self.next, frames.torn))

    def _frames(self, frames: Frames, number: int, path: Path) -> Iterator[Read]:
        first, closed = True, False
        for frame in frames:
            try:
                if closed:
                    raise LogCorrupted(str(path), frame.offset, "frames follow the segment's end")
                if first != (frame.kind is Kind.HEADER):
                    raise LogCorrupted(str(path), frame.offset, "the segment does not begin with its one header")
                if first:
                    first = False
                    yield from self._begin(_header(frame.payload), number, path)
                    self._closed = False
                elif frame.kind is Kind.ROUTE:
                    name, route = _route(frame.payload)
                    self._routes[name] = route
                elif frame.kind is Kind.CLOSE:
                    closed = self._closed = True
                elif frame.kind in COUNTED:
                    read = self._counted(frame, path)
                    if read is not None:
                        yield read
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise LogCorrupted(str(path), frame.offset, "a frame is not of its form") from error
        if closed and frames.torn:
            raise LogCorrupted(str(path), frames.end, "bytes follow the segment's end")

    def _begin(self, header: SegmentHeader, number: int, path: Path) -> Iterator[Read]:
        if header.format != FORMAT:
            raise LogTooNew(str(path), header.format, FORMAT)
        if header.number != number or header.epoch != self.epoch:
            raise LogCorrupted(str(path), 0, f"it is segment {header.number} of epoch {header.epoch}")
        if self.next is None:
            self.next = header.first
        elif header.first > self.next:
            if self._closed:
                what = f"records {self.next:,} to {header.first - 1:,} are missing before it"
                raise LogCorrupted(str(path), 0, what)
            yield self._missing(header.first - self.next, header.opened_us, header.opened_us, "cut")

    def _counted(self, frame: Frame, path: Path) -> Read | None:
        assert self.next is not None
        end = frame.sequence + frame.n
        if end <= self.next:
            return None  # read before, or written twice because the disk refused once
        if frame.sequence > self.next:
            what = f"records {self.next:,} to {frame.sequence - 1:,} are missing before it"
            raise LogCorrupted(str(path), frame.offset, what)
        if frame.kind is Kind.GAP:
            gap = _gap(frame.payload)
            return self._missing(end - self.next, gap.since_us, gap.until_us, gap.reason)
        if frame.sequence < self.next:
            raise LogCorrupted(str(path), frame.offset, f"records {frame.sequence:,} to {self.next - 1:,} come again")
        self.next = end
        if frame.kind is Kind.OUTCOMES:
            return Truths(self.epoch, frame.sequence, _outcomes(frame.payload))
        records = _records(frame.payload)
        try:
            routes = [self._routes[record.route] for record in records]
        except KeyError:
            raise LogCorrupted(str(path), frame.offset, "a record names a route that was not introduced") from None
        return Predictions(self.epoch, frame.sequence, records, routes)

    def _missing(self, n: int, since_us: int, until_us: int, reason: str) -> Missing:
        assert self.next is not None
        first = self.next
        self.next += n
        gap = msgspec.convert((n, since_us, until_us, reason), Gap)
        return Missing(self.epoch, first, gap)


def read_log(log: Path) -> Iterator[Read]:
    """Everything that lies in a log, epoch by epoch.

    Raises
    ------
    LogCorrupted, LogTooNew, StoreUnavailable
    """
    for folder in epochs(log):
        yield from EpochReader(folder, alive=is_alive(folder))


@dataclass(slots=True)
class Verified:
    """What a log holds, and what is wrong with it."""

    epochs: int = 0
    segments: int = 0
    predictions: int = 0
    outcomes: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    """Answers that are not there, by the reason."""
    torn_bytes: int = 0
    problems: list[LogCorrupted | LogTooNew] = field(default_factory=list)


def verify(log: Path) -> Verified:
    """Check every byte of a log; goes on after damage with the next epoch."""
    found = Verified()
    for folder in epochs(log):
        found.epochs += 1
        reader = EpochReader(folder, alive=is_alive(folder))
        try:
            for read in reader:
                match read:
                    case Predictions(records=records):
                        found.predictions += len(records)
                    case Truths(outcomes=outcomes):
                        found.outcomes += len(outcomes)
                    case Missing(gap=gap):
                        found.missing[gap.reason] += gap.n
        except (LogCorrupted, LogTooNew) as problem:
            found.problems.append(problem)
        found.segments += len(reader.segments)
        found.torn_bytes += sum(segment.torn for segment in reader.segments)
    return found
