"""A server that has stopped answering while its connection stands: only its silence tells."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from headrace.data.errors import AddressRefused
from headrace.definition.model import Source
from headrace.definition.secrets import redact

_SILENCE_S = 1800
_OPTION = "read_timeout="


def without_timeout(source: Source, url: str) -> tuple[str, int]:
    """The address without its option `read_timeout`, and the seconds of silence after which its server is given up."""
    parts = urlsplit(url)
    options = parts.query.split("&")
    found = [option for option in options if option.startswith(_OPTION)]
    if not found:
        return url, _SILENCE_S
    seconds = found[-1].removeprefix(_OPTION)
    if not (seconds.isascii() and seconds.isdigit() and 0 < int(seconds) < 10**6):
        raise AddressRefused(
            source.name,
            redact(url),
            "its read_timeout is no number of seconds",
            fix=f"write read_timeout=SECONDS, a whole number; {_SILENCE_S} when left out",
        )
    rest = "&".join(option for option in options if option not in found)
    return parts._replace(query=rest).geturl(), int(seconds)


def told(seconds: int) -> str:
    """Why a server was given up, and what to do when it would have answered."""
    return f"it sent nothing for {seconds} s (a query that is longer at work: ?read_timeout=SECONDS in the address)"


class Silence:
    """How long nothing was heard on a connection."""

    def __init__(self) -> None:
        self.is_given_up = False
        self.since = time.monotonic()

    def heard(self) -> None:
        """Something came."""
        self.since = time.monotonic()


@contextmanager
def cut_after(seconds: int, descriptor: int) -> Iterator[Silence]:
    """Shut a connection's socket down once nothing has been heard for some seconds, so that its reader fails."""
    silence, left = Silence(), threading.Event()

    def watch() -> None:
        while not left.wait(max(silence.since + seconds - time.monotonic(), 0)):
            if time.monotonic() >= silence.since + seconds:
                silence.is_given_up = True
                with socket.socket(fileno=os.dup(descriptor)) as connection:
                    connection.shutdown(socket.SHUT_RDWR)
                return

    watcher = threading.Thread(target=watch, name="silence", daemon=True)
    watcher.start()
    try:
        yield silence
    finally:
        left.set()
        watcher.join()
