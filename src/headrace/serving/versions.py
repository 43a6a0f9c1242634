"""A version as a server holds it: loaded once, checked against its golden rows, then asked for every request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from headrace.features.program import HistoryLike
from headrace.scoring.bodies import BodyReader, Values
from headrace.scoring.model import Prediction, Reason
from headrace.scoring.package import Package
from headrace.scoring.scorer import Scorer
from headrace.serving.model import Served


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

    def entity_places(self, sticky: Sequence[str]) -> tuple[int, ...]:
        """Places of the sticky columns among the values of a row; of the key's columns that a request carries where
        none are named."""
        wanted = sticky or [name for name in self.scorer.program.key if name in self.columns]
        return tuple(self.columns.index(name) for name in wanted if name in self.columns)

    def prepare(self, values: Values, now_us: int) -> tuple[bytes, tuple[object, ...]]:
        """See `Scorer.prepare`."""
        return self.scorer.prepare(values, now_us)

    def answer(
        self, encoded: Sequence[bytes], amounts: Sequence[tuple[object, ...]]
    ) -> tuple[list[Prediction], list[tuple[float, ...]]]:
        """See `Scorer.answer`; the scores of each row as a tuple."""
        predictions, scores = self.scorer.answer(encoded, amounts)
        if scores.ndim == 1:
            return predictions, [(score,) for score in scores.tolist()]
        return predictions, [tuple(row) for row in scores.tolist()]


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


def request_schema(version: Version) -> dict[str, Any]:
    """JSON Schema of one row, for people and for the OpenAPI page."""
    kinds = {
        "float": {"type": ["number", "null"]},
        "integer": {"type": ["integer", "null"]},
        "boolean": {"type": ["boolean", "null"]},
        "timestamp": {"type": ["string", "null"], "format": "date-time"},
        "date": {"type": ["string", "null"], "format": "date"},
        "duration": {"type": ["number", "null"], "description": "seconds"},
        "decimal": {"type": ["number", "string", "null"]},
    }
    program = version.scorer.program
    properties = {f.name: kinds.get(f.type.value, {"type": ["string", "null"]}) for f in program.request}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
