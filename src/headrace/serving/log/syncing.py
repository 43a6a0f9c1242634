"""Group commit: one thread that makes files durable, and tells the event loop up to which ticket.

While one fsync runs, further tickets queue up and the next fsync covers them all. A file whose fsync failed is never
synced again: the kernel may have dropped its pages and answer "done" the second time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, Protocol


class Loop(Protocol):
    """What is needed of an event loop: `asyncio.AbstractEventLoop`."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> object: ...


class Syncable(Protocol):
    """A file that is being written."""

    def sync(self) -> None: ...
    def close(self) -> None: ...


class Asked(NamedTuple):
    """What to make durable."""

    file: Syncable
    ticket: int
    """All that was written up to it is durable once this file is, and those that were asked for before."""
    generation: int
    """Goes back with the answer: after a failure the writer begins a new one, and old answers mean nothing."""
    last: bool = False
    """Whether the file is to be closed then."""


class Syncer:
    """The thread.

    Parameters
    ----------
    durable
        Called on the loop with a ticket and the generation.
    failed
        Called on the loop with the error and the generation: what was written since the last `durable` may be lost.
    """

    def __init__(
        self, loop: Loop, *, durable: Callable[[int, int], object], failed: Callable[[OSError, int], object]
    ) -> None:
        self._loop: Final = loop
        self._durable: Final = durable
        self._failed: Final = failed
        self._asked: Final[SimpleQueue[Asked | None]] = SimpleQueue()
        self.submit: Final = self._asked.put
        """`submit(Asked(…))`; None ends the thread once all before it is done."""
        self._given_up = -1
        """The generation of the newest failure: what belongs to it, or to one before, is written anew by the writer."""
        self._thread = threading.Thread(target=self._run, name="prediction-log-sync", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sync what was asked for and end."""
        self.submit(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            asked = [self._asked.get()]
            with suppress(Empty):
                while True:
                    asked.append(self._asked.get_nowait())
            wanted = [one for one in asked if one is not None]
            self._sync({one.file: one for one in wanted})
            for one in wanted:
                if one.last:
                    one.file.close()
            if len(wanted) < len(asked):
                return

    def _sync(self, newest: dict[Syncable, Asked]) -> None:
        """Each file once, in the order of their newest tickets, up to the first that fails."""
        for asked in sorted(newest.values(), key=lambda one: one.ticket):
            if asked.generation <= self._given_up:
                continue
            try:
                asked.file.sync()
            except OSError as error:
                self._given_up = asked.generation
                self._tell(self._failed, error, asked.generation)
            else:
                self._tell(self._durable, asked.ticket, asked.generation)

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *args)
