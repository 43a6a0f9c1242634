"""What the kernel says of processes and cores."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from headrace.serving.loadtest import machine

HOLDER = """
import os, socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
if os.fork() == 0:
    print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_those_who_answer_on_a_port_are_found_and_not_those_who_keep_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert machine.listeners(port) == [os.getpid()]
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(listening.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[listening.fileno()],
        ) as process:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            assert machine.listeners(port) == [child]
            process.communicate()
    assert machine.listeners(port) == []


def test_a_process_that_works_is_seen_to_be_busy() -> None:
    before = machine.look([os.getpid()], Path.cwd())
    while True:
        now = machine.look([os.getpid()], Path.cwd())
        found = machine.between(before, now, workers=[os.getpid()], generators=[2**22 + 1])
        if found.workers[0].busy > 0.05 and any(share > 0 for share in found.cores.values()):
            break
    assert found.workers[0].core in range(os.cpu_count() or 1)
    assert found.generators == ()  # there is no such process
    assert found.disk is None or 0 <= found.disk <= 1


def test_a_disk_that_the_kernel_does_not_count_is_not_known() -> None:
    assert machine.disk_ms(Path("/proc")) is None
    assert machine.disk_ms(None) is None
