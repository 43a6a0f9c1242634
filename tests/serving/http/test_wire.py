"""Bytes that no client of good will sends: each is refused, ended in time, and costs the others nothing."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running

from headrace.serving.limits import Limits

LIMITS = Limits(body_bytes=200_000, read_s=1.0, idle_s=2.0, write_s=1.0)
BODY = json.dumps(ROW).encode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = Place(tmp_path_factory.mktemp("wire"), limits=LIMITS)
    place.deploy(place.version(1))
    server = Running(place)
    server.wait_for("ready")
    yield server
    server.end()


def request(
    key: str,
    body: bytes = BODY,
    *more: bytes,
    path: bytes = b"/v1/deployments/delays/predict",
    length: int | None = None,
) -> bytes:
    lines = [
        b"POST " + path + b" HTTP/1.1",
        b"Host: localhost",
        b"Authorization: Bearer " + key.encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % (len(body) if length is None else length),
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def exchange(running: Running, data: bytes, *, within_s: float = 10.0) -> bytes:
    """Everything that comes back until the server ends the connection, or is silent for half a second."""
    with socket.create_connection(running.address) as client:
        client.settimeout(within_s)
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have refused what came first by now
            client.sendall(data)
        found = b""
        while True:
            try:
                part = client.recv(65_536)
            except TimeoutError:
                return found
            except ConnectionResetError:
                return found
            if not part:
                return found
            found += part
            client.settimeout(0.5)


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def bad_heads() -> dict[str, bytes]:
    ok = b"Host: localhost\r\n"
    return {
        "two lengths": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "two equal lengths": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "length and chunks": b"POST / HTTP/1.1\r\n"
        + ok
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunks and length": b"POST / HTTP/1.1\r\n"
        + ok
        + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "unknown coding": b"POST / HTTP/1.1\r\n" + ok + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "chunked twice": b"POST / HTTP/1.1\r\n" + ok + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "space before the colon": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length : 5\r\n\r\nhello",
        "folded header": b"GET /healthz HTTP/1.1\r\n" + ok + b"X-A: 1\r\n folded\r\n\r\n",
        "bare line feed in a header": b"GET /healthz HTTP/1.1\r\n" + ok + b"X-A: 1\nX-B: 2\r\n\r\n",
        "bare carriage return": b"GET /healthz HTTP/1.1\r\n" + ok + b"X-A: 1\rX-B: 2\r\n\r\n",
        "null in a header": b"GET /healthz HTTP/1.1\r\n" + ok + b"X-A: 1\x002\r\n\r\n",
        "name with a space": b"GET /healthz HTTP/1.1\r\n" + ok + b"X A: 1\r\n\r\n",
        "name with a colon only": b"GET /healthz HTTP/1.1\r\n" + ok + b": 1\r\n\r\n",
        "no colon": b"GET /healthz HTTP/1.1\r\n" + ok + b"broken\r\n\r\n",
        "negative length": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length: -5\r\n\r\nhello",
        "signed length": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length: +5\r\n\r\nhello",
        "hexadecimal length": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length: 0x5\r\n\r\nhello",
        "length too large": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length: 99999999999999999999\r\n\r\nhello",
        "length of words": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length: five\r\n\r\nhello",
        "length and a comma": b"POST / HTTP/1.1\r\n" + ok + b"Content-Length: 5, 5\r\n\r\nhello",
        "chunk size of words": b"POST / HTTP/1.1\r\n"
        + ok
        + b"Transfer-Encoding: chunked\r\n\r\nfive\r\nhello\r\n0\r\n\r\n",
        "chunk size too large": b"POST / HTTP/1.1\r\n"
        + ok
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"f" * 20
        + b"\r\n",
        "negative chunk": b"POST / HTTP/1.1\r\n" + ok + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        "chunk without its end": b"POST / HTTP/1.1\r\n"
        + ok
        + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n",
        "two hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "two keys": b"GET /v1/deployments HTTP/1.1\r\n"
        + ok
        + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
        "another host": b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "host with a path": b"GET /healthz HTTP/1.1\r\nHost: localhost/../x\r\n\r\n",
        "a user in the target": b"GET http://ann@localhost/healthz HTTP/1.1\r\n" + ok + b"\r\n",
        "another host in the target": b"GET http://evil.example/healthz HTTP/1.1\r\n" + ok + b"\r\n",
        "a target of another scheme": b"GET ftp://localhost/healthz HTTP/1.1\r\n" + ok + b"\r\n",
        "a target without a host": b"GET http:///healthz HTTP/1.1\r\n" + ok + b"\r\n",
        "no version": b"GET /healthz\r\n\r\n",
        "version 3": b"GET /healthz HTTP/3.0\r\n" + ok + b"\r\n",
        "version of words": b"GET /healthz HTTP/one\r\n" + ok + b"\r\n",
        "no method": b"/healthz HTTP/1.1\r\n" + ok + b"\r\n",
        "unknown method": b"HACK /healthz HTTP/1.1\r\n" + ok + b"\r\n",
        "lower case method": b"get /healthz HTTP/1.1\r\n" + ok + b"\r\n",
        "TLS": bytes.fromhex("16030100a5010000a10303"),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "upgrade": b"GET /healthz HTTP/1.1\r\n" + ok + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "tunnel": b"CONNECT localhost:22 HTTP/1.1\r\n" + ok + b"\r\n",
        "nonsense": b"\x00\x01\x02\x03\r\n\r\n",
    }


@pytest.mark.parametrize("name", bad_heads())
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_ends(running: Running, name: str) -> None:
    follow = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = exchange(running, bad_heads()[name] + follow)
    found = statuses(answer)
    assert len(found) <= 1, answer
    assert all(400 <= status < 500 for status in found), answer
    if found:
        assert b"connection: close" in answer
        assert b"application/problem+json" in answer
    assert Client(running).predict(ROW)[0] == 200


def test_more_than_is_taken_is_refused_before_it_has_come(running: Running) -> None:
    key = running.place.key
    assert statuses(exchange(running, request(key, b"x" * 300_000))) == [413]
    head = request(key, b"", b"X-Long: " + b"a" * 40_000)
    assert statuses(exchange(running, head)) == [431]
    many = request(key, b"", *[b"X-%d: 1" % n for n in range(200)])
    assert statuses(exchange(running, many)) == [431]
    endless = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 2_000_000
    assert statuses(exchange(running, endless)) in ([431], [])
    assert statuses(exchange(running, request(key, path=b"/" + b"a" * 9_000))) == [414]


def test_a_body_that_says_it_is_large_is_refused_at_its_first_bytes_beyond(running: Running) -> None:
    sent = 0
    with socket.create_connection(running.address) as client:
        client.settimeout(5)
        client.sendall(request(running.place.key, b"", length=64 << 20))
        try:
            for _ in range(1024):
                client.sendall(b"x" * 65_536)
                sent += 65_536
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 32 << 20
    assert Client(running).predict(ROW)[0] == 200


@pytest.mark.parametrize("begun", ["nothing", "a head", "a body"])
def test_who_is_slow_is_cut_and_the_others_are_not(running: Running, begun: str) -> None:
    whole = request(running.place.key)
    data = {"nothing": b"", "a head": whole[:40], "a body": whole[:-10]}[begun]
    slow = [socket.create_connection(running.address) for _ in range(50)]
    for each in slow:
        each.sendall(data)
        each.settimeout(60)
    client = Client(running)
    for _ in range(50):
        assert client.predict(ROW)[0] == 200
    for each in slow:
        found = each.recv(65_536)
        assert statuses(found) == ([] if begun == "nothing" else [408])
        each.close()


def test_a_body_that_comes_in_pieces_is_one_body(running: Running) -> None:
    data = request(running.place.key)
    with socket.create_connection(running.address) as client:
        client.settimeout(5)
        for place in range(0, len(data), 37):
            client.sendall(data[place : place + 37])
            time.sleep(0.002)
        assert statuses(client.recv(65_536)) == [200]


def test_a_body_in_chunks_is_one_body(running: Running) -> None:
    head = request(running.place.key, b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(BODY[p : p + 9]), BODY[p : p + 9]) for p in range(0, len(BODY), 9))
    assert statuses(exchange(running, head + chunks + b"0\r\n\r\n")) == [200]


def test_a_target_that_is_a_whole_address_is_answered_as_its_path(running: Running) -> None:
    host, port = running.address
    start = f"http://{host}:{port}".encode()
    data = request(running.place.key, path=start + b"/v1/deployments/delays/predict")
    health = b"GET " + start + b"/healthz HTTP/1.1\r\nHost: a.proxy.example\r\n\r\n"
    assert statuses(exchange(running, data + health + data)) == [200] * 3


def test_requests_that_are_sent_ahead_are_answered_in_their_order(running: Running) -> None:
    key, sent = running.place.key, b""
    for number in range(12):
        if number % 3 == 2:
            sent += request(key, b"{")
        else:
            sent += request(key, BODY, b"x-request-id: r%d" % number)
    answer = exchange(running, sent)
    assert statuses(answer) == [200, 200, 400] * 4
    places = [answer.index(b"x-request-id: r%d\r\n" % number) for number in range(12) if number % 3 != 2]
    assert places == sorted(places)


def test_too_many_sent_ahead_are_refused(running: Running) -> None:
    found = statuses(exchange(running, request(running.place.key) * 40))
    assert found[-1] == 429
    assert set(found) == {200, 429}


def test_a_client_that_asks_first_whether_to_send_is_told_to(running: Running) -> None:
    data = request(running.place.key, BODY, b"Expect: 100-continue")
    with socket.create_connection(running.address) as client:
        client.settimeout(5)
        client.sendall(data[: -len(BODY)])
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(BODY)
        assert statuses(client.recv(65_536)) == [200]


def test_a_client_that_leaves_in_the_middle_costs_nothing(running: Running) -> None:
    data = request(running.place.key)
    for cut in (10, len(data) - 5, len(data)):
        for _ in range(20):
            with socket.create_connection(running.address) as client:
                client.sendall(data[:cut])
    assert Client(running).predict(ROW)[0] == 200


def test_an_idle_connection_ends(running: Running) -> None:
    with socket.create_connection(running.address) as client:
        client.settimeout(8)
        client.sendall(request(running.place.key))
        assert statuses(client.recv(65_536)) == [200]
        assert client.recv(1) == b""


def test_a_large_body_is_not_read_for_who_has_no_key(running: Running) -> None:
    for key, status in (("hr_x_y", 401), (running.place.key, 422)):
        body = b"[" + BODY + b" " * 100_000 + b",0]"
        data = request(key, body)
        head = data[: -len(body)]
        with socket.create_connection(running.address) as client:
            client.settimeout(5)
            client.sendall(head)
            if status != 401:
                client.sendall(body)
            answer = client.recv(65_536)
            assert statuses(answer) == [status]
            assert (b"connection: close" in answer) == (status == 401)
    chunked = request("hr_x_y", b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    assert statuses(exchange(running, chunked)) == [401]


def test_trailers_and_chunks_without_end_are_refused(running: Running) -> None:
    head = request(running.place.key, b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    trailers = head + b"0\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(300))
    assert statuses(exchange(running, trailers)) == [431]
    extended = head + b"1;" + b"a" * 2_000_000
    assert statuses(exchange(running, extended)) in ([413], [400], [])
    assert Client(running).predict(ROW)[0] == 200


def test_who_does_not_read_is_not_answered_for_ever(running: Running) -> None:
    many = json.dumps([ROW] * 500).encode()
    data = request(running.place.key, many)
    with socket.create_connection(running.address) as client:
        client.settimeout(1)
        sent = 0
        began = time.monotonic()
        try:
            while time.monotonic() - began < 20:
                client.sendall(data)
                sent += 1
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 2_000
        assert Client(running).predict(ROW)[0] == 200
        client.settimeout(20)
        try:
            while client.recv(1 << 20):
                pass
        except ConnectionResetError:
            pass  # cut


def test_an_error_to_who_asks_for_the_head_alone_has_no_body(running: Running) -> None:
    key = running.place.key.encode()
    for path, status in ((b"/nowhere", 404), (b"/v1/deployments/none", 404), (b"/healthz", 200)):
        lines = [b"HEAD " + path + b" HTTP/1.1", b"Host: localhost", b"Authorization: Bearer " + key]
        answer = exchange(running, b"\r\n".join(lines) + b"\r\n\r\n", within_s=2.0)
        assert statuses(answer) == [status]
        assert answer.endswith(b"\r\n\r\n")


def test_http_1_0_is_answered_and_ended(running: Running, tmp_path: Path) -> None:
    answer = exchange(running, b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert statuses(answer) == [200]
    assert b"connection: close" in answer
