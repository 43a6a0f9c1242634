"""Heads that are known by their bytes mean what they meant when they were read, for as long as they may."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.made import ROW
from tests.serving.http.inside import (
    Inside,
    Transport,
    answers,
    deployment,
    key,
    now_us,
    request,
    turns,
    version,
    within,
)

from headrace.serving.http.connection import Connection
from headrace.serving.limits import Limits
from headrace.serving.log.reader import Predictions, read_log

VERSION = version(1)


def test_a_head_that_came_before_is_known(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        for _ in range(3):
            connection.data_received(request())
            await turns()
        assert len(inside.desk.heads) == 1
        found = answers(transport.sent)
        assert [status for status, _, _ in found] == [200] * 3
        assert len({answer["probability"] for _, _, answer in found}) == 1
        assert len({answer["id"] for _, _, answer in found}) == 3
        connection.data_received(request(ROW | {"vip": "so"}))
        connection.data_received(request([ROW]))
        await turns()
        assert [status for status, _, _ in answers(transport.sent)[3:]] == [422, 200]

    within(run())


def test_who_asks_whether_to_send_is_not_told_in_the_place_of_an_earlier_answer(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        asks = request(ROW, expect="100-continue")
        head = asks[: asks.index(b"\r\n\r\n") + 4]
        connection.data_received(request() + head)
        await turns()
        assert not transport.sent.startswith(b"HTTP/1.1 100")
        connection.data_received(asks[len(head) :])
        await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [200, 200]

    within(run())


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("more", [{"expect": "100-continue"}, {"connection": "close"}])
def test_a_head_that_says_more_than_once_is_read_every_time(tmp_path: Path, more: dict[str, str]) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, _ = inside.connect()
        connection.data_received(request(**more))
        await turns()
        assert not inside.desk.heads

    within(run())


def read_by(inside: Inside) -> tuple[Connection, Transport, list[int]]:
    """A connection, its client's end, and how many bytes each request has that its parser is given."""
    found = []

    class Parsed(Connection):
        def _parse(self, data: bytes) -> None:
            found.append(len(data))
            super()._parse(data)

    transport = Transport()
    connection = Parsed(inside.desk)
    connection.connection_made(transport)  # type: ignore[arg-type]
    return connection, transport, found


@pytest.mark.parametrize("spelled", ["x-request-id", "X-Request-ID", "X-REQUEST-Id"])
def test_a_head_is_known_whatever_id_trace_and_time_its_request_has(tmp_path: Path, spelled: str) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport, read = read_by(inside)
        names = ["first", "second:2", "x", "a" * 128]
        for name, trace in zip(names, [TRACE, OTHER, TRACE, TRACE], strict=True):
            connection.data_received(request(**{spelled: name}, Traceparent=trace, x_timeout_ms="60000"))
            await turns()
        assert len(read) == len(inside.desk.heads) == 1
        found = answers(transport.sent)
        assert [(status, headers["x-request-id"], body["id"]) for status, headers, body in found] == [
            (200, name, name) for name in names
        ]
        inside.log.close()
        records = [
            record for each in read_log(inside.folder) if isinstance(each, Predictions) for record in each.records
        ]
        assert [(each.request_id, each.trace) for each in records] == [
            (name, (OTHER if name == "second:2" else TRACE).split("-")[1]) for name in names
        ]

    within(run())


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"x_request_id": ""}, "request-id-invalid"),
        ({"x_request_id": "a b"}, "request-id-invalid"),
        ({"x_request_id": "a" * 129}, "request-id-invalid"),
        ({"x_timeout_ms": "soon"}, "timeout-invalid"),
        ({"x_timeout_ms": "0"}, "timeout-invalid"),
        ({"x_timeout_ms": "99999999"}, "timeout-invalid"),
        ({"traceparent": "00-\x01"}, "request-malformed"),
        ({"traceparent": "of another kind"}, None),
        ({"traceparent": "00-" + "0" * 32}, None),
    ],
)
def test_what_a_known_head_cannot_say_is_told_as_if_it_were_not_known(
    tmp_path: Path, more: dict[str, str], code: str | None
) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        fits = {"x_request_id": "r", "x_timeout_ms": "60000", "traceparent": TRACE}
        for said in (fits, fits | more):
            connection.data_received(request(**said))
            await turns()
        assert inside.desk.heads
        found = answers(transport.sent)
        assert [(status, body.get("code")) for status, _, body in found] == [
            (200, None),
            (200 if code is None else 400, code),
        ]

    within(run())


