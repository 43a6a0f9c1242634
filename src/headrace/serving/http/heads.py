"""Heads of requests for predictions that were once read, known again by their bytes.

Clients that keep a connection send the same head again and again, and it means the same every time. What tells one
request from the next (its id, its trace, how long it waits) is cut out first, where its value is one that cannot be
read in two ways: fronts and clients that are traced give each request an id of its own, and their heads are no less
the same for it. A head that says any of these twice is read every time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from headrace.serving.http.gate import ID, is_limited

if TYPE_CHECKING:
    from headrace.serving.http.connection import Request
    from headrace.serving.http.endpoint import Endpoint
    from headrace.serving.keys import ApiKey

Own = dict[bytes, bytes]
"""What a request says of itself alone, by the header's name."""
MOST: Final = 1_024
_OWN: Final = {
    b"x-request-id": ID,
    b"traceparent": re.compile(rb"[0-9a-f-]{1,64}"),
    b"x-timeout-ms": re.compile(rb"[1-9][0-9]{0,5}"),
}
"""What differs from request to request, and values that mean the same wherever they stand."""
_MOST_LINES: Final = 12
"""Spellings of these names by all clients together."""
_NEVER_US: Final = 1 << 62


class Head:
    """The head of a request for predictions as it was once read, and who sent it."""

    __slots__ = ("endpoint", "headers", "key", "length", "limited", "until_us", "url")

    def __init__(self, request: Request, endpoint: Endpoint, key: ApiKey) -> None:
        self.url, self.headers, self.length = request.url, request.headers, len(request.body)
        self.endpoint, self.key, self.limited = endpoint, key, is_limited(key)
        self.until_us = key.expires_us or _NEVER_US
        """When it has to be read anew."""


class Heads:
    """One worker's."""

    __slots__ = ("_cut", "lines", "same")

    def __init__(self) -> None:
        self.same: dict[bytes, Head] = {}
        """By all their bytes: heads that say nothing of one request alone."""
        self._cut: dict[bytes, Head] = {}
        """By their bytes without that."""
        self.lines: dict[bytes, bytes] = {}
        """What such a line begins with, as clients spell it, and the header's name; nothing: no client says any."""

    def __len__(self) -> int:
        return len(self.same) + len(self._cut)

    def clear(self) -> None:
        """Every head is read anew."""
        self.same.clear()
        self._cut.clear()
        self.lines.clear()

    def learn(self, head: bytes, request: Request, endpoint: Endpoint, key: ApiKey) -> None:
        """A head was read that begins a request which was taken."""
        lines = _lines(head, request.headers)
        if lines is None:
            return
        if len(self) >= MOST or len(self.lines.keys() | lines.keys()) > _MOST_LINES:
            self.clear()
        known = Head(request, endpoint, key)
        if not lines:
            self.same[head] = known
            return
        self.lines |= lines
        if (cut := self._cut_out(head)) is not None:
            self._cut[cut[0]] = known

    def find(self, head: bytes) -> tuple[Head, Own] | None:
        """A head that is known but for what it says of its request alone, and that."""
        cut = self._cut_out(head)
        if cut is None:
            return None
        known = self._cut.get(cut[0])
        return None if known is None else (known, cut[1])

    def _cut_out(self, head: bytes) -> tuple[bytes, Own] | None:
        own: Own = {}
        for line, name in self.lines.items():
            place = head.find(line)
            if place >= 0:
                begin = place + len(line)
                end = head.find(b"\r\n", begin)
                value = head[begin:end]
                if not _OWN[name].fullmatch(value):
                    return None
                own[name] = value
                head = head[:begin] + head[end:]
        return (head, own) if own else None


def _lines(head: bytes, headers: dict[bytes, bytes]) -> dict[bytes, bytes] | None:
    """What lines of a head begin with that speak of one request alone; None: it is not plain which they are."""
    lower = head.lower()
    lines = {}
    for name in _OWN:
        if name in headers:
            line = b"\r\n%b: " % name
            place = lower.find(line)
            if lower.count(b"\r\n%b:" % name) != 1 or place < 0:
                return None
            lines[head[place : place + len(line)]] = name
    return lines
