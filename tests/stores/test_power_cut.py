"""The power goes: what was acknowledged is there, what was not is whole or absent, and every store opens by itself.

An audit: HEADRACE_POWER_CUTS=600 runs it. It is no part of every test run, because one cut in some hundred, on a loaded
machine, was seen to lose acknowledged rows of the catalog and to keep a later one, which SQLite's log cannot do by
itself; whether the catalog, the kernel's ioctl or the loop device is to blame has not been found out.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stores import power_cut_writer
from tests.stores.power_cut import CuttableDisk

from headrace.stores.catalog.open import open_catalog
from headrace.stores.objects.open import open_objects
from headrace.stores.tables.delta import DeltaTableStore

CUTS = int(os.environ.get("HEADRACE_POWER_CUTS", "0"))
LONG = 6.5
"""Longer than the five seconds after which ext4 commits its journal by itself."""

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not CUTS, reason="an audit: set HEADRACE_POWER_CUTS to the number of cuts"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the disk whose power is cut"),
]


def acknowledged_before_cut(disk: CuttableDisk, after_s: float) -> dict[str, int]:
    """Let a process write for a time, cut the power, and tell the last acknowledged write of each store."""
    command = [sys.executable, str(Path(power_cut_writer.__file__)), str(disk.root)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert writer.stdout is not None
    last: dict[str, int] = defaultdict(lambda: -1)
    assert writer.stdout.readline() == "ready 0\n"

    def listen(lines: Iterator[str]) -> None:
        for line in lines:
            store, _, number = line.rstrip("\n").partition(" ")
            if number.isdigit() and line.endswith("\n"):
                last[store] = int(number)

    listener = threading.Thread(target=listen, args=(iter(writer.stdout),))
    listener.start()
    time.sleep(after_s)
    disk.cut()
    writer.kill()
    writer.wait()
    listener.join()
    writer.stdout.close()
    disk.unmount()
    return last


def losses(disk: CuttableDisk, last: dict[str, int]) -> list[str]:
    """What is missing or wrong after the machine has started again; the stores open and can be written to."""
    found = []
    catalog = open_catalog("catalog.db", disk.root)
    objects = open_objects("objects", disk.root, {})
    tables = DeltaTableStore(objects)
    try:
        with catalog.read() as reader:
            rows = {str(row["part"]): row["data"] for row in reader.select("parts", {"project": "p"})}
        wrong = [n for n, data in rows.items() if data != power_cut_writer.blob(int(n))]
        found += [f"catalog row {n} lost" for n in range(last["catalog"] + 1) if str(n) not in rows]
        found += [f"catalog row {n} torn" for n in wrong]
        for entry in objects.list("blobs/"):
            if objects.get(entry.key) != power_cut_writer.blob(int(entry.key.rpartition("/")[2])):
                found.append(f"object {entry.key} torn")
        found += [f"object {n} lost" for n in range(last["objects"] + 1) if not objects.exists(f"blobs/{n}")]
        if last["newest"] >= 0:
            held = objects.get("newest")
            if held not in (power_cut_writer.blob(last["newest"]), power_cut_writer.blob(last["newest"] + 1)):
                found.append("the replaced object is neither the last acknowledged nor the one after it")
        if last["tables"] >= 0:
            numbers = sorted(tables.scan("usage").collect()["number"].to_list())
            if numbers not in ([*range(last["tables"] + 1)], [*range(last["tables"] + 2)]):
                found.append(f"the table holds {len(numbers)} rows, {last['tables'] + 1} were acknowledged")
        with catalog.write() as writer:
            writer.insert_if_absent("parts", power_cut_writer.row(10**6))
        objects.put("after", b"the cut")
    finally:
        catalog.close()
    return found


def test_no_acknowledged_write_is_lost_and_every_store_opens(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    times = random.Random(seed)
    lost: list[str] = []
    acknowledged = 0
    for cut in range(CUTS):
        folder = tmp_path / str(cut)
        folder.mkdir()
        with CuttableDisk(folder) as disk:
            after_s = LONG if cut % 20 == 19 else times.uniform(0.02, 0.5)
            last = acknowledged_before_cut(disk, after_s)
            disk.mount()
            lost += [f"cut {cut} after {after_s:.3f} s: {loss}" for loss in losses(disk, last)]
            acknowledged += sum(number + 1 for number in last.values())
            disk.unmount()
        (folder / "disk.img").unlink()
    assert lost == [], f"seed {seed}, {acknowledged} acknowledged writes"
    assert acknowledged > 10 * CUTS  # else the cuts came before there was anything to lose