def test_what_a_request_says_twice_of_itself_is_read_every_time(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport, read = read_by(inside)
        once = request(x_request_id="first")
        twice = once.replace(b"\r\n\r\n", b"\r\nX-Request-ID: last\r\n\r\n", 1)
        for data in (twice, once, twice, twice.replace(b"X-Request-ID", b"x-request-id")):
            connection.data_received(data)
            await turns()
        assert [answer["id"] for _, _, answer in answers(transport.sent)] == ["last", "first", "last", "last"]
        assert len(read) == 4
        assert len(inside.desk.heads) == 1

    within(run())


def test_a_body_is_not_searched_for_ids(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        connection.data_received(request(x_request_id="a"))
        await turns()
        connection.data_received(request(b"{\r\nx-request-id: b\r\n}"))
        connection.data_received(request(b"{\r\nx-request-id: b\r\n}", x_request_id="c"))
        await turns()
        found = answers(transport.sent)
        assert [(status, headers["x-request-id"] == "b") for status, headers, _ in found] == [
            (200, False),
            (400, False),
            (400, False),
        ]

    within(run())


def test_a_head_of_chunks_is_read_every_time(tmp_path: Path) -> None:
    """Were it known, so many bytes of other chunks would be taken for a body, and those behind them for a request."""

    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        body = json.dumps(ROW).encode()
        head = request(b"", transfer_encoding="chunked").replace(b"content-length: 0\r\n", b"")
        connection.data_received(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        await turns()
        assert not inside.desk.heads
        small = b"[" + b" " * (len(body) - 15) + b"]"
        cut = b"%x\r\n%b\r\n0\r\n\r\n" % (len(small), small)
        connection.data_received(head + cut)
        await turns()
        found = answers(transport.sent)
        assert [status for status, _, _ in found] == [200, 200]
        assert found[1][2]["predictions"] == []

    within(run())


def test_a_body_that_looks_like_a_known_request_is_a_body(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        known = request()
        connection.data_received(known)
        await turns()
        assert inside.desk.heads
        outer = request(known)
        place = outer.index(b"\r\n\r\n") + 4
        connection.data_received(outer[:place])
        connection.data_received(outer[place:])
        await turns(12)
        assert [(status, body.get("code")) for status, _, body in answers(transport.sent)] == [
            (200, None),
            (400, "body-not-json"),
        ]

    within(run())


def test_known_requests_that_are_sent_ahead_are_as_many_as_others(tmp_path: Path) -> None:
    async def run() -> None:
        limits = Limits(pipelined=4)
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION], limits=limits, durability="power")
        connection, transport = inside.connect()
        connection.data_received(request())
        async with asyncio.timeout(60):
            while not transport.sent:
                await asyncio.sleep(0.001)
            assert inside.desk.heads
            for _ in range(9):
                connection.data_received(request())
            while not transport.closed:
                await asyncio.sleep(0.001)
        assert [status for status, _, _ in answers(transport.sent)] == [200] * 6 + [429]
        inside.log.close()

    within(run())


def test_a_known_head_ends_with_its_key_its_deployment_and_the_server(tmp_path: Path) -> None:
    clock = [now_us()]

    async def run() -> None:
        made = deployment({"v1": VERSION})
        held = key(expires_us=clock[0] + 1_000_000)
        inside = Inside(tmp_path, made, [VERSION], clock=lambda: clock[0], held=held)
        connection, transport = inside.connect()

        async def status() -> int:
            transport.sent = b""
            connection.data_received(request())
            await turns()
            return answers(transport.sent)[0][0]

        assert [await status(), await status(), len(inside.desk.heads)] == [200, 200, 1]
        clock[0] += 1_000_001
        assert await status() == 401
        inside.install(made, key())
        assert [await status(), await status()] == [200, 200]
        inside.install(made, key(revoked_us=1))
        assert await status() == 401
        inside.install(made, key())
        assert [await status(), await status()] == [200, 200]
        inside.desk.stale = "too old"
        assert [await status(), await status()] == [503, 503]
        inside.desk.stale = None
        assert [await status(), await status()] == [200, 200]
        inside.desk.draining = True
        assert await status() == 200
        assert transport.closed

    within(run())


def test_who_is_refused_as_a_key_has_ended_is_called_as_it_called_itself(tmp_path: Path) -> None:
    clock = [now_us()]

    async def run() -> None:
        held = key(expires_us=clock[0] + 1_000_000)
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION], clock=lambda: clock[0], held=held)
        connection, transport = inside.connect()
        for name in ("before", "after"):
            connection.data_received(request(x_request_id=name))
            await turns()
            clock[0] += 1_000_001
        assert [(status, headers["x-request-id"]) for status, headers, _ in answers(transport.sent)] == [
            (200, "before"),
            (401, "after"),
        ]

    within(run())


