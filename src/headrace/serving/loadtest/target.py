"""The server that is asked: where it is, whether it answers, and what it counts."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from headrace.serving.loadtest.errors import NoServer, ProbeRefused, ServerNotReached, UrlInvalid
from headrace.serving.pulling import ServerState, names_of

_TIMEOUT_S: Final = 10.0
_KEY_TRIES: Final = 8
"""Connections on which a new key has to be known: with several workers each takes some."""
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_ROWS: Final = re.compile(rb'^headrace_predictions_total\{deployment="([a-z0-9_-]+)"[^}]*\} (\d+)$', re.MULTILINE)
_WORKERS: Final = re.compile(rb"^headrace_workers (\d+)$", re.MULTILINE)


class Target(NamedTuple):
    """An address."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it can only be this machine."""
        if self.host == "localhost":
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    @property
    def is_here(self) -> bool:
        """Whether it is an address of this machine, so that its processes may be looked at."""
        if self.is_loopback:
            return True
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with suppress(OSError), socket.socket(family) as probe:
            probe.bind((self.host, 0))  # an address of another machine cannot be bound
            return True
        return False


class Counted(NamedTuple):
    """What a server says of itself."""

    rows: int
    """That it answered under the deployment's name since it began."""
    workers: int


def parse_url(text: str) -> Target:
    """`http://HOST:PORT`; raises `UrlInvalid`.

    >>> parse_url("https://models.example")
    Target(host='models.example', port=443, tls=True)
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UrlInvalid(text) from None
    host = parts.hostname
    if host is None or not _is_host(host) or parts.scheme not in _PORTS or parts.path not in ("", "/") or port == 0:
        raise UrlInvalid(text)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise UrlInvalid(text)
    return Target(host, port or _PORTS[parts.scheme], parts.scheme == "https")


def _is_host(name: str) -> bool:
    """Whether it can be looked up: an address, or a name in ASCII of parts of 1 to 63 characters."""
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return _HOST.fullmatch(name) is not None


def choose(name: str, states: Sequence[ServerState]) -> Target:
    """A server that says that it answers a deployment; raises `NoServer`.

    One that listens on every address is asked by the loopback one: whether it is this machine's is found on asking.
    """
    answering = [state.address for state in states if name in state.revisions]
    if not answering:
        raise NoServer(name, list(names_of(states).values()))
    host, _, port = answering[0].rpartition(":")
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104 - what is said, not what is bound
    return Target(anywhere.get(host, host.strip("[]")), int(port))


class Asker:
    """Asks for this and that, one connection a request: slow, and sure to reach any worker."""

    def __init__(self, target: Target, name: str, key: str) -> None:
        self._target, self._name, self._key = target, name, key

    def wait_for_key(self, within_s: float) -> None:
        """Until a key, that may have been made just now, is known to every worker; raises `ProbeRefused`."""
        until, known = time.monotonic() + within_s, 0
        while known < _KEY_TRIES:
            status, body = self._ask("GET", f"/v1/deployments/{self._name}")
            known = known + 1 if status in (200, 429) else 0
            if not known:
                if status not in (401, 403) or time.monotonic() > until:
                    raise _refused(status, body)
                time.sleep(0.1)

    def probe(self, bodies: Sequence[bytes], ids: str) -> int:
        """How many of some rows are answered; raises `ProbeRefused` by the first that is refused as it is: too much
        at a time is what the test is about."""
        answered = 0
        for number, body in enumerate(bodies):
            sent = {"content-type": "application/json", "x-request-id": f"{ids}-probe-{number}"}
            status, told = self._ask("POST", f"/v1/deployments/{self._name}/predict", body, sent)
            if status not in (200, 429, 503):
                raise _refused(status, told)
            answered += status == 200
        return answered

    def counted(self) -> Counted | None:
        """What `/metrics` says; None where it does not say it to us."""
        status, body = self._ask("GET", "/metrics")
        workers = _WORKERS.search(body)
        if status != 200 or workers is None:
            return None
        rows = sum(int(each[2]) for each in _ROWS.finditer(body) if each[1].decode() == self._name)
        return Counted(rows, int(workers[1]))

    def counted_at_least(self, rows: int, within_s: float) -> Counted | None:
        """The same, once the workers have said what they answered."""
        until = time.monotonic() + within_s
        while (found := self.counted()) is not None and found.rows < rows and time.monotonic() < until:
            time.sleep(0.1)
        return found

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        target = self._target
        connection = (
            http.client.HTTPSConnection(
                target.host, target.port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
            )
            if target.tls
            else http.client.HTTPConnection(target.host, target.port, timeout=_TIMEOUT_S)
        )
        try:
            connection.request(
                method, path, body, {"authorization": f"Bearer {self._key}", "connection": "close", **(headers or {})}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerNotReached(str(target), str(error) or type(error).__name__) from error
        finally:
            connection.close()


def request_head(target: Target, name: str, key: str, ids: str) -> bytes:
    """The head of every request, up to the number that ends its id."""
    return (
        f"POST /v1/deployments/{name}/predict HTTP/1.1\r\nhost: {target}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\nx-request-id: {ids}-"
    ).encode()


def _refused(status: int, body: bytes) -> ProbeRefused:
    with suppress(msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        problem = msgspec.json.decode(body)
        code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))
        return ProbeRefused(status, code, detail, None if problem.get("fix") is None else str(problem["fix"]))
    return ProbeRefused(status, "no problem", "its answer is not one of a prediction server", None)
