"""Truths as a client posts them: `{"outcomes": [{"request_id": …, "value": …, "known": …}, …]}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from headrace.language.types import Type
from headrace.language.values import encode
from headrace.serving.log.errors import OutcomesRefused
from headrace.serving.log.outcomes import GREATEST_ROW, outcome_of
from headrace.serving.log.record import Outcome

MOST: Final = 10_000
"""Truths of one request."""
MOST_LETTERS: Final = 1_024
"""Of a value."""
REQUEST_ID: Final = "^[A-Za-z0-9._:-]{1,128}$"
"""What a request may name itself."""
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Value = bool | _Integer | float | Annotated[str, msgspec.Meta(max_length=MOST_LETTERS)]
_RequestId = Annotated[str, msgspec.Meta(pattern=REQUEST_ID)]


class _Posted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One truth: about a request's row, or about an entity's newest answer at an instant."""

    value: _Value
    known: str | None = None
    """ISO 8601; now when left out."""
    request_id: _RequestId | None = None
    row: Annotated[int, msgspec.Meta(ge=0, le=GREATEST_ROW)] | Annotated[float, msgspec.Meta(ge=0, le=GREATEST_ROW)] = 0
    entity: dict[str, _Value | None] | None = None
    """The sticky columns."""
    at: str | None = None


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    outcomes: Annotated[list[_Posted], msgspec.Meta(min_length=1, max_length=MOST)]


_decode: Final = msgspec.json.Decoder(_Body).decode


def posted_outcomes(
    body: bytes, *, deployment: str, sticky: Sequence[str], types: Mapping[str, Type], now_us: int
) -> list[Outcome]:
    """The truths of a request's body, to be logged by `LogWriter.append_outcomes`.

    Parameters
    ----------
    sticky, types
        The deployment's sticky columns and their types, for truths that name an entity.
    now_us
        When a truth is known that does not say so.

    Raises
    ------
    OutcomesRefused : naming the row, from 0, and what is missing or wrong, never a value.

    Examples
    --------
    >>> body = b'{"outcomes": [{"request_id": "q1", "value": true}]}'
    >>> posted_outcomes(body, deployment="d", sticky=(), types={}, now_us=7)[0].known_us
    7
    """
    try:
        found = _decode(body).outcomes
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        place = str(error).rpartition(" - at ")[2] if isinstance(error, msgspec.ValidationError) else "the body"
        raise OutcomesRefused(
            None, place, 'a JSON object {"outcomes": [{"request_id", "value", "known"}, …]}'
        ) from error
    now = encode(now_us, Type.TIMESTAMP)
    return [
        outcome_of(_mapping(one, number, now, sticky), number, sticky=sticky, deployment=deployment, types=types)
        for number, one in enumerate(found)
    ]


def _mapping(one: _Posted, number: int, now: object, sticky: Sequence[str]) -> Mapping[str, Any]:
    told = {"value": one.value, "known": now if one.known is None else one.known}
    if one.request_id is not None:
        if one.entity is not None or one.at is not None:
            raise OutcomesRefused(number, "request_id", "request_id, or entity and at, not both")
        if one.row != int(one.row):
            raise OutcomesRefused(number, "row", "the place of a row, from 0")
        return told | {"request_id": one.request_id, "row": int(one.row)}
    entity = one.entity or {}
    if not sticky or not entity.keys() <= frozenset(sticky):
        # without the name that was sent: it is the sender's
        expected = f"request_id, or entity and at, where the entity has {', '.join(sticky)}"
        raise OutcomesRefused(number, "entity", expected if sticky else "left out: the deployment has no sticky column")
    return {**entity, **told, "at": one.at}
