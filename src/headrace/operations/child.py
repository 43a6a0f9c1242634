"""One try of a scheduled run, in a process of its own: what kills it leaves the loop alive, and frees its memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from headrace.operations.loop import Attempt
from headrace.operations.times import Time

STOP_WITHIN_S = 30.0
"""A run that is asked to stop is killed after this; finished stages are kept either way."""
_LOOK_EVERY_S = 0.2


def attempt(
    time_: Time, *, project: Path, environment: Mapping[str, str], timeout_s: float | None, stop: threading.Event
) -> Attempt:
    """Run one time's work to its end, its timeout, or until told to stop."""
    command = [sys.executable, "-m", "headrace", "schedule", "attempt", time_.cause, str(time_.due_us)]
    command += ["--project", str(project), "--json"]
    begun = time.monotonic()
    timed_out = False
    output = b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(environment)) as process:  # noqa: S603 - our own
        asked_at: float | None = None
        while True:
            try:
                output, _ = process.communicate(timeout=_LOOK_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            timed_out = timed_out or (timeout_s is not None and now - begun > timeout_s and not stop.is_set())
            if asked_at is None and (timed_out or stop.is_set()):
                asked_at = now
                process.send_signal(signal.SIGINT)
            elif asked_at is not None and now - asked_at > STOP_WITHIN_S:
                process.kill()
    if timed_out and process.returncode != 0:
        return Attempt(process.returncode, "timeout", f"it took longer than {timeout_s:g} s", timed_out=True)
    return Attempt(process.returncode, *_error(output))


def _error(output: bytes) -> tuple[str, str]:
    """Code and message of the error that the process printed, if it printed one."""
    try:
        error = json.loads(output)["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "", ""
