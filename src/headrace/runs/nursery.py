"""Where the processes of trials and of servers come from: one that has loaded the libraries, and forks when asked.

Python's own `multiprocessing` runs the caller's main script again in every child, which starts a second run where the
script does not guard itself; a fork of the caller would inherit its threads' locks. Here the children know nothing of
the caller but a socket and where modules are found, and share the memory of what was loaded. Run as
`python -m headrace.runs.nursery FD ENTRY MODULE…`.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from select import select
from types import MappingProxyType
from typing import Final, NamedTuple

Serve = Callable[[Connection, str, list[int]], None]
"""What an entry is."""
_MOST_DESCRIPTORS: Final = 4
_FORK: Final = b"f"
_WAIT: Final = b"w"
_SIZE_BYTES: Final = 4
_END: Final = struct.Struct("<qdq")
"""How a child ended: exit code, CPU seconds of it (and of the nursery since it last said so), most bytes it held. Of a
new child its process stands in the place of the code."""


class Ended(NamedTuple):
    """What became of a child."""

    code: int
    """Negative for a signal."""
    cpu_s: float
    memory_bytes: int


_KILLED: Final = Ended(-signal.SIGKILL, 0.0, 0)


class Child:
    """A process that runs the nursery's entry, and the pipe to it.

    It may be asked at once: what is sent waits until the nursery has loaded and the process is there.
    """

    def __init__(self, nursery: Nursery, request: int, connection: Connection) -> None:
        self._nursery, self._request, self.connection = nursery, request, connection

    @property
    def pid(self) -> int:
        """Its process, once it is there; raises `OSError` when the nursery is gone."""
        return self._nursery.answer(self._request).code

    def end(self) -> Ended:
        """Kill it if it runs. One that is not there yet will find that nobody waits for it, and go."""
        with suppress(OSError):
            self.connection.close()
        try:
            if not self._nursery.has_answered(self._request):
                return _KILLED
            os.kill(self.pid, signal.SIGKILL)
        except OSError:  # it, or the nursery and with it every child, is gone
            pass
        return self.fate()

    def fate(self) -> Ended:
        """Of a child whose pipe has closed."""
        with suppress(OSError):
            self.connection.close()
        try:
            pid = self.pid
        except OSError:
            return _KILLED
        return self._nursery.wait(pid)


class Nursery:
    """The process that forks.

    Parameters
    ----------
    entry
        `module:function` that a child calls with its pipe, the text that it was forked with, and the descriptors.
    loaded
        Modules that are imported before the first fork. None may start a thread when it is imported, so that what is
        forked afterwards is whole.
    passed
        Names of the environment's variables that it gets, with `*` at the end for all that begin so; None: every one.
        Whoever can look at a process of this user can read them.
    unless_set
        Further variables, for those that the environment does not have.
    """

    def __init__(
        self,
        entry: str,
        loaded: Sequence[str],
        *,
        passed: Sequence[str] | None = None,
        unless_set: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        own, other = socket.socketpair()
        environment = {
            name: value
            for name, value in os.environ.items()
            if passed is None or any(fnmatchcase(name, pattern) for pattern in passed)
        }
        # read by OpenMP when it is loaded: waiting threads that spin cost more than they win
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **unless_set, **environment}
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "headrace.runs.nursery", str(other.fileno()), entry, *loaded],
            pass_fds=[other.fileno()],
            env=environment | {"PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path)},
            cwd="/",  # it outlives a search, and must keep no folder busy
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a library or a model of the user's own prints is no answer of the run
        )
        other.close()
        self._socket = own
        self._lock = threading.Lock()
        self._requests = 0
        self._answers: list[Ended] = []
        """By request: it answers in order."""

    def fork(self, argument: str, *descriptors: int) -> Child:
        """A new child, which gets the text and copies of the descriptors; returns at once, also while the nursery still
        loads."""
        mine, its = socket.socketpair()
        with its:
            request = self._ask(_FORK + os.fsencode(argument), its.fileno(), *descriptors)
        return Child(self, request, Connection(mine.detach()))

    def wait(self, pid: int) -> Ended:
        """What became of a child that has ended or is about to; as if killed when the nursery is gone, and with it
        every child."""
        try:
            return self.answer(self._ask(_WAIT + str(pid).encode()))
        except OSError:
            return _KILLED

    def answer(self, request: int) -> Ended:
        """What it says to a request, once it does; raises `OSError` when it is gone."""
        with self._lock:
            while len(self._answers) <= request:
                self._hear()
            return self._answers[request]

    def has_answered(self, request: int) -> bool:
        """Whether `answer` would come at once; raises `OSError` when it is gone."""
        with self._lock:
            while len(self._answers) <= request and select([self._socket], [], [], 0)[0]:
                self._hear()
            return len(self._answers) > request

    def _ask(self, message: bytes, *descriptors: int) -> int:
        with self._lock:
            size = len(message).to_bytes(_SIZE_BYTES, "big")
            socket.send_fds(self._socket, [size, message], descriptors)
            self._requests += 1
            return self._requests - 1

    def _hear(self) -> None:
        self._answers.append(Ended(*_END.unpack(_receive(self._socket, _END.size))))

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it, and with it every child that is left."""
        self._socket.close()
        self._process.kill()  # its children have asked the kernel to end with it
        self._process.wait()


def _receive(connection: socket.socket, size: int) -> bytes:
    """So many bytes; raises `OSError` when the other end has closed."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise OSError("the other process has ended")
        data += part
    return data


def _serve(control: socket.socket, entry: str) -> None:
    module, _, function = entry.partition(":")
    serve: Serve = getattr(import_module(module), function)
    said_s = 0.0
    while True:
        begin, descriptors, _, _ = socket.recv_fds(control, _SIZE_BYTES, _MOST_DESCRIPTORS)
        if not begin:
            return
        # requests may have come one after the other while this process was loading
        size = int.from_bytes(begin + _receive(control, _SIZE_BYTES - len(begin)), "big")
        message = _receive(control, size)
        if message[:1] == _FORK:
            pid = os.fork()
            if pid == 0:
                control.close()
                die_with_parent()
                serve(Connection(descriptors[0]), os.fsdecode(message[1:]), descriptors[1:])
                os._exit(0)
            for descriptor in descriptors:
                os.close(descriptor)
            control.sendall(_END.pack(pid, 0.0, 0))
        else:
            ended, own_s = _end_of(int(message[1:])), time.process_time()
            control.sendall(_END.pack(ended.code, ended.cpu_s + own_s - said_s, ended.memory_bytes))
            said_s = own_s


def _end_of(pid: int) -> Ended:
    try:
        _, status, used = os.wait4(pid, 0)
    except ChildProcessError:
        return Ended(0, 0.0, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    return Ended(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Linux: a process does not outlive the one that started it; 0: it may."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, number)


def main(arguments: list[str]) -> None:
    """Load, then fork on demand until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which then ends its children
    die_with_parent()  # while it loads, nobody would see the socket close
    number, entry, *loaded = arguments
    gc.disable()  # what is loaded stays
    for name in loaded:
        with suppress(Exception):  # a library that is not there, or broken: said by the trial that needs it
            import_module(name)
    gc.freeze()  # a child that looked through it for circles would copy all the memory that it shares
    gc.enable()
    # from here on the socket tells; the kernel would, also when only the thread ended that had started this
    die_with_parent(0)
    with suppress(OSError):  # who had asked has ended
        _serve(socket.socket(fileno=int(number)), entry)


if __name__ == "__main__":
    main(sys.argv[1:])
