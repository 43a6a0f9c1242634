"""JSON bodies: the fast way reads what the plain way reads, and refuses what it refuses."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring.made import COLUMNS, ROW, program

from headrace.errors import HeadraceError
from headrace.scoring.bodies import BodyReader
from headrace.scoring.errors import BodyNotJson, BodyRefused, ColumnMissing, ColumnUnknown, ValueRefused
from headrace.scoring.rows import RowReader

READER = BodyReader(program(), ["gate"])
PLAIN = RowReader(program(), ["gate"])

numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.just(57.0), st.just(1e3)
)
cells = st.one_of(
    st.none(), st.booleans(), numbers, st.text(max_size=6), st.sampled_from(["2013-01-01T23:15:00Z", "UA"])
)
names = st.sampled_from([*COLUMNS, "hour_at", "minute_of", "flight", "gate", "vipp"])
rows = st.one_of(
    st.fixed_dictionaries(
        {
            "carrier": st.one_of(st.none(), st.text(max_size=4)),
            "distance": st.one_of(st.none(), numbers),
            "seats": st.one_of(st.none(), numbers),
            "vip": st.one_of(st.none(), st.booleans()),
            "due": st.one_of(st.none(), st.sampled_from(["2013-01-01T23:15:00Z", "2013-01-01", "soon"])),
        },
        optional={"gate": cells, "flight": cells},
    ),
    st.dictionaries(names, cells, max_size=7),
)


def plain(row: dict[str, Any], number: int = 0) -> Any:
    try:
        return list(PLAIN.read(row, number, ignore_unknown=False))
    except HeadraceError as error:
        return type(error), error.facts


def fast(body: str, *, many: bool = False) -> Any:
    try:
        return [list(row) for row in READER.many(body.encode(), 50)] if many else list(READER.one(body.encode()))
    except HeadraceError as error:
        return type(error), error.facts


@given(rows)
def test_a_body_is_read_as_its_row_is(row: dict[str, Any]) -> None:
    assert fast(json.dumps(row)) == plain(row)


@given(st.lists(rows, max_size=4))
def test_many_rows_are_read_as_each_alone(several: list[dict[str, Any]]) -> None:
    each = [plain(row, number) for number, row in enumerate(several)]
    wrong = next((one for one in each if isinstance(one, tuple)), None)
    assert fast(json.dumps(several), many=True) == (wrong or each)


def test_every_row_of_many_is_read_to_its_end() -> None:
    several = [ROW | {"due": due} for due in ("2013-01-01T23:15:00Z", None, "2014-01-01", "2013-01-01T23:15:00Z")]
    found = fast(json.dumps(several), many=True)
    assert found == [plain(row) for row in several]
    assert [type(row[list(COLUMNS).index("due")]) for row in found] == [int, type(None), int, int]


def test_what_the_fast_way_refuses_is_told_as_ever() -> None:
    for change, error in (({"vip": 1}, ValueRefused), ({"vipp": True}, ColumnUnknown)):
        with pytest.raises(error):
            READER.one(json.dumps(ROW | change).encode())
    with pytest.raises(ColumnMissing):
        READER.one(json.dumps({k: v for k, v in ROW.items() if k != "seats"}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"distance": NaN}',
        b'{"distance": 1e400}',
        b"\xff\xfe",
        b'"\\ud800"',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
)
def test_what_is_no_json_is_said_without_what_was_sent(body: bytes) -> None:
    for read in (READER.one, lambda text: READER.many(text, 50)):
        with pytest.raises((BodyNotJson, BodyRefused)) as caught:
            read(body)
        assert len(caught.value.message) < 200


def test_json_of_another_shape_is_refused() -> None:
    with pytest.raises(BodyRefused, match="one row as a JSON object, found an array"):
        READER.one(b"[]")
    with pytest.raises(BodyRefused, match="a JSON array of rows, found text"):
        READER.many(b'"rows"', 50)
    with pytest.raises(BodyRefused, match="a JSON object in place 1, found null"):
        READER.many(json.dumps([ROW, None]).encode(), 50)
    with pytest.raises(BodyRefused, match="at most 2 rows, found 3"):
        READER.many(json.dumps([ROW] * 3).encode(), 2)


@pytest.mark.parametrize("element", [b"{}", b"[]", b"0", b"null", b'{"a":{}}'])
def test_of_an_array_without_end_no_more_is_held_than_may_be_sent(element: bytes) -> None:
    body = b"[" + b",".join([element] * 300_000) + b"]"
    tracemalloc.start()
    try:
        with pytest.raises(BodyRefused, match="at most 50 rows, found more"):
            READER.many(body, 50)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
