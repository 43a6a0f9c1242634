"""One connection: every answer comes in its request's place, whatever comes after it; what is begun is bounded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Literal

import pytest
from tests.scoring.made import ROW
from tests.serving.http.inside import Inside, Transport, answers, deployment, request, turns, version, within

from headrace.serving.http.connection import FREE_BYTES, UNREAD_BYTES
from headrace.serving.limits import Limits

VERSION = version(1)


async def until_closed(transport: Transport) -> None:
    while not transport.closed:
        await asyncio.sleep(0.001)


def inside(tmp_path: Path, durability: Literal["process", "power"] = "process", **limits: int) -> Inside:
    made = deployment({"v1": VERSION})
    return Inside(tmp_path, made, [VERSION], limits=Limits(**limits), durability=durability)


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("last", [b"HACK / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"])
def test_what_is_no_request_is_refused_after_the_answers_to_those_before_it(
    tmp_path: Path, durability: Literal["process", "power"], n: int, last: bytes
) -> None:
    async def run() -> None:
        made = inside(tmp_path, durability)
        connection, transport = made.connect()
        connection.data_received(b"".join(request(x_request_id=f"r{number}") for number in range(n)) + last)
        connection.data_received(request())  # is not read any more
        await until_closed(transport)
        found = answers(transport.sent)
        assert [status for status, _, _ in found] == [200] * n + [400]
        ids = [headers.get("x-request-id") for _, headers, _ in found]
        assert ids == [f"r{number}" for number in range(n)] + [None]
        assert made.desk.statuses == {400: 1}
        made.log.close()

    within(run())


@pytest.mark.parametrize("durability", ["process", "power"])
def test_too_many_ahead_are_told_so_in_their_place(tmp_path: Path, durability: Literal["process", "power"]) -> None:
    async def run() -> None:
        made = inside(tmp_path, durability, pipelined=4)
        connection, transport = made.connect()
        connection.data_received(b"".join(request(x_request_id=f"r{number}") for number in range(9)))
        await until_closed(transport)
        found = answers(transport.sent)
        assert [status for status, _, _ in found] == [200] * 5 + [429]
        assert [headers["x-request-id"] for _, headers, _ in found[:-1]] == [f"r{number}" for number in range(5)]
        made.log.close()

    within(run())


@pytest.mark.parametrize("durability", ["process", "power"])
def test_nothing_follows_the_answer_that_ends_a_connection(
    tmp_path: Path, durability: Literal["process", "power"]
) -> None:
    async def run() -> None:
        made = inside(tmp_path, durability)
        connection, transport = made.connect()
        connection.data_received(request(connection="close") + request())
        await until_closed(transport)
        await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [200]
        made.log.close()

    within(run())


def test_who_has_said_everything_is_still_answered_everything(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path, "power")
        connection, transport = made.connect()
        connection.data_received(request() * 3)
        assert connection.eof_received()
        while len(answers(transport.sent)) < 3:
            await asyncio.sleep(0.001)
        assert [status for status, _, _ in answers(transport.sent)] == [200] * 3
        assert transport.closed
        made.log.close()

    within(run())


def test_long_heads_are_not_remembered(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path)
        connection, transport = made.connect()
        for length in (10, 20_000):
            connection.data_received(request(x_long="a" * length))
            await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [200, 200]
        assert [len(head) < 1_000 for head in made.desk.heads.same] == [True]
        made.log.close()

    within(run())


def test_what_is_begun_and_not_whole_is_bounded_in_all_connections_together(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path, held_bytes=100_000)
        whole = request(ROW | {"carrier": "a" * 45_000})
        begun = [made.connect() for _ in range(3)]
        for connection, _ in begun:
            connection.data_received(whole[:40_000])
        assert [len(answers(transport.sent)) for _, transport in begun] == [0, 0, 1]
        [(status, headers, problem)] = answers(begun[2][1].sent)
        assert (status, problem["code"]) == (503, "too-much-begun")
        assert headers["retry-after"] in {"1", "2", "3"}
        assert (await made.ask(ROW))[0] == 200
        begun[0][0].data_received(whole[40_000:])
        begun[1][0].connection_lost(None)
        await turns()
        assert [status for status, _, _ in answers(begun[0][1].sent)] == [200]
        assert made.desk.held == 0
        made.log.close()

    within(run())


def test_who_was_refused_may_send_a_little_more_and_is_then_cut(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path)
        cut = []
        connection, transport = made.connect()
        transport.abort = lambda: cut.append(True)  # type: ignore[method-assign]
        connection.data_received(b"HACK / HTTP/1.1\r\n\r\n")
        for _ in range(15):
            connection.data_received(b"x" * 65_536)
        assert not cut
        for _ in range(3):
            connection.data_received(b"x" * 65_536)
        assert cut
        assert [status for status, _, _ in answers(transport.sent)] == [400]
        made.log.close()

    within(run())


@pytest.mark.parametrize("coding", ["gzip, chunked", ", chunked", '"chunked"', "chunked;q=1", "identity, chunked"])
def test_a_body_in_another_coding_is_refused(tmp_path: Path, coding: str) -> None:
    async def run() -> None:
        made = inside(tmp_path)
        connection, transport = made.connect()
        head = request(b"", transfer_encoding=coding).replace(b"content-length: 0\r\n", b"")
        connection.data_received(head + b"2\r\n{}\r\n0\r\n\r\n")
        await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [400]
        assert transport.closed
        made.log.close()

    within(run())


def chunked(body: bytes, *trailers: bytes, **headers: str) -> bytes:
    head = request(b"", transfer_encoding="chunked", **headers).replace(b"content-length: 0\r\n", b"")
    return head + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, b"".join(line + b"\r\n" for line in trailers))


def test_what_comes_behind_chunks_is_no_header(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path)
        connection, transport = made.connect()
        trailers = (b"x-request-id: other", b"authorization: Bearer hr_x_y", b"x-timeout-ms: soon", b"host: evil")
        connection.data_received(chunked(json.dumps(ROW).encode(), *trailers, x_request_id="r1"))
        await turns()
        [(status, headers, _)] = answers(transport.sent)
        assert (status, headers["x-request-id"]) == (200, "r1")
        made.log.close()

    within(run())


def test_a_body_that_is_too_large_is_refused_before_it_has_come_or_where_it_becomes_so(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path, body_bytes=1_000)
        whole = request([ROW] * 20)
        head = whole[: whole.index(b"\r\n\r\n") + 4]
        for data in (head, chunked(b" " * 1_001)):
            connection, transport = made.connect()
            connection.data_received(data)
            await turns()
            [(status, headers, problem)] = answers(transport.sent)
            assert (status, problem["code"], headers["connection"]) == (413, "body-too-large", "close")
            assert transport.closed
        connection, transport = made.connect()
        connection.data_received(chunked(b"[" + b" " * 998 + b"]"))
        await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [200]
        made.log.close()

    within(run())


def test_who_has_no_key_is_not_told_to_send_what_is_large(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path)
        whole = request(b" " * (FREE_BYTES + 1), text="hr_x_y", expect="100-continue")
        connection, transport = made.connect()
        connection.data_received(whole[: whole.index(b"\r\n\r\n") + 4])
        await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [401]
        made.log.close()

    within(run())


def test_who_does_not_read_is_not_answered_until_it_does(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path)
        connection, transport = made.connect()
        connection.pause_writing()
        assert [transport.paused] == [True]
        for number in range(2):  # that had been read before
            connection.data_received(request(x_request_id=f"r{number}"))
        await turns()
        assert transport.sent == b""
        connection.resume_writing()
        await turns(20)
        assert [headers["x-request-id"] for _, headers, _ in answers(transport.sent)] == ["r0", "r1"]
        assert [transport.paused] == [False]
        made.log.close()

    within(run())


def test_nothing_is_read_while_what_was_sent_ahead_waits(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path)
        connection, transport = made.connect()
        paused = []
        for _ in range(2):
            connection.data_received(request())
            paused.append(transport.paused)
        await turns(20)
        assert len(answers(transport.sent)) == 2
        assert [*paused, transport.paused] == [False, True, False]
        made.log.close()

    within(run())


def test_more_connections_than_a_worker_holds_are_ended(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path, connections=2)
        found = [made.connect() for _ in range(3)]
        assert [transport.closed for _, transport in found] == [False, False, True]
        for connection, _ in found[1:]:
            connection.connection_lost(None)
        assert not made.connect()[1].closed
        made.log.close()

    within(run())


def test_space_behind_a_header_is_no_part_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path)
        connection, transport = made.connect()
        data = request(x_request_id="r1 \t", x_timeout_ms="60000 ").replace(b"host: localhost", b"host: localhost ")
        connection.data_received(data)
        await turns()
        [(status, headers, _)] = answers(transport.sent)
        assert (status, headers["x-request-id"]) == (200, "r1")
        made.log.close()

    within(run())


def test_answers_that_are_not_read_are_bounded_in_all_connections_together(tmp_path: Path) -> None:
    async def run() -> None:
        made = inside(tmp_path, held_bytes=2 * UNREAD_BYTES)
        one, two, three, four = (made.connect() for _ in range(4))
        for connection, _ in (one, two, three):
            connection.pause_writing()
        assert [transport.closed for _, transport in (one, two, three)] == [False, False, True]
        three[0].connection_lost(None)
        one[0].resume_writing()
        four[0].pause_writing()
        assert not four[1].closed
        for connection, _ in (one, two, four):
            connection.connection_lost(None)
        assert made.desk.unread == 0
        made.log.close()

    within(run())
