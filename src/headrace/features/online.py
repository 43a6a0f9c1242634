"""The row form's lookups and windows, answered from the online store. Loads no table engine.

One read a request and batch of steps gives every value and the state that they belong to, so what is read is of one and
the same update. A row whose prediction time lies before a watermark is refused: the values may hold what was not known
then. Steps may have watermarks of their own, as a version that shares some of them moves these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from headrace.features.errors import BeforeWatermark, NotMaterialized, OnlineStale, OnlineUnreadable
from headrace.features.finish import WindowFinish, kinds_of
from headrace.features.model import LookupStep, Program, Struct, WindowStep
from headrace.features.naming import fields_of
from headrace.features.program import ReadRow
from headrace.features.records import WindowRecord, key_of, prefix_of, read_lookup, step_id
from headrace.stores.online import OnlineStore

OnStale = Literal["refuse", "null"]


class StepState(Struct, frozen=True, kw_only=True):
    """What is held of one lookup or window."""

    name: str
    """Its name when it was last written, for people."""
    source: str
    epoch: int
    """Counts how often all of its values were written anew."""
    watermark_us: int | None
    """Values hold what was known before it; None: a static table."""
    rows: int
    """Of the source, known before the watermark."""
    digest: str
    """Of these rows: while it is the same, only what became known since has to be written."""


class OnlineState(Struct, frozen=True, kw_only=True):
    """What a space of the online store is as of."""

    format: int = 1
    steps: dict[str, StepState] = msgspec.field(default_factory=dict)
    """By `records.step_id`."""
    left: tuple[str, ...] = ()
    """Prefixes of keys, hexadecimal, that nobody reads any more and that are still to be removed."""


def decode_state(data: bytes | None) -> OnlineState:
    """The state that the store holds.

    Raises
    ------
    OnlineUnreadable : another release wrote it, or something else did.
    """
    if data is None:
        return OnlineState()
    try:
        found = msgspec.json.decode(data, type=OnlineState)
    except msgspec.DecodeError as error:
        raise OnlineUnreadable(str(error)) from error
    if found.format != 1:
        raise OnlineUnreadable(f"it has format {found.format}, this release reads format 1")
    return found


class OnlineHistory:
    """What was known at the watermark, for one program; a `HistoryLike`.

    Parameters
    ----------
    max_staleness_us, on_stale
        How far a prediction time may lie behind the watermark, None for any; what becomes of a row beyond it: `refuse`
        raises, `null` takes nothing for known.

    Raises
    ------
    NotMaterialized : the store has nothing of a step of the program.
    """

    def __init__(
        self,
        program: Program,
        store: OnlineStore,
        space: str,
        *,
        max_staleness_us: int | None = None,
        on_stale: OnStale = "refuse",
    ) -> None:
        self._program = program
        self._store = store
        self._space = space
        self._limit = max_staleness_us
        self._refuses = on_stale == "refuse"
        self._readers = {
            number: StepReader(step)
            for number, step in enumerate(program.steps)
            if isinstance(step, LookupStep | WindowStep)
        }
        self._seen = self._snapshot(store.read(space, []).state)

    @property
    def waits(self) -> bool:
        """Whether a read may wait for another machine."""
        return self._store.waits

    @property
    def watermark_us(self) -> int | None:
        """The latest watermark among the program's steps, as of the last read: rows before it are refused."""
        return max(self._watermarks(), default=None)

    @property
    def oldest_watermark_us(self) -> int | None:
        """The earliest one: how old the oldest of a row's values are."""
        return min(self._watermarks(), default=None)

    def reader(self, steps: Sequence[int]) -> ReadRow:
        """Reads the features of some steps in one read."""
        readers = [self._readers[number] for number in steps]

        def read(keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
            return self._read(readers, keys, t_us)

        return read

    def _watermarks(self) -> list[int]:
        return [at for at in self._seen.watermarks.values() if at is not None]

    def _read(self, readers: Sequence[StepReader], keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
        seen = self._seen  # one for the whole read: another thread may come to a newer one
        while True:
            asked = [
                None if None in key else key_of(seen.prefixes[reader.id], key)
                for reader, key in zip(readers, keys, strict=True)
            ]
            found = self._store.read(self._space, [key for key in asked if key is not None])
            if found.state == seen.state:
                break
            before, seen = seen, self._snapshot(found.state)
            self._seen = seen
            if before.prefixes == seen.prefixes:
                break
        values = iter(found.values)
        row: list[object] = []
        for reader, key in zip(readers, asked, strict=True):
            record = None if key is None else next(values)
            if reader.is_static:
                row += reader.static(record)
            elif t_us is None or self._is_stale(reader.step.name, t_us, seen.watermarks[reader.id] or 0):
                row += reader.nothing
            else:
                row += reader.features(record, t_us, key is not None)
        return row

    def _snapshot(self, data: bytes | None) -> _Seen:
        steps = decode_state(data).steps
        for reader in self._readers.values():
            if reader.id not in steps:
                raise NotMaterialized(self._program.model, reader.step.name)
        ids = {reader.id for reader in self._readers.values()}
        return _Seen(
            data,
            {id_: prefix_of(id_, steps[id_].epoch) for id_ in ids},
            {id_: steps[id_].watermark_us for id_ in ids},
        )

    def _is_stale(self, step: str, t_us: int, watermark_us: int) -> bool:
        behind = t_us - watermark_us
        if behind < 0:
            raise BeforeWatermark(step, t_us=t_us, watermark_us=watermark_us)
        if self._limit is None or behind <= self._limit:
            return False
        if self._refuses:
            raise OnlineStale(step, behind_us=behind, limit_us=self._limit)
        return True


class _Seen(NamedTuple):
    """A state of the store, as far as one program needs it; never changed, so that threads may share it."""

    state: bytes | None
    prefixes: dict[str, bytes]
    """By step: what its keys begin with."""
    watermarks: dict[str, int | None]


class StepReader:
    """One lookup or window: how its record is read."""

    def __init__(self, step: LookupStep | WindowStep) -> None:
        self.step: Final = step
        self.id: Final = step_id(step)
        self.width: Final = len(fields_of(step))
        self.nothing: Final[list[object]] = [None] * self.width
        self.is_static: Final = isinstance(step, LookupStep) and step.event_time is None
        self.features: Final = _lookup(step) if isinstance(step, LookupStep) else _window(step)
        """From a record (None: there is none), the prediction time and whether there is a key to features."""

    def static(self, record: bytes | None) -> list[object]:
        """The features of a static table's row."""
        return self.nothing if record is None else read_lookup(record)[1:]


_Features = Callable[[bytes | None, int, bool], Sequence[object]]


def _lookup(step: LookupStep) -> _Features:
    nothing: list[object] = [None] * len(step.take)
    oldest = step.max_age_us

    def features(record: bytes | None, t_us: int, is_keyed: bool) -> Sequence[object]:  # noqa: ARG001
        if record is None:
            return nothing
        event_us, *values = read_lookup(record)
        return nothing if oldest is not None and event_us < t_us - oldest else values

    return features


def _window(step: WindowStep) -> _Features:
    finish = WindowFinish(step)
    states = WindowRecord(kinds_of(step)).states

    def features(record: bytes | None, t_us: int, is_keyed: bool) -> Sequence[object]:
        if record is None:
            return finish.empty if is_keyed else finish.null
        edges = finish.edges(t_us)
        return finish.row(states(record, edges), t_us, edges)

    return features
