"""The power goes: what was acknowledged is there, what was not is whole or absent, and every store opens by itself.

HEADRACE_POWER_CUTS=600 makes it an audit.

Only what was acknowledged before the cut began counts: the machine runs on after it, and an fsync that waits for a
journal which is aborted meanwhile seems to answer that all is well (in 3 of some 700 cuts a commit acknowledged about
then was lost). A machine without power acknowledges nothing.
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

CUTS = int(os.environ.get("HEADRACE_POWER_CUTS", "24"))
LONG = 6.5
"""Longer than the five seconds after which ext4 commits its journal by itself."""

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the disk whose power is cut"),
]


def acknowledged_before_cut(disk: CuttableDisk, after_s: float) -> dict[str, int]:
    """Let a process write for a time, cut the power, and tell the last write of each store acknowledged before."""
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
    before = defaultdict(lambda: -1, last)
    disk.cut()
    writer.kill()
    writer.wait()
    listener.join()
    writer.stdout.close()
    disk.unmount()
    return before


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
            number = int(held.split()[1])
            if held != power_cut_writer.blob(number) or number < last["newest"]:
                found.append(f"the replaced object is write {number}, or a part of it")
        if last["tables"] >= 0:
            numbers = sorted(tables.scan("usage").collect()["number"].to_list())
            if numbers != [*range(len(numbers))] or len(numbers) <= last["tables"]:
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
