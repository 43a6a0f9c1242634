"""Where events go: a file, line by line, or a URL, by way of a spool on disk. Neither can fail a run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from headrace.errors import HeadraceError
from headrace.stores import durable

SPOOL_EVENTS = 10_000
"""A receiver that is down for longer loses the newest."""
DRAIN_S = 2.0
"""How long the end of a run waits for a receiver; what is left is sent by the next run."""
_TIMEOUT_S = 5.0
_REFUSED_FOR_NOW = frozenset({408, 425, 429})


class Events(Protocol):
    """Takes encoded events."""

    def send(self, event: bytes) -> None:
        """Take one; never raises."""
        ...

    def close(self) -> None:
        """The run has ended."""
        ...


class FileEvents:
    """Appends each event as a line, durably."""

    def __init__(self, path: Path, *, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._failed = False

    def send(self, event: bytes) -> None:
        """One line, written by one call, so that lines of two processes do not mix."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, event + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._failed:
                self._say(f"lineage is not written to {self._path}: {error.strerror}")
            self._failed = True

    def close(self) -> None:
        """Every line is there already."""


class HttpEvents:
    """Spools each event, and posts them in their order from a thread; what a receiver does not take stays for later."""

    def __init__(self, url: str, headers: Mapping[str, str], spool: Path, *, say: Callable[[str], None]) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json", **headers}
        self._spool = spool
        self._say = say
        self._said: set[str] = set()
        self._more = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="lineage", daemon=True)
        self._thread.start()
        self._more.set()  # what the last run left

    def send(self, event: bytes) -> None:
        """Keep the event on disk and let the thread know."""
        try:
            durable.make_folder(self._spool)
            if sum(1 for _ in self._spool.iterdir()) >= SPOOL_EVENTS:
                self._tell(f"lineage is lost: {SPOOL_EVENTS:,} events wait for their receiver")
                return
            durable.write_file(self._spool / f"{time.time_ns():020d}-{os.getpid()}.json", event)
        except (HeadraceError, OSError) as error:
            self._tell(f"lineage is lost: {error}")
        self._more.set()

    def close(self) -> None:
        """Wait for the receiver a little."""
        self._ending.set()
        self._more.set()
        self._thread.join(DRAIN_S)

    def _deliver(self) -> None:
        import httpx2

        pause_s = 0.1
        with httpx2.Client(timeout=_TIMEOUT_S, headers=self._headers) as client:
            while True:
                self._more.wait()
                self._more.clear()
                while self._post(client) > 0:
                    if self._ending.wait(pause_s):
                        break
                    pause_s = min(pause_s * 2, 30.0)
                if self._ending.is_set():
                    self._post(client)
                    return

    def _post(self, client: object) -> int:
        """Post what is spooled; how many events the receiver has not taken."""
        import httpx2

        assert isinstance(client, httpx2.Client)
        names = sorted(self._spool.glob("*.json")) if self._spool.is_dir() else []
        for done, path in enumerate(names):
            try:
                answer = client.post(self._url, content=path.read_bytes())
            except FileNotFoundError:  # another process has sent it
                continue
            except (httpx2.HTTPError, OSError) as error:
                self._tell(f"the receiver of lineage does not answer ({type(error).__name__}); events wait on disk")
                return len(names) - done
            if answer.status_code >= 500 or answer.status_code in _REFUSED_FOR_NOW:
                self._tell(f"the receiver of lineage answers {answer.status_code}; events wait on disk")
                return len(names) - done
            if not answer.is_success:
                self._tell(f"the receiver of lineage refuses events with {answer.status_code}")
            with suppress(OSError):
                path.unlink()
        return 0

    def _tell(self, text: str) -> None:
        """Each trouble once a run."""
        if text not in self._said:
            self._said.add(text)
            self._say(text)
