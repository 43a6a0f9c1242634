"""A full disk under the log: answers are refused, or leave and are counted; never silence, and it goes on by itself."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.log.samples import ROUTE, awaited, numbers, reads, record, writer
from tests.serving.log.test_ship import tables_at

from headrace.errors import HeadraceError
from headrace.serving.log.epochs import SPARES, epochs, keep_spares
from headrace.serving.log.errors import LogFull
from headrace.serving.log.gap_slot import read_slot
from headrace.serving.log.reader import EpochReader, Missing, Predictions, verify
from headrace.serving.log.ship import ship
from headrace.serving.log.writer import BEGIN_S, OnFull
from headrace.testing.faults import small_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    with small_disk(tmp_path / "small", size_bytes=1 << 20) as root:
        yield root


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


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def left(log: Path) -> tuple[list[Path], int]:
    """What lies in the log, and how many files this process has open."""
    return sorted(log.iterdir()), len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("on_full", ["refuse", "gap"])
@pytest.mark.parametrize("spares", [False, True])
def test_who_begins_on_a_full_disk_and_answers_nobody_leaves_nothing_behind(
    small: Path, on_full: OnFull, spares: bool
) -> None:
    log = small / "log"
    writer(log).close()
    if spares:
        keep_spares(log)
    filler, (before, files) = fill(small), left(log)
    for _ in range(3):
        writer(log, on_full=on_full).close()
        found = left(log)
        assert found[1] == files
        # an epoch that was not used is taken away: the first one's spare made room for those after it
        assert found[0] == before[1 if spares else 0 :]
    filler.unlink()


def test_who_begins_on_a_full_disk_refuses_until_there_is_space(small: Path) -> None:
    log, clock = small / "log", Clock()
    writer(log).close()
    filler = fill(small)
    one = writer(log, monotonic=clock)
    route = one.introduce(ROUTE)
    for n in range(3):
        with pytest.raises(LogFull, match=str(log)):
            one.append([record(n, route)])
        clock.now += BEGIN_S
    filler.unlink()
    one.append([record(3, route)])
    one.append([record(4, route)])
    one.close()
    assert numbers(log) == [3, 4]
    found = verify(log)
    assert (found.problems, dict(found.missing)) == ([], {})


def test_who_begins_on_a_full_disk_counts_in_a_slot_that_was_made_before(small: Path) -> None:
    log = small / "log"
    one = writer(log, on_full="gap")
    one.append([record(0, one.introduce(ROUTE))])
    keep_spares(log)
    filler = fill(small)
    other = writer(log, on_full="gap")
    route = other.introduce(ROUTE)
    for n in range(100):
        other.append([record(n, route)])
    assert (other.unkept, other.missed_total) == (0, 100)
    assert verify(log).missing == {"full": 100}  # as whoever comes after a kill -9 finds it
    filler.unlink()
    other.append([record(n, route) for n in (100, 101)])
    assert verify(log).missing == {"full": 100}
    for each in (one, other):
        each.close()
    found = verify(log)
    assert (found.predictions, found.missing, found.problems) == (3, {"full": 100}, [])


def test_a_count_is_shipped_while_it_grows_and_after_its_worker(small: Path, tmp_path: Path) -> None:
    log, tables = small / "log", tables_at(tmp_path)
    log.mkdir()
    keep_spares(log)
    fill(small)
    one = writer(log, on_full="gap")
    route = one.introduce(ROUTE)
    missing = Counter[str]()
    for n in range(30):
        one.append([record(n, route)])
        if n == 9:
            missing += ship(log, tables, "p").missing
            assert missing == {"full": 10}
    one.close()
    assert verify(log).missing == {"full": 30}
    missing += ship(log, tables, "p").missing
    assert missing == {"full": 30}
    assert epochs(log) == []
    assert not ship(log, tables, "p").missing


@pytest.mark.parametrize("late", ["a later answer", "the end", "the end, for a count alone"])
def test_a_count_that_has_no_place_gets_one_once_there_is_space(small: Path, late: str) -> None:
    log, clock = small / "log", Clock()
    writer(log).close()
    filler = fill(small)
    one = writer(log, on_full="gap", monotonic=clock)
    route = one.introduce(ROUTE)
    for n in range(10):
        one.append([record(n, route)])
    assert one.unkept == 10
    if late == "the end, for a count alone":
        os.truncate(filler, filler.stat().st_size - 4096)
    else:
        filler.unlink()
    if late == "a later answer":
        one.append([record(10, route)])
        assert one.unkept == 11  # it is not tried for every answer
        clock.now += BEGIN_S
        one.append([record(11, route)])
        assert one.unkept == 0
    one.close()
    assert one.unkept == 0
    found = verify(log)
    assert found.segments == (1 if late == "the end, for a count alone" else 2)
    assert (found.missing, found.problems) == ({"full": one.missed_total}, [])
    assert numbers(log) == ([11] if late == "a later answer" else [])


def test_as_many_spares_as_workers_have_taken_are_made_anew_and_each_is_one_workers(small: Path) -> None:
    log = small / "log"
    writer(log).close()
    for _ in range(2):
        keep_spares(log)
        assert len(list(log.glob("#spare-*"))) == SPARES
    filler = fill(small)
    many = [writer(log, on_full="gap") for _ in range(SPARES + 1)]
    assert len({one.epoch for one in many}) == SPARES + 1
    assert [bool(one.epoch) for one in many] == [True] * SPARES + [False]
    assert not list(log.glob("#spare-*"))
    with pytest.raises(OSError, match="space"):
        keep_spares(log)
    assert not list(log.glob("#spare-*"))
    filler.unlink()
    keep_spares(log)
    assert len(list(log.glob("#spare-*"))) == SPARES
    for one in many:
        one.close()


def test_a_spare_that_is_not_whole_is_passed_over(small: Path) -> None:
    log = small / "log"
    writer(log).close()
    for name, data in (("#spare-0", None), ("#spare-1", b"")):
        (log / name).mkdir()
        if data is not None:
            (log / name / "gap").write_bytes(data)
    fill(small)
    one = writer(log, on_full="gap")
    assert one.epoch == ""
    one.close()


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


@pytest.mark.parametrize("spares", [False, True])
@awaited
async def test_who_begins_on_a_full_disk_under_durability_power_calls_back(small: Path, spares: bool) -> None:
    log, clock, told = small / "log", Clock(), list[HeadraceError | None]()
    log.mkdir()
    if spares:
        keep_spares(log)
    filler = fill(small)
    one = writer(log, durability="power", on_full="gap", loop=asyncio.get_running_loop(), monotonic=clock)
    route = one.introduce(ROUTE)

    async def answered(n: int) -> None:
        one.when_durable(one.append([record(n, route)]), told.append)
        async with asyncio.timeout(10):
            while len(told) <= n:
                await asyncio.sleep(0.001)

    for n in range(20):
        await answered(n)
    filler.unlink()
    clock.now += BEGIN_S
    for n in range(20, 40):
        await answered(n)
    one.close()
    assert told == [None] * 40
    assert numbers(log) == [*range(20, 40)]
    found = verify(log)
    assert (found.missing, found.problems) == ({"full": 20}, [])
