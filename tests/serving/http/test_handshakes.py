"""Handshakes of TLS are bounded in time and number, each is counted by what became of it: real sockets, one loop."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.scoring.made import ROW
from tests.serving.http.inside import Inside, answers, deployment, request, version
from tests.serving.http.test_tls import Authority, client, tls

from headrace.serving.http import handshakes
from headrace.serving.http.handshakes import Handshakes
from headrace.serving.limits import Limits
from headrace.serving.listening import bind
from headrace.serving.tls import Certificate

VERSION = version(1)


class Listening(socket.socket):
    """Counts how often it is asked for a connection."""

    asked = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.asked += 1
        return super().accept()


class Door:
    """A desk behind TLS."""

    def __init__(self, folder: Path, *, clients: bool, limits: Limits) -> None:
        self.folder, self._loop, self._clients = folder, asyncio.get_running_loop(), clients
        self.inside = Inside(folder / "log", deployment({"v1": VERSION}), [VERSION], limits=limits)
        self.listening = Listening(fileno=bind(("127.0.0.1", 0)).detach())
        self.listening.setblocking(False)
        self.address = self.listening.getsockname()
        context = Certificate(tls(folder, clients=clients)).context
        self.faults = self.inside.faults
        self.made = Handshakes(self._loop, self.listening, self.inside.desk, context, fault=self.faults.append)

    async def silent(self) -> socket.socket:
        """A client that has connected, and says nothing."""
        plain = socket.socket()
        plain.setblocking(False)
        try:
            await self._loop.sock_connect(plain, self.address)
        except ConnectionError:
            plain.close()
            raise
        return plain

    async def is_cut(self, plain: socket.socket) -> bool:
        with plain:
            try:
                return await self._loop.sock_recv(plain, 1) == b""
            except ConnectionResetError:
                return True

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client of good will."""
        context = client(self.folder, shows="client" if self._clients else None)
        return await asyncio.open_connection(*self.address[:2], ssl=context, server_hostname="localhost")

    async def ask(self) -> int:
        reader, writer = await self.connect()
        writer.write(request(ROW, connection="close"))
        [(status, _, _)] = answers(await reader.read())
        writer.close()
        return status

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await asyncio.sleep(0.001)

    async def ended(self, **counts: int) -> None:
        """Once so many have come to an end, these became of them."""
        await self.until(lambda: sum(self.made.counts.values()) >= sum(counts.values()))
        assert self.made.counts == counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("handshakes")
    authority = Authority()
    authority.write(made, "server")
    authority.write(made, "client")
    return made


def within(test: Callable[[Door], Awaitable[None]], folder: Path, *, clients: bool = False, **limits: float) -> None:
    """Run a test on the loop of a worker."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Door]:
        door = Door(folder, clients=clients, limits=Limits(**limits))  # type: ignore[arg-type]  # of each kind
        try:
            yield door
        finally:
            door.made.close()
            door.inside.log.close()
            door.inside.desk.close_idle()
            with suppress(TimeoutError):  # the loop waits for what is open without end
                async with asyncio.timeout(5):
                    await door.until(lambda: not door.inside.desk.connections)

    async def run() -> None:
        async with asyncio.timeout(60), opened() as door:
            await test(door)
            assert not door.faults

    uvloop.run(run())


def test_the_oldest_ends_where_one_more_is_begun_than_there_is_room_for(folder: Path) -> None:
    async def run(door: Door) -> None:
        begun = [await door.silent() for _ in range(5)]
        await door.ended(displaced=2)
        assert [await door.is_cut(each) for each in begun[:2]] == [True, True]
        assert await door.ask() == 200  # as the newest, which nobody displaces in time
        await door.ended(displaced=3, done=1)
        assert await door.is_cut(begun[2])
        assert await door.ask() == 200  # in the place of the one that is done
        await door.ended(displaced=3, done=2)
        for each in begun[3:]:
            with pytest.raises(BlockingIOError):
                each.recv(1)
            each.close()
        await door.ended(displaced=3, done=2, left=2)

    within(run, folder, handshakes=3, read_s=600.0)


def test_what_became_of_a_handshake_is_counted(folder: Path) -> None:
    async def run(door: Door) -> None:
        assert await door.ask() == 200
        await door.ended(done=1)
        (await door.silent()).close()
        await door.ended(done=1, left=1)
        plain = await door.silent()
        plain.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await door.ended(done=1, left=1, failed=1)
        plain.close()
        stranger = ssl.create_default_context(cafile=str(folder / "authority.pem"))  # shows no certificate
        with suppress(ssl.SSLError, ConnectionError):  # TLS 1.3 tells it with the first that is read, or says nothing
            reader, _ = await asyncio.open_connection(*door.address[:2], ssl=stranger, server_hostname="localhost")
            assert await reader.read() == b""
        await door.ended(done=1, left=1, failed=2)

    within(run, folder, clients=True)


def test_who_is_late_is_cut(folder: Path) -> None:
    async def run(door: Door) -> None:
        plain = await door.silent()
        assert await door.is_cut(plain)
        await door.ended(late=1)

    within(run, folder, read_s=0.05)


def test_no_handshake_is_begun_where_there_is_no_room_for_a_connection(folder: Path) -> None:
    async def run(door: Door) -> None:
        _, one = await door.connect()
        await door.until(lambda: door.inside.desk.connections == 1)
        assert await door.is_cut(await door.silent())
        await door.ended(done=1, full=1)
        one.close()
        await door.until(lambda: door.inside.desk.connections == 0)
        assert await door.ask() == 200

    within(run, folder, connections=1)


def test_where_no_descriptor_is_left_it_waits_for_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "_PAUSE_S", 0.2)

    async def run(door: Door) -> None:
        assert await door.ask() == 200  # what is opened at first need is open
        loop, plain = asyncio.get_running_loop(), socket.socket()
        plain.setblocking(False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = [os.dup(0)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, hard))
        try:
            await asyncio.sleep(0.01)  # what was answered is let go of
            with suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            before = door.listening.asked
            await loop.sock_connect(plain, door.address)
            for _ in range(300):
                await asyncio.sleep(0)
            assert 0 < door.listening.asked - before < 100  # and not in every turn
            assert door.made.counts == {"done": 1}
        finally:
            for each in taken:
                os.close(each)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        plain.close()
        await door.ended(done=1, left=1)
        assert await door.ask() == 200

    within(run, folder)


def test_a_door_that_is_closed_takes_no_more_and_lets_handshakes_end(folder: Path) -> None:
    async def run(door: Door) -> None:
        plain = await door.silent()
        _, writer = await door.connect()
        await door.ended(done=1)
        door.made.close()
        with pytest.raises(ConnectionError):
            await door.silent()
        plain.close()
        await door.ended(done=1, left=1)
        writer.close()

    within(run, folder)
