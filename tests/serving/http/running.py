"""A prediction server of a test's own: its store, its process, and a client."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
from tests.scoring.made import KEY, id_of, package_files, signed

from headrace.serving.deployments import Deployments
from headrace.serving.keys import Keys
from headrace.serving.limits import Limits
from headrace.serving.messages import Settings
from headrace.serving.model import Deployment, Served
from headrace.serving.pulling import Puller, ServerState, servers, tell_changes
from headrace.serving.revisions import Change, begin
from headrace.serving.tls import Tls
from headrace.stores.objects.local import LocalObjectStore

PROJECT = "delays"


def now_us() -> int:
    return time.time_ns() // 1000


def change(text: str = "") -> Change:
    return Change(at_us=now_us(), by="ann", salt="salt", reason=text)


@dataclass
class Place:
    """A folder with a store, versions, and a key."""

    root: Path
    limits: Limits = field(default_factory=Limits)
    max_stale_s: float = 3600.0
    drain_s: float = 0.0
    tls: Tls | None = None
    grpc: tuple[str, int] | None = None
    memory_bytes: int | None = None
    batch: bool = False
    on_full: Literal["refuse", "gap"] = "refuse"
    online: str | None = None
    store: Path | None = None
    """The folder of objects, where several hosts share it; None: one of its own."""
    objects: LocalObjectStore = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.store or self.root / "objects"
        self.objects = LocalObjectStore(self.store)
        self.deployments = Deployments(self.objects, PROJECT)
        self.keys = Keys(self.objects, PROJECT, clock=now_us)
        self.key, _ = self.keys.create(verbs=("predict",), lifetime_us=None, by="ann")

    def version(self, number: int, **made: Any) -> Served:
        """Register a version whose forest is drawn from its number."""
        stored = signed(package_files(**({"seed": number} | made)), task=made.get("task", "binary"))
        package = id_of(stored)
        for name, data in stored.items():
            self.objects.put(f"packages/{package}/{name}", data)
        return Served(model=PROJECT, version=number, package=package)

    def deploy(self, served: Served, name: str = "delays", sticky: Sequence[str] = ()) -> Deployment:
        made = begin(served, change(), project=PROJECT, name=name, sticky=sticky)
        self.write(made)
        return made

    def write(self, made: Deployment) -> None:
        self.deployments.write(made)
        tell_changes(self.objects, PROJECT)

    def settings(self) -> Settings:
        folder = self.root / "serving"
        return Settings(
            project=PROJECT,
            root=str(self.root),
            packages=str(folder / "packages"),
            signers=(KEY.public,),
            hosts=("localhost", "127.0.0.1"),
            tls=self.tls,
            grpc=self.grpc,
            batch=self.batch,
            limits=self.limits,
            online=self.online,
            max_staleness_us=None,
            on_stale="refuse",
            log=str(folder / "log"),
            durability="process",
            on_full=self.on_full,
            memory_bytes=self.memory_bytes,
        )


class Running:
    """The server's process."""

    def __init__(
        self,
        place: Place,
        *,
        workers: int = 1,
        most: int | None = None,
        scaling: dict[str, float] | None = None,
        ramping: dict[str, float] | None = None,
        host: str | None = None,
        log: Path | None = None,
    ) -> None:
        self.place = place
        self.clients: list[http.client.HTTPConnection] = []
        order = {
            "root": str(place.root),
            "store": str(place.store),
            "workers": workers,
            "most": most,
            "scaling": scaling or {},
            "ramping": ramping or {},
            "max_stale_s": place.max_stale_s,
            "drain_s": place.drain_s,
        }
        self.log = (log or place.root / "server.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from tests.serving.http.running import main; main()", json.dumps(order)],
            stdin=subprocess.PIPE,
            stderr=self.log,
            cwd=Path(__file__).parents[3],
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(["src", "."])}
            | ({} if host is None else {"HOSTNAME": host}),
        )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(place.settings()))
        self.process.stdin.close()

    def events(self) -> list[dict[str, Any]]:
        lines = (self.place.root / "server.log").read_bytes().splitlines()
        return [json.loads(line) for line in lines if line.startswith(b'{"event"')]

    def faults(self) -> list[Any]:
        """What the workers noted as faults of ours, and whatever else was written that is no event."""
        lines = (self.place.root / "server.log").read_bytes().splitlines()
        noise = [line for line in lines if not line.startswith(b'{"event"')]
        return noise + [each for each in self.events() if each["event"] == "fault"]

    def wait_for(self, event: str, count: int = 1, within_s: float = 30.0) -> dict[str, Any]:
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            found = [each for each in self.events() if each["event"] == event]
            if len(found) >= count:
                return found[count - 1]
            assert self.process.poll() is None, (self.place.root / "server.log").read_text()
            time.sleep(0.02)
        raise AssertionError(f"no {event}: {(self.place.root / 'server.log').read_text()}")

    def wait_until(self, reached: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
        until = time.monotonic() + within_s
        while not reached():
            assert self.process.poll() is None, (self.place.root / "server.log").read_text()
            assert time.monotonic() < until, f"not {what}: {(self.place.root / 'server.log').read_text()}"
            time.sleep(0.02)

    def state(self) -> ServerState:
        """What it tells of itself."""
        self.wait_until(lambda: bool(servers(self.place.objects, PROJECT, now_us())), "told of")
        [state] = servers(self.place.objects, PROJECT, now_us())
        return state

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.wait_for("ready")["address"].rpartition("/")[2].rpartition(":")
        return host, int(port)

    def workers(self) -> list[int]:
        """Processes of the workers."""
        nursery = children(self.process.pid)
        return [pid for each in nursery for pid in children(each)]

    def end(self, number: int = signal.SIGTERM) -> int:
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(40)
        finally:
            self.process.kill()
            self.log.close()


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            found += [int(each) for each in (task / "children").read_text().split()]
    return found


class Client:
    """One connection that stays."""

    def __init__(self, running: Running, key: str | None = None) -> None:
        host, port = running.address
        self.connection = http.client.HTTPConnection(host, port, timeout=20)
        running.clients.append(self.connection)
        self.key = running.place.key if key is None else key

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        sent = {"authorization": f"Bearer {self.key}"} if self.key else {}
        if body is not None:
            sent["content-type"] = "application/json"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, data, sent | (headers or {}))
        answer = self.connection.getresponse()
        text = answer.read()
        kind = answer.headers.get("content-type", "")
        return answer.status, dict(answer.headers.items()), json.loads(text) if "json" in kind else text.decode()

    def predict(self, body: Any, name: str = "delays", **headers: str) -> tuple[int, dict[str, str], Any]:
        return self.ask("POST", f"/v1/deployments/{name}/predict", body, headers)


def main() -> None:
    """The process: settings on standard input, the rest as an argument."""
    import asyncio

    from headrace.serving.listening import own_host
    from headrace.serving.supervisor import Supervisor
    from headrace.serving.telling import note

    order = json.loads(sys.argv[1])
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=Settings)

    from headrace.serving import ramping, scaling

    for module in (ramping, scaling):
        for name, value in order[module.__name__.rpartition(".")[2]].items():
            setattr(module, name, value)
    root = Path(order["root"])

    async def run() -> None:
        await Supervisor(
            settings,
            Puller(LocalObjectStore(Path(order["store"])), PROJECT, root / "serving", clock=now_us),
            address=("127.0.0.1", 0),
            host=own_host(),
            workers=order["workers"],
            most_workers=order["most"],
            max_stale_s=order["max_stale_s"],
            drain_s=order["drain_s"],
            say=note,
            clock=now_us,
        ).run()

    asyncio.run(run())
