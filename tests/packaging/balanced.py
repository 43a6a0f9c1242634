"""Servers of one store on ports of their own, a real HAProxy before them, and clients that keep asking."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from tests.scoring.made import KEY, ROW
from tests.serving.http.running import PROJECT, Place

from headrace.definition.model import Online, Serving
from headrace.packaging.haproxy import Address, Front, haproxy_config
from headrace.packaging.serving_toml import ServingDefinition, serving_toml

WITHIN_S = 60.0


class Server:
    """`headrace serve` in a folder and with a log of its own, of a store that it shares."""

    def __init__(self, folder: Path, objects: Path, port: int) -> None:
        self.folder, self.port, self.starts = folder, port, 0
        folder.mkdir()
        serving = Serving(port=port, workers=2, drain_us=1_000_000)
        definition = ServingDefinition(PROJECT, str(objects), None, serving, Online(), (KEY.public,))
        (folder / "headrace.toml").write_text(serving_toml(definition), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / ".headrace" / "serving" / "log"

    def start(self) -> None:
        self.starts += 1
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "serve", "--project", str(self.folder), "--json"],
                stderr=said,
                env=os.environ | {"HEADRACE_CONFIG": str(self.folder)},
            )

    def wait_until_ready(self) -> None:
        wait_until(lambda: b'"event":"ready"' in self._said.read_bytes(), self._said.read_text)

    def signal(self, number: int) -> None:
        """To every process of it, the first one first."""
        assert self.process is not None
        first = psutil.Process(self.process.pid)
        for each in (first, *first.children(recursive=True)):
            try:
                each.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def kill(self) -> None:
        """Everything of it at once, by kill -9."""
        assert self.process is not None
        self.signal(signal.SIGKILL)
        self.process.wait(WITHIN_S)

    def end(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN_S)

    @property
    def _said(self) -> Path:
        return self.folder / f"said-{self.starts}"


class Balancer:
    """A real HAProxy with the configuration that is written for these servers."""

    def __init__(self, folder: Path, servers: list[Server], port: int, *, certificate: Path | None = None) -> None:
        haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        if haproxy is None:
            raise FileNotFoundError("haproxy is not installed; fix: scripts/setup.sh dev")
        folder.mkdir()
        addresses = tuple(Address("127.0.0.1", server.port) for server in servers)
        self.port = port
        pem = None if certificate is None else str(certificate)
        front = Front(addresses, Address("127.0.0.1", port), certificate=pem)
        (folder / "haproxy.cfg").write_text(haproxy_config(front), encoding="utf-8")
        self._socket = folder / "stats"
        (folder / "stats.cfg").write_text(f"global\n    stats socket {self._socket}\n", encoding="utf-8")
        files = ["-f", str(folder / "haproxy.cfg"), "-f", str(folder / "stats.cfg")]
        checked = subprocess.run([haproxy, "-c", *files], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        self._log = (folder / "said").open("wb")
        self.process = subprocess.Popen([haproxy, "-db", *files], stdout=self._log, stderr=self._log)

    def states(self) -> list[str]:
        """Of each server: `UP`, `DOWN`, …"""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(self._socket))
            stats.sendall(b"show stat\n")
            said = b"".join(iter(lambda: stats.recv(65_536), b"")).decode()
        head, *lines = (line.split(",") for line in said.removeprefix("# ").splitlines() if line)
        rows = [dict(zip(head, line, strict=False)) for line in lines]
        return [row["status"] for row in rows if row["pxname"] == "servers" and row["svname"] != "BACKEND"]

    def wait_until(self, *states: str) -> None:
        wait_until(lambda: self._answers() and self.states() == list(states), lambda: str(self.states()))

    def _answers(self) -> bool:
        assert self.process.poll() is None
        return self._socket.exists()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(WITHIN_S)
        self._log.close()


class Load:
    """So many clients, each with a connection that stays, who ask again and again."""

    def __init__(self, port: int, key: str) -> None:
        body = json.dumps(ROW).encode()
        self._port = port
        self._request = (
            b"POST /v1/deployments/delays/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            + f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self.ids: list[str] = []
        self.failed: Counter[str] = Counter()
        self._stop = False

    async def run(self, clients: int, meanwhile: Callable[[], None]) -> None:
        """Ask until `meanwhile`, on a thread of its own, has returned."""
        asking = [asyncio.create_task(self._client()) for _ in range(clients)]
        try:
            await asyncio.to_thread(meanwhile)
        finally:
            self._stop = True
            await asyncio.gather(*asking)

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.ids) + count
        wait_until(lambda: len(self.ids) >= wanted, lambda: f"{len(self.ids)} answers, failed {self.failed}")

    async def _client(self) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._stop:
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self._port)
                status, answer = await asyncio.wait_for(self._ask(*streams), WITHIN_S)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.failed[type(error).__name__] += 1
                streams = None
            else:
                if status == 200:
                    self.ids.append(answer["id"])
                else:
                    self.failed[f"{status} {answer}"[:200]] += 1
        if streams is not None:
            streams[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, dict[str, Any]]:
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        status = int(head.split(" ", 2)[1])
        return status, json.loads(body) if status == 200 else {"body": body.decode()}


def wait_until(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    until = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < until, told()
        time.sleep(0.02)


def make_place(folder: Path) -> Place:
    """A store with one deployment, and a key."""
    place = Place(folder)
    place.deploy(place.version(1))
    return place
