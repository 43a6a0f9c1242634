"""The row form's lookups and windows, answered from the online store. Loads no table engine.

One read a request and batch of steps gives every value and the state that they belong to, so a row never sees two
watermarks. A row whose prediction time lies before the watermark is refused: the values may hold what was not known
then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

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
        self._state_bytes: bytes | None = None
        self._states: dict[str, StepState] = {}
        self._readers = {
            number: StepReader(step)
            for number, step in enumerate(program.steps)
            if isinstance(step, LookupStep | WindowStep)
        }
        self._take(store.read(space, []).state)

    @property
    def watermark_us(self) -> int | None:
        """The latest watermark among the program's steps, as of the last read: rows before it are refused."""
        return max((one.watermark_us for one in self._own() if one.watermark_us is not None), default=None)

    def reader(self, steps: Sequence[int]) -> ReadRow:
        """Reads the features of some steps in one read."""
        readers = [self._readers[number] for number in steps]

        def read(keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
            return self._read(readers, keys, t_us)

        return read

    def _own(self) -> list[StepState]:
        return [self._states[reader.id] for reader in self._readers.values()]

    def _read(self, readers: Sequence[StepReader], keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
        while True:
            asked = [
                None if None in key else key_of(reader.prefix, key) for reader, key in zip(readers, keys, strict=True)
            ]
            found = self._store.read(self._space, [key for key in asked if key is not None])
            if found.state == self._state_bytes or not self._take(found.state):
                break
        values = iter(found.values)
        row: list[object] = []
        for reader, key in zip(readers, asked, strict=True):
            record = None if key is None else next(values)
            if reader.is_static:
                row += reader.static(record)
            elif t_us is None or self._is_stale(reader, t_us):
                row += reader.nothing
            else:
                row += reader.features(record, t_us, key is not None)
        return row

    def _take(self, data: bytes | None) -> bool:
        """Learn of a new state; True when keys have changed with it."""
        state = decode_state(data)
        for reader in self._readers.values():
            if reader.id not in state.steps:
                raise NotMaterialized(self._program.model, reader.step.name)
        before = [reader.prefix for reader in self._readers.values()]
        for reader in self._readers.values():
            reader.take(state.steps[reader.id])
        self._states = state.steps
        self._state_bytes = data
        return before != [reader.prefix for reader in self._readers.values()]

    def _is_stale(self, reader: StepReader, t_us: int) -> bool:
        behind = t_us - reader.watermark_us
        if behind < 0:
            raise BeforeWatermark(reader.step.name, t_us=t_us, watermark_us=reader.watermark_us)
        if self._limit is None or behind <= self._limit:
            return False
        if self._refuses:
            raise OnlineStale(reader.step.name, behind_us=behind, limit_us=self._limit)
        return True


class StepReader:
    """One lookup or window: how its record is read."""

    def __init__(self, step: LookupStep | WindowStep) -> None:
        self.step: Final = step
        self.id: Final = step_id(step)
        self.width: Final = len(fields_of(step))
        self.nothing: Final[list[object]] = [None] * self.width
        self.is_static: Final = isinstance(step, LookupStep) and step.event_time is None
        self.prefix = b""
        self.watermark_us = 0
        self.features: Final = _lookup(step) if isinstance(step, LookupStep) else _window(step)
        """From a record (None: there is none), the prediction time and whether there is a key to features."""

    def take(self, state: StepState) -> None:
        self.prefix = prefix_of(self.id, state.epoch)
        self.watermark_us = state.watermark_us or 0

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
