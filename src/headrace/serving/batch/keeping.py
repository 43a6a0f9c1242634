"""The supervisor's part of batches: it keeps the process that reads them, and holds the socket by which it is asked.

Both ends of that socket stay open here, so that workers may ask while there is no such process: what they ask waits for
the next one, or is given up by who asked.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Final

from headrace.errors import MissingDependency
from headrace.runs.nursery import Child, Nursery
from headrace.serving.batch.counts import BatchProcess
from headrace.serving.line import Line, connect
from headrace.serving.messages import FromWorker, Ping
from headrace.serving.workforce import FIRST_PAUSE_S, LONGEST_PAUSE_S, PASSED, STEADY_S, UNLESS_SET, Tells

ENTRY: Final = "headrace.serving.batch.process:serve"
LOADED: Final = ("headrace.serving.batch.process",)
SET: Final = {**UNLESS_SET, "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""The library's other allocators take a gigabyte of addresses at once, so that a limit of them would bound nothing."""
TURN_S: Final = 1.0
HUNG_TURNS: Final = 10
"""It is replaced when it leaves a ping unanswered for so many turns."""
SILENT_TURNS: Final = 3
"""As many, and it is told that it does not answer."""
START_TURNS: Final = 60
"""The same before its first answer: it loads libraries."""


class Keeping:
    """See the module.

    Parameters
    ----------
    say : told of every event

    Raises
    ------
    MissingDependency
    """

    def __init__(self, *, say: Tells) -> None:
        if find_spec("pyarrow") is None:
            raise MissingDependency("pyarrow", extra="batch", needed_for="[serving] batch")
        self._say = say
        asks, self._asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        asks.setblocking(False)
        self.asks: Final = asks
        """The end that workers get."""
        self._nursery = self._begun()
        self._child: Child | None = None
        self._line: Line | None = None
        self._unanswered = 0
        self._has_answered = False
        self._restarts = 0
        self._lost = asyncio.Event()
        self._pause_s = FIRST_PAUSE_S

    def _begun(self) -> Nursery:
        return Nursery(ENTRY, LOADED, passed=PASSED, unless_set=SET)

    async def run(self) -> None:
        """Keep it alive, until cancelled."""
        while True:
            began = time.monotonic()
            self._lost.clear()
            try:
                await self._begin()
            except OSError:  # the nursery has gone
                why = "it could not be begun"
            else:
                why = await self._watch()
            self._say("batch_process_lost", why=why)
            self._has_answered = False
            await self._end_child()
            steady = time.monotonic() - began >= STEADY_S
            self._pause_s = FIRST_PAUSE_S if steady else min(2.0 * self._pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(self._pause_s)
            self._restarts += 1

    @property
    def state(self) -> BatchProcess:
        """As it is told."""
        answers = self._has_answered and self._unanswered < SILENT_TURNS
        return BatchProcess(answers=answers, restarts=self._restarts)

    async def _begin(self) -> None:
        if not self._nursery.lives:
            self._nursery.close()
            self._nursery = self._begun()
        self._unanswered, self._has_answered = 0, False
        self._child = self._nursery.fork("", self._asked.fileno())
        self._line = await connect(self._child.connection, self._heard, self._lost.set)

    def _heard(self, _: FromWorker) -> None:
        if not self._has_answered:
            self._say("batch_process")
        self._unanswered, self._has_answered = 0, True

    async def _watch(self) -> str:
        """Until it is gone or hangs: why."""
        assert self._line is not None, "it was begun"
        while not self._lost.is_set():
            if self._unanswered >= (HUNG_TURNS if self._has_answered else START_TURNS):
                return f"it did not answer for {self._unanswered * TURN_S:g} s"
            if not self._unanswered:
                self._line.send(Ping())
            self._unanswered += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), TURN_S)
        return "it ended"

    async def _end_child(self) -> None:
        if self._line is not None:
            self._line.end()
        if self._child is not None:
            await asyncio.get_running_loop().run_in_executor(None, partial(self._child.end))

    def close(self) -> None:
        """End it, and what it reads."""
        self._nursery.close()
        self.asks.close()
        self._asked.close()
