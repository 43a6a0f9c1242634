"""Where a server is."""

from __future__ import annotations

import pytest

from headrace.serving.loadtest.errors import NoServer, UrlInvalid
from headrace.serving.loadtest.target import Target, choose, parse_url
from headrace.serving.pulling import ServerState


def state(address: str, *names: str) -> ServerState:
    revisions = dict.fromkeys(names, 1)
    return ServerState(id=address, at_us=0, address=address, workers=1, revisions=revisions, keys=0, failed={})


def test_a_server_that_answers_the_deployment_is_chosen() -> None:
    states = [state("127.0.0.1:8000", "other"), state("10.0.0.7:8001", "delays", "other")]
    assert choose("delays", states) == Target("10.0.0.7", 8001)
    with pytest.raises(NoServer, match=r"127\.0\.0\.1:8000, 10\.0\.0\.7:8001"):
        choose("none", states)
    with pytest.raises(NoServer, match="headrace serve"):
        choose("delays", [])


@pytest.mark.parametrize(("address", "host"), [("0.0.0.0:80", "127.0.0.1"), (":::80", "::1"), ("::1:80", "::1")])
def test_one_that_listens_everywhere_is_asked_by_the_loopback_address(address: str, host: str) -> None:
    assert choose("d", [state(address, "d")]) == Target(host, 80)


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000/", True),
        ("http://[::1]:8000", True),
        ("https://models.example", False),
        ("http://10.1.2.3:8000", False),
        ("http://127.0.0.1.example:80", False),
    ],
)
def test_only_this_machine_counts_as_such(url: str, is_loopback: bool) -> None:
    assert parse_url(url).is_loopback is is_loopback


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8000", "ftp://a", "http://", "http://a:b", "http://a/x", "http://u:p@a", "http://:p@a"),
        *("http://a:0", "http://a#b", "http://a?b", "http://a..b", "http://" + "a" * 64, "http://é.example"),
        *("http://" + "a." * 127 + "a", "http://a b", "http://[::1", "http://a\u0000b"),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UrlInvalid):
        parse_url(url)
