"""More than a server can do, and clients that take their time: they are told, others are answered, nothing grows."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.scoring.made import ROW
from tests.serving.http.inside import request
from tests.serving.http.running import PROJECT, Client, Place, Running
from tests.serving.http.test_cancelled import whole
from tests.serving.http.test_fuzz import open_files, read_answers, resident_kib, wait_until

from headrace.serving.limits import Limits
from headrace.serving.messages import Settings
from headrace.serving.pulling import tell_changes

FLOOD, AHEAD, EACH = 64, 8, 100
"""Connections that flood, requests that each has under way, and in all."""


class Durable(Place):
    """Every answer waits for the disk, so that the server's capacity is the disk's, not this machine's cores'."""

    def settings(self) -> Settings:
        return msgspec.structs.replace(super().settings(), durability="power")


@contextmanager
def served(place: Place) -> Iterator[tuple[Running, int]]:
    """The server, and its worker's process."""
    running = Running(place)
    try:
        running.wait_for("ready")
        [worker] = running.workers()
        yield running, worker
        assert running.workers() == [worker]
        assert not running.faults()
    finally:
        running.end()


def flood(address: tuple[str, int], data: bytes) -> Counter[tuple[int, str]]:
    """Many connections that ask on without waiting for answers: how they were answered, every one of them."""
    found = Counter[tuple[int, str]]()
    with selectors.DefaultSelector() as selector:
        for _ in range(FLOOD):
            client = socket.create_connection(address)
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ, _Flooding(client, data))
        while selector.get_map():
            ready = selector.select(20)
            assert ready, found
            for key, _ in ready:
                key.data.read(found)
                if key.data.left == 0:
                    selector.unregister(key.data.client)
                    key.data.client.close()
    return found


class _Flooding:
    """One connection of a flood."""

    def __init__(self, client: socket.socket, data: bytes) -> None:
        self.client, self._data, self._held = client, data, b""
        self.left, self._unsent = EACH, EACH - AHEAD
        client.sendall(data * AHEAD)

    def read(self, found: Counter[tuple[int, str]]) -> None:
        part = self.client.recv(262_144)
        assert part, "nobody who is refused for a while is cut"
        self._held += part
        while size := whole(self._held):
            [(status, _, body)] = read_answers(self._held[:size])
            head, self._held = self._held[:size], self._held[size:]
            told = json.loads(body)
            found[status, told.get("code", "")] += 1
            if status != 200:
                assert any(b"retry-after: %d\r\n" % seconds in head for seconds in (1, 2, 3)), head
            self.left -= 1
            if self._unsent:
                self._unsent -= 1
                self.client.sendall(self._data)


class Meanwhile:
    """Asks again and again on a thread of its own, one after another."""

    def __init__(self, running: Running, *ask: Any, key: str | None = None) -> None:
        self._client, self._ask = Client(running, key), ask
        self.statuses: Counter[int] = Counter()
        self._end = threading.Event()

    def __enter__(self) -> Meanwhile:
        self._pool = ThreadPoolExecutor(1)
        self._done = self._pool.submit(self._run)
        return self

    def _run(self) -> None:
        while not self._end.is_set() or not self.statuses.total():
            self.statuses[self._client.ask(*self._ask)[0]] += 1

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._pool.shutdown()
        self._done.result()


PREDICT = ("POST", "/v1/deployments/delays/predict", ROW)


def test_what_is_too_much_is_told_so_and_everything_is_as_before_right_after(tmp_path: Path) -> None:
    place = Durable(tmp_path, limits=Limits(waiting=4))
    place.deploy(place.version(1))
    with served(place) as (running, worker):
        data = request(ROW, text=place.key)
        assert Client(running).predict(ROW)[0] == 200
        flood(running.address, data)  # warm
        files, resident = open_files(worker), resident_kib(worker)
        with Meanwhile(running, "GET", "/healthz") as health:
            found = flood(running.address, data)
        assert health.statuses.keys() == {200}
        assert found.total() == FLOOD * EACH
        assert found.keys() == {(200, ""), (429, "too-busy")}, found
        assert found[200, ""] > FLOOD
        assert resident_kib(worker) - resident <= 64 * 1024
        for _ in range(50):
            assert Client(running).predict(ROW)[0] == 200
        for client in running.clients:
            client.close()
        wait_until(lambda: open_files(worker) <= files)


def test_a_key_that_floods_up_to_its_limit_takes_nothing_from_another(tmp_path: Path) -> None:
    place = Durable(tmp_path, limits=Limits(waiting=8))
    place.deploy(place.version(1))
    heavy, _ = place.keys.create(verbs=("predict",), lifetime_us=None, by="ann", concurrency=4)
    light, _ = place.keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    tell_changes(place.objects, PROJECT)
    with served(place) as (running, _), Meanwhile(running, *PREDICT, key=light) as other:
        found = flood(running.address, request(ROW, text=heavy))
    assert found.total() == FLOOD * EACH
    assert found.keys() == {(200, ""), (429, "key-too-many")}, found
    assert other.statuses.keys() == {200}


def test_hundreds_of_slow_clients_are_cut_and_the_others_are_answered(tmp_path: Path) -> None:
    place = Place(tmp_path, limits=Limits(read_s=1.0, idle_s=2.0, write_s=1.0))
    place.deploy(place.version(1))
    with served(place) as (running, worker):
        assert Client(running).predict(ROW)[0] == 200
        files, resident = open_files(worker), resident_kib(worker)
        whole_one = request(ROW, text=place.key)
        many = request([ROW] * 500, text=place.key)
        with Meanwhile(running, *PREDICT) as others:
            heads = [begun(running, whole_one[:60]) for _ in range(130)]
            bodies = [begun(running, whole_one[:-20]) for _ in range(130)]
            readers = [begun(running, many * 12, reads=4_096) for _ in range(40)]
            for _ in range(8):  # a byte now and then does not give them more time
                for client, byte in [(each, b"x") for each in heads] + [(each, b" ") for each in bodies]:
                    with suppress(BrokenPipeError, ConnectionResetError):
                        client.sendall(byte)
                others_go_on(others)
            for client in (*heads, *bodies):
                answer = to_the_end(client)
                assert [status for status, _, _ in read_answers(answer)] == [408], answer
            wait_until(lambda: open_files(worker) <= files + 1)  # readers have been cut; the others' connection stays
            assert resident_kib(worker) - resident <= 64 * 1024
        assert others.statuses.keys() == {200}
        for client in readers:
            client.close()


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "most"), [(64, 4_096, 1_000, 1_000), (64, 512, 1_000, 512), (2_000, 4_096, 1_000, 2_000)]
)
def test_a_worker_may_hold_as_many_connections_as_it_takes(soft: int, hard: int, wanted: int, most: int) -> None:
    probe = (
        "import resource; from headrace.serving.http.worker import allow_descriptors\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"allow_descriptors({wanted}); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    assert found == [str(most), str(hard)]


def others_go_on(others: Meanwhile) -> None:
    """Wait until some more of the others have been answered."""
    seen = others.statuses.total()
    wait_until(lambda: others.statuses.total() >= seen + 3)


def begun(running: Running, data: bytes, *, reads: int | None = None) -> socket.socket:
    """A client that has sent something, and perhaps reads little."""
    client = socket.socket()
    if reads is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, reads)
    client.settimeout(20)
    client.connect(running.address)
    with suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(data)
    return client


def to_the_end(client: socket.socket) -> bytes:
    """All that a connection still brings."""
    found = b""
    with client, suppress(ConnectionResetError):
        while part := client.recv(65_536):
            found += part
    return found
