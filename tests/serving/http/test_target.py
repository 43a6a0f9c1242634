"""A target that is a whole address means what its path means, at the host that it names; and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.scoring.made import ROW
from tests.serving.http.hostile import ADDRESSES
from tests.serving.http.inside import PATH, Inside, answers, deployment, request, turns, version, within

from headrace.serving.http.responses import Problem
from headrace.serving.http.target import split_target
from headrace.serving.limits import Limits

VERSION = version(1)
HEALTHY = b"GET %b HTTP/%b\r\n%b\r\n"


async def told(inside: Inside, data: bytes) -> tuple[int, dict[str, str], Any]:
    """The one answer to what is sent on a connection of its own."""
    connection, transport = inside.connect()
    connection.data_received(data)
    await turns()
    [answer] = answers(transport.sent)
    return answer


@pytest.mark.parametrize("start", ["http://localhost", "HTTP://LocalHost:8000", "https://localhost:"])
def test_a_whole_address_is_answered_as_its_path(tmp_path: Path, start: str) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        for path in (*ADDRESSES, PATH, "/", "/nowhere", f"{PATH}?a=b", "/healthz?http://x@y/", "//localhost/healthz"):
            for method in ("GET", "POST", "DELETE"):
                found = []
                for target in (path, start + path):
                    status, headers, body = await told(inside, request(ROW, path=target, method=method))
                    said = body or {}
                    found.append((status, headers["content-type"], said.get("code"), said.get("probability")))
                assert found[0] == found[1], (method, path)
        assert (await told(inside, request(ROW, path=f"{start}{PATH}")))[0] == 200
        inside.log.close()

    within(run())


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://a", "/"),
        ("http://a:80", "/"),
        ("http://a?x=/y", "/?x=/y"),
        ("http://a//b", "//b"),
        ("http://a/../%2e%2e/%00", "/../%2e%2e/%00"),
        ("http://a/http://b@c/", "/http://b@c/"),
        ("https://[::1]:8000/x", "/x"),
    ],
)
def test_nothing_of_the_path_is_tidied(target: str, path: str) -> None:
    assert split_target(target.encode())[1] == path.encode()


@pytest.mark.parametrize(
    "target",
    [
        *("http://ann@localhost/healthz", "http://ann:secret@localhost/healthz", "http://localhost@evil.example/"),
        *("http://@localhost/healthz", "http://localhost:80@evil.example/healthz", "http://[::1]@localhost/healthz"),
        *("http:///healthz", "http://", "http://:80/healthz", "http://?healthz", "http://[]/healthz"),
        *("ftp://localhost/healthz", "file:///healthz", "http://localhost:80:80/healthz", "http://localhost:x/healthz"),
        *("http://[::1/healthz", "http://::1]/healthz", "http://[::1]x/healthz", "http://local[host]/healthz"),
        *("http:/healthz", "http:healthz", "localhost:80", "http://localhost#/healthz", "http://localhost\\@x/healthz"),
    ],
)
def test_a_user_no_host_and_another_scheme_are_refused(tmp_path: Path, target: str) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        connection.data_received(request(ROW, path=target))
        await turns()
        [(status, headers, problem)] = answers(transport.sent)
        assert (status, headers["connection"], transport.closed) == (400, "close", True)
        assert problem["code"] in ("target-malformed", "request-malformed")  # the parser takes some of them for no HTTP
        assert "secret" not in str(problem)
        inside.log.close()

    within(run())
    with pytest.raises(Problem, match="target-malformed"):
        split_target(target.encode())


@pytest.mark.parametrize(
    ("target", "version_of_http", "headers", "status", "code"),
    [
        (b"http://localhost/healthz", b"1.1", b"host: evil.example\r\n", 200, None),
        (b"http://evil.example/healthz", b"1.1", b"host: localhost\r\n", 421, "host-not-served"),
        (b"http://loc%61lhost/healthz", b"1.1", b"host: localhost\r\n", 421, "host-not-served"),
        (b"http://localhost.evil.example/healthz", b"1.1", b"host: localhost\r\n", 421, "host-not-served"),
        (b"http://localhost/healthz", b"1.1", b"", 400, "host-missing"),
        (b"http://localhost/healthz", b"1.1", b"host: a\r\nhost: b\r\n", 400, "header-repeated"),
        (b"http://localhost/healthz", b"1.0", b"", 200, None),
        (b"http://evil.example/healthz", b"1.0", b"", 421, "host-not-served"),
        (b"*", b"1.1", b"host: localhost\r\n", 401, "not-authenticated"),
        (b"*", b"1.1", b"host: evil.example\r\n", 421, "host-not-served"),
    ],
)
def test_the_host_of_the_target_counts_in_the_place_of_the_header(
    tmp_path: Path, target: bytes, version_of_http: bytes, headers: bytes, status: int, code: str | None
) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        found, _, body = await told(inside, HEALTHY % (target, version_of_http, headers))
        assert (found, body.get("code")) == (status, code)
        inside.log.close()

    within(run())


def test_a_known_head_holds_its_own_host(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = inside.connect()
        for _ in range(2):
            connection.data_received(request(path=f"http://localhost{PATH}"))
            await turns()
        assert len(inside.desk.heads) == 1
        connection.data_received(request(path=f"http://evil.example{PATH}"))
        await turns()
        assert len(inside.desk.heads) == 1
        assert [status for status, _, _ in answers(transport.sent)] == [200, 200, 421]
        inside.log.close()

    within(run())


def test_a_whole_address_is_as_long_as_a_path_may_be(tmp_path: Path) -> None:
    async def run() -> None:
        inside = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION], limits=Limits(url_bytes=100))
        assert (await told(inside, request(ROW, path="http://localhost/" + "a" * 83)))[0] == 404
        assert (await told(inside, request(ROW, path="http://localhost/" + "a" * 84)))[0] == 414
        inside.log.close()

    within(run())
