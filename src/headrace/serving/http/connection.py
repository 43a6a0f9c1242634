"""One connection: bytes in, whole requests to the desk, answers out in order. No coroutine, no thread.

httptools (llhttp) parses; it refuses what could be read in two ways (two lengths, a length beside chunks, bare line
feeds). A head that it has once read, of a request for predictions whose key holds, is known by its bytes (`heads`).
Sizes and times are bounded here, before any work. A request that is not answered at once (a log has to reach the disk)
holds back those that its connection sent after it; a client that does not read what it asked for is not asked for more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

import httptools

from headrace.serving.http.responses import PROBLEM, Problem, head, problem_body, retry_after
from headrace.serving.http.target import split_target

if TYPE_CHECKING:
    from headrace.serving.http.desk import Desk

KEPT: Final = frozenset(
    {
        b"accept",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"inference-header-content-length",
        b"traceparent",
        b"transfer-encoding",
        b"x-request-id",
        b"x-timeout-ms",
    }
)
"""Headers that anything here looks at."""
FREE_BYTES: Final = 64 * 1024
"""A body may be as large before its key is looked at."""
UNREAD_BYTES: Final = 256 * 1024
"""Answers that may wait in memory for a client to read them, before it is not asked for more."""
KNOWN_HEAD_BYTES: Final = 4 * 1024
"""Heads that are remembered are as large at most."""
DROPPED_BYTES: Final = 1024 * 1024
"""What a client may still send after it was told that it is not read."""
_END: Final = b"\r\n\r\n"
_SLACK_BYTES: Final = 64 * 1024
"""What a request may have beside its head and its body: the sizes of chunks, and trailers."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request:
    """One whole request."""

    __slots__ = ("body", "connection", "head", "headers", "id", "keep", "method", "started", "url")

    def __init__(
        self,
        connection: Connection,
        method: bytes,
        url: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep: bool,
        started: float,
        head: bytes | None = None,
    ) -> None:
        self.connection, self.method, self.url = connection, method, url
        self.headers, self.body, self.keep, self.started = headers, body, keep, started
        self.id: bytes | None = None
        self.head = head
        """The very bytes, where the next request may begin with the same."""


