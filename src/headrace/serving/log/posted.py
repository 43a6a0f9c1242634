"""Truths as a client posts them: `{"outcomes": [{"request_id": …, "value": …, "known": …}, …]}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from headrace.language.types import Type
from headrace.language.values import encode
from headrace.serving.log.errors import OutcomesRefused
from headrace.serving.log.outcomes import outcome_of
from headrace.serving.log.record import Outcome

MOST: Final = 10_000
"""Truths of one request."""
_Value = bool | int | float | str


class _Posted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One truth: about a request's row, or about an entity's newest answer at an instant."""

    value: _Value
    known: str | None = None
    """ISO 8601; now when left out."""
    request_id: str | None = None
    row: int = 0
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
        outcome_of(_mapping(one, now), number, sticky=sticky, deployment=deployment, types=types)
        for number, one in enumerate(found)
    ]


def _mapping(one: _Posted, now: object) -> Mapping[str, Any]:
    entity = one.entity or {}
    return {**entity, "value": one.value, "known": one.known or now, "at": one.at, "row": one.row} | (
        {} if one.request_id is None else {"request_id": one.request_id}
    )
