"""Requests to web servers for files: who is asked, how often, where a redirect may lead, and what a refusal means.

Neither an address nor a header is ever shown as it was sent: messages name the file as the definition does.
"""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote

from headrace.data.errors import AddressRefused, SourceMissing, SourceUnavailable
from headrace.errors import MissingDependency

if TYPE_CHECKING:
    from types import TracebackType

    import httpx2

    from headrace.data.files import DataFile

T = TypeVar("T")

ATTEMPTS: Final = 4
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S: Final = 60.0
"""A server that asks for more patience is not waited for."""
CONNECT_WITHIN_S: Final = 10.0
SILENCE_S = 60.0
"""How long a server may send nothing."""
_HOPS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOGGERS = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.proxy", "httpcore2.socks")


class Again(Exception):
    """What may be otherwise when it is asked again."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        self.reason = reason
        self.after_s = after_s
        """As the server asks."""
        super().__init__(reason)


def patiently(source: str, name: str, ask: Callable[[], T], has_advanced: Callable[[], bool] = lambda: False) -> T:
    """What `ask` gives, asked again after longer and longer pauses; a try that has advanced is none in vain.

    Raises
    ------
    SourceUnavailable : it was asked `ATTEMPTS` times in vain, or the server wants to be left alone for long.
    """
    in_vain = 0
    while True:
        try:
            return ask()
        except Again as trouble:
            in_vain = 1 if has_advanced() else in_vain + 1
            if trouble.after_s is not None and trouble.after_s > LONGEST_PAUSE_S:
                reason = f"{trouble.reason}, and asks to come back in {trouble.after_s:,.0f} s"
                raise SourceUnavailable(source, name, reason) from None
            if in_vain >= ATTEMPTS:
                raise SourceUnavailable(source, name, f"{trouble.reason} ({ATTEMPTS} tries)") from None
            pause_s = FIRST_PAUSE_S * 2 ** (in_vain - 1) * random.SystemRandom().uniform(0.5, 1.0)
            time.sleep(max(pause_s, trouble.after_s or 0.0))


class Web:
    """A client that asks for one file."""

    def __init__(self, source: str, file: DataFile, env: Mapping[str, str]) -> None:
        try:
            import httpx2
        except ImportError:
            raise MissingDependency("httpx2", extra="build", needed_for=f"source {source!r}") from None
        self._source, self._file = source, file
        authorities, folder = env.get("SSL_CERT_FILE"), env.get("SSL_CERT_DIR")
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(SILENCE_S, connect=CONNECT_WITHIN_S),
            headers={"User-Agent": "headrace", "Accept-Encoding": "identity"},
            verify=ssl.create_default_context(cafile=authorities, capath=folder) if authorities or folder else True,
        )

    def __enter__(self) -> Web:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()

    @contextmanager
    def answer(
        self, method: str, more: Mapping[str, str] | None = None, *, taken: frozenset[int] = frozenset()
    ) -> Iterator[httpx2.Response]:
        """The answer, its body unread, after redirects.

        Parameters
        ----------
        more
            Headers of this request.
        taken
            Statuses that are no error here, beside those of success.

        Raises
        ------
        Again : the server cannot be reached, cuts the answer, or is in trouble.
        AddressRefused, SourceMissing, SourceUnavailable : asking again will not help.
        """
        with _unlogged(), self._told():
            response = self._followed(method, more or {})
            try:
                if response.status_code not in taken:
                    self._judge(response)
                yield response
            finally:
                response.close()

    def _followed(self, method: str, more: Mapping[str, str]) -> httpx2.Response:
        import httpx2

        url, headers = _credentials_apart(httpx2.URL(self._file.url or ""), self._file.headers)
        for _ in range(_HOPS):
            request = self._client.build_request(method, url, headers={**headers, **more})
            response = self._client.send(request, stream=True)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            goal = url.join(response.headers["Location"]).copy_with(userinfo=b"", fragment=None)
            if goal.scheme not in ("https", url.scheme):
                raise self._refused(
                    f"it is redirected from {url.scheme}:// to {goal.scheme}://", "ask the server's owner"
                )
            if not _is_same_server(url, goal):
                headers = {}
            url = goal
        raise SourceUnavailable(self._source, self._file.name, f"it is redirected more than {_HOPS} times")

    def _judge(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return
        said = f"the server answers {status} {_phrase(status)}".rstrip()
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise SourceMissing(
                self._source,
                self._file.name,
                where=f"the web server, which answers {status} {_phrase(status)}",
                fix=f"correct the address in [sources.{self._source}] of headrace.toml; servers answer so too when "
                "`headers` lack a credential",
            )
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
            raise Again(said, _retry_after(response.headers.get("Retry-After")))
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            sent = ", ".join(name for name, _ in self._file.headers)
            said += f" (headers sent: {sent})" if sent else " (no headers are sent; write headers = { … } beside read)"
        raise SourceUnavailable(self._source, self._file.name, said)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Says in our words what the client says, whose own words may hold the address or a header."""
        import httpx2

        try:
            yield
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, UnicodeError):
            raise self._refused("it is no address of a web server", "write https://HOST/PATH") from None
        except httpx2.TimeoutException as error:
            limit = CONNECT_WITHIN_S if isinstance(error, httpx2.ConnectTimeout) else SILENCE_S
            raise Again(f"the server sends nothing for {limit:.0f} s") from None
        except httpx2.ConnectError as error:
            cause = _cause(error)
            if isinstance(cause, ssl.SSLError):
                if isinstance(cause, ssl.SSLCertVerificationError):
                    said = f"its certificate is refused: {cause.verify_message}"
                    reason = f"{said} (SSL_CERT_FILE names authorities of your own)"
                else:
                    reason = f"it does not speak TLS as it should ({cause.reason})"
                raise SourceUnavailable(self._source, self._file.name, reason) from None
            raise Again(f"no connection: {getattr(cause, 'strerror', None) or 'refused'}") from None
        except httpx2.TransportError:
            raise Again("the connection was cut") from None

    def _refused(self, reason: str, fix: str) -> AddressRefused:
        return AddressRefused(self._source, self._file.name, reason, fix=fix)


