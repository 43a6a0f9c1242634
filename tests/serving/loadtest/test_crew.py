"""Generators against servers that answer, refuse, stall, hang up and talk nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headrace.serving.loadtest.crew import Crew
from headrace.serving.loadtest.errors import GeneratorLost, ServerNotReached
from headrace.serving.loadtest.framing import Setup, send
from headrace.serving.loadtest.generator import Gun
from headrace.serving.loadtest.machine import Look, look
from headrace.serving.loadtest.stages import Closed, Open, Told

BODIES = [b'{"row":%d}' % number for number in range(7)]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
BUSY = b'HTTP/1.1 429 Too Many Requests\r\ncontent-length: 19\r\n\r\n{"code":"too-busy"}'
Answer = Callable[[int, bytes], bytes | None]
"""From the number of a request and its bytes to what is sent: None hangs up, nothing keeps silent."""


class Server:
    """Answers as it is told; knows what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[bytes] = []
        self.most_at_once = 0
        self._answer, self._at_once = answer, 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().rpartition(b"content-length: ")[2].split()[0])
                body = await reader.readexactly(length)
                self.asked.append(head + body)
                answer = self._answer(len(self.asked), head + body)
                if answer is None:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._at_once -= 1
            writer.close()


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[Server, int]]:
    """The server, in a thread, and its port."""
    server, loop = Server(answer), asyncio.new_event_loop()
    began: Any = asyncio.run_coroutine_threadsafe(asyncio.start_server(server.take, "127.0.0.1", 0), loop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listening = began.result(20)
    try:
        yield server, listening.sockets[0].getsockname()[1]
    finally:

        async def end() -> None:
            listening.close()
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def setup(port: int, **other: Any) -> Setup:
    usual: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "tls": False,
        "head": b"POST /p HTTP/1.1\r\nhost: a\r\nx-request-id: bench-0-",
        "bodies": BODIES,
        "first": 0,
        "connections": 128,  # so that whatever is due in a stage of these tests finds one that is free
        "open_at_once": 128,
        "core": None,
        "spins": False,
        "grace_s": 5.0,
    }
    return Setup(**(usual | other))


def see() -> Look:
    return look([], None)


def stage(crew: Crew, rate: float = 200, seconds: float = 0.5) -> Told:
    told, _, _ = crew.open(Open(pattern="constant", rate=rate, seconds=seconds, seed=1), see)
    check(told)
    return told


def check(told: Told) -> None:
    assert told.sent == told.answered + told.refusals + told.failures
    assert told.sent <= told.offered
    assert told.answered_within <= told.answered


@pytest.mark.parametrize("spins", [False, True])
def test_what_is_due_is_asked_once_each_with_a_number_of_its_own(spins: bool) -> None:
    with serving(lambda *_: OK) as (server, port), Crew([setup(port, spins=spins)]) as crew:
        told = stage(crew)
        again = stage(crew)
    assert (told.offered, told.sent, told.answered, told.failed, told.refused) == (100, 100, 100, {}, {})
    assert told.latencies.n == again.answered == 100
    ids = [request.partition(b"x-request-id: ")[2].split(b"\r\n")[0] for request in server.asked]
    assert sorted(ids) == sorted(b"bench-0-%d" % number for number in range(1, 201))
    assert {request.rpartition(b"\r\n\r\n")[2] for request in server.asked} == set(BODIES)


def test_clients_ask_again_once_they_are_answered_and_never_before() -> None:
    lines = {"connections": 8, "open_at_once": 4}
    with serving(lambda *_: OK) as (server, port), Crew([setup(port, **lines)]) as crew:
        told, _, _ = crew.closed(Closed(clients=6, seconds=0.4), see)
    check(told)
    assert told.answered == told.sent == told.offered == len(server.asked) >= 6
    assert server.most_at_once == 6


def test_clients_whose_connections_end_with_an_answer_open_others_and_that_is_no_failure() -> None:
    """As a front ends connections after so many requests."""
    last = OK.replace(b"content-length", b"connection: close\r\ncontent-length")
    with serving(lambda *_: last) as (server, port), Crew([setup(port, open_at_once=4)]) as crew:
        told, _, _ = crew.closed(Closed(clients=4, seconds=0.4), see)
    check(told)
    assert told.failed == {}
    assert told.answered == told.sent == len(server.asked) > 4


def test_several_generators_share_rate_and_clients() -> None:
    with serving(lambda *_: OK) as (server, port), Crew([setup(port), setup(port, first=3)]) as crew:
        told = stage(crew)
        clients, _, _ = crew.closed(Closed(clients=5, seconds=0.2), see)
    assert told.answered == 100
    check(clients)
    assert len(server.asked) == 100 + clients.sent


