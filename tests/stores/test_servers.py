"""The test servers themselves: a session that is killed leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

_SESSION = """
import os, sys
from tests import servers
folder = servers.begin_session()
print(servers.shared("postgres")["pid"], servers.shared("s3")["pid"], folder, flush=True)
os.kill(os.getpid(), {signal})
"""


def test_servers_stop_when_their_session_is_killed() -> None:
    env = {name: value for name, value in os.environ.items() if name != "HEADRACE_TEST_SERVERS"}
    session = subprocess.run(
        [sys.executable, "-c", _SESSION.format(signal=int(signal.SIGKILL))],
        cwd=Path(__file__).parents[2],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    postgres, s3, folder = session.stdout.split()
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up and (
        Path(folder).exists() or psutil.pid_exists(int(postgres)) or psutil.pid_exists(int(s3))
    ):
        time.sleep(0.05)
    assert not psutil.pid_exists(int(postgres))
    assert not psutil.pid_exists(int(s3))
    assert not Path(folder).exists()
