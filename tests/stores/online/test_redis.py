"""Online values in Redis, on a real server."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import redis
from tests.servers import RedisServer, own_database, shared

from headrace.stores.errors import OnlineBusy, StoreFull, StoreUnavailable, UnknownStore
from headrace.stores.online import Item
from headrace.stores.online import redis as adapter
from headrace.stores.online.open import open_online
from headrace.stores.online.redis import RedisOnlineStore
from headrace.testing import online as suite
from headrace.testing.online import Opener, SharedOnlineStoreSuite


@pytest.fixture
def url() -> Iterator[str]:
    """An empty database of the shared server, which this worker has to itself."""
    found = own_database(str(shared("redis")["url"]))
    with redis.Redis.from_url(found) as client:
        client.flushdb()
        yield found
        client.flushdb()


Connect = Callable[[str], RedisOnlineStore]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens stores that are closed at the end of the test."""
    with ExitStack() as opened:
        yield lambda url: opened.enter_context(closing(RedisOnlineStore(url)))


class TestRedisOnlineStore(SharedOnlineStoreSuite):
    @pytest.fixture
    def opener(self, url: str) -> Opener:
        return partial(open_online, url, Path("/"))

    @pytest.fixture
    def unlock(self, url: str) -> Callable[[], None]:
        def forget() -> None:
            with redis.Redis.from_url(url) as client:
                client.delete(f"headrace:{len(suite.SPACE)}:{suite.SPACE}:lock")

        return forget


def test_a_writer_that_lost_its_lock_can_neither_write_nor_finish(url: str, connect: Connect) -> None:
    slow, quick = connect(url), connect(url)

    def items() -> Iterator[Item]:
        yield from ((b"%d" % n, b"slow") for n in range(adapter.BATCH))
        with redis.Redis.from_url(url) as client:
            client.delete("headrace:1:s:lock")  # as time does
        quick.update("s", [(b"0", b"quick")], b"quick")
        yield b"1", b"slow"

    with pytest.raises(OnlineBusy, match="'s'"):
        slow.update("s", items(), b"slow")
    assert quick.read("s", [b"0", b"1"]) == (b"quick", [b"quick", None])
    quick.update("s", [(b"2", b"x")], b"last")
    assert quick.read("s", [b"0", b"1", b"2", b"3"]) == (b"last", [b"quick", None, b"x", None])


def test_a_writer_that_lost_its_lock_overwrites_nothing_of_the_one_that_has_it(url: str, connect: Connect) -> None:
    slow, quick = connect(url), connect(url)
    waits, goes = threading.Event(), threading.Event()

    def of_slow() -> Iterator[Item]:
        yield from ((b"%d" % n, b"slow") for n in range(adapter.BATCH))
        waits.set()
        assert goes.wait(30)
        yield b"1", b"slow"

    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(slow.update, "s", of_slow(), b"slow")
        assert waits.wait(30)
        with redis.Redis.from_url(url) as client:
            client.delete("headrace:1:s:lock")  # as time does

        def of_quick() -> Iterator[Item]:
            yield from ((b"%d" % n, b"quick") for n in range(adapter.BATCH))
            goes.set()
            with pytest.raises(OnlineBusy):
                lost.result(30)
            yield b"more", b"quick"

        quick.update("s", of_quick(), b"quick")
    assert quick.read("s", [b"0", b"1", b"more"]) == (b"quick", [b"quick"] * 3)


def test_a_second_writer_is_told_to_wait(url: str, connect: Connect) -> None:
    store = connect(url)

    def items() -> Iterator[Item]:
        with pytest.raises(OnlineBusy, match="run again"):
            connect(url).update("s", [(b"a", b"2")], b"second")
        yield b"a", b"1"

    store.update("s", items(), b"first")
    assert store.read("s", [b"a"]) == (b"first", [b"1"])


def test_a_writer_that_takes_long_to_make_its_items_keeps_its_lock(
    url: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LOCK_MS", 300)
    store = connect(url)

    def items() -> Iterator[Item]:
        yield from ((b"%d" % n, b"x") for n in range(adapter.BATCH))
        time.sleep(1)
        with pytest.raises(OnlineBusy):
            connect(url).update("s", [(b"a", b"2")], b"second")
        yield b"a", b"1"

    assert store.update("s", items(), b"first") == adapter.BATCH + 1
    assert store.read("s", [b"a", b"0"]) == (b"first", [b"1", b"x"])


def test_the_lock_of_a_dead_writer_expires(url: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "LOCK_MS", 50)
    store = connect(url)
    with redis.Redis.from_url(url) as client:
        client.set("headrace:1:s:lock", secrets.token_hex(8), px=adapter.LOCK_MS)
    time.sleep(0.1)
    store.update("s", [(b"a", b"1")], b"first")
    assert store.read("s", [b"a"]) == (b"first", [b"1"])


def test_a_read_of_many_keys_is_one_command(tmp_path: Path, connect: Connect) -> None:
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        store = connect(server.url)
        store.update("s", [(b"%d" % n, b"x") for n in range(20)], b"first")
        store.read("s", [b"0"])  # the server has to be given the script first
        before = client.info("commandstats")
        store.read("s", [b"%d" % n for n in range(20)])
        after = client.info("commandstats")
    assert after["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"] == 1


def test_a_server_that_goes_away_is_named_without_its_password_and_comes_back(tmp_path: Path, connect: Connect) -> None:
    with RedisServer(tmp_path) as server:
        store = connect(server.url)
        store.update("s", [(b"a", b"1")], b"first")
        server.stop()
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1") as caught:
            store.read("s", [b"a"])
        assert server.password not in str(caught.value)
        server.start()
        assert store.read("s", [b"a"]) == (b"first", [b"1"])


def test_a_server_that_hangs_is_waited_for_so_long_and_no_longer(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "TIMEOUT_S", 0.2)
    with RedisServer(tmp_path) as server, ThreadPoolExecutor(1) as pool:
        store = connect(server.url)
        store.update("s", [(b"a", b"1")], b"first")
        pid = server.facts()["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                pool.submit(store.read, "s", [b"a"]).result(30)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert store.read("s", [b"a"]) == (b"first", [b"1"])


def test_a_wrong_password_and_a_full_server_are_told_apart(tmp_path: Path, connect: Connect) -> None:
    with RedisServer(tmp_path) as server:
        with pytest.raises(StoreUnavailable) as caught:
            connect(server.url.replace(server.password, "wrong-one")).read("s", [b"a"])
        assert "wrong-one" not in str(caught.value)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", 3_000_000)
        store = connect(server.url)
        with pytest.raises(StoreFull, match="redis"):
            store.update("s", [(b"%d" % n, bytes(10_000)) for n in range(2000)], b"first")
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", 0)
        assert store.read("s", [b"0"]) == (None, [None])


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownStore, match="redis://"):
        open_online("redis://host:port/database", tmp_path)
