"""The meter counts what is used between its start and its stop."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from headrace.runs import meter
from headrace.runs.meter import Meter

MB = 1_000_000


def touch(size: int) -> None:
    """Hold `size` bytes of memory for a moment."""
    held = bytearray(size)
    held[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(held[:: os.sysconf("SC_PAGE_SIZE")])
    time.sleep(0.15)  # longer than the time between two samples


def test_wall_time_passes_while_sleeping_and_cpu_time_does_not() -> None:
    watch = Meter()
    time.sleep(0.2)
    used = watch.stop()
    assert used.wall_s >= 0.2
    assert used.cpu_s < used.wall_s - 0.15


def test_cpu_time_of_children_that_ended_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    watch = Meter()
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert watch.stop().cpu_s >= 0.3


@pytest.mark.parametrize("can_reset", [True, False], ids=["the kernel's mark", "samples"])
def test_the_peak_is_of_the_metered_time_only(can_reset: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_reset:
        monkeypatch.setattr(meter, "_reset_peak", lambda: False)
    touch(400 * MB)  # before: not counted
    watch = Meter()
    touch(100 * MB)
    middle = watch.stop().peak_memory_bytes
    watch = Meter()
    nothing = watch.stop().peak_memory_bytes
    assert 60 * MB < middle - nothing < 200 * MB


def test_what_is_used_beside_counts_once_where_it_is_said() -> None:
    watch = Meter()
    meter.used_beside(25.0, 700 * MB)
    used = watch.stop()
    assert 25.0 <= used.cpu_s < 35.0
    assert used.peak_memory_bytes >= 700 * MB
    after = Meter().stop()
    assert after.cpu_s < 10.0
    assert after.peak_memory_bytes < used.peak_memory_bytes - 600 * MB
