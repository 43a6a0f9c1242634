"""The workers of a prediction server: as many as are wanted, all of one mind.

Whatever changes goes to every worker twice: load this, then, when all have, answer by it. A worker that is gone or
hangs is replaced, and the new one gets its first connection once it is loaded with what the others answer by. What
becomes of a worker is judged by turns of this process, never by the time that has passed: a supervisor that was stopped
or starved for a while finds the answers of its workers waiting, and ends none of them.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from socket import socket
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from headrace.errors import HeadraceError
from headrace.runs.nursery import Child, Ended, Nursery
from headrace.serving.aside import aside
from headrace.serving.batch.counts import BatchCounts, BatchProcess
from headrace.serving.keys import ApiKey
from headrace.serving.line import Line, connect
from headrace.serving.messages import (
    Accept,
    Accepted,
    ArmCounts,
    Cancel,
    Commit,
    Committed,
    Drain,
    FromWorker,
    Install,
    Message,
    Open,
    Opened,
    Ping,
    Pong,
    Prepared,
    Remove,
    Settings,
)
from headrace.serving.model import Counts, Deployment, Served, added
from headrace.serving.probing import probe
from headrace.serving.scaling import Load
from headrace.serving.tls import HANDSHAKES

ENTRY: Final = "headrace.serving.http.worker:serve"
LOADED: Final = (
    "headrace.serving.http.worker",
    "headrace.serving.http.routes",
    "headrace.governance.signing",
    "onnxruntime",
    "uvloop",
)
"""Shared by all workers. None of it starts a thread when it is imported."""
PASSED: Final = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "LC_*", "TZ", "TZDIR", "VIRTUAL_ENV"),
    *("PYTHON*", "LD_*", "MALLOC_*", "OMP_*", "OPENBLAS_*", "MKL_*", "ORT_*"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""Of the environment: what Python and the libraries of workers read. Passwords that the store is opened with, keys and
tokens are among the others: what a worker needs it is told over its pipe."""
UNLESS_SET: Final = MappingProxyType({"OPENBLAS_NUM_THREADS": "1"})
"""Workers compute no matrices; for who does, NumPy begins a thread for every processor as it is loaded."""
TURN_S: Final = 0.2
HUNG_TURNS: Final = 3
"""A worker that takes requests and leaves a ping unanswered for so many turns, beyond those that its rows may take it,
is replaced."""
START_TURNS: Final = 100
"""A worker that is not ready after so many turns is replaced; a deployment that is not loaded by then is not."""
END_S: Final = 30.0
STEADY_S: Final = 3.0
"""A worker that lived for so long is replaced at once."""
FIRST_PAUSE_S: Final = 0.1
"""Before the next is begun where one died younger; twice as long for each one more in a row."""
LONGEST_PAUSE_S: Final = 5.0


class Tells(Protocol):
    """Who is told what happens: one line an event."""

    def __call__(self, event: str, /, **facts: object) -> None: ...


@dataclass(eq=False)
class _Worker:
    """A worker as the supervisor sees it."""

    child: Child
    begun: float
    line: Line | None = None
    turns: int = 0
    unanswered: int = 0
    """Turns since the ping that it has not answered; 0: it has answered every one."""
    pinged: bool = False
    keys: int = 0
    """The list of keys by which it answers."""
    loading: set[int] = field(default_factory=set)
    prepared: set[int] = field(default_factory=set)
    failed: dict[int, dict[str, str]] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    """What it was told to answer by."""
    committing: set[int] = field(default_factory=set)
    """Of these what it has not said yet that it does."""
    is_opening: bool = False
    is_open: bool = False
    leaves: bool = False
    """It was told to end, as fewer are wanted."""
    cpu_s: float = 0.0

    def send(self, message: Message) -> None:
        """What it cannot take now it takes later."""
        if isinstance(message, Install):
            self.loading.add(message.number)
        if self.line is not None:
            self.line.send(message)


