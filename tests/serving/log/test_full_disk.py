"""A full disk under the log: answers are refused, or leave and are counted; never silence, and it goes on by itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.log.samples import ROUTE, awaited, numbers, reads, record, writer

from headrace.errors import HeadraceError
from headrace.serving.log.epochs import epochs
from headrace.serving.log.errors import LogFull
from headrace.serving.log.gap_slot import read_slot
from headrace.serving.log.reader import EpochReader, Missing, Predictions, verify
from headrace.serving.log.writer import OnFull

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    root = tmp_path / "small"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)], check=True)
    yield root
    subprocess.run(["umount", "--lazy", str(root)], check=True)


def fill(root: Path) -> Path:
    """Leave no space; the file that takes it."""
    filler = root / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_refused_answers_raise_and_later_ones_are_logged_once_there_is_space(small: Path) -> None:
    log = small / "log"
    one = writer(log, segment_bytes=20_000)
    route, done = one.introduce(ROUTE), []
    filler, n, refused = small, 0, 0
    for n in range(3_000):
        if n == 1_000:
            filler = fill(small)
        if n == 2_000:
            filler.unlink()
        try:
            one.append([record(n, route)])
            done.append(n)
        except LogFull:
            refused += 1
    one.close()
    assert refused > 900
    assert numbers(log) == done
    assert verify(log).problems == []
    assert not verify(log).missing


@pytest.mark.parametrize("on_full", ["refuse", "gap"])
def test_workers_that_cannot_begin_leave_nothing_behind(small: Path, on_full: OnFull) -> None:
    log = small / "log"
    writer(log).close()

    def left() -> tuple[list[Path], int]:
        """Folders of epochs, and how many files this process has open."""
        return sorted(log.iterdir()), len(list(Path("/proc/self/fd").iterdir()))

    before = left()
    filler = fill(small)
    for _ in range(5):
        with pytest.raises(HeadraceError):
            writer(log, on_full=on_full)
    assert left() == before
    filler.unlink()
    one = writer(log, on_full=on_full)
    one.append([record(1, one.introduce(ROUTE))])
    one.close()
    assert numbers(log) == [1]


@pytest.mark.parametrize("segment_bytes", [20_000, 1 << 30])
def test_gaps_stand_in_the_log_in_their_place(small: Path, segment_bytes: int) -> None:
    log = small / "log"
    one = writer(log, on_full="gap", segment_bytes=segment_bytes)
    route, filler = one.introduce(ROUTE), small
    for n in range(0, 3_000, 3):
        if n in (900, 1_800):
            filler = fill(small)
        if n in (1_500, 2_400):
            filler.unlink()
        one.append([record(k, route) for k in range(n, n + 3)])
    one.close()
    found = reads(log)
    gaps = [read for read in found if isinstance(read, Missing)]
    held = [n for read in found if isinstance(read, Predictions) for n in range(read.sequence, read.sequence + 3)]
    lost = [n for gap in gaps for n in range(gap.sequence, gap.sequence + gap.gap.n)]
    assert sorted(held + lost) == [*range(3_000)]
    assert {gap.gap.reason for gap in gaps} == {"full"}
    assert len(gaps) == 2
    assert len(lost) == one.missed_total > 1_000
    assert numbers(log) == held


def test_the_count_survives_a_worker_that_is_killed_while_the_disk_is_full(small: Path) -> None:
    log = small / "log"
    one = writer(log, on_full="gap")
    route = one.introduce(ROUTE)
    one.append([record(0, route)])
    fill(small)
    for n in range(1, 200):
        one.append([record(n, route)])
    held, missing = numbers(log), verify(log).missing  # as whoever comes after a kill -9 finds it
    assert held == [*range(len(held))]
    assert len(held) < 50
    assert missing == {"full": 200 - len(held)}


def test_a_gap_that_was_read_while_it_grew_is_not_counted_twice(small: Path) -> None:
    log = small / "log"
    one = writer(log, on_full="gap")
    route = one.introduce(ROUTE)
    filler = fill(small)
    (folder,) = epochs(log)
    start, counted, held = 0, 0, 0
    for n in range(300):
        if n == 200:
            filler.unlink()
        one.append([record(n, route)])
        if n % 70 == 69:
            reader = EpochReader(folder, start, alive=True)
            for read in reader:
                counted += read.gap.n if isinstance(read, Missing) else 0
                held += len(read.records) if isinstance(read, Predictions) else 0
            assert reader.next is not None
            start = reader.next
    one.close()
    rest = [*EpochReader(folder, start)]
    assert counted + held + sum(len(read.records) for read in rest if isinstance(read, Predictions)) == 300
    assert counted == one.missed_total
    assert read_slot(folder) is not None  # stale now: what the log itself says counts


@awaited
async def test_a_full_disk_under_durability_power_calls_back(small: Path) -> None:
    log = small / "log"
    one = writer(log, durability="power", on_full="gap", loop=asyncio.get_running_loop())
    route, told = one.introduce(ROUTE), []
    filler = small

    def tell(error: HeadraceError | None) -> None:
        told.append(error)

    for n in range(600):
        if n == 200:
            filler = fill(small)
        if n == 400:
            filler.unlink()
        one.when_durable(one.append([record(n, route)]), tell)
        if n % 10 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while len(told) < 600:
            await asyncio.sleep(0.01)
    one.close()
    assert told == [None] * 600
    assert len(numbers(log)) + one.missed_total == 600
    assert verify(log).missing == {"full": one.missed_total}
