"""Keeps workers alive and of one mind: a process that binds the port, pulls what is to be served, and answers nobody.

Whatever changes goes to every worker twice: load this, then, when all have, answer by it. A worker that is gone, or
does not say that it lives, is replaced. When the object store is away, the last that was known goes on being served.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Final, Protocol

import msgspec

from headrace.errors import HeadraceError
from headrace.runs.nursery import Child, Ended, Nursery
from headrace.serving.deployments import wanted_packages
from headrace.serving.errors import DeploymentMoved, PortTaken, VersionNotProbed
from headrace.serving.messages import (
    ArmCounts,
    Commit,
    Committed,
    Drain,
    Install,
    Message,
    Ping,
    Pong,
    Prepared,
    Probe,
    Probed,
    Settings,
    from_worker,
    send,
)
from headrace.serving.model import Counts, Served
from headrace.serving.pulling import Known, Puller, ServerState
from headrace.serving.ramping import Ramping

ENTRY: Final = "headrace.serving.http.worker:serve"
LOADED: Final = (
    "headrace.serving.http.worker",
    "headrace.serving.http.routes",
    "headrace.governance.signing",
    "onnxruntime",
    "uvloop",
)
"""Shared by all workers. None of it starts a thread when it is imported."""
PULL_S: Final = 0.5
PING_S: Final = 0.25
HUNG_S: Final = 1.0
"""A worker that has not answered for so long is replaced."""
START_S: Final = 20.0
"""A worker that is not ready after so long is replaced."""
PROBE_S: Final = 10.0
PROBE_BYTES: Final = 2 * 1024**3
END_S: Final = 30.0
_BACKOFF_S: Final = 0.2
_BACKLOG: Final = 2048
_EVERY: Final = 8
"""Pulls between two that tell the store that this server lives."""


class Tells(Protocol):
    """Who is told what happens: one line an event."""

    def __call__(self, event: str, /, **facts: object) -> None: ...


@dataclass
class _Worker:
    """A worker as the supervisor sees it."""

    child: Child
    pipe: Pipe
    begun: float
    heard: float
    number: int = 0
    """Of the state by which it answers."""
    prepared: dict[int, dict[str, str]] = field(default_factory=dict)


class Supervisor:
    """See the module.

    Parameters
    ----------
    puller : what is to be served
    say : told of every event
    """

    def __init__(
        self,
        settings: Settings,
        puller: Puller,
        *,
        address: tuple[str, int],
        workers: int,
        max_stale_s: float,
        drain_s: float,
        say: Tells,
        clock: Callable[[], int],
    ) -> None:
        self._settings, self._puller, self._say, self._clock = settings, puller, say, clock
        self._wanted, self._max_stale_s, self._drain_s = workers, max_stale_s, drain_s
        self._nursery = Nursery(ENTRY, LOADED)  # loads while everything else begins
        self._socket = bind(address)
        self.address: Final[tuple[str, int]] = self._socket.getsockname()[:2]
        self._id = secrets.token_hex(6)
        self._workers: list[_Worker] = []
        self._numbers = itertools.count(1)
        self._current: Install | None = None
        self._known: Known | None = None
        self._pulled = time.monotonic()
        self._failed: dict[str, str] = {}
        self._probed: set[str] = set()
        self._totals: dict[tuple[str, str], Counts] = {}
        self._statuses: dict[int, int] = {}
        self._changing = asyncio.Lock()
        self._news = asyncio.Event()
        self._ending = asyncio.Event()
        self._refused: Known | None = None
        self._ramping = Ramping()
        self._lost: set[asyncio.Future[Ended]] = set()
        """Workers that are being ended."""

    async def run(self) -> None:
        """Until told to end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        tasks = [asyncio.create_task(each()) for each in (self._pull, self._watch)]
        try:
            ended = asyncio.create_task(self._ending.wait())
            await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # a fault of ours ends the server, loudly
        finally:
            for task in tasks:
                task.cancel()
            await self._end()

    # what is to be served

    async def _pull(self) -> None:
        for turn in itertools.count():
            known: Known | None
            try:
                known = await asyncio.to_thread(self._puller.pull)
            except HeadraceError as error:
                self._say("store_away", error=error.code)
                known = None if turn else self._puller.remembered()
            else:
                self._pulled = time.monotonic()
            if known is not None and known != self._known and known != self._refused:
                await self._change(known)
            await self._ramp()
            if turn % _EVERY == 0:
                await self._beat()
            await asyncio.sleep(PULL_S)

    async def _ramp(self) -> None:
        """Change what canaries and guards call for; another server may have been first."""
        if self._known is None:
            return
        for made in self._ramping.turn(self._known.deployments, self._clock(), time.monotonic()):
            try:
                await asyncio.to_thread(self._puller.write, made)
            except DeploymentMoved:
                continue
            except HeadraceError as error:
                self._say("store_away", error=error.code)
            else:
                self._say(made.verb, deployment=made.name, revision=made.revision, reason=made.reason)

    async def _change(self, known: Known) -> None:
        """Everything that is new loaded everywhere, then answered by everywhere; nothing of it where it cannot be."""
        async with self._changing:
            failed = await self._probe_all(known)
            install = Install(number=next(self._numbers), deployments=known.deployments, keys=known.keys)
            if not failed:
                failed = await self._install(install)
            if failed:
                self._failed, self._refused = failed, known
                self._say("not_served", **failed)
            else:
                first, self._current, self._known, self._failed = self._current is None, install, known, {}
                self._puller.remember(known)
                self._say("serving", **{each.name: each.revision for each in known.deployments})
                if first:
                    self._say(
                        "ready", address=f"http://{self.address[0]}:{self.address[1]}", workers=len(self._workers)
                    )
            await self._beat()

    async def _probe_all(self, known: Known) -> dict[str, str]:
        failed: dict[str, str] = {}
        served = {s.package: s for each in known.deployments for s in each.versions}
        for package, version in wanted_packages(known.deployments).items():
            if package in self._probed:
                continue
            try:
                await asyncio.to_thread(self._puller.fetch, package)
                await self._probe(served[package])
            except HeadraceError as error:
                failed[version] = error.message
            else:
                self._probed.add(package)
        return failed

    async def _probe(self, served: Served) -> None:
        order = Probe(settings=self._settings, served=served, memory_bytes=PROBE_BYTES, cpu_s=int(PROBE_S))
        child = self._nursery.fork("probe " + msgspec.json.encode(order).decode())
        name = f"{served.model}@{served.version}"
        try:
            if not await asyncio.to_thread(child.connection.poll, PROBE_S):
                raise VersionNotProbed(name, f"it had not answered after {PROBE_S:g} s")
            said = from_worker(child.connection)
            assert isinstance(said, Probed), "a probe says what came of it"
            if said.error is not None:
                raise VersionNotProbed(name, said.error)
            self._say("probed", version=name, row_us=round(said.row_us, 1))
        except (EOFError, OSError) as error:
            raise VersionNotProbed(name, f"the process ended with code {child.fate().code}") from error
        finally:
            await asyncio.to_thread(child.end)

    async def _install(self, install: Install) -> dict[str, str]:
        """To every worker; who cannot load it, and why."""
        while len(self._workers) < self._wanted:
            self._spawn()
        for worker in list(self._workers):
            self._send(worker, install)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            said = [w.prepared.get(install.number) for w in self._workers]
            if all(each is not None for each in said):
                break
            await self._wait_for_news()
        failed: dict[str, str] = {}
        for worker in self._workers:
            failed |= worker.prepared.get(install.number, {"worker": f"not ready after {START_S:g} s"})
        if failed:
            return failed
        for worker in list(self._workers):
            self._send(worker, Commit(number=install.number))
        until = time.monotonic() + START_S
        while any(w.number < install.number for w in self._workers) and time.monotonic() < until:
            await self._wait_for_news()
        return {}

    async def _wait_for_news(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), PING_S)

    async def _beat(self) -> None:
        known = self._known
        state = ServerState(
            id=self._id,
            at_us=self._clock(),
            address=f"{self.address[0]}:{self.address[1]}",
            workers=len(self._workers),
            revisions={} if known is None else {each.name: each.revision for each in known.deployments},
            keys=0 if known is None else known.keys_seen,
            failed=self._failed,
        )
        with suppress(HeadraceError):
            await asyncio.to_thread(self._puller.tell, state)

    # workers

    def _spawn(self) -> _Worker:
        child = self._nursery.fork(msgspec.json.encode(self._settings).decode(), self._socket.fileno())
        now = time.monotonic()
        worker = _Worker(child, child.connection, now, now)
        self._workers.append(worker)
        asyncio.get_running_loop().add_reader(worker.pipe.fileno(), self._hear, worker)
        return worker

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                self._heard(worker, from_worker(worker.pipe))
        except (EOFError, OSError):
            self._lose(worker, "it ended")

    def _heard(self, worker: _Worker, message: Message) -> None:
        worker.heard = time.monotonic()
        match message:
            case Prepared():
                worker.prepared = {message.number: message.failed}
            case Committed():
                worker.number = message.number
            case Pong():
                for each in message.counts:
                    key = (each.deployment, each.arm)
                    self._totals[key] = self._totals.get(key, Counts()) + each.counts
                    self._ramping.add(each.deployment, each.arm, each.counts)
                for status, count in message.statuses.items():
                    self._statuses[status] = self._statuses.get(status, 0) + count
            case _:
                pass
        self._news.set()

    def _send(self, worker: _Worker, message: Message) -> None:
        try:
            send(worker.pipe, message)
        except OSError:
            self._lose(worker, "it ended")

    def _lose(self, worker: _Worker, why: str) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        asyncio.get_running_loop().remove_reader(worker.pipe.fileno())
        if not self._ending.is_set():
            self._say("worker_lost", why=why)
        ended = asyncio.get_running_loop().run_in_executor(None, worker.child.end)
        self._lost.add(ended)
        ended.add_done_callback(self._lost.discard)
        self._news.set()

    async def _watch(self) -> None:
        """Ping, replace who is gone or hangs, and bring who is new up to what the others answer by."""
        while True:
            await asyncio.sleep(PING_S)
            now = time.monotonic()
            ping = Ping(
                totals=tuple(
                    ArmCounts(deployment=deployment, arm=arm, counts=counts)
                    for (deployment, arm), counts in sorted(self._totals.items())
                ),
                statuses=self._statuses,
                workers=len(self._workers),
                stale=self._stale(now),
            )
            for worker in list(self._workers):
                silent = now - worker.heard
                if silent > (HUNG_S if worker.number else START_S):
                    self._lose(worker, f"it was silent for {silent:.1f} s")
                else:
                    self._send(worker, ping)
            if self._changing.locked() or self._current is None:
                continue
            if not self._nursery.lives:
                self._nursery = Nursery(ENTRY, LOADED)
            for worker in self._workers:
                if worker.number < self._current.number and self._current.number in worker.prepared:
                    self._send(worker, Commit(number=self._current.number))
            missing = self._wanted - len(self._workers)
            for _ in range(missing):
                self._send(self._spawn(), self._current)

    def _stale(self, now: float) -> str | None:
        age = now - self._pulled
        if age <= self._max_stale_s:
            return None
        return f"what is to be served was last read {age:,.0f} s ago, more than the {self._max_stale_s:,.0f} s allowed"

    async def _end(self) -> None:
        self._say("draining", workers=len(self._workers))
        for worker in list(self._workers):
            self._send(worker, Drain(delay_s=self._drain_s))
        until = time.monotonic() + self._drain_s + END_S
        while self._workers and time.monotonic() < until:
            await self._wait_for_news()
        for worker in list(self._workers):
            self._lose(worker, "it did not end")
        await asyncio.gather(*self._lost, return_exceptions=True)
        self._socket.close()
        self._nursery.close()
        with suppress(HeadraceError):
            await asyncio.to_thread(self._puller.leave, self._id)
        self._say("ended")


def bind(address: tuple[str, int]) -> socket.socket:
    """A listening socket that workers share: who is free takes the next connection, and a worker that is stopped gets
    none. Raises `PortTaken`."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise PortTaken(address[0], address[1], os.strerror(error.errno or 0)) from error
    listening.setblocking(False)
    return listening
