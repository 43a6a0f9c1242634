"""The loop on a virtual clock, with seeded faults: each due time is run once, or recorded as missed or failed."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from headrace.definition.model import Retry, Schedule
from headrace.errors import HeadraceError, TroubleOutside, WrongUse
from headrace.operations.due import passed
from headrace.operations.loop import Attempt, Loop
from headrace.operations.times import Time, Times, list_times
from headrace.runs.model import RunId
from headrace.stores.catalog import Catalog, Reader, Writer
from headrace.stores.catalog.open import open_catalog
from headrace.stores.errors import StoreUnavailable

SEEDS = 200
A_BATCH = 50
BEGIN_US = 1_774_000_000_000_000
"""Nine days before Europe changes its clocks."""
CATCH_UP: tuple[Literal["latest", "all", "none"], ...] = ("latest", "all", "none")
CRONS = (("0 * * * *",), ("30 2 * * *", "0 */5 * * *"), ("*/20 1-3 * * *",))


class World:
    """A clock that only sleeping and working move, a loop that may die anywhere, and a catalog that may not answer."""

    def __init__(self, seed: int, catalog: Catalog) -> None:
        self.dice = random.Random(seed)
        self.catalog, self.project = catalog, f"seed-{seed}"
        self.true_us, self.wrong_us = BEGIN_US + (seed % 12) * 86_400_000_000, 0
        self.is_calm = False
        self.done: Counter[tuple[str, int]] = Counter()
        self.runs = 0
        self.read, self.migrate, self.close = self._read, catalog.migrate, catalog.close
        self.schedule = Schedule(
            cron=self.dice.choice(CRONS),
            zone=self.dice.choice(("UTC", "Europe/Paris", "America/New_York")),
            catch_up=self.dice.choice(CATCH_UP),
            catch_up_at_most=self.dice.choice((2, 100)),
            retry=Retry(times=self.dice.choice((0, 2)), backoff_us=30_000_000),
        )

    def happens(self, share: float) -> bool:
        return not self.is_calm and self.dice.random() < share

    def clock(self) -> int:
        return self.true_us + self.wrong_us

    def pass_s(self, seconds: float) -> None:
        self.true_us += round(seconds * 1e6)
        if self.happens(0.02):
            self.wrong_us = self.dice.choice((0, -3_600_000_000, 86_400_000_000))

    @contextmanager
    def _read(self) -> Iterator[Reader]:
        if self.happens(0.01):
            raise StoreUnavailable("catalog", "a fault of the simulation")
        with self.catalog.read() as reader:
            yield reader

    @contextmanager
    def write(self) -> Iterator[Writer]:
        with self.catalog.write() as writer:
            yield writer
            if self.happens(0.02):
                raise Died
        if self.happens(0.02):  # committed, and the process dies before it knows
            raise Died

    def attempt(self, times: Times, time: Time) -> Attempt:
        """As `headrace schedule attempt` does it, in no process."""
        self.runs += 1
        run, ticket, error = RunId(f"run-{self.runs}"), times.ticket(time), self.fate()
        try:
            with self.catalog.write() as writer:
                ticket.begin(writer, run, self.clock())
            self.pass_s(self.dice.choice((1, 60, 5000)))
            if self.happens(0.1):
                return Attempt(-9)  # killed
            with self.catalog.write() as writer:
                ticket.end(writer, run, self.clock(), error)
            if error is None:
                self.done[time.cause, time.due_us] += 1
            if self.happens(0.05):
                raise Died
        except HeadraceError as refused:
            return Attempt(refused.exit_code, refused.code, refused.message)
        return Attempt(0) if error is None else Attempt(getattr(error, "exit_code", 1), "fault", "of the simulation")

    def fate(self) -> Exception | None:
        if self.happens(0.3):
            return self.dice.choice((TroubleOutside("a fault"), WrongUse("a fault"), ValueError("a fault")))
        return None

    def live(self, until_us: int) -> None:
        """One loop after another, until an instant; each lives until it dies or is stopped."""
        while self.true_us < until_us:
            times = Times(self, self.project, self.schedule, clock=self.clock)
            loop = Loop(
                times=times,
                schedule=self.schedule,
                attempt=lambda time, times=times: self.attempt(times, time),  # type: ignore[misc]
                log=Silent(),
                monotonic=lambda: self.true_us / 1e6,
                wait=lambda seconds: self.sleep(seconds, until_us),
                random=self.dice.random,
            )
            try:
                loop.run()
            except Died:
                self.pass_s(self.dice.choice((5, 600, 40_000)))

    def sleep(self, seconds: float, until_us: int) -> bool:
        # to the next due time at once: what a shorter look would find is decided then
        self.pass_s(seconds * self.dice.choice((1, 60)))
        return self.true_us >= until_us


class Died(BaseException):
    """The process of the loop ended, in mid-sentence."""


class Silent:
    def info(self, event: str, **facts: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    memory = Path("/dev/shm")  # two hundred seeds make some ten thousand durable commits
    folder = tmp_path_factory.mktemp("simulation")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else folder) as place:
        opened = open_catalog("catalog.db", Path(place))
        yield opened
        opened.close()


@pytest.mark.parametrize("first", range(0, SEEDS, A_BATCH))
def test_each_due_time_is_run_once_or_recorded_as_missed_or_failed(catalog: Catalog, first: int) -> None:
    states: Counter[str] = Counter()
    for seed in range(first, first + A_BATCH):
        states += check(seed, catalog)
    assert min(states[state] for state in ("done", "failed", "missed")) > A_BATCH, states


def check(seed: int, catalog: Catalog) -> Counter[str]:
    world = World(seed, catalog)
    world.live(world.true_us + 4 * 3_600_000_000 * (1 + seed % 12))
    world.is_calm, world.wrong_us = True, max(world.wrong_us, 0)
    world.live(world.true_us + 4 * 3_600_000_000)
    with catalog.read() as reader:
        row = reader.get("schedules", {"project": world.project})
        recorded = list_times(reader, world.project, limit=100_000)
    assert row is not None
    begun = min((time.due_us for time in recorded), default=int(row["decided_us"] or 0))
    due = passed(world.schedule, begun - 1, int(row["decided_us"] or 0))
    told: Counter[int] = Counter()
    for time in recorded:
        told.update(at for at in due if time.due_us <= at <= time.until_us)
    assert told == Counter(due), f"seed {seed}: every time once, none forgotten"
    assert sum(time.times for time in recorded) == len(due), f"seed {seed}"
    assert {time.state for time in recorded} <= {"done", "failed", "missed"}, f"seed {seed}: nothing is left over"
    done = {(time.cause, time.due_us) for time in recorded if time.state == "done"}
    assert world.done == Counter(done), f"seed {seed}: a time that is done was done once"
    assert all(time.tries <= world.schedule.retry.times + 1 for time in recorded), f"seed {seed}"
    return Counter(time.state for time in recorded)
