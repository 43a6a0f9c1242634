"""A worker's life: forked with what is loaded, it takes connections of the one port until it is told to end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from headrace.features.model import ExpressionStep, Program
from headrace.features.program import HistoryLike
from headrace.scoring.package import Package, decode_json, read_package
from headrace.serving.errors import PortTaken, TlsUnusable
from headrace.serving.http import quota
from headrace.serving.http.connection import Connection
from headrace.serving.http.desk import Desk
from headrace.serving.http.endpoint import Endpoint
from headrace.serving.http.handshakes import Handshakes
from headrace.serving.http.metrics import metrics_text
from headrace.serving.http.records import Records
from headrace.serving.keys import KeyRing
from headrace.serving.log.epochs import keep_spares
from headrace.serving.log.errors import LogUnavailable
from headrace.serving.log.writer import LogHeader, LogWriter
from headrace.serving.messages import (
    Accept,
    Accepted,
    ArmCounts,
    Cancel,
    Commit,
    Committed,
    Drain,
    Install,
    Open,
    Opened,
    Ping,
    Pong,
    Prepared,
    Probed,
    Remove,
    Settings,
    for_worker,
    send,
)
from headrace.serving.messages import Probe as ProbeOrder
from headrace.serving.model import Served
from headrace.serving.telling import note
from headrace.serving.tls import Certificate, Handshake
from headrace.serving.versions import Version

if TYPE_CHECKING:
    from headrace.serving.grpc.server import GrpcServer

PROBE: Final = "probe "
"""What the text begins with that a process is forked with to try a version."""
GC_OBJECTS: Final = 20_000
"""Answers are let go of as they leave; circles are rare."""
LONGEST_DRAIN_S: Final = 25.0
UNFINISHED: Final = (".", "#")
"""What names of files begin with that are being written."""
_POLL_S: Final = 0.05
_TIMED: Final = 15
"""Rows that a probe times."""
_BACKLOG: Final = 2048
_DESCRIPTORS: Final = 256
"""Beside connections: the log, libraries, pipes."""
_RENEW_S: Final = 1.0
_FIRST_TO_GO: Final = 500
"""Added to the thousandths of the memory that a process holds: who has the most is ended where none is left."""


def serve(pipe: Pipe, argument: str, descriptors: list[int]) -> None:
    """The entry: what a supervisor forks."""
    if argument.startswith(PROBE):
        send(pipe, probe(msgspec.json.decode(argument.removeprefix(PROBE), type=ProbeOrder)))
        return
    import uvloop

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and the end are the supervisor's to tell
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = msgspec.json.decode(argument, type=Settings)
    gc.set_threshold(GC_OBJECTS, 50, 50)
    limits, doors = settings.limits, 1 if settings.grpc is None else 2
    allow_descriptors(doors * limits.connections + limits.handshakes + _DESCRIPTORS)
    bound_memory(settings.memory_bytes)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    listening, *beside = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    try:
        worker = Worker(loop, pipe, settings, listening, batches=beside[0] if settings.batch else None)
    except LogUnavailable as error:  # it is begun again, as the disk may come back
        note("log_unavailable", error=error.code, reason=error.facts["reason"])
        return
    loop.run_until_complete(worker.run())


def allow_descriptors(n: int) -> None:
    """Let this process hold so many files and connections open, or as many as the machine lets it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = n if hard == resource.RLIM_INFINITY else min(n, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def keep_spares_in(log: Path) -> None:
    """As far as there is space."""
    with suppress(OSError):
        keep_spares(log)


def bound_memory(most_bytes: int | None) -> None:
    """Let this process take so much beyond what it holds, after which a request fails and not the machine; and be the
    first that the kernel ends where all that there is has been taken: another worker comes in its place."""
    import resource

    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))
    if most_bytes is None:
        return
    with suppress(OSError, ValueError):  # another system than Linux, or a lower limit that others have set
        held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()  # data and stacks
        resource.setrlimit(resource.RLIMIT_DATA, (held + most_bytes, held + most_bytes))


def now_us() -> int:
    """Microseconds since 1970, by the system's clock."""
    return time.time_ns() // 1000