def test_refusals_are_counted_by_status_and_by_the_code_that_was_given() -> None:
    with serving(lambda n, _: BUSY if n % 4 == 0 else OK) as (_, port), Crew([setup(port)]) as crew:
        told = stage(crew)
    assert (told.answered, told.refused, told.codes, told.failed) == (75, {429: 25}, {"too-busy": 25}, {})
    assert told.latencies.n == 75  # a quick refusal does not make answers look quicker
    assert told.is_saturated


def test_other_answers_and_lost_connections_are_failures_and_the_next_request_has_another_connection() -> None:
    bad = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"

    def answer(n: int, _: bytes) -> bytes | None:
        return {1: None, 2: bad, 3: b"nonsense\r\n\r\n"}.get(n % 10, OK)

    with serving(answer) as (_, port), Crew([setup(port)]) as crew:
        told = stage(crew)
    assert told.answered == 70
    assert told.failed["status 500 no code"] == 10
    assert told.failures == 30
    assert told.found(p99_s=60.0) != "within"


def test_a_server_that_is_silent_is_waited_for_and_what_was_never_sent_counts_too() -> None:
    """Two connections, no answer: the others wait in the generator, and their latencies say so."""
    lines = {"connections": 2, "open_at_once": 2, "grace_s": 0.1}
    with serving(lambda *_: b"") as (server, port), Crew([setup(port, **lines)]) as crew:
        told = stage(crew)
    assert (told.offered, told.sent, told.answered, len(server.asked)) == (100, 2, 0, 2)
    assert told.failed == {"not answered in time": 2}
    assert told.latencies.n == 100
    p100 = told.percentile(100)
    assert p100 is not None
    assert p100 >= 0.5  # the first was due at the beginning, and waited to the end
    assert told.found(p99_s=60.0) == "far too much"


def test_what_is_answered_after_the_end_is_no_answer_of_the_stage() -> None:
    def answer(n: int, _: bytes) -> bytes:
        if n == 1:
            time.sleep(0.6)
        return OK

    with serving(answer) as (_, port), Crew([setup(port)]) as crew:
        told = stage(crew, rate=20, seconds=0.2)
    assert (told.answered, told.answered_within, told.rate) == (4, 0, 0.0)


def test_a_stall_shows_in_the_latency_of_those_who_were_due_meanwhile() -> None:
    """One connection, one answer that comes when all others have long been due: each waited from its own instant."""

    def answer(n: int, _: bytes) -> bytes:
        if n == 1:
            time.sleep(0.25)
        return OK

    with serving(answer) as (_, port), Crew([setup(port, connections=1, open_at_once=1)]) as crew:
        told = stage(crew, rate=100, seconds=0.5)
    assert told.latencies.n == 50
    p75, p100 = told.percentile(75), told.percentile(100)
    assert p75 is not None
    assert p100 is not None
    assert p75 > 0.1  # 15 of them were due in the first 0.15 s, and waited for the rest of the stall
    assert p100 > 0.24


def test_what_a_generator_sends_late_although_it_could_have_is_counted() -> None:
    async def run(port: int) -> Told:
        loop = asyncio.get_running_loop()
        gun = Gun(loop, setup(port))
        await gun.connect()
        loop.call_later(0.1, time.sleep, 0.2)  # as if the machine had had no core for it
        told = await gun.open_stage(Open(pattern="constant", rate=200, seconds=0.5, seed=1))
        for line in list(gun._lines):
            line.transport.abort()
        await asyncio.sleep(0.01)
        return told

    with serving(lambda *_: OK) as (_, port):
        told = asyncio.run(run(port))
    check(told)
    assert told.answered == 100
    assert told.late >= 30  # of 40 that were due meanwhile
    assert told.is_generator_late


def test_nobody_at_the_address_is_told_before_anything_is_asked() -> None:
    with serving(lambda *_: OK) as (_, port):
        pass
    with pytest.raises(ServerNotReached, match=f"127.0.0.1:{port}"):
        Crew([setup(port)])


def test_a_generator_does_not_outlive_who_began_it() -> None:
    with serving(lambda *_: OK) as (server, port), Crew([setup(port)]) as crew:
        send(crew.pipes[0], Open(pattern="constant", rate=50, seconds=600, seed=0))
        while not server.asked:
            time.sleep(0.01)
        crew.pipes[0].close()
        assert os.waitpid(crew.pids[0], 0)[1] != 0


def test_a_generator_that_is_killed_is_told() -> None:
    with serving(lambda *_: OK) as (_, port), Crew([setup(port)]) as crew:
        os.kill(crew.pids[0], signal.SIGKILL)
        with pytest.raises(GeneratorLost, match="-9"):
            stage(crew)
