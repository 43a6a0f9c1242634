"""Each system call of logging and shipping fails once, or from then on: a named error or none, and nothing is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serving.log.samples import ROUTE, numbers, record, writer
from tests.serving.log.test_ship import ids, tables_at, two_workers

from headrace.errors import HeadraceError
from headrace.serving.log.epochs import epochs
from headrace.serving.log.errors import LogFull, LogUnavailable
from headrace.serving.log.reader import verify
from headrace.serving.log.ship import REPEATS, ship
from headrace.serving.log.writer import OnFull
from headrace.stores.errors import StoreFull, StoreUnavailable
from headrace.testing.faults import fail_at, system_calls

NAMED = (LogFull, LogUnavailable, StoreFull, StoreUnavailable)
FAULTS = [(errno.ENOSPC, False), (errno.ENOSPC, True), (errno.EIO, False), (errno.EIO, True), (errno.EMFILE, True)]


def logged_under(log: Path, on_full: OnFull, at: Callable[[int, str], None]) -> tuple[list[int], int, int, int]:
    """30 answers while calls fail: which were appended, how many are counted as missing, how many of these nowhere but
    in the process, how many calls were made."""
    done: list[int] = []
    missed = unkept = 0
    with system_calls(at) as called:
        try:
            one = writer(log, on_full=on_full, segment_bytes=1_000)
        except NAMED:
            return done, missed, unkept, len(called)
        route = one.introduce(ROUTE)
        for n in range(30):
            try:
                one.append([record(n, route)])
                done.append(n)
            except NAMED:
                assert on_full == "refuse"
        one.close()
        missed, unkept = one.missed_total, one.unkept
    return done, missed, unkept, len(called)


@pytest.mark.parametrize(("error", "for_good"), FAULTS)
@pytest.mark.parametrize("on_full", ["refuse", "gap"])
def test_logging_survives_each(tmp_path: Path, on_full: OnFull, error: int, for_good: bool) -> None:
    k = calls = 0
    while k <= calls:
        log = tmp_path / str(k)
        done, missed, unkept, calls = logged_under(log, on_full, fail_at(k, error, for_good=for_good))
        held = numbers(log)
        assert verify(log).problems == []
        assert len(held) + missed == len(done), k
        assert not unkept or (unkept == 30 and error == errno.ENOSPC and for_good), k  # it never found a place
        assert set(held) <= set(done), k
        assert sum(verify(log).missing.values()) == missed - unkept, k
        k += 1
    assert k > 40


@pytest.mark.parametrize("on_full", ["refuse", "gap"])
def test_a_write_that_takes_only_a_part_is_taken_back(
    tmp_path: Path, on_full: OnFull, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = writer(tmp_path, on_full=on_full)
    route, real, done = one.introduce(ROUTE), os.write, []
    one.append([record(0, route)])

    def partly(descriptor: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "injected")
        return real(descriptor, data[:50])

    for n in range(1, 10):
        with monkeypatch.context() as patch:
            if n % 2:
                patch.setattr(os, "write", partly)
            try:
                one.append([record(n, route)])
                done.append(n)
            except LogFull:
                assert on_full == "refuse"
    one.close()
    assert numbers(tmp_path) == [0, 2, 4, 6, 8]
    assert verify(tmp_path).missing == ({} if on_full == "refuse" else {"full": 5})
    assert verify(tmp_path).problems == []
    assert len(done) == (4 if on_full == "refuse" else 9)


@pytest.mark.heavy
@pytest.mark.parametrize(("error", "for_good"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_shipping_survives_each(tmp_path: Path, error: int, for_good: bool) -> None:
    k = calls = 0
    while k <= calls:
        root = tmp_path / str(k)
        two_workers(root / "log")
        with system_calls(fail_at(k, error, for_good=for_good)) as called:
            try:
                ship(root / "log", tables_at(root), "p", most=20)
            except HeadraceError as refused:
                assert refused.exit_code == 3  # noqa: PT017 - which of them it is depends on k
        calls = len(called)
        tables = tables_at(root)
        ship(root / "log", tables, "p", most=20)
        assert ids(tables) == sorted(f"r{n}" for n in range(40)), k
        assert tables.marks(tables_name())[REPEATS] == 5, k
        assert epochs(root / "log") == []
        k += 1 if k < 40 else 5  # from there on it is the same again for the next commit
    assert k > 40


def tables_name() -> str:
    return "tables/p/predictions"
