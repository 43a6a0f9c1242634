"""A front of HAProxy before several servers, so that losing one is seen by nobody.

A request is held until it is whole, sent, and sent once more elsewhere when a server goes away before it has answered.
That is safe because a request has an id, by which the log of predictions keeps each once. A server sends an answer's
head and body in one write, so that there is a whole answer or none.

https://docs.haproxy.org/2.6/configuration.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from headrace.packaging.errors import NameTaken, NoServers, NotWritable, ServerAddressInvalid

BUFFER_BYTES: Final = 65_536
"""A request of more is sent once only: there is no copy of it to send again."""
CONNECTIONS: Final = 4_000
"""Of clients, at most; each may hold two buffers."""
ANSWER_WITHIN_MS: Final = 1_500
_ADDRESS: Final = re.compile(r"(?P<host>[0-9A-Za-z][0-9A-Za-z.-]{0,252}|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_BARE: Final = re.compile(r"[0-9A-Za-z_./:%=,\[\]()@*+-]+")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Section(NamedTuple):
    """A part of the configuration: its head, and a line of words each."""

    head: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Front:
    """What a front is to do."""

    servers: tuple[Address, ...]
    bind: Address
    answer_within_ms: int = ANSWER_WITHIN_MS
    """How long a server may take before the request goes to another one."""
    certificate: str | None = None
    """Path of a PEM file with certificate and key; None: plain HTTP."""


def parse_address(text: str) -> Address:
    """HOST:PORT; raises `ServerAddressInvalid`.

    >>> parse_address("10.0.0.1:8000")
    Address(host='10.0.0.1', port=8000)
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 65_536:
        raise ServerAddressInvalid(text)
    return Address(match["host"], int(match["port"]))


def parse_servers(texts: Sequence[str]) -> tuple[Address, ...]:
    """Each HOST:PORT, or several parted by commas; raises `ServerAddressInvalid`, `NoServers` or `NameTaken`."""
    found = tuple(parse_address(each.strip()) for text in texts for each in text.split(",") if each.strip())
    if not found:
        raise NoServers
    twice = [str(address) for address, count in Counter(found).items() if count > 1]
    if twice:
        raise NameTaken(twice)
    return found


def haproxy_config(front: Front) -> str:
    """The text of `haproxy.cfg`; raises `NotWritable`."""
    return "\n".join(_text(section) for section in (_GLOBAL, _defaults(front), _frontend(front), _backend(front)))


_GLOBAL: Final = Section(
    ("global",),
    (
        ("maxconn", str(CONNECTIONS)),
        ("# a request that fits is kept until it is answered, to be sent again",),
        ("tune.bufsize", str(BUFFER_BYTES)),
        ("hard-stop-after", "60s"),
        ("ssl-default-bind-options", "ssl-min-ver", "TLSv1.2", "no-tls-tickets"),
    ),
)


def _defaults(front: Front) -> Section:
    return Section(
        ("defaults",),
        (
            ("mode", "http"),
            ("option", "http-keep-alive"),
            ("option", "dontlognull"),
            ("# slow clients: head and body within 10 s, reading the answer within 10 s of each part",),
            ("timeout", "http-request", "10s"),
            ("timeout", "client", "10s"),
            ("timeout", "http-keep-alive", "60s"),
            ("timeout", "connect", "1s"),
            ("timeout", "queue", "1s"),
            ("# a server that hangs: the request goes to another one after so long",),
            ("timeout", "server", f"{front.answer_within_ms}ms"),
            ("timeout", "check", "1s"),
        ),
    )


_CHECK: Final = ("inter", "500ms", "fastinter", "250ms", "downinter", "250ms", "fall", "2", "rise", "1")


def _frontend(front: Front) -> Section:
    tls = () if front.certificate is None else ("ssl", "crt", front.certificate, "alpn", "h2,http/1.1")
    return Section(
        ("frontend", "predictions"),
        (
            ("bind", str(front.bind), *tls),
            ("# what only those who keep servers are to see: each server is asked for it itself",),
            ("http-request", "deny", "deny_status", "404", "if", "{", "path", "/metrics", "/readyz", "/healthz", "}"),
            ("# whole requests only: what is sent to a server can be sent to another",),
            ("option", "http-buffer-request"),
            ("# by which the log keeps a request once that was sent twice",),
            ("http-request", "set-header", "x-request-id", "%[uuid()]", "unless", "{", _SENT, "-m", "found", "}"),
            ("default_backend", "servers"),
        ),
    )


_SENT: Final = "req.hdr(x-request-id)"


def _backend(front: Front) -> Section:
    return Section(
        ("backend", "servers"),
        (
            ("balance", "leastconn"),
            ("# a server that is gone, hangs or is ending: the same request to another one",),
            ("retry-on", "conn-failure", "empty-response", "response-timeout", "503"),
            ("retries", "2"),
            ("option", "redispatch", "1"),
            ("# ready means that its versions have answered rows whose answers are known; 503 while it drains",),
            ("option", "httpchk"),
            ("http-check", "send", "meth", "GET", "uri", "/readyz", "ver", "HTTP/1.1", "hdr", "host", "localhost"),
            ("http-check", "expect", "status", "200"),
            ("# who refuses connections is out at once, and back with the first check that it passes",),
            ("default-server", "check", *_CHECK, "observe", "layer4", "error-limit", "3", "on-error", "mark-down"),
            *(("server", f"server{i}", str(server)) for i, server in enumerate(front.servers, start=1)),
        ),
    )


def _text(section: Section) -> str:
    lines = [" ".join(_word(word) for word in section.head)]
    for words in section.lines:
        if words[0].startswith("#"):
            lines.append(f"    {_visible(words[0])}")
        else:
            lines.append("    " + " ".join(_word(word) for word in words))
    return "\n".join(lines) + "\n"


def _word(word: str) -> str:
    """A word as HAProxy reads it: between single quotes nothing has a meaning but a single quote."""
    if word in ("{", "}") or _BARE.fullmatch(word):
        return word
    return "'" + _visible(word).replace("'", "'\\''") + "'"


def _visible(text: str) -> str:
    if not text.isprintable():
        raise NotWritable("haproxy.cfg", "there is a line break or another character in it that cannot be seen")
    return text
