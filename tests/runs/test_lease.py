"""The lease: one holder at a time, whatever dies, sleeps, or has a wrong clock; who lost it writes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from headrace.errors import HeadraceError
from headrace.runs.errors import LeaseLost, RunInProgress
from headrace.runs.lease import FencedCatalog, Holder, Term, Waiting, holder_of, leased
from headrace.runs.place import this_process
from headrace.stores.catalog import Catalog, Writer
from headrace.stores.catalog.open import open_catalog

HOLDER = Path(__file__).parent / "lease_holder.py"
ZOMBIES = 5
RACERS = 20
LONG = Term(term_s=30.0, beat_s=30.0)
SILENT = Term(term_s=0.5, beat_s=1e6)

Start = Callable[..., "Process"]


class Process:
    """A holder that is told what to do, line by line."""

    def __init__(self, url: str, root: Path, workdir: str, term: Term) -> None:
        command = [sys.executable, "-W", "error", str(HOLDER), url, str(root), workdir, str(term[0]), str(term[1])]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line: str = "") -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def hear(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def close(self) -> None:
        self.popen.kill()
        self.popen.communicate()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A catalog on each server."""
    return "catalog.db" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def start(url: str, tmp_path: Path) -> Iterator[Start]:
    """Start holders that share the catalog, each as if on a machine of its own; they wait to be told."""
    with ExitStack() as stack:

        def make(workdir: str, term: Term) -> Process:
            process = Process(url, tmp_path, workdir, term)
            stack.callback(process.close)
            assert process.hear() == "ready"
            return process

        yield make


def rows_of(url: str, root: Path, table: str) -> list[dict[str, object]]:
    catalog = open_catalog(url, root)
    try:
        with catalog.read() as reader:
            return [dict(row) for row in reader.select(table)]
    finally:
        catalog.close()


def test_of_twenty_processes_that_race_exactly_one_holds(start: Start, url: str, tmp_path: Path) -> None:
    racers = [start(f"work-{number}", Term(60.0, 0.2)) for number in range(RACERS)]
    for racer in racers:
        racer.tell()
    heard = [racer.hear() for racer in racers]
    assert sorted(heard) == ["holding", *["run-in-progress"] * (RACERS - 1)]
    winner = racers[heard.index("holding")]
    winner.tell()
    assert winner.hear() == "done"
    assert len(rows_of(url, tmp_path, "runs")) == 1


def test_a_killed_holder_is_followed_at_once(start: Start, url: str, tmp_path: Path) -> None:
    first = start("one", Term(1e6, 0.1))
    first.tell()
    assert first.hear() == "holding"
    os.kill(first.popen.pid, signal.SIGKILL)
    first.popen.wait()
    second = start("two", Term(1e6, 0.1))
    second.tell()
    assert second.hear() == "holding"
    second.tell()
    assert second.hear() == "done"
    assert sorted(str(row["state"]) for row in rows_of(url, tmp_path, "runs")) == ["done", "interrupted"]


@pytest.mark.parametrize("act", ["commit", "record"])
def test_a_zombie_is_refused_whatever_it_writes(start: Start, url: str, tmp_path: Path, act: str) -> None:
    zombies = []
    for number in range(ZOMBIES):
        zombie = start(f"zombie-{number}", SILENT)  # stopped in no transaction: SQLite's lock would stop with it
        zombie.tell()
        assert zombie.hear() == "holding"
        os.kill(zombie.popen.pid, signal.SIGSTOP)
        zombies.append(zombie)
    last = start("last", SILENT)
    last.tell()
    assert last.hear() == "holding"
    for zombie in zombies:
        os.kill(zombie.popen.pid, signal.SIGCONT)
        zombie.tell(act)
        assert zombie.hear() == "lease-lost"
    last.tell()
    assert last.hear() == "done"
    assert [row["outcome"] for row in rows_of(url, tmp_path, "outcomes")] == ['{"by":"last"}']
    assert rows_of(url, tmp_path, "parts") == []
    states = [str(row["state"]) for row in rows_of(url, tmp_path, "runs")]
    assert sorted(states) == ["done", *["interrupted"] * ZOMBIES]
    assert [row["token"] for row in rows_of(url, tmp_path, "leases")] == [ZOMBIES + 1]


