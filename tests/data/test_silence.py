"""A server that stops answering in the middle of a result is given up and named; a slow one is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from tests.data.stage import Bench, source_of
from tests.proxy import QuietingProxy

from headrace.data.errors import AddressRefused, SourceUnavailable
from headrace.definition.model import Source
from headrace.language.types import Type

TYPES = {"k": Type.INTEGER, "x": Type.STRING}
MANY = {
    "postgresql": "SELECT n AS k, repeat('x', 200) AS x FROM generate_series(1, 100000) n",
    "mysql": "SELECT seq AS k, REPEAT('x', 200) AS x FROM seq_1_to_100000",
}
SLOW = {
    "postgresql": "SELECT n AS k, pg_sleep(0.4)::text || repeat('x', 20000) AS x FROM generate_series(1, 4) n",
    "mysql": "SELECT seq AS k, CONCAT(SLEEP(0.4), REPEAT('x', 20000)) AS x FROM seq_1_to_4",
}


@pytest.fixture(params=["postgresql", "mysql"])
def url(request: pytest.FixtureRequest) -> str:
    name = "postgres_url" if request.param == "postgresql" else "mysql_url"
    return str(request.getfixturevalue(name))


def query_of(url: str, queries: dict[str, str], options: str) -> Source:
    kind = urlsplit(url).scheme
    return source_of(f"{url}?{options}", format=kind, query=queries[kind])


@contextmanager
def quiet_after(url: str, passes_bytes: int) -> Iterator[str]:
    port = urlsplit(url).port
    assert port is not None
    with QuietingProxy(port, passes_bytes) as proxy:
        yield url.replace(f":{port}/", f":{proxy.port}/")


@pytest.mark.parametrize("passes_bytes", [2_000, 1_000_000])
def test_a_server_that_goes_quiet_in_mid_result_is_given_up(bench: Bench, url: str, passes_bytes: int) -> None:
    with (
        quiet_after(url, passes_bytes) as address,
        pytest.raises(SourceUnavailable, match="sent nothing for 1 s") as caught,
    ):
        bench.check(query_of(address, MANY, "read_timeout=1"), TYPES)
    assert "read_timeout=SECONDS" in str(caught.value)
    assert str(urlsplit(url).password) not in str(caught.value)
    assert list(bench.stage.workdir.glob("*.parquet")) == []


def test_a_server_that_does_not_even_greet_is_given_up(bench: Bench, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = urlsplit(url).scheme
    monkeypatch.setattr(f"headrace.data.sources.{kind}._CONNECT_S", 2)
    with quiet_after(url, 0) as address, pytest.raises(SourceUnavailable):
        bench.check(query_of(address, MANY, "read_timeout=100"), TYPES)


def test_rows_that_come_slowly_are_no_silence(bench: Bench, url: str) -> None:
    checked = bench.check(query_of(url, SLOW, "read_timeout=1"), TYPES)
    assert bench.accepted(checked)["k"] == [1, 2, 3, 4]


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "soon", ""])
def test_a_timeout_that_is_no_number_is_refused(bench: Bench, url: str, seconds: str) -> None:
    with pytest.raises(AddressRefused, match="no number of seconds") as caught:
        bench.check(query_of(url, MANY, f"read_timeout={seconds}"), TYPES)
    assert str(urlsplit(url).password) not in str(caught.value)
