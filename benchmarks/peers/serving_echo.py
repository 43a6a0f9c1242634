"""The limit of `benchmarks.serving`: a constant answer from a bare protocol on uvloop and httptools.

With US each answer takes so much longer, by counting: a server that does nothing but take its time.

usage: serving_echo.py PORT [US]
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import httptools
import uvloop

BODY = b'{"probability":0.15730000000000002}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


TURNS = 2_000


def count(turns: int) -> None:
    """Take time: as long as the machine takes for so many turns."""
    for _ in range(turns):
        pass


def turns_in(us: float) -> int:
    """How far is counted in so many microseconds when nothing is in the way."""
    took_ns = []
    for _ in range(200):
        began_ns = time.perf_counter_ns()
        count(TURNS)
        took_ns.append(time.perf_counter_ns() - began_ns)
    return round(us * 1e3 / min(took_ns) * TURNS)


class Echo(asyncio.Protocol):
    """Parses, and answers nothing that was asked."""

    turns = 0

    def connection_made(self, transport: Any) -> None:
        """A client."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Its bytes."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """A whole request."""
        if self.turns:
            count(self.turns)
        self.transport.write(ANSWER)


async def main(port: int) -> None:
    """Until killed."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        Echo.turns = turns_in(float(sys.argv[2]))
    uvloop.run(main(int(sys.argv[1])))
