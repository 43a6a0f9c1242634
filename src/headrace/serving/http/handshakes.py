"""TLS from the first byte on: how long a handshake may take, and how many there may be at a time.

The loop's own server tells of a connection once its handshake is done: before that nobody could count it or end it. So
connections are accepted here. Where more handshakes are begun than there is room for, the oldest ends for the newest:
who means well is done after a round trip or two and is in nobody's way, however many others never end theirs.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

from headrace.serving.http.connection import Connection
from headrace.serving.http.desk import Desk
from headrace.serving.tls import Handshake

_SPENT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S: Final = 1.0
"""Before the next connection is taken where the machine has no room for one."""


class Handshakes:
    """A worker's door under TLS: every connection that comes of it is told to the desk."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        desk: Desk,
        context: ssl.SSLContext,
        *,
        fault: Callable[[Exception], None],
    ) -> None:
        self._loop, self._listening, self._desk, self._context = loop, listening, desk, context
        self._fault = fault
        self._under_way: dict[asyncio.Task[None], None] = {}
        """From the oldest to the newest."""
        self._is_closed = False
        self.counts: dict[Handshake, int] = {}
        """What became of them since that was last said."""
        self._listen()

    def close(self) -> None:
        """Take no more connections; handshakes that are under way may end."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listening)
            self._listening.close()

    def _listen(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._listening.accept()
        except OSError as error:  # mostly: another worker has it, or it has gone
            if error.errno in _SPENT:  # it would be told so again at once, and for as long as that lasts
                self._loop.remove_reader(self._listening)
                self._loop.call_later(_PAUSE_S, self._listen)
            return
        limits = self._desk.limits
        if self._desk.connections >= limits.connections:
            client.close()
            self._count("full")
            return
        if len(self._under_way) >= limits.handshakes:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
            self._count("displaced")
        client.setblocking(False)
        task = self._loop.create_task(self._shake_hands(client))
        self._under_way[task] = None
        task.add_done_callback(self._over)

    async def _shake_hands(self, client: socket.socket) -> None:
        outcome: Handshake = "done"
        try:
            await self._loop.connect_accepted_socket(
                partial(Connection, self._desk),
                client,
                ssl=self._context,
                ssl_handshake_timeout=self._desk.limits.read_s,
            )
        except ConnectionAbortedError:  # what the loop makes of its timeout
            outcome = "late"
        except (ssl.SSLError, MemoryError):
            outcome = "failed"
        except OSError:
            outcome = "left"
        except Exception as error:
            outcome = "failed"
            self._fault(error)
        self._count(outcome)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)

    def _count(self, outcome: Handshake) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
