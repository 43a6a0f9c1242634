"""One connection: bytes in, whole requests to the desk, answers out in order. No coroutine, no thread.

httptools (llhttp) parses; it refuses what could be read in two ways (two lengths, a length beside chunks, bare line
feeds). Sizes and times are bounded here, before any work. A request that is not answered at once (another worker's
process has to be asked, a log has to reach the disk) holds back those that its connection sent after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools

from headrace.serving.http.responses import PROBLEM, Problem, head, problem_body

if TYPE_CHECKING:
    from headrace.serving.http.desk import Desk

KEPT: Final = frozenset(
    {b"authorization", b"content-type", b"content-encoding", b"expect", b"host", b"traceparent", b"x-request-id"}
)
"""Headers that anything here looks at."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request:
    """One whole request."""

    __slots__ = ("body", "connection", "headers", "id", "keep", "method", "started", "url")

    def __init__(
        self,
        connection: Connection,
        method: bytes,
        url: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep: bool,
        started: float,
    ) -> None:
        self.connection, self.method, self.url = connection, method, url
        self.headers, self.body, self.keep, self.started = headers, body, keep, started
        self.id: bytes | None = None


class Connection(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_body",
        "_closing",
        "_desk",
        "_ended",
        "_head_bytes",
        "_headers",
        "_headers_seen",
        "_in_head",
        "_parser",
        "_queue",
        "_reading",
        "_size",
        "_transport",
        "_unread_since",
        "_url",
        "since",
        "waits",
    )

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._closing = False
        self._ended = False
        """Whether the client will send nothing more."""
        self._queue: deque[Request] = deque()
        self.waits = 0
        """Requests that were handed over and are not answered."""
        self.since = desk.now()
        """When the request that is being read began, or the last one ended."""
        self._unread_since: float | None = None
        self._reading = False
        """Whether a request has begun that is not whole."""
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._headers_seen = 0
        self._head_bytes = 0
        self._in_head = False
        self._body: list[bytes] = []
        self._size = 0

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport
        self._desk.open(self)

    def connection_lost(self, _: Exception | None) -> None:
        """It is gone; what was asked for is answered to nobody."""
        self._closing = True
        self._queue.clear()
        self._desk.closed(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._closing:
            return
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(Problem(400, "upgrade-refused", "this server speaks HTTP/1.1 alone", close=True))
        except httptools.HttpParserError as error:
            problem = error.__context__
            if isinstance(problem, Problem):
                self._refuse(problem)
            else:
                self._refuse(Problem(400, "request-malformed", "the request is no HTTP/1.1", close=True))
        else:
            if self._in_head and self._head_bytes > self._desk.limits.header_bytes + self._desk.limits.url_bytes:
                self._refuse(self._too_large_head())

    def eof_received(self) -> bool:
        """The client has nothing more to say: answers that are due are still written."""
        self._ended = True
        return self.waits > 0

    def pause_writing(self) -> None:
        """The client does not read what it asked for."""
        self._unread_since = self._desk.now()

    def resume_writing(self) -> None:
        """It reads again."""
        self._unread_since = None

    # what the parser calls

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._begin()
        self._reading = self._in_head = True
        self.since = self._desk.now()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._url += url
        if len(self._url) > self._desk.limits.url_bytes:
            raise Problem(
                414, "address-too-long", f"an address has at most {self._desk.limits.url_bytes:,} bytes", close=True
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        limits = self._desk.limits
        self._headers_seen += 1
        self._size += len(name) + len(value)
        if self._size > limits.header_bytes or self._headers_seen > limits.headers:
            raise self._too_large_head()
        name = name.lower()
        if name in KEPT:
            if name in self._headers and name in (b"host", b"authorization"):
                raise Problem(400, "header-repeated", f"the header {name.decode()} came twice", close=True)
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._size = 0
        if self._parser.should_upgrade():
            raise Problem(400, "upgrade-refused", "this server speaks HTTP/1.1 alone", close=True)
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and not self._closing:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        if self._size > self._desk.limits.body_bytes:
            raise Problem(
                413, "body-too-large", f"a body has at most {self._desk.limits.body_bytes:,} bytes", close=True
            )
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._reading = False
        if self._closing:
            return
        parser, parts = self._parser, self._body
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        keep = parser.should_keep_alive()
        request = Request(self, parser.get_method(), self._url, self._headers, body, keep, self.since)
        if self.waits or self._queue:
            if len(self._queue) >= self._desk.limits.pipelined:
                raise Problem(
                    429, "pipeline-too-long", "too many requests were sent ahead of their answers", close=True
                )
            if not self._queue:
                self._transport.pause_reading()
            self._queue.append(request)
            return
        self.waits = 1
        self._desk.take(request)

    # what the desk calls

    def write(self, data: bytes, keep: bool) -> None:
        """The answer to the request that waits; then the next one that was sent ahead."""
        if self._closing:
            return
        self._transport.write(data)
        self.waits = 0
        self.since = self._desk.now()
        if not keep or (self._ended and not self._queue):
            self.close()
        elif self._queue:
            self._desk.later(self._next)

    def _next(self) -> None:
        if self._queue and not self.waits and not self._closing:
            self.waits = 1
            request = self._queue.popleft()
            if not self._queue:
                self._transport.resume_reading()
            self._desk.take(request)

    def sweep(self, now: float) -> None:
        """End what takes too long."""
        limits = self._desk.limits
        if self._unread_since is not None and now - self._unread_since > limits.write_s:
            self.abort()
        elif self.waits:
            return
        elif self._reading:
            if now - self.since > limits.read_s:
                self._refuse(
                    Problem(408, "request-too-slow", f"a request arrives within {limits.read_s:g} s", close=True)
                )
        elif now - self.since > limits.idle_s:
            self.close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request has come or is due."""
        return not self.waits and not self._queue and not self._reading

    def close(self) -> None:
        """End it once everything is written."""
        if not self._closing:
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self._closing = True
        self._transport.abort()

    def _too_large_head(self) -> Problem:
        limits = self._desk.limits
        return Problem(
            431,
            "headers-too-large",
            f"a request has at most {limits.headers} headers of {limits.header_bytes:,} bytes together",
            close=True,
        )

    def _refuse(self, problem: Problem) -> None:
        """Of a request that did not become whole: say so and end the connection."""
        if self._closing:
            return
        self._desk.flush()  # what was asked before is answered before
        self._desk.refused(problem)
        body = problem_body(problem, None)
        self._transport.write(head(problem.status, PROBLEM, len(body), b"connection: close") + body)
        self.close()
