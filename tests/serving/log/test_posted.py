"""Truths that a client posts: taken strictly, refused by place, never by value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.language.types import Type
from headrace.serving.log.errors import OutcomesRefused
from headrace.serving.log.posted import MOST, posted_outcomes
from headrace.serving.log.record import Outcome

NOW_US = 1_795_773_600_000_000
TYPES = {"tailnum": Type.CATEGORY, "sched_dep_at": Type.TIMESTAMP}


def posted(*outcomes: Any) -> list[Outcome]:
    body = msgspec.json.encode({"outcomes": outcomes})
    return posted_outcomes(body, deployment="d", sticky=("tailnum", "sched_dep_at"), types=TYPES, now_us=NOW_US)


def test_truths_by_request_and_by_entity_are_taken() -> None:
    assert posted(
        {"request_id": "q1", "value": True, "known": "2026-11-27T10:00:00Z"},
        {"request_id": "q2", "row": 3.0, "value": "late"},
        {
            "entity": {"tailnum": "N1", "sched_dep_at": "1970-01-01T00:00:01Z"},
            "at": "1970-01-01T00:00:02Z",
            "value": 0.5,
        },
    ) == [
        Outcome(value=True, known_us=NOW_US, request_id="q1"),
        Outcome(value="late", known_us=NOW_US, request_id="q2", row=3),
        Outcome(value=0.5, known_us=NOW_US, deployment="d", entity=("N1", 1_000_000), at_us=2_000_000),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"outcomes": []}',
        b'{"outcomes": [{"request_id": "q1"}]}',
        b'{"outcomes": [{"request_id": "q1", "value": null}]}',
        b'{"outcomes": [{"request_id": "q1", "value": [1]}]}',
        b'{"outcomes": [{"request_id": "q1", "value": 1, "knwon": "2026-11-27"}]}',
        b'{"outcomes": [{"request_id": "q1", "value": 1, "known": "secret"}]}',
        b'{"outcomes": [{"request_id": 7, "value": 1}]}',
        b'{"outcomes": [{"value": 1, "entity": {"tailnum": "secret"}, "at": "2026-11-27"}]}',
        b'{"outcomes": [{"value": 1, "entity": {"tailnum": "N1", "sched_dep_at": "secret"}, "at": "2026-11-27"}]}',
        b'{"outcomes": [{"value": 1, "entity": {"tailnum": "N1", "sched_dep_at": "2026-11-27"}}]}',
        b'{"outcomes": [{"request_id": "q1", "value": 1, "known": ""}]}',
        b'{"outcomes": [{"request_id": "", "value": 1}]}',
        b'{"outcomes": [{"request_id": "a secret", "value": 1}]}',
        b'{"outcomes": [{"request_id": "q1", "value": 1, "row": -1}]}',
        b'{"outcomes": [{"request_id": "q1", "value": 1, "row": 0.5}]}',
        b'{"outcomes": [{"request_id": "q1", "value": 1, "row": 2147483648}]}',
        b'{"outcomes": [{"request_id": "q1", "value": 18446744073709551616}]}',
        b'{"outcomes": [{"request_id": "q1", "value": "' + b"secret" * 1_000 + b'"}]}',
        b'{"outcomes": [{"request_id": "q1", "value": 1, "at": "2026-11-27"}]}',
        b'{"outcomes": [{"value": 1, "entity": {"secret": "N1"}, "at": "2026-11-27"}]}',
        b'{"outcomes": [{"value": NaN, "request_id": "q1"}]}',
        b'{"outcomes": ' + b"[" * 100_000,
        b'{"outcomes": [{"value": "\xff", "request_id": "q1"}]}',
    ],
)
def test_anything_else_is_refused_without_a_value(body: bytes) -> None:
    with pytest.raises(OutcomesRefused) as refused:
        posted_outcomes(body, deployment="d", sticky=("tailnum", "sched_dep_at"), types=TYPES, now_us=NOW_US)
    assert "secret" not in str(refused.value)


def test_too_many_at_once_are_refused() -> None:
    one = {"request_id": "q", "value": 1}
    assert len(posted(*[one] * MOST)) == MOST
    with pytest.raises(OutcomesRefused):
        posted(*[one] * (MOST + 1))
