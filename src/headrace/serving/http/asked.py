"""What is under way in a worker: a request for predictions, its rows, and what is counted of them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from headrace.scoring.model import Prediction
from headrace.serving.model import LATENCY_EDGES_US, Counts

if TYPE_CHECKING:
    from headrace.serving.http.batches import Batch
    from headrace.serving.http.connection import Connection
    from headrace.serving.http.endpoint import Endpoint, Slot, Teller
    from headrace.serving.versions import Entity

ReleaseKey = Callable[[], None]
EDGES: Final = list(LATENCY_EDGES_US)


class Asked(msgspec.Struct, eq=False):
    """A request for predictions.

    Its rows know it and it knows them: whoever has answered it lets go of the rows, so that nothing is left to the
    collector of circles. (A struct, as is a row: one is made in a third of the time that a class of our own takes.)
    """

    connection: Connection
    id: bytes
    endpoint: Endpoint
    body: bytes
    instant_us: int
    keep: bool
    began_ns: int = msgspec.field(default_factory=time.perf_counter_ns)
    rows: list[Row] = []
    left: int = 0
    """Rows without an answer."""
    away: int = 0
    """Rows for which a fallback is asked on another thread."""
    size: int = 0
    """Rows as it is counted by."""
    decoded: list[dict[str, object]] | None = None
    """Its rows as the body says them, once somebody wanted to know."""
    batch: Batch | None = None
    """What it is a slice of; None: a request of its own."""
    first: int = 0
    """The place of its first row among those of the batch."""
    tell: Teller | None = None
    """What the answer looks like; None: as one row's own JSON."""
    trace: str | None = None
    """The trace that it is a part of."""
    until_ns: int | None = None
    """When nobody waits for it any more."""
    release: ReleaseKey | None = None
    """What its key's limit is told when it is answered."""
    method: ClassVar[bytes] = b"POST"
    url: ClassVar[bytes] = b""


class Row(msgspec.Struct, eq=False):
    """One row that waits for its answer."""

    asked: Asked
    place: int
    slot: Slot
    entity: Entity
    encoded: bytes
    """The model's input; no bytes where its version could not make them."""
    amounts: tuple[object, ...]
    """The row's own amounts."""
    took_ns: int
    """What reading it took."""
    by: Slot | None = None
    """Who answered; None: nobody yet."""
    prediction: Prediction | None = None
    scores: tuple[float, ...] = ()


class Tally:
    """What was counted of one arm since it was last said."""

    __slots__ = (
        "failed",
        "fell_back",
        "latency",
        "latency_sum",
        "row_squares",
        "row_sum",
        "rows",
        "scores",
        "skipped",
    )

    def __init__(self) -> None:
        self.rows = self.failed = self.fell_back = self.skipped = 0
        self.latency = [0] * (len(EDGES) + 1)
        self.latency_sum = self.row_sum = self.row_squares = 0.0
        self.scores: list[int] = []

    def computed(self, took_us: Sequence[float]) -> None:
        """Rows were answered, and their arm took so long for each."""
        self.rows += len(took_us)
        self.row_sum += sum(took_us)
        self.row_squares += sum([us * us for us in took_us])

    def answered(self, took_us: float) -> None:
        """A request left after so long."""
        self.latency[bisect_left(EDGES, took_us)] += 1
        self.latency_sum += took_us

    def scored(self, place: int, places: int) -> None:
        """A score fell between two edges."""
        if len(self.scores) != places:  # other edges since: the two cannot be told together
            self.scores = [0] * places
        self.scores[min(place, places - 1)] += 1

    def counts(self) -> Counts:
        """As it is told."""
        return Counts(
            rows=self.rows,
            failed=self.failed,
            fell_back=self.fell_back,
            skipped=self.skipped,
            latency_us=tuple(self.latency),
            latency_sum_us=self.latency_sum,
            row_sum_us=self.row_sum,
            row_squares_us=self.row_squares,
            scores=tuple(self.scores),
        )
