"""The process that reads batches, and one below it for each: hostile bytes reach nothing else.

It waits on one socket, over which workers pass the ends of others, one a batch; for each it forks. The child may take
so much memory and so many seconds of the processor, and answers that one batch. What it dies of is told to the worker
that asked, and to nobody else.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import msgspec

from headrace.errors import HeadraceError
from headrace.runs.nursery import die_with_parent
from headrace.serving.batch.errors import BatchTooLarge
from headrace.serving.batch.messages import (
    PART_BYTES,
    Begin,
    Begun,
    Busy,
    Columns,
    Crashed,
    Finish,
    Message,
    More,
    Part,
    Refused,
    Rows,
    Told,
    Want,
    Whole,
    Written,
    for_reader,
    framed,
)
from headrace.serving.messages import Pong, for_worker, send

MOST: Final = 4
"""Batches that are read at a time."""
MEMORY_BYTES: Final = 1024**3
"""What the reading of one may take beyond what the process begins with."""
CPU_S: Final = 30
NICE: Final = 5
"""Single rows go before."""
OOM_SCORE: Final = 900
_WAKES: Final = 64
_STATUS: Final = {"batch-too-large": 413}


def serve(pipe: Connection, argument: str, descriptors: list[int]) -> None:  # noqa: ARG001 - as every entry of a nursery
    """The entry: what a supervisor forks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and the end are the supervisor's to tell
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _load()
    with socket.socket(fileno=descriptors[0]) as asked:
        Keeper(pipe, asked).run()


def _load() -> None:
    """Load what reads and writes, once for all that are forked."""
    import pyarrow as pa

    import headrace.serving.batch.reading
    import headrace.serving.batch.writing  # noqa: F401

    pa.set_cpu_count(1)


class Keeper:
    """The process.

    Parameters
    ----------
    pipe : to the supervisor
    asked : over which workers pass the ends of their sockets
    """

    def __init__(self, pipe: Connection, asked: socket.socket) -> None:
        self._pipe, self._asked = pipe, asked
        self._children: dict[int, socket.socket] = {}
        """By process: the socket that it answers over, kept to tell of its end."""
        self._wake, wakes = socket.socketpair()
        wakes.setblocking(False)
        self._wake.setblocking(False)
        self._wakes = wakes
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Until the supervisor is gone."""
        while True:
            ready, _, _ = select.select([self._pipe.fileno(), self._asked.fileno(), self._wake.fileno()], [], [])
            if self._wake.fileno() in ready:
                with suppress(BlockingIOError):
                    self._wake.recv(_WAKES)
                self._reap()
            if self._pipe.fileno() in ready:
                try:
                    for_worker(self._pipe)
                    send(self._pipe, Pong())
                except (EOFError, OSError):
                    return
            if self._asked.fileno() in ready:
                self._take()

    def _take(self) -> None:
        _, descriptors, _, _ = socket.recv_fds(self._asked, 1, 1)
        if not descriptors:
            return
        line = socket.socket(fileno=descriptors[0])
        if len(self._children) >= MOST:
            _say(line, Busy())
            line.close()
            return
        child = os.fork()
        if child:
            self._children[child] = line
            return
        code = 1
        try:
            self._become_child()
            Reading(line).run()
            code = 0
        except (EOFError, OSError):  # the worker no longer waits
            code = 0
        except BaseException as error:
            # what and where, and no value of what was sent
            frames = traceback.extract_tb(error.__traceback__)
            places = [f"{frame.name} {frame.filename}:{frame.lineno}" for frame in frames]
            told = {"event": "fault", "error": type(error).__name__, "at": places[-6:]}
            sys.stderr.write(msgspec.json.encode(told).decode() + "\n")
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _become_child(self) -> None:
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in self._children.values():  # else their ends would stay open as long as this one
            other.close()
        for kept in (self._wake, self._wakes, self._asked, self._pipe):
            kept.close()
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.nice(NICE)
        with suppress(OSError):  # before any worker, where memory runs out
            Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            line = self._children.pop(pid, None)
            if line is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            if code:
                line.setblocking(False)
                _say(line, Crashed(signal=-code if code < 0 else 0))
            line.close()


def _say(line: socket.socket, message: Message) -> None:
    with suppress(OSError):
        line.sendall(framed(message))


class Reading:
    """One batch, from its body to its answer.

    Parameters
    ----------
    line : to the worker
    """

    def __init__(self, line: socket.socket) -> None:
        self._line, self._file = line, line.makefile("rb")

    def run(self) -> None:
        """Raises `EOFError` and `OSError` when the worker no longer waits."""
        try:
            self._answer()
        except MemoryError:
            pass
        except HeadraceError as error:
            self._refuse(error)
            return
        else:
            return
        self._refuse(BatchTooLarge("bytes of memory while it is read", MEMORY_BYTES, found=None))

    def _refuse(self, error: HeadraceError) -> None:
        status = _STATUS.get(error.code, 422)
        facts = {name: value for name, value in error.facts.items() if isinstance(value, int | str)}
        self._send(Refused(status=status, code=error.code, detail=error.message, fix=error.fix, facts=facts))
        # what the worker still says is read, so that the system does not cut what was said last
        with suppress(EOFError):
            while True:
                for_reader(self._file.read)

    def _send(self, message: Message) -> None:
        self._line.sendall(framed(message))

    def _answer(self) -> None:
        from headrace.serving.batch.reading import Body
        from headrace.serving.batch.writing import Written as Answer

        self._send(Begun())
        begin = for_reader(self._file.read)
        assert isinstance(begin, Begin), "it comes first"
        body = Body(begin.format, self._body(begin.size), rows=begin.rows, decoded_bytes=begin.decoded_bytes)
        self._send(Columns(names=body.names))
        want = for_reader(self._file.read)
        assert isinstance(want, Want), "it comes next"
        batch = body.read(want.columns)
        self._send(Whole(rows=batch.rows))
        answer = Answer()
        while True:
            match for_reader(self._file.read):
                case More(rows=rows):
                    n, given = batch.next(rows, begin.slice_bytes)
                    self._send(Rows(rows=n, body=given))
                case Told() as told:
                    answer.add(told)
                case Finish(id=name, columns=columns):
                    data = answer.to_bytes(name, columns, begin.answer)
                    for place in range(0, len(data), PART_BYTES):
                        self._send(Part(data=data[place : place + PART_BYTES]))
                    self._send(Written())
                    return

    def _body(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = for_reader(self._file.read)
            assert isinstance(part, Part), "the body is whole first"
            parts += part.data
        return bytes(parts)