class Connection(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_body",
        "_chunk",
        "_closed_at",
        "_closing",
        "_desk",
        "_dropped",
        "_ended",
        "_head_bytes",
        "_headers",
        "_headers_seen",
        "_held",
        "_in_head",
        "_last",
        "_message_bytes",
        "_most_bytes",
        "_parser",
        "_queue",
        "_read_s",
        "_reading",
        "_rest",
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
        self._closed_at = 0.0
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
        self._chunk: bytes | None = None
        """What came last, while the first request in it began with it."""
        self._held = 0
        """Bytes of the request that is being read, as the desk counts them."""
        self._last: Problem | None = None
        """What is said once everything before it is answered; nothing is read any more."""
        self._dropped = 0
        """Bytes that came after the connection's last word."""
        self._rest: tuple[deque[bytes], Callable[[], None], bool] | None = None
        """What an answer still has to say, who is told when it is said, and whether the connection goes on."""
        self._begin()

    def _begin(self) -> None:
        limits = self._desk.limits
        self._most_bytes, self._read_s = limits.body_bytes, limits.read_s
        """What the body of the request that is being read may have, and how long it may take."""
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._headers_seen = 0
        self._head_bytes = 0
        self._message_bytes = 0
        self._in_head = False
        self._body: bytes | bytearray = b""
        self._size = 0

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._desk.open(self)

    def connection_lost(self, _: Exception | None) -> None:
        """It is gone; what was asked for is answered to nobody."""
        self._closing = True
        self._queue.clear()
        self._hold(0)
        self._let_go()
        if self._unread_since is not None:
            self._is_read()
        self._desk.closed(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if not (self._reading or self.waits or self._queue or self._closing or self._unread_since):
            place = data.find(_END) + 4
            heads, begun = self._desk.heads, data[:place]
            known, own = heads.same.get(begun), None
            if known is None and heads.lines and (found := heads.find(begun)) is not None:
                known, own = found
            if known is not None and len(data) - place == known.length:
                self.waits = 1
                self._desk.take_known(self, known, data[place:], own)
                return
            self._chunk = data
        else:
            self._chunk = None
        if self._closing:
            self._dropped += len(data)
            if self._dropped > DROPPED_BYTES:
                self.abort()
        elif self._last is None:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        self._message_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(Problem(400, "upgrade-refused", "this server speaks HTTP/1.1 alone", close=True))
        except httptools.HttpParserError as error:
            problem = error.__context__
            if isinstance(problem, Problem):
                self._refuse(problem)
            elif isinstance(problem, MemoryError):
                self._refuse(too_much_held())
            else:
                self._refuse(Problem(400, "request-malformed", "the request is no HTTP/1.1", close=True))
        else:
            limits = self._desk.limits
            head_bytes = limits.header_bytes + limits.url_bytes
            if self._in_head and self._head_bytes > head_bytes:
                self._refuse(self._too_large_head())
            elif self._reading and self._message_bytes > head_bytes + 2 * self._most_bytes + _SLACK_BYTES:
                self._refuse(self._too_large_body())
            elif self._reading:
                self._message_bytes = self._message_bytes or len(data)  # it began in these
                self._hold(self._message_bytes)
                if self._desk.held > limits.held_bytes:
                    self._refuse(too_much_held())

    def _hold(self, n: int) -> None:
        self._desk.held += n - self._held
        self._held = n

    def eof_received(self) -> bool:
        """The client has nothing more to say: answers that are due are still written."""
        self._ended = True
        return (self.waits > 0 or bool(self._queue)) and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client does not read what it asked for: nothing more is read or answered until it does."""
        self._unread_since = self._desk.now()
        self._desk.unread += UNREAD_BYTES
        if self._desk.unread > self._desk.limits.held_bytes:
            self.abort()
        else:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_read()
        if self._rest is not None:
            self._say_rest()
        if self._closing or self._rest is not None or self._unread_since is not None:
            return
        if self._queue:
            self._desk.later(self._next)
        else:
            self._transport.resume_reading()

    def _is_read(self) -> None:
        self._unread_since = None
        self._desk.unread -= UNREAD_BYTES

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
        """A header, or a trailer."""
        limits = self._desk.limits
        self._headers_seen += 1
        self._size += len(name) + len(value)
        if (self._in_head and self._size > limits.header_bytes) or self._headers_seen > limits.headers:
            raise self._too_large_head()
        name = name.lower()
        if name in KEPT and self._in_head:
            if name in self._headers and name in (b"host", b"authorization"):
                raise Problem(400, "header-repeated", f"the header {name.decode()} came twice", close=True)
            value = value.rstrip(b" \t")  # the parser leaves the space behind a value that is no part of it
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                raise Problem(400, "transfer-coding-refused", "bodies are sent as they are, or in chunks", close=True)
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._size = 0
        if self._parser.should_upgrade():
            raise Problem(400, "upgrade-refused", "this server speaks HTTP/1.1 alone", close=True)
        if not self._url.startswith(b"/"):
            self._take_apart()
        length = int(self._headers.get(b"content-length", b"0"))
        limits = self._desk.limits
        if length > limits.body_bytes or b"transfer-encoding" in self._headers:
            self._most_bytes = self._desk.most_bytes(self._url, self._headers)
            # who sends more may take longer
            self._read_s = limits.read_s * max(1.0, min(length or inf, self._most_bytes) / limits.body_bytes)
        if length > self._most_bytes:
            raise self._too_large_body()
        if length > FREE_BYTES or b"transfer-encoding" in self._headers:
            self._desk.gate.known_key(self._headers)  # what is refused here ends the connection: nothing more is read
        is_asked = self._headers.get(b"expect", b"").lower() == b"100-continue"
        if is_asked and not (self._closing or self.waits or self._queue):  # it would be taken for an earlier one's
            self._transport.write(_CONTINUE)

    def _take_apart(self) -> None:
        """Of a target that is a whole address the host counts in the header's place; the rest is the target."""
        if self._url.startswith(b"*"):
            return
        host, self._url = split_target(self._url)
        if b"host" in self._headers or self._parser.get_http_version() == "1.0":  # 1.1 wants the header all the same
            self._headers[b"host"] = host

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        if self._size > self._most_bytes:
            raise self._too_large_body()
        if not self._body:
            self._body = body
        elif isinstance(self._body, bytearray):
            self._body += body
        else:
            self._body = bytearray(self._body) + body

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._reading = False
        if self._held:
            self._hold(0)
        if self._closing:
            return
        parser, body = self._parser, bytes(self._body)
        keep = parser.should_keep_alive()
        request = Request(self, parser.get_method(), self._url, self._headers, body, keep, self.since)
        chunk, self._chunk = self._chunk, None
        if chunk is not None and keep and body and b"expect" not in self._headers:
            place = chunk.find(_END) + 4
            if place <= KNOWN_HEAD_BYTES and chunk[place:] == body:  # one request, whole, without chunks or trailers
                request.head = chunk[:place]
        if self.waits or self._queue or self._unread_since is not None:
            # a batch is not sent ahead: what waits here counts for nobody's bounds
            if len(self._queue) >= self._desk.limits.pipelined or len(body) > self._desk.limits.body_bytes:
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
        self._has_said(keep)

    def write_parts(self, parts: Sequence[bytes], keep: bool, said: Callable[[], None]) -> None:
        """As `write`, for an answer that is long: no more of it is written than the client reads; then, or when it is
        gone, `said` is called."""
        self._rest = deque(parts), said, keep
        self._say_rest()

    def _say_rest(self) -> None:
        assert self._rest is not None, "there is some"
        parts, _, keep = self._rest
        while parts and not self._closing and self._unread_since is None:
            self._transport.write(parts.popleft())
        if not parts or self._closing:
            self._let_go()
            if not self._closing:
                self._has_said(keep)

    def _let_go(self) -> None:
        if self._rest is not None:
            (_, said, _), self._rest = self._rest, None
            said()

    def _has_said(self, keep: bool) -> None:
        self.waits = 0
        self.since = self._desk.now()
        if not keep:
            self.close()
        elif self._queue:
            self._desk.later(self._next)
        elif self._last is not None:
            self._end_with(self._last)
        elif self._ended:
            self.close()

    def _next(self) -> None:
        if self._queue and not self.waits and not self._closing and self._unread_since is None:
            self.waits = 1
            request = self._queue.popleft()
            if not self._queue:
                self._transport.resume_reading()
            self._desk.take(request)

    def sweep(self, now: float) -> None:
        """End what takes too long."""
        limits = self._desk.limits
        if self._closing:
            if now - self._closed_at > limits.write_s:
                self.abort()
        elif self._unread_since is not None and now - self._unread_since > limits.write_s:
            self.abort()
        elif self.waits:
            return
        elif self._reading:
            if now - self.since > self._read_s:
                self._refuse(
                    Problem(408, "request-too-slow", f"a request arrives within {self._read_s:g} s", close=True)
                )
        elif now - self.since > limits.idle_s and self._unread_since is None:
            self.close()

    @property
    def is_gone(self) -> bool:
        """Whether nothing that is written would be read."""
        return self._closing

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request has come or is due."""
        return not self.waits and not self._queue and not self._reading

    @property
    def is_sending(self) -> bool:
        """Whether something of an answer has not left."""
        return bool(self._transport.get_write_buffer_size())

    def close(self) -> None:
        """End it once everything is written; who does not read that is cut."""
        if not self._closing:
            self._closing, self._closed_at = True, self._desk.now()
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

    def _too_large_body(self) -> Problem:
        return Problem(413, "body-too-large", f"a body has at most {self._most_bytes:,} bytes", close=True)

    def _refuse(self, problem: Problem) -> None:
        """Of a request that did not become whole: say so after the answers before it, and end the connection."""
        self._reading = False
        self._body = b""
        self._hold(0)
        self._desk.flush()
        if self._closing or self._last is not None:
            return
        if self.waits or self._queue:
            self._last = problem
        else:
            self._end_with(problem)

    def _end_with(self, problem: Problem) -> None:
        self._desk.refused(problem, self._desk.batch_format(self._url, self._headers))
        body = problem_body(problem, None)
        self._transport.write(head(problem.status, PROBLEM, len(body), b"connection: close", *problem.headers) + body)
        if self._ended or not self._transport.can_write_eof():  # TLS cannot end one direction alone
            self.close()
            return
        # closed with bytes unread, the system would tell the client of a reset before it has read why
        self._closing, self._closed_at = True, self._desk.now()
        self._transport.write_eof()


def too_much_held() -> Problem:
    """Clients have sent so many halves of requests that there is no room for more."""
    return Problem(
        503,
        "too-much-begun",
        "too much has been sent of requests that are not whole",
        headers=(retry_after(),),
        close=True,
    )
