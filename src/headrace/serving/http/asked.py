"""What is under way in a worker: a request for predictions, its rows, and what is counted of them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from headrace.scoring.model import Prediction
from headrace.serving.model import LATENCY_EDGES_US, Counts

if TYPE_CHECKING:
    from headrace.serving.http.connection import Connection
    from headrace.serving.http.endpoint import Endpoint, Slot, Teller
    from headrace.serving.versions import Entity

ReleaseKey = Callable[[], None]
EDGES: Final = list(LATENCY_EDGES_US)


class Asked:
    """A request for predictions.

    Its rows know it and it knows them: whoever has answered it lets go of the rows, so that nothing is left to the
    collector of circles.
    """

    __slots__ = (
        "away",
        "began_ns",
        "body",
        "connection",
        "decoded",
        "endpoint",
        "id",
        "instant_us",
        "keep",
        "left",
        "release",
        "rows",
        "size",
        "tell",
        "trace",
        "until_ns",
    )
    method: Final = b"POST"
    url: Final = b""

    def __init__(
        self, connection: Connection, name: bytes, endpoint: Endpoint, body: bytes, instant_us: int, *, keep: bool
    ) -> None:
        self.connection, self.id, self.endpoint, self.body = connection, name, endpoint, body
        self.instant_us, self.keep = instant_us, keep
        self.began_ns = time.perf_counter_ns()
        self.rows: list[Row] = []
        self.left = 0
        """Rows without an answer."""
        self.away = 0
        """Rows for which a fallback is asked on another thread."""
        self.size = 0
        """Rows as it is counted by."""
        self.decoded: list[dict[str, object]] | None = None
        """Its rows as the body says them, once somebody wanted to know."""
        self.tell: Teller | None = None
        """What the answer looks like; None: as one row's own JSON."""
        self.trace: str | None = None
        """The trace that it is a part of."""
        self.until_ns: int | None = None
        """When nobody waits for it any more."""
        self.release: ReleaseKey | None = None
        """What its key's limit is told when it is answered."""


class Row:
    """One row that waits for its answer."""

    __slots__ = ("amounts", "asked", "by", "encoded", "entity", "place", "prediction", "scores", "slot", "took_ns")

    def __init__(
        self,
        asked: Asked,
        place: int,
        slot: Slot,
        entity: Entity,
        encoded: bytes,
        amounts: tuple[object, ...],
        took_ns: int,
    ) -> None:
        self.asked, self.place, self.slot, self.entity = asked, place, slot, entity
        self.encoded, self.amounts = encoded, amounts
        """The model's input and the row's own amounts; no bytes where its version could not make them."""
        self.took_ns = took_ns
        """What reading it took."""
        self.by: Slot | None = None
        """Who answered; None: nobody yet."""
        self.prediction: Prediction | None = None
        self.scores: tuple[float, ...] = ()


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

    def computed(self, took_us: float) -> None:
        """A row was answered, and its arm took so long for it."""
        self.rows += 1
        self.row_sum += took_us
        self.row_squares += took_us * took_us

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