def note_fault(error: Exception) -> None:
    """A fault of ours, for who keeps the server: what and where, and no value that a request carried."""
    places = [f"{frame.name} {frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    note("fault", error=type(error).__name__, at=places[-6:])


class Loaded(NamedTuple):
    """What came of loading a deployment."""

    install: Install
    endpoint: Endpoint | None
    versions: dict[str, Version]
    failed: dict[str, str]


class Worker:
    """One."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pipe: Pipe,
        settings: Settings,
        listening: socket.socket,
        *,
        batches: socket.socket | None = None,
    ) -> None:
        self._loop, self._pipe, self._settings, self._listening = loop, pipe, settings, listening
        self._ping = Ping()
        self._log = LogWriter(
            Path(settings.log),
            header=LogHeader(project=settings.project, worker=f"{socket.gethostname()}-{os.getpid()}"),
            durability=settings.durability,
            on_full=settings.on_full,
            clock=now_us,
            loop=loop,
        )
        if not self._log.is_open:
            note("log_full", on_full=settings.on_full)
        self._records = Records(self._log)
        self._quota = quota.Quota(Path(settings.packages).with_name(quota.NAME))
        self.desk = Desk(
            loop,
            limits=settings.limits,
            hosts=frozenset(host.lower().encode() for host in settings.hosts),
            clock=now_us,
            records=self._records,
            quota=self._quota,
            metrics=lambda: metrics_text(self._ping),
            batches=batches,
            fault=note_fault,
        )
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="headrace-load")
        self._ring = KeyRing(())
        self._endpoints: dict[str, Endpoint] = {}
        self._versions: dict[str, Version] = {}
        """By content id: of all endpoints."""
        self._loading: set[int] = set()
        self._waiting: dict[int, Loaded] = {}
        """What is loaded, and not answered by yet."""
        self._server: asyncio.Server | Handshakes | None = None
        self._certificate: Certificate | None = None
        self._grpc: GrpcServer | None = None
        self._ended = loop.create_future()
        self._draining: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until it has drained, or the supervisor is gone."""
        self._loop.add_reader(self._pipe.fileno(), self._hear)
        await self._ended
        self._records.close()
        if self._log.unkept:
            note("answers_uncounted", answers=self._log.unkept)
        self._quota.close()

    def _hear(self) -> None:
        try:
            message = for_worker(self._pipe)
        except (EOFError, OSError):
            self._end()
            return
        match message:
            case Ping():
                self._ping = message
                self.desk.stale = message.stale
                self._say(self._pong())
            case Accept():
                self._ring = KeyRing(message.keys)
                self.desk.install(self._endpoints, self._ring)
                self._say(Accepted(number=message.number))
            case Install():
                self._loading.add(message.number)
                self._loop.run_in_executor(self._loader, self._load, message).add_done_callback(self._loaded)
            case Commit():
                self._commit(message.number)
            case Cancel():
                self._loading.discard(message.number)
                self._waiting.pop(message.number, None)
            case Remove():
                self._endpoints.pop(message.deployment, None)
                self._take_up()
            case Open():
                self._loop.create_task(self._open())
            case Drain():
                if self._draining is None:
                    self._draining = self._loop.create_task(self._drain(message.delay_s))

    def _say(self, message: Accepted | Committed | Opened | Pong | Prepared) -> None:
        try:
            send(self._pipe, message)
        except OSError:
            self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _load(self, install: Install) -> Loaded:
        """On a thread of its own: requests are answered meanwhile."""
        versions, failed = dict[str, Version](), dict[str, str]()
        for served in install.deployment.versions:
            if served.package in versions:
                continue
            try:
                known = self._versions.get(served.package)
                versions[served.package] = known or load_version(served, self._settings)
            except Exception as error:
                failed[f"{served.model}@{served.version}"] = said_of(error)
        endpoint = None
        if not failed:
            try:
                endpoint = Endpoint(install.deployment, versions)
            except Exception as error:
                failed[install.deployment.name] = said_of(error)
        return Loaded(install, endpoint, versions, failed)

    def _loaded(self, done: asyncio.Future[Loaded]) -> None:
        loaded = done.result()
        number = loaded.install.number
        if number not in self._loading:
            return  # nobody waits for it any longer
        self._loading.discard(number)
        if not loaded.failed:
            self._waiting[number] = loaded
        self._say(Prepared(number=number, failed=loaded.failed))

    def _commit(self, number: int) -> None:
        loaded = self._waiting.pop(number, None)
        if loaded is None or loaded.endpoint is None:
            return
        self._endpoints[loaded.endpoint.name] = loaded.endpoint
        self._versions |= loaded.versions
        self._take_up()
        self._say(Committed(number=number))

    def _take_up(self) -> None:
        """From the next request on answer by the endpoints of now."""
        self.desk.install(self._endpoints, self._ring)
        self._records.begin(self._endpoints.values())
        wanted = {served.package for each in self._endpoints.values() for served in each.deployment.versions}
        self._versions = {package: version for package, version in self._versions.items() if package in wanted}
        # what is loaded stays: looking through it for circles again and again would cost a tenth of the time
        gc.collect()
        gc.freeze()

    async def _open(self) -> None:
        try:
            await self._listen()
        except Exception as error:  # a worker that nobody can reach is none: another may find what was missing
            note_fault(error)
            self._end()
        else:
            self._say(Opened())
            self._loop.run_in_executor(self._loader, keep_spares_in, Path(self._settings.log))

    async def _listen(self) -> None:
        if self._server is None:
            tls = self._settings.tls
            if tls is None:
                self._server = await self._loop.create_server(
                    lambda: Connection(self.desk), sock=self._listening, backlog=_BACKLOG
                )
            else:
                self._certificate = Certificate(tls)
                context = self._certificate.context
                self._server = Handshakes(self._loop, self._listening, self.desk, context, fault=note_fault)
                self._renew()
            if self._settings.grpc is not None:
                self._speak_grpc(self._settings.grpc)
            self.desk.ready = True

    def _speak_grpc(self, address: tuple[str, int]) -> None:
        from headrace.serving.grpc.server import GrpcServer

        try:
            self._grpc = GrpcServer(
                self.desk,
                self._loop,
                address=address,
                tls=self._settings.tls,
                most_bytes=self._settings.limits.body_bytes,
            )
        except PortTaken as error:
            note("grpc_refused", error=error.code, reason=error.message)
        else:
            note("grpc", address=f"{address[0]}:{address[1]}")

    def _renew(self) -> None:
        """Look whether there is another certificate."""
        if self._certificate is None:
            return
        self._loop.call_later(_RENEW_S, self._renew)
        try:
            if self._certificate.renew():
                note("certificate_renewed")
        except TlsUnusable as error:
            note("certificate_refused", error=error.code)

    async def _drain(self, delay_s: float) -> None:
        self.desk.draining = True
        await asyncio.sleep(delay_s)
        if self._server is not None:
            self._server.close()
        calls = None if self._grpc is None else self._grpc.stop(LONGEST_DRAIN_S)
        until = self._loop.time() + LONGEST_DRAIN_S
        while self._loop.time() < until:
            self.desk.close_idle()
            if not self.desk.busy and (calls is None or calls.is_set()):
                break
            await asyncio.sleep(_POLL_S)
        self._say(self._pong())
        self._end()

    def _pong(self) -> Pong:
        tallies, self.desk.tallies = self.desk.tallies, {}
        statuses, self.desk.statuses = self.desk.statuses, {}
        counts = tuple(
            ArmCounts(deployment=deployment, arm=arm, counts=tally.counts())
            for (deployment, arm), tally in tallies.items()
        )
        handshakes = dict[Handshake, int]()
        if isinstance(self._server, Handshakes):
            handshakes, self._server.counts = self._server.counts, {}
        refused, self.desk.refusals = self.desk.refusals, 0
        batches, self.desk.batch_counts = self.desk.batch_counts, None
        return Pong(
            counts=counts,
            statuses=statuses,
            batches=batches,
            handshakes=handshakes,
            connections=self.desk.connections,
            refused=refused,
            cpu_s=time.process_time(),
        )


def said_of(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"


def load_version(served: Served, settings: Settings) -> Version:
    """Read, check and compile one; raises `PackageRefused` and what the online store raises."""
    package = read_local(Path(settings.packages) / served.package, served.package, settings.signers)
    return Version(served, package, history_of(package, settings))


def read_local(folder: Path, package: str, signers: tuple[str, ...]) -> Package:
    """A package that lies in a folder, every byte checked."""
    found = folder.iterdir() if folder.is_dir() else ()
    # a copy that somebody is writing, or was when the process ended, is no part of it
    listing = {path.name: path.stat().st_size for path in found if not path.name.startswith(UNFINISHED)}
    return read_package(lambda name: (folder / name).read_bytes(), package=package, signers=signers, listing=listing)


def history_of(package: Package, settings: Settings) -> HistoryLike | None:
    """The online store's values, where the package's program has lookups or windows."""
    program = decode_json(package, "program.json", Program)
    if settings.online is None or all(isinstance(step, ExpressionStep) for step in program.steps):
        return None
    from headrace.features.online import OnlineHistory
    from headrace.stores.online.open import open_online

    return OnlineHistory(
        program,
        open_online(settings.online, Path(settings.root)),
        settings.project,
        max_staleness_us=settings.max_staleness_us,
        on_stale=settings.on_stale,
    )


def probe(order: ProbeOrder) -> Probed:
    """Load a version and let it answer, within limits of memory and time: what a hostile or broken graph does, it does
    to this process."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + order.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (order.cpu_s, order.cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        version = load_version(order.served, order.settings)
        width = version.scorer.graph.width
        rows = [np.full(width, fill, np.float32).tobytes() for fill in (0.0, np.nan, 1.0)]
        amounts: list[tuple[object, ...]] = [(None,) * len(version.scorer.decider.columns)] * len(rows)
        together = version.answer(rows, amounts)[0]
        alone = [version.answer([row], amounts[:1])[0][0] for row in rows]
        if alone != together:
            return Probed(error="rows alone and together got different answers")
        took = []
        for _ in range(_TIMED):
            began = time.perf_counter()
            version.answer(rows[:1], amounts[:1])
            took.append(time.perf_counter() - began)
    except Exception as error:
        return Probed(error=said_of(error))
    return Probed(error=None, row_us=sorted(took)[len(took) // 2] * 1e6)
