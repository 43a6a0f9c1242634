"""A worker's desk without a process: real versions, connections and log, and a transport that keeps what is written."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from tests.scoring.made import KEY, ROW, id_of, package_files, signed

from headrace.scoring.package import read_package
from headrace.serving.http.connection import Connection
from headrace.serving.http.desk import Desk
from headrace.serving.http.endpoint import Endpoint
from headrace.serving.http.quota import Quota
from headrace.serving.http.records import Records
from headrace.serving.keys import ApiKey, KeyRing, digest_of
from headrace.serving.limits import Limits
from headrace.serving.log.reader import Predictions, read_log
from headrace.serving.log.record import Record, Route
from headrace.serving.log.writer import LogHeader, LogWriter
from headrace.serving.model import Arm, Deployment, Served
from headrace.serving.versions import Version

TEXT = "hr_abc_secret"
PATH = "/v1/deployments/delays/predict"


def now_us() -> int:
    return time.time_ns() // 1000


def key(**more: Any) -> ApiKey:
    made: dict[str, Any] = {"verbs": ("predict",), "created_us": 1, "by": "ann"} | more
    return ApiKey(id="abc", sha256=digest_of(TEXT.encode()), **made)


def version(number: int, *, history: Any = None, **made: Any) -> Version:
    """A version whose forest is drawn from its number."""
    stored = signed(package_files(**({"seed": number} | made)), task=made.get("task", "binary"))
    listing = {name: len(data) for name, data in stored.items()}
    package = read_package(stored.__getitem__, package=id_of(stored), signers=(KEY.public,), listing=listing)
    return Version(Served(model="delays", version=number, package=id_of(stored)), package, history)


def deployment(arms: Mapping[str, Version], **more: Any) -> Deployment:
    """Arms of equal weight."""
    made = tuple(Arm(name=name, serves=each.served, weight=1 / len(arms)) for name, each in arms.items())
    facts: dict[str, Any] = {"revision": 1, "salt": "s", "at_us": 1, "by": "ann", "reason": "", "verb": "deploy"}
    return Deployment(project="delays", name="delays", arms=made, **(facts | more))


class Transport:
    """Keeps what is written, and what was asked of it."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = self.paused = False
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, *, high: int) -> None:
        assert high > 0


class Inside:
    """A desk with one deployment."""

    def __init__(
        self,
        folder: Path,
        made: Deployment,
        versions: Sequence[Version],
        *,
        limits: Limits | None = None,
        clock: Callable[[], int] = now_us,
        held: ApiKey | None = None,
        quota: Quota | None = None,
        durability: Literal["process", "power"] = "process",
    ) -> None:
        self.folder, self.faults = folder, list[Exception]()
        self.log = LogWriter(
            folder,
            header=LogHeader(project="delays", worker="w"),
            durability=durability,
            on_full="refuse",
            clock=now_us,
            loop=asyncio.get_running_loop(),
        )
        self.records = Records(self.log)
        self.desk = Desk(
            asyncio.get_running_loop(),
            limits=limits or Limits(),
            hosts=frozenset({b"localhost"}),
            clock=clock,
            records=self.records,
            quota=quota,
            fault=self.faults.append,
        )
        self.versions = {each.served.package: each for each in versions}
        self.install(made, held or key())
        self.desk.ready = True

    def install(self, made: Deployment, held: ApiKey) -> None:
        endpoint = Endpoint(made, self.versions)
        self.desk.install({"delays": endpoint}, KeyRing([held]))
        self.records.begin([endpoint])

    def connect(self) -> tuple[Connection, Transport]:
        transport = Transport()
        connection = Connection(self.desk)
        connection.connection_made(transport)  # type: ignore[arg-type]
        return connection, transport

    async def ask(self, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        """One request on a connection of its own."""
        connection, transport = self.connect()
        connection.data_received(request(body, **headers))
        await turns()
        [answer] = answers(transport.sent)
        return answer

    def logged(self) -> list[tuple[Route, Record]]:
        self.log.close()
        found = []
        for read in read_log(self.folder):
            if isinstance(read, Predictions):
                found += list(zip(read.routes, read.records, strict=True))
        return found


async def turns(n: int = 6) -> None:
    """So many turns of the loop."""
    for _ in range(n):
        await asyncio.sleep(0)


def request(body: Any = ROW, *, path: str = PATH, method: str = "POST", text: str = TEXT, **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"authorization: Bearer {text}"]
    lines += ["content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def answers(sent: bytes) -> list[tuple[int, dict[str, str], Any]]:
    """What was answered."""
    found = []
    while sent:
        head, _, sent = sent.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        body, sent = sent[:length], sent[length:]
        found.append((int(status.split()[1]), headers, msgspec.json.decode(body) if body else None))
    return found


def within(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine."""
    asyncio.run(test)
