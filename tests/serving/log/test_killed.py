"""Whatever ends a worker, what it acknowledged is in its log: kill -9 with durability process, a power cut with power.

HEADRACE_POWER_CUTS=600 and HEADRACE_KILLS=300 make it an audit.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serving.log import samples
from tests.stores.power_cut import CuttableDisk

from headrace.serving.log.epochs import epochs, is_alive
from headrace.serving.log.reader import verify

KILLS = int(os.environ.get("HEADRACE_KILLS", "30"))
CUTS = int(os.environ.get("HEADRACE_POWER_CUTS", "24"))
LONG = 6.5
"""Longer than the five seconds after which ext4 commits its journal by itself."""


def acknowledged(log: Path, durability: str, after_s: float, end: Callable[[], None] = lambda: None) -> int:
    """Let a process log for a time, end the disk, kill the process; how many records it had acknowledged before."""
    command = [sys.executable, str(Path(samples.__file__)), str(log), durability]
    writer = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"0\n"
    last = [0]

    def listen() -> None:
        assert writer.stdout is not None
        for line in writer.stdout:
            if line.endswith(b"\n"):
                last[0] = int(line)

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(after_s)
    before = last[0]
    end()
    writer.kill()
    writer.wait()
    listener.join()
    writer.stdout.close()
    return last[0] if durability == "process" else before


@pytest.mark.heavy
def test_kill_9_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    times, total = random.Random(seed), 0
    for kill in range(KILLS):
        log = tmp_path / str(kill)
        done = acknowledged(log, "process", times.uniform(0.0, 0.15))
        held = samples.numbers(log)
        assert held == [*range(len(held))], f"seed {seed}, kill {kill}"
        assert len(held) >= done, f"seed {seed}, kill {kill}"
        assert verify(log).problems == []
        assert not any(map(is_alive, epochs(log)))
        total += done
    assert total > 100 * KILLS  # else they were killed before there was anything to lose


@pytest.mark.heavy
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the disk whose power is cut")
def test_a_power_cut_loses_nothing_that_was_called_durable(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    times, total = random.Random(seed), 0
    for cut in range(CUTS):
        folder = tmp_path / str(cut)
        folder.mkdir()
        with CuttableDisk(folder) as disk:
            after_s = LONG if cut % 20 == 19 else times.uniform(0.02, 0.5)
            done = acknowledged(disk.root / "log", "power", after_s, disk.cut)
            disk.unmount()
            disk.mount()
            held = samples.numbers(disk.root / "log")
            assert held == [*range(len(held))], f"seed {seed}, cut {cut}"
            assert len(held) >= done, f"seed {seed}, cut {cut} after {after_s:.3f} s"
            assert verify(disk.root / "log").problems == []
            samples.writer(disk.root / "log").close()  # and the next worker begins
            total += done
            disk.unmount()
        (folder / "disk.img").unlink()
    assert total > 20 * CUTS


@pytest.mark.heavy
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the disk whose power is cut")
def test_a_power_cut_under_durability_process_leaves_a_log_that_can_be_read(tmp_path: Path) -> None:
    """It may lose records, which that durability does not promise to keep; it never leaves a log that is refused."""
    times = random.Random()
    for cut in range(CUTS // 2):
        folder = tmp_path / str(cut)
        folder.mkdir()
        with CuttableDisk(folder) as disk:
            acknowledged(disk.root / "log", "process", LONG if cut % 6 == 5 else times.uniform(0.02, 0.5), disk.cut)
            disk.unmount()
            disk.mount()
            held = samples.numbers(disk.root / "log") if (disk.root / "log").exists() else []
            assert held == sorted(set(held))
            assert verify(disk.root / "log").problems == []
            disk.unmount()
        (folder / "disk.img").unlink()
