"""What the log holds: a record an answer, a route for all answers that one arm gives, a truth that came later."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

FORMAT: Final = 1
"""Of segments."""


class Struct(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of what stands in the log: fields in order without names. New fields come last and have a default."""


class Route(Struct, frozen=True, kw_only=True):
    """What all answers of one arm under one revision share; introduced once a segment, then named by its number."""

    deployment: str
    revision: int
    """Of the deployment, whose objects say the weights and the salt."""
    arm: str
    """The arm that the entity was assigned to, or the shadow's name."""
    model: str
    version: int | None
    """None where the deployment's constant answers."""
    package: str
    """SHA-256 of the manifest of the version that answers; empty for the constant."""
    sticky: tuple[str, ...] = ()
    """Names of the columns of `Record.entity`."""
    price_usd: float | None = None
    """Of one answer."""
    fallback: bool = False
    """Whether this is not the arm's own version but answers in its place."""
    shadow: bool = False
    """Whether the answers are logged and not sent."""


class Record(Struct, frozen=True):
    """One answered prediction. Everything that the answer depends on, so that it can be computed again."""

    request_id: str
    row: int
    """Place among the request's rows, from 0: request id, row and, of a shadow, package are the record's id."""
    route: int
    """What `LogWriter.introduce` gave."""
    at_us: int
    """When it was asked, microseconds since 1970 UTC by the server's clock. Nothing is ordered by it."""
    entity: tuple[Any, ...]
    """Values of the sticky columns in the row form."""
    features: bytes
    """The model's input: one row of little-endian float32."""
    scores: tuple[float, ...]
    """The probability, the value, or a probability a class."""
    decision: bool | str | None = None
    review: bool | None = None
    own: tuple[Any, ...] = ()
    """The row's own amounts, where the decision uses them (`Decider.columns`)."""
    latency_us: int = 0
    """From the request's first byte to the logging of its answer."""
    watermark_us: int | None = None
    """Up to when the online values were filled that it was made from; None without any."""
    trace: str | None = None
    """The trace that the request was a part of: 32 hexadecimal digits, as in W3C's `traceparent`."""


class Outcome(Struct, frozen=True, kw_only=True):
    """The truth about a prediction, or about an entity's newest prediction at an instant."""

    value: bool | int | float | str
    """Binary: whether it is the positive class; multiclass: the class; regression: the value."""
    known_us: int
    """When it became known; of several truths about one prediction the one known last counts."""
    request_id: str | None = None
    row: int = 0
    deployment: str | None = None
    """With `entity`: whose predictions are meant."""
    entity: tuple[Any, ...] | None = None
    at_us: int | None = None
    """With `entity`: its newest prediction asked at this instant or before."""


class Gap(Struct, frozen=True, kw_only=True):
    """Answers that the log does not hold, counted where they would stand."""

    n: int
    since_us: int
    until_us: int
    reason: Literal["full", "failed", "refused", "cut"]
    """full, failed: they left without being logged, as the policy says (no space; the disk refused). refused: they did
    not leave either. cut: a power cut took them, which durability `process` does not promise to survive."""


class SegmentHeader(Struct, frozen=True, kw_only=True):
    """The first frame of a segment."""

    format: int
    project: str
    worker: str
    epoch: str
    """One life of one worker: its folder's name."""
    number: int
    first: int
    """Sequence number of the first record that the segment may hold."""
    opened_us: int
