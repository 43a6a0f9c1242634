"""Workers are killed, stopped and changed over while sixteen clients ask: each answer is given once, and logged once.

There is no front here that asks a second time: connections to a worker that is killed break, and no others.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running, change

from headrace.serving.log.reader import Predictions, read_log
from headrace.serving.revisions import deploy_whole, rollback

CLIENTS = 16
BODY = json.dumps(ROW).encode()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def two(place: Place) -> Iterator[Running]:
    """A server of two workers."""
    place.deploy(place.version(1))
    server = Running(place, workers=2)
    server.wait_for("ready")
    yield server
    server.end()


@dataclass(frozen=True)
class Asked:
    """A request and what came of it."""

    id: str
    began: float
    status: int | None
    """None: the connection broke before there was an answer."""
    answer: Any = None


@dataclass
class Load:
    """Clients that ask one request after the other, each over a connection that stays while the server lets it."""

    running: Running
    asked: list[Asked] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, client: int) -> None:
        host, port = self.running.address
        headers = {"authorization": f"Bearer {self.running.place.key}", "content-type": "application/json"}
        connection = http.client.HTTPConnection(host, port, timeout=60)
        number = 0
        while not self.stop.is_set():
            number += 1
            name, began = f"c{client}-{number}", time.monotonic()
            try:
                connection.request("POST", "/v1/deployments/delays/predict", BODY, headers | {"x-request-id": name})
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                self.asked.append(Asked(name, began, None))
                connection.close()
            else:
                self.asked.append(Asked(name, began, answer.status, json.loads(text)))
        connection.close()

    def wait_for_more(self, answers: int) -> None:
        """Until so many more have been answered."""
        wanted = self.answered() + answers
        self.running.wait_until(lambda: self.answered() >= wanted, "answered")

    def answered(self) -> int:
        return sum(each.status is not None for each in self.asked)

    def broken(self) -> int:
        return sum(each.status is None for each in self.asked)


@contextmanager
def under_load(running: Running) -> Iterator[Load]:
    load = Load(running)
    threads = [threading.Thread(target=load.ask, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        load.wait_for_more(CLIENTS)
        yield load
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()


def logged(place: Place) -> Counter[str]:
    """How often each request is in the log."""
    found: Counter[str] = Counter()
    for read in read_log(Path(place.settings().log)):
        assert isinstance(read, Predictions)
        found.update(record.request_id for record in read.records)
    return found


def check_log(load: Load) -> None:
    """Every answer is logged once; what broke may have been, and never twice."""
    found = logged(load.running.place)
    assert {each.status for each in load.asked} <= {200, None}
    for each in load.asked:
        assert found[each.id] == 1 if each.status == 200 else found[each.id] <= 1


def replaced(running: Running, pid: int) -> None:
    """Wait until there are two workers without that one."""
    running.wait_until(lambda: pid not in (now := running.workers()) and len(now) == 2, "two workers")


def test_workers_that_are_killed_cost_their_own_connections_and_nothing_that_was_answered(two: Running) -> None:
    kills = 5
    with under_load(two) as load:
        for number in range(kills):
            pid = two.workers()[number % 2]
            os.kill(pid, signal.SIGKILL)
            two.wait_for("worker_lost", number + 1)
            replaced(two, pid)
            load.wait_for_more(50)
    assert load.broken() <= kills * CLIENTS
    assert len([each for each in two.events() if each["event"] == "worker_lost"]) == kills
    check_log(load)
    for pid in two.workers():  # each of them alone answers: full capacity is back
        os.kill(pid, signal.SIGSTOP)
        assert Client(two).predict(ROW)[0] == 200
        os.kill(pid, signal.SIGCONT)


def test_a_worker_that_hangs_is_ended_and_says_nothing_when_it_goes_on(two: Running) -> None:
    with under_load(two) as load:
        pid = two.workers()[0]
        os.kill(pid, signal.SIGSTOP)
        assert "did not answer" in two.wait_for("worker_lost")["why"]
        replaced(two, pid)
        before = logged(two.place)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        load.wait_for_more(200)
    assert load.broken() <= CLIENTS  # those that it had taken
    assert [each["event"] for each in two.events()].count("worker_lost") == 1
    check_log(load)
    late = {each.id for each in load.asked if each.status is None} - before.keys()
    assert not late & logged(two.place).keys()


def test_ten_changes_fail_no_request_and_each_is_whole(two: Running, place: Place) -> None:
    first, second = place.deployments.get("delays").arms[0].serves, place.version(2)
    taken: list[tuple[float, float, int]] = []
    """From an instant until another every request was to be answered by that version."""
    with under_load(two) as load:
        for turn in range(10):
            now = place.deployments.get("delays")
            if turn % 2 == 0:
                made = deploy_whole(now, second, change())
            elif turn % 4 == 1:
                made = rollback(now, place.deployments.history("delays"), change())
            else:
                made = deploy_whole(now, first, change())
            place.write(made)
            two.wait_until(lambda made=made: two.state().revisions["delays"] == made.revision, "taken up")  # type: ignore[misc]
            since = time.monotonic()
            load.wait_for_more(3 * CLIENTS)
            taken.append((since, time.monotonic(), made.arms[0].serves.version))
    assert {each.status for each in load.asked} == {200}
    assert len({(each.answer["version"], each.answer["probability"]) for each in load.asked}) == 2
    for since, until, version in taken:
        answers = {each.answer["version"] for each in load.asked if since <= each.began < until}
        assert answers == {version}
    assert [version for _, _, version in taken] == [2, 1] * 5
    check_log(load)


@pytest.mark.parametrize("turn", range(3))
def test_told_to_end_under_load_it_loses_no_request(place: Place, turn: int) -> None:
    place.deploy(place.version(1))
    place.drain_s = 4.0
    running = Running(place, workers=2)
    with under_load(running) as load:
        running.process.send_signal(signal.SIGTERM)
        while Client(running).ask("GET", "/readyz")[0] == 200:  # as a balancer looks, before it sends no more
            time.sleep(0.02)
        load.wait_for_more(CLIENTS)  # not ready, and still answering
    assert running.process.wait(60) == 0
    assert {each.status for each in load.asked} == {200}
    check_log(load)
    assert running.events()[-1]["event"] == "ended"
    running.end()


def test_a_request_that_is_half_sent_when_it_is_told_to_end_is_answered(two: Running) -> None:
    head = (
        f"POST /v1/deployments/delays/predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {two.place.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode()
    half = [socket.create_connection(two.address, timeout=60) for _ in range(CLIENTS)]
    for connection in half:
        connection.sendall(head + BODY[:20])
    for _ in range(4 * CLIENTS):  # by then the workers have read what was sent before
        assert Client(two).predict(ROW)[0] == 200
    two.process.send_signal(signal.SIGTERM)
    two.wait_for("draining")
    for connection in half:
        connection.sendall(BODY[20:])
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.close()
    assert two.process.wait(60) == 0


@pytest.mark.parametrize("how", ["its disk is full", "its reader has ended"])
def test_lines_that_nobody_takes_end_neither_server_nor_request(place: Place, how: str) -> None:
    place.deploy(place.version(1))
    if how == "its disk is full":
        running = Running(place, workers=2, log=Path("/dev/full"))
    else:
        os.mkfifo(place.root / "lines")
        reader = os.open(place.root / "lines", os.O_RDONLY | os.O_NONBLOCK)
        running = Running(place, workers=2, log=place.root / "lines")
        os.close(reader)

    def answers_by(revision: int) -> bool:
        return running.state().revisions == {"delays": revision}

    running.wait_until(lambda: answers_by(1), "revision 1")
    place.write(deploy_whole(place.deployments.get("delays"), place.version(2), change()))
    running.wait_until(lambda: answers_by(2), "revision 2")
    host, _, port = running.state().address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    sent = {"authorization": f"Bearer {place.key}", "content-type": "application/json"}
    connection.request("POST", "/v1/deployments/delays/predict", BODY, sent)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["version"]) == (200, 2)
    connection.close()
    assert running.end() == 0
