"""The limit of `benchmarks.serving`: a constant answer from a bare protocol on uvloop and httptools.

usage: serving_echo.py PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httptools
import uvloop

BODY = b'{"probability":0.15730000000000002}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Echo(asyncio.Protocol):
    """Parses, and answers nothing that was asked."""

    def connection_made(self, transport: Any) -> None:
        """A client."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Its bytes."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """A whole request."""
        self.transport.write(ANSWER)


async def main(port: int) -> None:
    """Until killed."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
