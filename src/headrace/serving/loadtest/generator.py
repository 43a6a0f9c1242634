"""The process that asks: requests prepared as bytes, many connections, one request outstanding on each.

Run as `python -m headrace.serving.loadtest.generator`; a `Setup`, then orders come in on standard input, what came of
them goes out on standard output. On a core of its own it does not sleep between two requests, so that it sends within
microseconds of when they are due: how busy it was is then the share of time in which it found something to do.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import sys
import time
from array import array
from collections import Counter, deque
from contextlib import suppress
from typing import IO, Any, Final, cast

import httptools
import numpy as np
import uvloop

from headrace.serving.loadtest.arrivals import arrivals
from headrace.serving.loadtest.framing import Ready, Setup, receive, send
from headrace.serving.loadtest.latencies import Latencies
from headrace.serving.loadtest.stages import Closed, Open, Order, Told

_CODE: Final = re.compile(rb'"code":"([a-z0-9-]{1,64})"')
_REFUSED: Final = (429, 503)
_LATE_NS: Final = 1_000_000
_SLEEP_NS: Final = 4_000_000
"""Gaps that are longer are slept through, but for their last milliseconds: timers are no finer."""
_WAKE_NS: Final = 2_000_000
_OPENING: Final = 32
"""Connections that are being opened at a time, at most."""
_CONNECT_S: Final = 5.0


class Line(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_data", "_gun", "_parser", "due_ns", "is_open", "transport")

    def __init__(self, gun: Gun) -> None:
        self._gun = gun
        self._parser = httptools.HttpResponseParser(self)
        self._data = b""
        self.due_ns = 0
        """When the outstanding request was due; 0: none is."""
        self.is_open = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        self._data = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.end("no HTTP")

    def on_message_complete(self) -> None:
        """A whole answer."""
        parser = self._parser
        stays = parser.should_keep_alive()
        self._gun.answered(self, parser.get_status_code(), self._data, stays=stays)
        if not stays:
            self.end("closed")

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        self.end("reset" if exc is not None else "closed")

    def end(self, why: str) -> None:
        """Use it no more."""
        if self.is_open:
            self.is_open = False
            self.transport.abort()
            self._gun.lost(self, why)


class Gun:
    """The requests of one process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, setup: Setup) -> None:
        self._loop, self._setup = loop, setup
        self._head = setup.head
        self._tails = [b"\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body) for body in setup.bodies]
        self._next_body = setup.first
        self._number = 0
        """Of requests, over all stages."""
        self._lines: set[Line] = set()
        self._free: deque[Line] = deque()
        self._opening = 0
        self._ssl: Any = None
        self._begin()

    def _begin(self) -> None:
        """Nothing was asked yet in this stage."""
        self._latencies = array("q")
        self._refused: Counter[int] = Counter()
        self._codes: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._sent = self._late = self._seen = self._within = 0
        self._end_ns = 0
        self._closed = False
        self._blocked = False
        self._idle_ns = self._looked_ns = self._seen_before = 0

    # connections

    async def connect(self) -> None:
        """Open those that are wanted from the start; raises `OSError`."""
        wanted = min(self._setup.open_at_once, self._setup.connections) - len(self._lines)
        for start in range(0, wanted, _OPENING):
            await asyncio.gather(*(self._open() for _ in range(min(_OPENING, wanted - start))))

    async def _open(self) -> None:
        setup = self._setup
        if setup.tls and self._ssl is None:
            import ssl

            self._ssl = ssl.create_default_context()
        self._opening += 1
        try:
            made = self._loop.create_connection(
                lambda: Line(self),
                setup.host,
                setup.port,
                ssl=self._ssl,
                server_hostname=setup.host if setup.tls else None,
            )
            _, line = await asyncio.wait_for(made, _CONNECT_S)
        finally:
            self._opening -= 1
        self._lines.add(line)
        self._free.append(line)

    async def _open_one_more(self) -> None:
        with suppress(OSError, TimeoutError):  # the request goes on waiting for a connection
            await self._open()

    def answered(self, line: Line, status: int, data: bytes, *, stays: bool) -> None:
        """An answer came; its connection takes another request if it stays."""
        now = time.perf_counter_ns()
        due = line.due_ns
        if not due:
            line.end("answer to nothing")
            return
        line.due_ns = 0
        self._seen += 1
        if status == 200:
            self._latencies.append(now - due)
            if now <= self._end_ns:
                self._within += 1
        else:
            found = _CODE.search(data)
            code = found[1].decode() if found else "no code"
            if status in _REFUSED:
                self._refused[status] += 1
                self._codes[code] += 1
            else:
                self._failed[f"status {status} {code}"] += 1
        if not stays:
            return
        if self._closed and now < self._end_ns:
            self._ask(line, now)
        else:
            self._free.append(line)

    def lost(self, line: Line, why: str) -> None:
        """A connection is no more."""
        self._lines.discard(line)
        if line.due_ns:
            line.due_ns = 0
            self._seen += 1
            self._failed[why] += 1
        with suppress(ValueError):
            self._free.remove(line)
        if self._closed and time.perf_counter_ns() < self._end_ns:
            self._loop.create_task(self._replace())

    async def _replace(self) -> None:
        """Another client in place of one that lost its connection."""
        with suppress(OSError, TimeoutError):
            await self._open()
            now = time.perf_counter_ns()
            if now < self._end_ns and self._free:
                self._ask(self._free.popleft(), now)

    def _ask(self, line: Line, due_ns: int) -> None:
        tails = self._tails
        place = self._next_body
        self._next_body = place + 1 if place + 1 < len(tails) else 0
        self._number += 1
        self._sent += 1
        line.due_ns = due_ns
        line.transport.write(b"%b%d%b" % (self._head, self._number, tails[place]))

    # stages

    async def open_stage(self, order: Open) -> Told:
        """By a schedule."""
        self._begin()
        await self._connect_again()
        due = arrivals(order.pattern, order.rate, order.seconds, order.seed, phase=order.phase)
        done = self._loop.create_future()
        began_cpu = time.process_time_ns()
        begin_ns = time.perf_counter_ns() + _WAKE_NS + 10 * len(due)
        due_ns = array("q", (due + begin_ns).tobytes())  # a list would take five times the memory
        self._end_ns = begin_ns + round(order.seconds * 1e9)
        self._looked_ns = begin_ns
        self._loop.call_soon(self._turn, due_ns, 0, done)
        sent = await done
        ended_ns = time.perf_counter_ns()
        if self._setup.spins:
            busy = 1 - self._idle_ns / (ended_ns - begin_ns)
        else:
            busy = (time.process_time_ns() - began_cpu) / (ended_ns - begin_ns)
        return await self._finish(order.seconds, len(due_ns), due_ns[sent:], busy)

    def _turn(self, due_ns: array[int], place: int, done: asyncio.Future[int]) -> None:
        """Send what is due, and come again at once, or shortly before the next is."""
        now = time.perf_counter_ns()
        is_over = now >= self._end_ns  # what was due before, and can be sent, is sent all the same
        free, first = self._free, place
        held, self._blocked = self._blocked, False
        while place < len(due_ns) and due_ns[place] <= now:
            if not free:
                self._blocked = True
                self._open_more()
                break
            line = free.popleft()
            if not line.is_open:
                continue
            due = due_ns[place]
            if now - due > _LATE_NS and not held:
                self._late += 1
            self._ask(line, due)
            place += 1
            if not place & 7:
                now = time.perf_counter_ns()
        if is_over:
            if not done.done():
                done.set_result(place)
            return
        if place == first and self._seen == self._seen_before:
            self._idle_ns += max(0, now - self._looked_ns)
        self._looked_ns, self._seen_before = now, self._seen
        gap = (due_ns[place] if place < len(due_ns) else self._end_ns) - now
        if not self._setup.spins:
            self._loop.call_later(max(0.0, gap / 1e9) if not self._blocked else 0.001, self._turn, due_ns, place, done)
        elif gap > _SLEEP_NS:
            slept = gap - _WAKE_NS
            self._idle_ns += slept
            self._looked_ns += slept
            self._loop.call_later(slept / 1e9, self._turn, due_ns, place, done)
        else:
            self._loop.call_soon(self._turn, due_ns, place, done)

    def _open_more(self) -> None:
        if self._opening < _OPENING and len(self._lines) + self._opening < self._setup.connections:
            self._loop.create_task(self._open_one_more())

    async def closed_stage(self, order: Closed) -> Told:
        """Each client asks again as it is answered."""
        self._begin()
        await self._connect_again(order.clients)
        self._closed = True
        began_cpu = time.process_time_ns()
        begin_ns = time.perf_counter_ns()
        self._end_ns = begin_ns + round(order.seconds * 1e9)
        for _ in range(min(order.clients, len(self._free))):
            self._ask(self._free.popleft(), time.perf_counter_ns())
        await asyncio.sleep(order.seconds)
        busy = (time.process_time_ns() - began_cpu) / (time.perf_counter_ns() - begin_ns)
        self._closed = False
        return await self._finish(order.seconds, None, array("q"), busy)

    async def _connect_again(self, at_least: int = 0) -> None:
        wanted = max(self._setup.open_at_once, at_least) - len(self._lines)
        with suppress(OSError, TimeoutError):
            for _ in range(max(0, wanted)):
                await self._open()

    async def _finish(self, seconds: float, offered: int | None, unsent_ns: array[int], busy: float) -> Told:
        until = time.perf_counter_ns() + round(self._setup.grace_s * 1e9)
        while self._seen < self._sent and time.perf_counter_ns() < until:
            await asyncio.sleep(0.005)
        now = time.perf_counter_ns()
        waiting = [line for line in self._lines if line.due_ns]
        latencies = np.concatenate(
            [
                np.frombuffer(self._latencies, np.int64),
                now - np.array([line.due_ns for line in waiting], np.int64),
                now - np.frombuffer(unsent_ns, np.int64),
            ]
        )
        answered = len(self._latencies)
        for line in waiting:
            line.end("not answered in time")
        return Told(
            seconds=seconds,
            offered=self._sent if offered is None else offered,
            sent=self._sent,
            answered=answered,
            answered_within=self._within,
            refused=dict(self._refused),
            failed=dict(self._failed),
            codes=dict(self._codes),
            latencies=Latencies.of(latencies),
            late=self._late,
            busy=max(0.0, min(1.0, busy)),
            connections=len(self._lines),
        )


def main(orders: IO[bytes], told: IO[bytes]) -> None:
    """Until there are no more orders."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who began the test, and ends this with it
    setup = receive(orders, Setup)
    if setup is None:
        return
    if setup.core is not None:
        os.sched_setaffinity(0, {setup.core})
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    gun = Gun(loop, setup)
    try:
        loop.run_until_complete(gun.connect())
    except (OSError, TimeoutError) as error:
        send(told, Ready(error=str(error) or type(error).__name__))
        return
    send(told, Ready(error=None))
    gc.collect()
    gc.freeze()
    gc.disable()  # a stage makes no circles that matter
    while (order := receive(orders, cast("type[Order]", Order))) is not None:
        stage = gun.open_stage(order) if isinstance(order, Open) else gun.closed_stage(order)
        loop.add_reader(orders.fileno(), os._exit, 1)  # nothing comes meanwhile but the end of who began the test
        try:
            came = loop.run_until_complete(stage)
        finally:
            loop.remove_reader(orders.fileno())
            os.set_blocking(orders.fileno(), True)  # uvloop made it otherwise
        send(told, came)
        gc.collect()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
