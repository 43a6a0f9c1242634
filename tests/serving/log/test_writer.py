"""Appending: in the kernel or on the disk before it returns or calls back; a failed sync is never acknowledged."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serving.log.samples import ROUTE, awaited, numbers, reads, record, writer

from headrace.errors import HeadraceError
from headrace.serving.log.epochs import epochs, segments
from headrace.serving.log.errors import LogBehind, LogUnavailable
from headrace.serving.log.reader import Missing, verify
from headrace.serving.log.record import Outcome


class Told:
    """What was called back, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[int, HeadraceError | None]] = []

    def of(self, number: int) -> Callable[[HeadraceError | None], None]:
        return lambda error: self.all.append((number, error))


class Disk:
    """`os.fdatasync` under our control."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails: Callable[[int], bool] = lambda _: False
        """Whether a call fails, counted from 0."""
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.calls = 0
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, descriptor: int) -> None:
        number = self.calls
        self.calls += 1
        assert self.may_go_on.wait(10)
        if self.fails(number):
            raise OSError(errno.EIO, "injected")
        self._real(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.001)


def test_a_batch_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = writer(tmp_path)
    route = one.introduce(ROUTE)
    one.append([record(0, route)])
    real, written = os.write, []

    def counted(descriptor: int, data: bytes) -> int:
        written.append(len(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", counted)
    one.append([record(n, route) for n in range(1, 17)])
    monkeypatch.undo()
    assert len(written) == 1
    assert numbers(tmp_path) == [*range(17)]


def test_what_was_appended_is_read_before_the_segment_is_closed(tmp_path: Path) -> None:
    one = writer(tmp_path)
    told = Told()
    one.when_durable(one.append([record(0, one.introduce(ROUTE))]), told.of(1))
    assert told.all == [(1, None)]
    assert numbers(tmp_path) == [0]


def test_segments_are_rotated_by_size_and_by_age(tmp_path: Path) -> None:
    now = [0.0]
    one = writer(tmp_path, segment_bytes=1_000, segment_s=60.0, monotonic=lambda: now[0])
    route = one.introduce(ROUTE)
    (folder,) = epochs(tmp_path)
    for n in range(3):
        one.append([record(n, route)])
    assert len(segments(folder)) == 1
    now[0] = 61.0
    one.append([record(3, route)])
    assert len(segments(folder)) == 2
    for n in range(4, 20):
        one.append([record(n, route)])
    assert len(segments(folder)) > 4
    assert numbers(tmp_path) == [*range(20)]


@awaited
async def test_nothing_is_called_back_before_it_is_on_the_disk(tmp_path: Path, disk: Disk) -> None:
    disk.may_go_on.clear()
    one = writer(tmp_path, durability="power", loop=asyncio.get_running_loop())
    route, told = one.introduce(ROUTE), Told()
    for n in range(50):
        one.when_durable(one.append([record(n, route)]), told.of(n))
    await asyncio.sleep(0.05)
    assert told.all == []
    disk.may_go_on.set()
    await until(lambda: len(told.all) == 50)
    assert told.all == [(n, None) for n in range(50)]
    assert disk.calls <= 3  # the batches that came while one sync ran share the next
    one.close()
    assert numbers(tmp_path) == [*range(50)]


@pytest.mark.parametrize("k", range(12))
@awaited
async def test_a_failed_sync_is_never_acknowledged_and_what_waited_is_written_anew(
    tmp_path: Path, disk: Disk, k: int
) -> None:
    disk.fails = lambda number: number == k
    one = writer(tmp_path, durability="power", loop=asyncio.get_running_loop(), segment_bytes=2_000)
    route = one.introduce(ROUTE)
    told = Told()
    for n in range(40):
        one.when_durable(one.append([record(n, route)]), told.of(n))
        if n % 3 == 0:
            await asyncio.sleep(0.002)
    await until(lambda: len(told.all) == 40)
    one.close()
    assert told.all == [(n, None) for n in range(40)]
    assert numbers(tmp_path) == [*range(40)]
    assert verify(tmp_path).problems == []


@awaited
async def test_the_segment_whose_sync_failed_is_left(tmp_path: Path, disk: Disk) -> None:
    disk.fails = lambda number: number == 0
    one = writer(tmp_path, durability="power", loop=asyncio.get_running_loop())
    told: list[object] = []
    one.when_durable(one.append([record(0, one.introduce(ROUTE))]), told.append)
    await until(lambda: told == [None])
    (folder,) = epochs(tmp_path)
    assert [number for number, _ in segments(folder)] == [1, 2]
    assert disk.calls == 2
    one.close()


@awaited
async def test_a_disk_that_refuses_for_good_refuses_the_answers(tmp_path: Path, disk: Disk) -> None:
    disk.fails = lambda _: True
    one = writer(tmp_path, durability="power", loop=asyncio.get_running_loop())
    route = one.introduce(ROUTE)
    told: list[HeadraceError | None] = []
    for n in range(3):
        one.when_durable(one.append([record(n, route)]), told.append)
    await until(lambda: len(told) == 3)
    assert all(isinstance(error, LogUnavailable) for error in told)
    disk.fails = lambda _: False
    one.when_durable(one.append([record(3, route)]), told.append)  # goes on by itself
    await until(lambda: len(told) == 4)
    assert told[3] is None
    one.close()
    assert 3 in numbers(tmp_path)
    assert verify(tmp_path).problems == []


@awaited
async def test_with_gaps_allowed_answers_leave_and_are_counted(tmp_path: Path, disk: Disk) -> None:
    disk.fails = lambda _: True
    one = writer(tmp_path, durability="power", on_full="gap", loop=asyncio.get_running_loop())
    route = one.introduce(ROUTE)
    told: list[HeadraceError | None] = []
    refused: list[HeadraceError | None] = []
    for n in range(3):
        one.when_durable(one.append([record(n, route)]), told.append)
    one.when_durable(one.append_outcomes([Outcome(value=True, known_us=0, request_id="r0")]), refused.append)
    await until(lambda: len(told) == 3 and len(refused) == 1)
    assert told == [None] * 3
    assert isinstance(refused[0], LogUnavailable)  # who brings a truth can bring it again
    assert one.missed_total >= 3
    disk.fails = lambda _: False
    one.when_durable(one.append([record(3, route)]), told.append)
    await until(lambda: len(told) == 4)
    one.close()
    held = numbers(tmp_path)
    gaps = [read.gap.n for read in reads(tmp_path) if isinstance(read, Missing)]
    assert 3 in held
    assert sum(gaps) + len([n for n in held if n < 3]) >= 3


@awaited
async def test_a_disk_that_hangs_refuses_once_too_much_waits(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.serving.log.writer.WAITING_BYTES", 2_000)
    disk.may_go_on.clear()
    one = writer(tmp_path, durability="power", loop=asyncio.get_running_loop())
    route = one.introduce(ROUTE)
    told: list[HeadraceError | None] = []
    with pytest.raises(LogBehind):
        for n in range(100):
            one.when_durable(one.append([record(n, route)]), told.append)
    disk.may_go_on.set()
    await until(lambda: len(told) > 5)
    one.append([record(len(told), route)])
    one.close()


def test_logging_and_taking_truths_load_no_table_engine() -> None:
    probe = "import sys, headrace.serving.log.writer, headrace.serving.log.posted; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    assert not {"polars", "deltalake", "pyarrow", "sqlalchemy", "sklearn", "numpy"} & set(loaded)


def test_power_needs_an_event_loop(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="event loop"):
        writer(tmp_path, durability="power")