class Workforce:
    """See the module.

    Parameters
    ----------
    listening : the socket that all share: who is free takes the next connection
    wanted : how many workers
    say : told of every event
    counted : told what was counted of each deployment's arms
    stale : why predictions are refused; None: they are not
    mend : sees that a deployment's packages are whole again where a worker could not load them
    beside : further sockets that each gets
    batch_process : how the process is that reads batches; None: they are not answered
    entry, loaded : as for `Nursery`
    """

    def __init__(
        self,
        settings: Settings,
        listening: socket,
        wanted: int,
        *,
        say: Tells,
        counted: Callable[[ArmCounts], None],
        stale: Callable[[], str | None],
        mend: Callable[[Deployment], None],
        beside: Sequence[socket] = (),
        batch_process: Callable[[], BatchProcess | None] = lambda: None,
        entry: str = ENTRY,
        loaded: Sequence[str] = LOADED,
    ) -> None:
        self._settings, self._socket, self._wanted = settings, listening, wanted
        self._say, self._counted, self._stale, self._mend = say, counted, stale, mend
        self._beside, self._batch_process = tuple(beside), batch_process
        self._entry, self._loaded = entry, tuple(loaded)
        self._nursery = self._make_nursery()  # loads while everything else begins
        self._workers: list[_Worker] = []
        self._accepted: dict[str, Install] = {}
        """By deployment: what every worker answers by."""
        self._trying: dict[int, Install] = {}
        self._trouble: dict[int, str] = {}
        """Of an install that is tried: what became of a worker meanwhile."""
        self._keys = Accept(number=0, keys=())
        self._numbers = itertools.count(1)
        self._is_open = self._ending = self._damaged = False
        self._patience = HUNG_TURNS
        self._turn = self._young = 0
        """Workers that died young, in a row."""
        self._next = 0.0
        """When the next may be begun."""
        self._news = asyncio.Event()
        self._missed = asyncio.Event()
        """A worker is missing."""
        self._totals: dict[tuple[str, str], Counts] = {}
        self._statuses: dict[int, int] = {}
        self._batches = BatchCounts()
        self._handshakes = None if settings.tls is None else dict.fromkeys(HANDSHAKES, 0)
        self._looked = time.monotonic()
        self._busy_s, self._refused = 0.0, 0
        self._latency_us: tuple[int, ...] = ()
        self._lost: set[asyncio.Future[Ended]] = set()
        """Workers that are being ended."""

    def _make_nursery(self) -> Nursery:
        return Nursery(self._entry, self._loaded, passed=PASSED, unless_set=UNLESS_SET)

    def __len__(self) -> int:
        return len(self._workers)

    async def start(self) -> None:
        """Begin all of them."""
        while len(self._workers) < self._wanted:
            await self._spawn()

    async def run(self) -> None:
        """Keep their number, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._replace())

    def resize(self, wanted: int) -> None:
        """Let there be so many from now on; whoever is too many answers what was asked, and ends."""
        self._wanted = wanted
        self._missed.set()
        stay = [worker for worker in self._workers if not worker.leaves]
        # the youngest knows the fewest connections; one that takes none yet is the first to go
        for worker in sorted(stay, key=lambda each: (each.is_open, -each.begun))[: max(0, len(stay) - wanted)]:
            worker.leaves = True
            worker.send(Drain(delay_s=0.0))

    def load(self) -> Load:
        """What was seen since it was last asked for."""
        now = time.monotonic()
        seconds, self._looked = max(now - self._looked, 1e-3), now
        load = Load(
            workers=sum(worker.is_open and not worker.leaves for worker in self._workers),
            busy=self._busy_s / seconds,
            refused=self._refused,
            latency_us=self._latency_us,
        )
        self._busy_s, self._refused, self._latency_us = 0.0, 0, ()
        return load

    def may_be_busy(self, seconds: float) -> None:
        """A worker may compute for so long at a time, and hears nothing meanwhile."""
        self._patience = max(self._patience, HUNG_TURNS + ceil(seconds / TURN_S))

    async def probe(self, served: Served) -> float:
        """See `headrace.serving.probing.probe`."""
        return await probe(self._nursery, self._settings, served)

    async def accept(self, keys: Sequence[ApiKey]) -> None:
        """From now on these keys hold, and no others: once this returns, at every worker."""
        self._keys = told = Accept(number=next(self._numbers), keys=tuple(keys))
        self._send_all(told)
        # who takes no requests yet gets them before its first one
        await self._until(
            lambda: all(worker.keys >= told.number for worker in self._workers if worker.is_opening), 2 * self._patience
        )

    async def install(self, deployment: Deployment) -> dict[str, str]:
        """Let every worker load what a deployment needs, then all of them answer by it.

        Returns
        -------
        What cannot be served, and why; then all go on as before.
        """
        install = Install(number=next(self._numbers), deployment=deployment)
        self._trying[install.number] = install
        self._send_all(install)
        failed: dict[str, str] = {"a worker": "was not there"}
        try:
            await self._until(lambda: self._is_loaded(install.number), START_TURNS)
            failed = self._failed(install.number)
        finally:
            del self._trying[install.number]
            self._trouble.pop(install.number, None)
            if failed:
                self._send_all(Cancel(number=install.number))
        if failed:
            return failed
        self._accepted[deployment.name] = install
        for worker in self._workers:
            self._advance(worker)
        await self._until(lambda: not self._behind(install.number), START_TURNS)
        for worker in self._behind(install.number):  # nobody goes on by what was before
            self._lose(worker, f"it did not take up revision {deployment.revision} of {deployment.name}")
        return {}

    def remove(self, name: str) -> None:
        """A deployment is answered no longer."""
        if self._accepted.pop(name, None) is not None:
            self._send_all(Remove(deployment=name))

    async def open(self) -> None:
        """Take connections from now on; once this returns, at every worker."""
        self._is_open = True
        for worker in self._workers:
            self._advance(worker)
        await self._until(lambda: bool(self._workers) and all(each.is_open for each in self._workers), START_TURNS)

    async def end(self, drain_s: float) -> None:
        """Let them answer what was asked, and end."""
        self._ending = True
        self._say("draining", workers=len(self._workers))
        self._send_all(Drain(delay_s=drain_s))
        until = time.monotonic() + drain_s + END_S
        while self._workers and time.monotonic() < until:
            await self._wait()
        for worker in list(self._workers):
            self._lose(worker, "it did not end")
        await asyncio.gather(*self._lost, return_exceptions=True)
        self._nursery.close()

    # what they say

    def _heard(self, worker: _Worker, message: FromWorker) -> None:
        match message:
            case Accepted():
                worker.keys = message.number
            case Prepared():
                self._prepared(worker, message)
            case Committed():
                worker.committing.discard(message.number)
            case Opened():
                worker.is_open = True
            case Pong():
                worker.pinged, worker.unanswered = False, 0
                if worker.is_open:  # what it took to load is no work that was asked for
                    self._busy_s += message.cpu_s - worker.cpu_s
                worker.cpu_s = message.cpu_s
                self._refused += message.refused
                for each in message.counts:
                    key = (each.deployment, each.arm)
                    self._totals[key] = self._totals.get(key, Counts()) + each.counts
                    self._latency_us = added(self._latency_us, each.counts.latency_us)
                    self._counted(each)
                for status, count in message.statuses.items():
                    self._statuses[status] = self._statuses.get(status, 0) + count
                if self._handshakes is not None:
                    for outcome, count in message.handshakes.items():
                        self._handshakes[outcome] += count
                if message.batches is not None:
                    self._batches += message.batches
            case _:
                pass
        self._news.set()

    def _prepared(self, worker: _Worker, message: Prepared) -> None:
        worker.loading.discard(message.number)
        if not message.failed:
            worker.prepared.add(message.number)
            self._advance(worker)
        elif message.number in self._trying:
            worker.failed[message.number] = message.failed
        elif any(message.number == each.number for each in self._accepted.values()):
            # the others have it: what was copied here has been damaged since
            self._damaged = True
            why = "; ".join(f"{name}: {reason}" for name, reason in message.failed.items())
            self._lose(worker, f"it could not load {why}")

    def _advance(self, worker: _Worker) -> None:
        """Let it answer by whatever is accepted, once it has loaded that; and by all of it before its first request."""
        for install in self._accepted.values():
            if install.number in worker.prepared and install.number not in worker.told:
                worker.told.add(install.number)
                worker.committing.add(install.number)
                worker.send(Commit(number=install.number))
        wanted = {install.number for install in self._accepted.values()}
        if self._is_open and not worker.is_opening and wanted <= worker.told:
            worker.is_opening = True
            worker.send(Open())

    def _is_loaded(self, number: int) -> bool:
        return number in self._trouble or (
            bool(self._workers) and all(number in w.prepared or number in w.failed for w in self._workers)
        )

    def _failed(self, number: int) -> dict[str, str]:
        if number in self._trouble:
            return {"a worker": self._trouble[number]}
        failed: dict[str, str] = {}
        for worker in self._workers:
            failed |= worker.failed.pop(number, {})
            if number in worker.loading:
                failed["a worker"] = f"had not loaded it after {START_TURNS * TURN_S:g} s"
        return failed if self._workers else {"a worker": "was not there"}

    def _behind(self, number: int) -> list[_Worker]:
        return [worker for worker in self._workers if number in worker.committing]

    # their number

    async def _spawn(self) -> None:
        if not self._nursery.lives:
            self._nursery.close()
            self._nursery = self._make_nursery()
        sockets = [each.fileno() for each in (self._socket, *self._beside)]
        child = self._nursery.fork(msgspec.json.encode(self._settings).decode(), *sockets)
        worker = _Worker(child, time.monotonic())
        worker.line = await connect(
            child.connection, partial(self._heard, worker), partial(self._lose, worker, "it ended")
        )
        self._workers.append(worker)
        if worker.line.has_ended:
            self._lose(worker, "it ended")
            return
        worker.send(self._keys)
        for install in (*self._accepted.values(), *self._trying.values()):
            worker.send(install)
        self._advance(worker)

    async def _replace(self) -> None:
        while True:
            self._missed.clear()
            if sum(not worker.leaves for worker in self._workers) < self._wanted and not self._ending:
                await asyncio.sleep(max(0.0, self._next - time.monotonic()))
                if self._damaged:
                    await self._mend_all()
                try:
                    await self._spawn()
                except OSError:  # the nursery has gone just now
                    self._pause()
                continue
            await self._missed.wait()

    async def _mend_all(self) -> None:
        self._damaged = False
        for install in list(self._accepted.values()):
            try:
                await aside(partial(self._mend, install.deployment))
            except HeadraceError as error:
                self._damaged = True
                self._say("package_not_mended", deployment=install.deployment.name, error=error.code)

    def _lose(self, worker: _Worker, why: str) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        if worker.line is not None:
            worker.line.end()
        if not worker.leaves:
            for number in worker.loading & self._trying.keys():
                self._trouble[number] = f"was lost while it loaded it: {why}"
        if worker.leaves and not self._ending:
            self._say("worker_left", workers=len(self._workers))
        elif not self._ending:
            self._say("worker_lost", why=why)
            if time.monotonic() - worker.begun >= STEADY_S:
                self._young = 0
            else:
                self._pause()
        ended = asyncio.get_running_loop().run_in_executor(None, worker.child.end)
        self._lost.add(ended)
        ended.add_done_callback(self._lost.discard)
        self._news.set()
        self._missed.set()

    def _pause(self) -> None:
        pause = min(FIRST_PAUSE_S * 2.0**self._young, LONGEST_PAUSE_S)
        self._young = min(self._young + 1, 16)
        self._next = time.monotonic() + pause

    async def _watch(self) -> None:
        """Ask each whether it lives, and replace who does not say so."""
        while True:
            await asyncio.sleep(TURN_S)  # what has come meanwhile has been heard when this returns
            self._turn += 1
            ping = Ping(
                totals=tuple(
                    ArmCounts(deployment=deployment, arm=arm, counts=counts)
                    for (deployment, arm), counts in sorted(self._totals.items())
                ),
                statuses=self._statuses,
                workers=len(self._workers),
                batches=self._batches,
                batch_process=self._batch_process(),
                handshakes=self._handshakes,
                stale=self._stale(),
            )
            for worker in list(self._workers):
                self._judge(worker, ping)

    def _judge(self, worker: _Worker, ping: Ping) -> None:
        worker.turns += 1
        if worker.pinged:
            worker.unanswered += 1
            # what it loads, it loads beside its requests, but a library may keep it from everything else meanwhile
            patience = self._patience if worker.is_open and not worker.loading else START_TURNS
            if worker.unanswered >= patience:
                self._lose(worker, f"it did not answer for {worker.unanswered * TURN_S:g} s")
        elif self._is_open and not worker.is_open and worker.turns > START_TURNS:
            self._lose(worker, f"it was not ready after {START_TURNS * TURN_S:g} s")
        else:
            worker.pinged = True
            worker.send(ping)

    def _send_all(self, message: Message) -> None:
        for worker in self._workers:
            worker.send(message)

    async def _until(self, reached: Callable[[], bool], turns: int) -> None:
        """Until it is reached, or so many turns have passed."""
        last = self._turn + turns
        while not reached() and self._turn < last:
            await self._wait()

    async def _wait(self) -> None:
        """For news, or a turn."""
        self._news.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), TURN_S)