def _credentials_apart(url: httpx2.URL, headers: tuple[tuple[str, str], ...]) -> tuple[httpx2.URL, dict[str, str]]:
    """The address without its user, who becomes a header that a redirect can lose."""
    if not url.userinfo:
        return url, dict(headers)
    user, _, password = url.userinfo.decode().partition(":")
    basic = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return url.copy_with(userinfo=b""), {"Authorization": f"Basic {basic}", **dict(headers)}


def _is_same_server(one: httpx2.URL, other: httpx2.URL) -> bool:
    """Whether what is meant for one may be sent to the other: the same host and port, or its encrypted twin."""
    ports = [url.port or _DEFAULT_PORTS.get(url.scheme) for url in (one, other)]
    is_upgrade = (one.scheme, *ports) == ("http", 80, 443) and other.scheme == "https"
    return one.host == other.host and ((one.scheme == other.scheme and ports[0] == ports[1]) or is_upgrade)


def _retry_after(value: str | None) -> float | None:
    """Seconds, of `Retry-After` in either of its forms."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at - dt.datetime.now(dt.UTC)).total_seconds()) if at.tzinfo else None


def _phrase(status: int) -> str:
    """Ours, not the server's: that may say anything."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _cause(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


class _NotOurs(logging.Filter):
    """Drops what the client logs for a thread that asks for a source: addresses, and at `DEBUG` headers."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread not in self.threads


_not_ours = _NotOurs()


@contextmanager
def _unlogged() -> Iterator[None]:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_not_ours)
    me = threading.get_ident()
    _not_ours.threads.append(me)
    try:
        yield
    finally:
        _not_ours.threads.remove(me)