def test_a_head_whose_body_has_another_length_is_not_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        whole = request()
        connection.data_received(whole)
        await turns()
        connection.data_received(whole[:-1])  # the rest comes later
        await turns()
        assert len(answers(transport.sent)) == 1
        connection.data_received(whole[-1:] + whole[:10])
        await turns()
        connection.data_received(whole[10:])
        await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [200] * 3

    within(run())


def test_a_known_head_is_told_to_come_again_when_there_is_too_much_to_do(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION], limits=Limits(waiting=3))
        many = [inside.connect() for _ in range(9)]
        for turn in range(3):
            for connection, transport in many:
                transport.sent = b""
                connection.data_received(request())
            await turns()
            found = [answers(transport.sent)[0] for _, transport in many]
            assert [status for status, _, _ in found] == [200] * 3 + [429] * 6, turn
            refused = [(headers["retry-after"], problem["code"]) for _, headers, problem in found[3:]]
            assert {code for _, code in refused} == {"too-busy"}
            assert len({seconds for seconds, _ in refused}) > 1
        assert inside.desk.statuses == {429: 18}
        assert inside.desk.refusals == 18

    within(run())


def test_who_is_told_to_come_again_is_called_as_it_called_itself(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION], limits=Limits(waiting=1))
        (first, _), (second, transport) = inside.connect(), inside.connect()
        second.data_received(request(x_request_id="before"))
        await turns()
        transport.sent = b""
        first.data_received(request(x_request_id="one"))
        second.data_received(request(x_request_id="another"))
        await turns()
        [(status, headers, problem)] = answers(transport.sent)
        assert (status, headers["x-request-id"], problem["id"], problem["code"]) == (
            429, "another", "another", "too-busy",
        )  # fmt: skip

    within(run())


def test_heads_are_kept_in_bounds(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, _ = inside.connect()
        most = 0
        for number in range(1_500):
            spelled = "".join(
                each.upper() if number >> place & 1 else each for place, each in enumerate("x-request-id")
            )
            connection.data_received(request(x_other=str(number), **({spelled: "a"} if number > 1_200 else {})))
            await turns(3)
            assert 0 < len(inside.desk.heads) <= 1_024
            assert len(inside.desk.heads.lines) <= 12
            most = max(most, len(inside.desk.heads))
        assert most > 1_000

    within(run())


BODIES = st.sampled_from([ROW, ROW | {"seats": 9}, [ROW, ROW], [], b"{", b"", ROW | {"vip": "so"}])
OWN = st.sampled_from(["fixed", "b", "", "a b", "1"])
MORE = st.one_of(
    st.sampled_from([{}, {}, {}, {"x_other": "1"}, {"traceparent": TRACE}, {"x_timeout_ms": "60000"}]),
    st.dictionaries(st.sampled_from(["x_request_id", "X_Request_ID"]), OWN, min_size=1),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(BODIES, MORE), min_size=1, max_size=8), st.data())
def test_however_the_bytes_are_cut_the_answers_are_the_same(
    sent: list[tuple[object, dict[str, str]]], data: st.DataObject
) -> None:
    whole = b"".join(request(body, **more) for body, more in sent)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    found = []

    async def run() -> None:
        for parts in ([request(body, **more) for body, more in sent], pieces, [request(ROW), *pieces]):
            with TemporaryDirectory() as folder:
                inside = Inside(Path(folder), deployment({"v1": VERSION}), [VERSION])
                connection, transport = inside.connect()
                for part in parts:
                    connection.data_received(part)
                    await turns(30)
                said = answers(transport.sent)
                if len(parts) > len(pieces) and parts[1:] == pieces:
                    said = said[1:]
                for _, _, body in said:
                    if isinstance(body, dict) and body.get("id") not in {"fixed", "b", "1"}:
                        body.pop("id", None)
                found.append([(status, body) for status, _, body in said])
                inside.log.close()

    within(run())
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == len(sent)
