"""The generators of a load test, as who began it sees them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import reduce
from importlib.util import find_spec
from operator import add
from typing import IO, Final, Self

import msgspec

from headrace.errors import MissingDependency
from headrace.serving.loadtest.errors import GeneratorLost, ServerNotReached
from headrace.serving.loadtest.framing import Ready, Setup, receive, send
from headrace.serving.loadtest.machine import Look
from headrace.serving.loadtest.stages import Closed, Open, Order, Told

_MODULE: Final = "headrace.serving.loadtest.generator"
_LIBRARIES: Final = ("httptools", "uvloop")
_LOOK_FROM: Final = 0.15
_LOOK_TO: Final = 0.95
"""The part of a stage in which the machine is looked at: its beginning, and what is answered after its end, aside."""


class Crew:
    """Processes that ask, started with one `Setup` each; a context manager that ends them.

    Raises
    ------
    MissingDependency, ServerNotReached
    """

    def __init__(self, setups: Sequence[Setup]) -> None:
        for library in _LIBRARIES:
            if find_spec(library) is None:
                raise MissingDependency(library, extra="serve", needed_for="a load test")
        command = [sys.executable, "-m", _MODULE]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - this very program
            for _ in setups
        ]
        try:
            for process, setup in zip(self._processes, setups, strict=True):
                self._send(process, setup)
            for process, setup in zip(self._processes, setups, strict=True):
                ready = receive(_pipe(process.stdout), Ready)
                if ready is None:
                    raise GeneratorLost(process.wait())
                if ready.error is not None:
                    raise ServerNotReached(f"{setup.host}:{setup.port}", ready.error)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        return [process.pid for process in self._processes]

    @property
    def pipes(self) -> list[IO[bytes]]:
        """To the processes, which end with them."""
        return [_pipe(process.stdin) for process in self._processes]

    def open(self, order: Open, look: Callable[[], Look]) -> tuple[Told, Look, Look]:
        """A stage at a rate that the generators share, and the machine within it."""
        n = len(self._processes)
        parts = [
            msgspec.structs.replace(order, rate=order.rate / n, seed=order.seed * n + number, phase=number / n)
            for number in range(n)
        ]
        return self._run(parts, order.seconds, look)

    def closed(self, order: Closed, look: Callable[[], Look]) -> tuple[Told, Look, Look]:
        """A stage of clients, who are shared out."""
        n = len(self._processes)
        shares = [order.clients // n + (number < order.clients % n) for number in range(n)]
        return self._run([msgspec.structs.replace(order, clients=each) for each in shares], order.seconds, look)

    def _run(self, orders: Sequence[Order], seconds: float, look: Callable[[], Look]) -> tuple[Told, Look, Look]:
        for process, order in zip(self._processes, orders, strict=True):
            self._send(process, order)
        time.sleep(_LOOK_FROM * seconds)
        before = look()
        time.sleep((_LOOK_TO - _LOOK_FROM) * seconds)
        after = look()
        return reduce(add, [self._told(process) for process in self._processes]), before, after

    def _send(self, process: subprocess.Popen[bytes], message: object) -> None:
        try:
            send(_pipe(process.stdin), message)
        except OSError as error:
            raise GeneratorLost(process.wait()) from error

    def _told(self, process: subprocess.Popen[bytes]) -> Told:
        told = receive(_pipe(process.stdout), Told)
        if told is None:
            raise GeneratorLost(process.wait())
        return told

    def close(self) -> None:
        """End them."""
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "it was opened with one"
    return pipe
