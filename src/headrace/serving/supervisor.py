"""What a server serves: a process that binds the port, pulls what is wanted, has its workers answer by it, and answers
nobody itself.

Every deployment is taken up or refused by itself: its versions are copied and tried away from all requests, then loaded
by every worker. What is refused is tried again, as the cause may pass; the revision before goes on. Keys wait for
nothing. When the object store is away, the last that was known goes on being served.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from headrace.errors import HeadraceError, MissingDependency
from headrace.serving import scaling
from headrace.serving.aside import aside
from headrace.serving.batch.keeping import Keeping
from headrace.serving.deployments import wanted_packages
from headrace.serving.errors import DeploymentMoved, LastKnownUnreadable, StoreEmptied
from headrace.serving.keys import KeyList
from headrace.serving.listening import bind
from headrace.serving.messages import ArmCounts, Settings
from headrace.serving.model import Counts, Deployment
from headrace.serving.probed import ProbedBefore, circumstances
from headrace.serving.probing import PROBE_BYTES, PROBE_CPU_S
from headrace.serving.pulling import Known, Pulled, Puller, ServerState
from headrace.serving.ramping import Ramping
from headrace.serving.tls import Certificate
from headrace.serving.workforce import Tells, Workforce

PULL_S: Final = 0.5
BEAT_S: Final = 4.0
"""Between two times that it tells the store that it lives."""
REMEMBER_S: Final = 15.0
"""Between two times that it keeps when it last read the store."""
LEAVE_S: Final = 2.0
"""The longest that it waits for the store when it ends."""
FIRST_RETRY_S: Final = 5.0
"""Until a refused revision is tried again; twice as long after every try."""
LONGEST_RETRY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Refused:
    """A revision that cannot be served."""

    deployment: Deployment
    why: str
    tries: int
    again: float
    """When it is tried again, by a clock that never goes back."""


class Supervisor:
    """See the module.

    Parameters
    ----------
    puller : what is to be served
    host : what this machine, container or pod is called
    behind_front : whether other machines may reach the address, as a front ends TLS
    workers, most_workers : the fewest and the most; as many as what is asked calls for
    p99_us : what 99 of 100 answers should take at most
    say : told of every event
    """

    def __init__(
        self,
        settings: Settings,
        puller: Puller,
        *,
        address: tuple[str, int],
        host: str = "",
        behind_front: bool = False,
        workers: int,
        most_workers: int | None = None,
        p99_us: int = 20_000,
        max_stale_s: float,
        drain_s: float,
        say: Tells,
        clock: Callable[[], int],
    ) -> None:
        self._puller, self._host, self._say, self._clock = puller, host, say, clock
        self._max_stale_s, self._drain_s = max_stale_s, drain_s
        self._waiting_rows = settings.limits.waiting_rows
        if settings.grpc is not None and find_spec("grpc") is None:
            raise MissingDependency("grpcio", extra="grpc", needed_for="[serving] grpc_port")
        if settings.tls is not None:
            Certificate(settings.tls)  # what is wrong with it is said here, once
        self._scheme = "http" if settings.tls is None else "https"
        self._socket = bind(address, to_all=behind_front or settings.tls is not None)
        self.address: Final[tuple[str, int]] = self._socket.getsockname()[:2]
        self._ramping = Ramping()
        self._batches = Keeping(say=say) if settings.batch else None
        self._workforce = Workforce(
            settings,
            self._socket,
            workers,
            say=say,
            counted=self._counted,
            stale=self._stale,
            mend=self._mend,
            beside=() if self._batches is None else (self._batches.asks,),
            batch_process=lambda: None if self._batches is None else self._batches.state,
        )
        self._scaling = scaling.Scaling(workers, max(workers, most_workers or workers), p99_us=p99_us)
        self._wanted_workers = workers
        self._id = secrets.token_hex(6)
        self._read = time.monotonic()
        """When the store was last read."""
        self._wanted: dict[str, Deployment] | None = None
        self._serves: dict[str, Deployment] = {}
        self._refused: dict[str, _Refused] = {}
        self._unreadable: dict[str, str] = {}
        self._taking: dict[str, asyncio.Task[None]] = {}
        """Deployments that are being taken up."""
        self._keys: KeyList | None = None
        self._last: Known | None = None
        """What was served before this process."""
        self._probed: set[str] = set()
        self._before = ProbedBefore(
            Path(settings.packages).with_name("probed.json"), circumstances(PROBE_BYTES, PROBE_CPU_S)
        )
        self._ready = self._away = False
        self._opening: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._remembering = asyncio.Lock()
        self._changed = asyncio.Event()
        """There is something to tell of this server."""
        self._ending = asyncio.Event()
        self._faults: asyncio.Queue[BaseException] = asyncio.Queue()

    async def run(self) -> None:
        """Until told to end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._workforce.start()
            lives = (self._workforce.run, self._pull, self._beat, self._keep, self._fail, self._scale, self._ramp)
            tasks += [asyncio.create_task(live()) for live in lives]
            if self._batches is not None:
                tasks.append(asyncio.create_task(self._batches.run()))
            ended = asyncio.create_task(self._ending.wait())
            await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # a fault of ours ends the server, loudly
        finally:
            for task in (*tasks, *self._taking.values(), *([self._opening] if self._opening else ())):
                task.cancel()
            await self._end()

    async def _scale(self) -> None:
        """As many workers as what is asked calls for."""
        while True:
            await asyncio.sleep(scaling.TURN_S)
            load = self._workforce.load()
            wanted = self._scaling.turn(load)
            if self._ready and wanted != load.workers and wanted != self._wanted_workers:
                self._wanted_workers = wanted
                self._workforce.resize(wanted)
                self._say("workers", wanted=wanted, busy=round(load.busy, 2), refused=load.refused)

    # what is to be served

    async def _pull(self) -> None:
        pulled: Pulled | None = None
        for turn in itertools.count():
            pulled = await self._read_store(first=turn == 0) or pulled
            if pulled is not None:
                await self._consider(pulled)
            await asyncio.sleep(PULL_S)

    async def _read_store(self, *, first: bool) -> Pulled | None:
        if first:
            try:
                self._last = await aside(self._puller.remembered)
            except LastKnownUnreadable as error:
                self._say("last_known_unreadable", error=error.code, message=error.message)
        try:
            pulled = await aside(self._puller.pull)
            is_empty = not pulled.deployments and pulled.keys == KeyList() and not pulled.unreadable
            if is_empty and (self._serves or self._last):
                raise StoreEmptied  # nothing that we have takes all of this away
        except HeadraceError as error:
            if not self._away:
                self._say("store_away", error=error.code)
            self._away = True
            if not first or self._last is None:
                return None
            # it is as old as it was then; a clock that has gone back since does not make it younger than now
            self._read -= max(0, self._clock() - self._last.pulled_us) / 1e6
            return Pulled(deployments=self._last.deployments, keys=self._last.listed, unreadable={})
        if self._away:
            self._say("store_back")
        self._away, self._read = False, time.monotonic()
        return pulled

    async def _consider(self, pulled: Pulled) -> None:
        """Take up what is new."""
        for name, why in pulled.unreadable.items():
            if self._unreadable.get(name) != why:
                self._say("unreadable", name=name, message=why)
        self._unreadable = pulled.unreadable
        keys = pulled.keys
        if keys is None and self._keys is None and self._last is not None:
            keys = self._last.listed
        if keys is not None and keys != self._keys:
            await self._workforce.accept(keys.keys)
            self._keys = keys
            await self._remember()  # before it is told: a start without the store takes no key again that was revoked
            self._say("keys", number=len(keys.keys), changes=keys.changes)
            self._changed.set()
        self._wanted = wanted = {each.name: each for each in pulled.deployments}
        for name in self._serves.keys() - wanted.keys() - pulled.unreadable.keys():
            self._workforce.remove(name)
            del self._serves[name]
            self._say("removed", deployment=name)
            self._changed.set()
        for name in self._refused.keys() - wanted.keys():
            del self._refused[name]
        for deployment in wanted.values():
            self._consider_one(deployment)
        self._open()

    def _consider_one(self, deployment: Deployment) -> None:
        name, refused = deployment.name, self._refused.get(deployment.name)
        if self._serves.get(name) == deployment:
            self._refused.pop(name, None)
            return
        if name in self._taking:  # what is the newest by then is looked at once it is done
            return
        if refused is not None and refused.deployment == deployment and time.monotonic() < refused.again:
            return
        task = asyncio.create_task(self._take_up(deployment))
        self._taking[name] = task
        task.add_done_callback(lambda done: self._taken(name, done))

    def _taken(self, name: str, done: asyncio.Task[None]) -> None:
        self._taking.pop(name, None)
        self._noted(done)
        self._open()

    def _noted(self, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (fault := done.exception()) is not None:
            self._faults.put_nowait(fault)

    async def _take_up(self, deployment: Deployment) -> None:
        name, refused = deployment.name, self._refused.get(deployment.name)
        tries = refused.tries if refused is not None and refused.deployment == deployment else 0
        why = await self._install(deployment, anew=tries > 0)
        if not why:
            self._refused.pop(name, None)
            await self._served(deployment)
            return
        pause = min(FIRST_RETRY_S * 2.0**tries, LONGEST_RETRY_S)
        said = "; ".join(f"{what}: {reason}" for what, reason in why.items())
        self._refused[name] = _Refused(deployment, said, tries + 1, time.monotonic() + pause)
        self._say("not_served", deployment=name, revision=deployment.revision, why=why, again_s=pause)
        self._changed.set()
        if name not in self._serves and self._last is not None:
            for before in self._last.deployments:  # better than nothing
                if before.name == name and before != deployment and not await self._install(before, anew=False):
                    await self._served(before)

    async def _served(self, deployment: Deployment) -> None:
        self._serves[deployment.name] = deployment
        self._say("serving", deployment=deployment.name, revision=deployment.revision)
        self._changed.set()
        await self._remember()
        await self._prune()

    async def _prune(self) -> None:
        """Of all that was ever served keep what is, what is to be, and what a start without the store would serve."""
        before = self._last.deployments if self._last is not None else ()
        known = (*self._serves.values(), *(self._wanted or {}).values(), *before)
        with suppress(HeadraceError):  # the next change tries again
            await aside(partial(self._puller.prune, wanted_packages(known)))

    async def _install(self, deployment: Deployment, *, anew: bool) -> dict[str, str]:
        """Have everybody answer by it; what cannot be served, and why."""
        failed: dict[str, str] = {}
        probed: dict[str, float] = {}
        served = {each.package: each for each in deployment.versions}
        wanted = wanted_packages([deployment])
        for package, version in wanted.items():
            try:
                await aside(partial(self._puller.fetch, package, anew=anew))
                if package not in self._probed:
                    row_us = None if anew else await aside(partial(self._before.row_us, package))
                    known = row_us is not None
                    if row_us is None:
                        row_us = probed[package] = await self._workforce.probe(served[package])
                    self._say("probed_before" if known else "probed", version=version, row_us=round(row_us, 1))
                    # in one turn of its loop a worker answers all rows that it lets wait
                    self._workforce.may_be_busy(self._waiting_rows * row_us / 1e6)
            except HeadraceError as error:
                failed[version] = error.message
            else:
                self._probed.add(package)
        if failed:
            return failed
        failed = await self._workforce.install(deployment)
        if failed:  # whatever was found out before, it is found out anew
            self._probed -= wanted.keys()
            await aside(partial(self._before.forget, wanted))
        elif probed:
            await aside(partial(self._before.remember, probed))
        return failed

    def _mend(self, deployment: Deployment) -> None:
        """On a thread: see that its packages are whole."""
        for package in wanted_packages([deployment]):
            self._puller.fetch(package, anew=True)

    def _open(self) -> None:
        """Take requests, once everything has been taken up that can be."""
        if self._ready or self._wanted is None or self._keys is None or self._taking:
            return
        if self._wanted and not self._serves:
            return
        self._ready = True
        self._opening = asyncio.create_task(self._begin())
        self._opening.add_done_callback(self._noted)

    async def _begin(self) -> None:
        await self._workforce.open()
        self._say(
            "ready", address=f"{self._scheme}://{self.address[0]}:{self.address[1]}", workers=len(self._workforce)
        )

    async def _ramp(self) -> None:
        """Count for canaries, and change what they and their guards call for."""
        while True:
            await asyncio.sleep(PULL_S)
            for each in self._ramping.begin(list(self._serves.values()), time.monotonic()):
                with suppress(HeadraceError):  # the next revision takes it away too
                    await aside(partial(self._puller.tallies.sweep, each))
            for each in self._ramping.due(time.monotonic()):
                if self._is_newest(each) and not self._away:
                    await self._judge(each)

    def _is_newest(self, deployment: Deployment) -> bool:
        return (self._wanted or {}).get(deployment.name) == deployment

    async def _judge(self, deployment: Deployment) -> None:
        """Change what the counts of all servers call for; another one may be first."""
        name, tallies = deployment.name, self._puller.tallies
        try:
            await aside(partial(tallies.tell, self._id, deployment, self._ramping.counts(name)))
            told = await aside(partial(tallies.read, deployment))
            made = self._ramping.judge(deployment, list(told.values()), self._clock(), time.monotonic())
            if made is None:
                return
            await aside(partial(self._puller.write, made))
        except DeploymentMoved:
            return
        except HeadraceError as error:
            self._say("not_judged", deployment=name, revision=deployment.revision, error=error.code)
        else:
            self._say(made.verb, deployment=name, revision=made.revision, reason=made.reason)

    def _counted(self, counts: ArmCounts) -> None:
        self._ramping.add(counts.deployment, counts.arm, counts.counts)

    def _stale(self) -> str | None:
        age = time.monotonic() - self._read
        if age <= self._max_stale_s:
            return None
        return f"what is to be served was last read {age:,.0f} s ago, more than the {self._max_stale_s:,.0f} s allowed"

    # what is told of it, and kept

    async def _beat(self) -> None:
        """On its own: a version that is slow to load makes the server look slow, not dead."""
        while True:
            self._changed.clear()
            state = ServerState(
                id=self._id,
                at_us=self._clock(),
                host=self._host,
                address=f"{self.address[0]}:{self.address[1]}",
                workers=len(self._workforce),
                revisions={each.name: each.revision for each in self._serves.values()},
                keys=0 if self._keys is None else self._keys.changes,
                failed={f"{name} {each.deployment.revision}": each.why for name, each in self._refused.items()},
            )
            with suppress(HeadraceError):
                self._telling = asyncio.create_task(aside(partial(self._puller.tell, state)))
                await asyncio.shield(self._telling)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), BEAT_S)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(max(PULL_S, min(REMEMBER_S, self._max_stale_s / 4.0)))
            if not self._away:
                await self._remember()

    async def _remember(self) -> None:
        """For a start without the store."""
        if not self._serves or self._keys is None:
            return
        async with self._remembering:
            age_us = int((time.monotonic() - self._read) * 1e6)
            known = Known(
                pulled_us=self._clock() - age_us,
                deployments=tuple(self._serves.values()),
                keys=self._keys.keys,
                keys_left=self._keys.left,
            )
            try:
                await aside(partial(self._puller.remember, known))
            except HeadraceError as error:
                self._say("not_remembered", error=error.code)

    async def _fail(self) -> None:
        raise await self._faults.get()

    async def _end(self) -> None:
        await self._workforce.end(self._drain_s)
        if self._batches is not None:
            self._batches.close()
        self._socket.close()
        if self._telling is not None:  # it never lives again after it has left
            await asyncio.wait([self._telling], timeout=LEAVE_S)
        with suppress(HeadraceError, TimeoutError):
            await asyncio.wait_for(aside(partial(self._leave, self._last_counts())), LEAVE_S)
        self._say("ended")

    def _last_counts(self) -> list[tuple[Deployment, dict[str, Counts]]]:
        """What is counted for canaries, that of the requests which were answered last among them."""
        climbing = [each for each in self._ramping.climbing() if self._is_newest(each)]
        return [(each, self._ramping.counts(each.name)) for each in climbing]

    def _leave(self, counts: list[tuple[Deployment, dict[str, Counts]]]) -> None:
        """On a thread."""
        self._puller.leave(self._id)
        for deployment, arms in counts:
            self._puller.tallies.tell(self._id, deployment, arms)
