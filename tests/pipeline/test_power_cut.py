"""The power goes in the middle of a run: the next run goes on by itself and makes the package of a quiet run.

HEADRACE_POWER_CUTS=100 makes it an audit.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.cli.conftest import HEADRACE
from tests.examples import flights
from tests.stores.power_cut import CuttableDisk

from headrace.app import Project

CUTS = int(os.environ.get("HEADRACE_POWER_CUTS", "3"))

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the disk whose power is cut"),
]


def package(root: Path, environment: dict[str, str]) -> str:
    with Project.open(root, environment=environment) as project:
        return project.run().version.package


def cut_in_mid_run(disk: CuttableDisk, root: Path, environment: dict[str, str], after_s: float) -> bool:
    """Cut the power while a run is at work; whether it was still at work."""
    command = [*HEADRACE, "run"]
    quiet = subprocess.DEVNULL
    run = subprocess.Popen(command, cwd=root, env=environment, stdout=quiet, stderr=quiet)
    time.sleep(after_s)
    was_at_work = run.poll() is None
    disk.cut()
    run.kill()
    run.wait()
    disk.unmount()
    return was_at_work


def test_a_run_goes_on_after_the_power_was_cut(tmp_path: Path) -> None:
    environment = {**os.environ, "HEADRACE_CONFIG": str(tmp_path / "keys")}
    fresh = flights(tmp_path / "fresh", days=range(1, 4))
    began = time.monotonic()
    wanted = package(Path(shutil.copytree(fresh, tmp_path / "quiet")), environment)
    takes_s = time.monotonic() - began
    seed = int.from_bytes(os.urandom(4), "big")
    times = random.Random(seed)
    in_mid_run = 0
    for cut in range(CUTS):
        folder = tmp_path / str(cut)
        folder.mkdir()
        after_s = times.uniform(0.3, takes_s + 1)
        with CuttableDisk(folder) as disk:
            root = Path(shutil.copytree(fresh, disk.root / "delays"))
            os.sync()
            in_mid_run += cut_in_mid_run(disk, root, environment, after_s)
            disk.mount()
            assert package(root, environment) == wanted, f"seed {seed}, cut {cut} after {after_s:.3f} s"
            disk.unmount()
        (folder / "disk.img").unlink()
    assert in_mid_run
