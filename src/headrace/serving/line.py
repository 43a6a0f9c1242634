"""A supervisor's end of the pipe to a process: neither what it sends nor what it hears ever makes it wait.

A pipe is full when the other end has stopped reading: what is sent then waits here. A message may come in halves, or be
none at all: then the line ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import cast

import msgspec

from headrace.serving.messages import FromWorker, Message, framed, unframed


class Line(asyncio.Protocol):
    """One, made by `connect`.

    Parameters
    ----------
    heard : told every message
    closed : called once, when the other end is gone
    """

    def __init__(self, heard: Callable[[FromWorker], object], closed: Callable[[], object]) -> None:
        self._heard, self._closed = heard, closed
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self.has_ended = False
        """Whether the other end is gone."""

    def send(self, message: Message) -> None:
        """Now or as soon as the pipe takes it; nothing where the other end is gone, which `closed` tells."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(framed(message))

    def end(self) -> None:
        """Say and hear no more."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            for message in unframed(self._received):
                self._heard(message)
        except msgspec.DecodeError:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self.has_ended = True
        self._closed()


async def connect(pipe: Connection, heard: Callable[[FromWorker], object], closed: Callable[[], object]) -> Line:
    """The line over a pipe, which is closed: the line is its only end here."""
    end = socket.socket(fileno=os.dup(pipe.fileno()))
    pipe.close()
    end.setblocking(False)
    _, line = await asyncio.get_running_loop().create_unix_connection(lambda: Line(heard, closed), sock=end)
    return line
