"""A worker that speaks as the real one does, and fails where a deployment's name tells it to."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection

from headrace.serving.messages import (
    Accept,
    Accepted,
    ArmCounts,
    Cancel,
    Commit,
    Committed,
    Drain,
    Install,
    Open,
    Opened,
    Ping,
    Pong,
    Prepared,
    Probed,
    for_worker,
    send,
)
from headrace.serving.model import Counts


def probe(pipe: Connection, argument: str) -> None:
    """Try a version that does what its model's name says."""
    if '"dies"' in argument:
        os.kill(os.getpid(), signal.SIGSEGV)
    if '"hangs"' in argument:
        signal.pause()
    if '"nonsense"' in argument:
        os.write(pipe.fileno(), b"\x00\x00\x00\x03abc")
    elif '"other"' in argument:
        send(pipe, Committed(number=1))
    else:
        send(pipe, Probed(error="no" if '"cannot"' in argument else None, row_us=20.0))


def serve(pipe: Connection, argument: str, descriptors: list[int]) -> None:
    """The entry."""
    if argument.startswith("probe "):
        probe(pipe, argument)
        return
    number_of: dict[int, str] = {}
    pings = 0
    while True:
        try:
            message = for_worker(pipe)
        except (EOFError, OSError):
            return
        match message:
            case Accept():
                send(pipe, Accepted(number=message.number))
            case Ping():
                pings += 1
                counts = ArmCounts(deployment="first", arm="v1", counts=Counts(rows=1, latency_us=(0, 1)))
                send(pipe, Pong(counts=(counts,), statuses={os.getpid(): 1}, refused=2, cpu_s=100.0 + pings))
            case Install():
                name = message.deployment.name
                number_of[message.number] = name
                if name == "dies":
                    os._exit(7)
                if name == "nonsense":
                    os.write(pipe.fileno(), b"\x00\x00\x00\x03abc")
                if name == "half":
                    os.write(pipe.fileno(), b"\x00\x00\x00\x30a")
                    time.sleep(3600)
                if name == "slow":
                    time.sleep(2.0)
                if name == "late" and message.deployment.revision == 1:
                    continue
                failed = {"m@1": "no"} if name == "cannot" else {}
                send(pipe, Prepared(number=message.number, failed=failed))
            case Commit():
                if number_of[message.number] == "busy":
                    time.sleep(2.0)
                if number_of[message.number] != "stays":
                    send(pipe, Committed(number=message.number))
            case Cancel():
                send(pipe, Pong(statuses={0: message.number}))
            case Open():
                send(pipe, Opened())
            case Drain():
                return
            case _:
                pass