class Time:
    """A monotonic clock that moves by sleeping; at each sleep something may happen."""

    def __init__(self, happens: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self.happens = happens

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.happens()

    @property
    def waiting(self) -> Waiting:
        return Waiting(lambda: self.now, self.sleep)


ELSEWHERE = msgspec.structs.replace(this_process("elsewhere"), boot="of another machine")
FIRST, SECOND = (msgspec.structs.replace(ELSEWHERE, place=place) for place in ("first", "second"))
GONE = msgspec.structs.replace(this_process("gone"), started=1)


@pytest.mark.parametrize("wrong_by_h", [-1, 0, 24, 24 * 3650])
def test_a_wrong_clock_neither_frees_a_lease_nor_keeps_one(catalog: Catalog, wrong_by_h: int) -> None:
    right_us = 1_790_000_000_000_000
    instants = (right_us, right_us + wrong_by_h * 3_600_000_000)
    for holder_us, other_us in (instants, instants[::-1]):
        mine, other = FencedCatalog(catalog), FencedCatalog(catalog)
        with leased(mine, "p", ELSEWHERE, clock=partial(int, holder_us), term=LONG) as token:
            lively = Time(partial(beat, catalog))
            with (
                pytest.raises(RunInProgress) as caught,
                leased(
                    other, "p", this_process("here"), clock=partial(int, other_us), term=LONG, waiting=lively.waiting
                ),
            ):
                pass
            assert lively.now < 1, "one beat is enough"
            assert caught.value.facts["since_us"] == holder_us
            still = Time()
            here = this_process("here")
            with leased(other, "p", here, clock=partial(int, other_us), term=LONG, waiting=still.waiting) as taken:
                assert still.now == pytest.approx(30, abs=0.3), "the whole term by the watcher's own clock"
                assert taken > token
                with pytest.raises(LeaseLost) as lost, mine.write():
                    pass
                assert lost.value.exit_code == 3
                with other.write():
                    pass


def test_tokens_grow_and_a_free_lease_is_taken_at_once(catalog: Catalog) -> None:
    tokens = []
    for _ in range(3):
        with leased(FencedCatalog(catalog), "p", ELSEWHERE, clock=lambda: 0, waiting=Waiting(sleep=_never)) as token:
            tokens.append(token)
    assert tokens == [1, 2, 3]
    with (
        leased(FencedCatalog(catalog), "p", ELSEWHERE, clock=lambda: 0),
        leased(FencedCatalog(catalog), "q", ELSEWHERE, clock=lambda: 0, waiting=Waiting(sleep=_never)) as other,
    ):
        assert other == 1, "each project has its own"


def test_a_lease_that_cannot_be_given_back_is_no_error(catalog: Catalog) -> None:
    with leased(FencedCatalog(catalog), "p", ELSEWHERE, clock=lambda: 0), catalog.write() as writer:
        writer.update("leases", {"project": "p"}, {"token": 9})
    with catalog.read() as reader:
        row = reader.get("leases", {"project": "p"})
    assert row is not None
    assert row["token"] == 9
    assert row["holder"] is not None, "it is another's now"


class Overtaken:
    """A catalog whose next write comes after something else has happened: between it and what was read before."""

    def __init__(self, inner: Catalog, happens: Callable[[], None]) -> None:
        self._inner, self._happens = inner, happens
        self.read, self.migrate, self.close = inner.read, inner.migrate, inner.close

    def write(self) -> AbstractContextManager[Writer]:
        happens, self._happens = self._happens, lambda: None
        happens()
        return self._inner.write()


@pytest.mark.parametrize("before", ["never held", "given back", "of a dead process", "of a silent machine"])
def test_of_two_that_read_the_same_free_lease_only_one_takes_it(url: str, tmp_path: Path, before: str) -> None:
    catalog = open_catalog(url, tmp_path)
    holder = {"of a dead process": GONE, "of a silent machine": ELSEWHERE}.get(before)
    waiting = Time().waiting
    with ExitStack() as stack:
        stack.callback(catalog.close)
        if before != "never held":
            with leased(FencedCatalog(catalog), "p", ELSEWHERE, clock=lambda: 0, waiting=waiting):
                pass
            with catalog.write() as writer:
                left = None if holder is None else msgspec.json.encode(Holder(owner=holder, host="h", user="u"))
                writer.update("leases", {"project": "p"}, {"holder": left and left.decode()})

        def other_takes_it() -> None:
            first = leased(FencedCatalog(catalog), "p", FIRST, clock=lambda: 1, term=LONG, waiting=Time().waiting)
            tokens.append(stack.enter_context(first))

        tokens: list[int] = []
        late = FencedCatalog(Overtaken(catalog, other_takes_it))
        watching = Time(lambda: beat(catalog) if tokens else None).waiting
        with pytest.raises(RunInProgress), leased(late, "p", SECOND, clock=lambda: 2, term=LONG, waiting=watching):
            pass
        with catalog.read() as reader:
            row = reader.get("leases", {"project": "p"})
        assert row is not None
        assert [row["token"]] == tokens
        found = holder_of(row)
        assert found is not None
        assert found.owner == FIRST


def test_a_holder_that_beats_at_the_last_moment_keeps_its_lease(url: str, tmp_path: Path) -> None:
    with closing(open_catalog(url, tmp_path)) as catalog:
        with leased(FencedCatalog(catalog), "p", ELSEWHERE, clock=lambda: 0, term=LONG) as token:
            late = FencedCatalog(Overtaken(catalog, partial(beat, catalog)))
            with pytest.raises(RunInProgress), leased(late, "p", SECOND, clock=lambda: 2, waiting=Time().waiting):
                pass
        assert token == 1


def beat(catalog: Catalog) -> None:
    with catalog.write() as writer:
        row = writer.get("leases", {"project": "p"})
        assert row is not None
        writer.update("leases", {"project": "p"}, {"beat": int(row["beat"] or 0) + 1})


def _never(seconds: float) -> None:
    raise HeadraceError("it waits")
