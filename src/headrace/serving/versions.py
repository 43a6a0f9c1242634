"""A version as a server holds it: loaded once, then asked for every request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from headrace.features.errors import OnlineStale
from headrace.features.program import HistoryLike
from headrace.scoring.bodies import BodyReader, Values
from headrace.scoring.model import Prediction, Reason
from headrace.scoring.package import Package
from headrace.scoring.scorer import Scorer
from headrace.serving.breaker import Breaker
from headrace.serving.model import Served

Entity = tuple[object, ...]
"""Values of the sticky columns in the row form."""
_encode: Final = msgspec.json.Encoder().encode
_BINS: Final = 10
_FLAGS: Final = {None: b"", False: b',"decision":false', True: b',"decision":true'}


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is sent back for one row, less what is the same for every answer of a version."""

    probability: float | None = None
    decision: bool | str | None = None
    review: bool | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    set: tuple[str, ...] | None = None
    reasons: tuple[Reason, ...] = ()


class Version:
    """One loaded version.

    Parameters
    ----------
    history : as for `Scorer`

    Raises
    ------
    PackageRefused
    """

    def __init__(self, served: Served, package: Package, history: HistoryLike | None) -> None:
        self.served: Final = served
        self.scorer: Final = Scorer(package, served.version, history)
        self.bodies: Final = BodyReader(self.scorer.program, self.scorer.contract_types)
        program = self.scorer.program
        self.columns: Final = tuple(field.name for field in program.request)
        self.task: Final = self.scorer.decider.decision.task
        self.waits: Final = bool(getattr(history, "waits", False))
        """Whether making a row ready may wait for another machine."""
        self._history = history
        prepare = self.scorer.prepare
        self.prepare: Final = Breaker(but_not=(OnlineStale,)).guard(prepare) if self.waits else prepare
        golden = self.scorer.golden
        self.score_edges: Final = () if golden is None or self.task != "regression" else golden.edges(_BINS)
        """Of values: where those of the golden rows lie; none: nothing is known of how it scores."""
        self.tell: Final = teller(self.task)
        """From a prediction to the JSON of `Answer` without its opening brace."""

    @property
    def watermark_us(self) -> int | None:
        """Up to when the values are filled that rows are made from; None where they need none."""
        found: int | None = getattr(self._history, "watermark_us", None)
        return found

    def sticky(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """The request columns that name an entity: those that are wanted, of the key's where none are."""
        columns = wanted or self.scorer.program.key
        return tuple(name for name in columns if name in self.columns)

    def entity_of(self, sticky: Sequence[str]) -> Callable[[Values], Entity]:
        """From a row's values to its entity."""
        places = [self.columns.index(name) for name in sticky]
        if not places:
            return lambda _: ()
        if len(places) == 1:
            [place] = places
            return lambda values: (values[place],)
        return itemgetter(*places)

    def answer(
        self, encoded: Sequence[bytes], amounts: Sequence[tuple[object, ...]]
    ) -> tuple[list[Prediction], list[tuple[float, ...]]]:
        """See `Scorer.answer`."""
        return self.scorer.answer(encoded, amounts)


def answer_of(prediction: Prediction) -> Answer:
    """What is sent of a prediction."""
    p = prediction
    return Answer(
        probability=p.probability,
        decision=p.decision,
        review=p.review,
        probabilities=p.probabilities,
        value=p.value,
        low=p.low,
        high=p.high,
        set=p.set,
        reasons=p.reasons,
    )


def teller(task: str) -> Callable[[Prediction], bytes]:
    """See `Version.tell`. A binary answer is put together by hand: that is a third of the time, on every request."""
    if task != "binary":
        return lambda prediction: _encode(answer_of(prediction))[1:]
    endings: dict[tuple[object, tuple[str, ...] | None], bytes] = {}

    def tell(prediction: Prediction) -> bytes:
        p = prediction
        if p.review is not None or p.reasons or p.probability is None:
            return _encode(answer_of(p))[1:]
        ending = endings.get((p.decision, p.set))
        if ending is None:
            likely = b"" if p.set is None else b',"set":' + _encode(p.set)
            ending = endings[p.decision, p.set] = _FLAGS[p.decision] + likely + b"}"  # type: ignore[index]
        return b'"probability":' + _encode(p.probability) + ending

    return tell


def request_schema(version: Version) -> dict[str, Any]:
    """JSON Schema of one row, for people and for the OpenAPI page."""
    kinds: dict[str, dict[str, Any]] = {
        "float": {"type": ["number", "null"]},
        "integer": {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**63 - 1},
        "boolean": {"type": ["boolean", "null"]},
        "timestamp": {"type": ["string", "null"], "format": "date-time"},
        "date": {"type": ["string", "null"], "format": "date"},
        "duration": {"type": ["number", "null"], "description": "seconds"},
        "decimal": {"type": ["number", "string", "null"]},
    }
    program = version.scorer.program
    properties = {f.name: kinds.get(f.type.value, {"type": ["string", "null"]}) for f in program.request}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
