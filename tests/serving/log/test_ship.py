"""Shipping: each prediction exactly once in the table, whatever is killed and however often a front retried."""

from __future__ import annotations

import threading
import time
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.serving.log.samples import ROUTE, now_us, record, writer

from headrace.serving.log.epochs import epochs, segments
from headrace.serving.log.errors import LogCorrupted, ShippingBusy
from headrace.serving.log.find import find, sample
from headrace.serving.log.reader import verify
from headrace.serving.log.record import Outcome, Record
from headrace.serving.log.ship import REPEATS, Shipped, ship, tidy
from headrace.serving.log.summary import summary
from headrace.serving.log.table import OUTCOMES, PREDICTIONS, table_name
from headrace.serving.log.writer import LogHeader, LogWriter
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.tables.delta import DeltaTableStore
from headrace.testing.faults import FlakyObjectStore, kill_at, system_calls
from headrace.testing.processes import run_killed, said, working

NAME = table_name("p", PREDICTIONS)


def tables_at(root: Path) -> DeltaTableStore:
    return DeltaTableStore(LocalObjectStore(root / "objects"))


def ids(tables: DeltaTableStore) -> list[str]:
    found: list[str] = tables.scan(NAME).sort("request_id").collect()["request_id"].to_list()
    return found


def two_workers(log: Path) -> None:
    """40 predictions of two workers that ended, 5 of which a front sent to both, and two truths."""
    for first in (0, 20):
        one = writer(log, segment_bytes=1_500)
        route = one.introduce(ROUTE)
        for n in range(first, first + 20, 2):
            one.append([record(n, route), record(n + 1, route)])
        if first == 0:
            one.append([record(n, route) for n in range(20, 25)])
        one.append_outcomes([Outcome(value=True, known_us=first, request_id=f"r{first}")])
        one.close()


def test_everything_is_in_the_table_and_the_log_is_empty(tmp_path: Path) -> None:
    two_workers(tmp_path / "log")
    tables = tables_at(tmp_path)
    done = ship(tmp_path / "log", tables, "p")
    assert (done.predictions, done.repeats, done.outcomes) == (40, 5, 2)
    assert done.segments > 2
    assert ids(tables) == sorted(f"r{n}" for n in range(40))
    assert epochs(tmp_path / "log") == []
    assert tables.marks(NAME)[REPEATS] == 5
    assert ship(tmp_path / "log", tables, "p") == Shipped()
    found = summary(tmp_path / "log", tables, "p")
    assert (found.shipped, found.waiting, found.repeats, found.outcomes) == (40, 0, 5, 2)


def test_what_comes_out_of_the_table_is_what_was_logged(tmp_path: Path) -> None:
    one = writer(tmp_path / "log")
    route = one.introduce(ROUTE)
    hard = [
        record(0, route, scores=(0.1, 0.2, 0.7), decision="late", entity=(None, "Ü", 2**62, True, 0.1)),
        record(1, route, decision=None, review=True, own=(1.5, None, 7), watermark_us=5, latency_us=9, trace="4b" * 16),
        record(2, route, scores=(float("-inf"),), decision=None, at_us=-1),
        record(3, route, scores=(-0.0,), features=b"", request_id="r3", row=9),
    ]
    one.append(hard)
    one.close()
    logged = [found for n in range(4) for found in find(tmp_path / "log", tables_at(tmp_path), "p", f"r{n}")]
    tables = tables_at(tmp_path)
    ship(tmp_path / "log", tables, "p")
    shipped = [found for n in range(4) for found in find(tmp_path / "log", tables, "p", f"r{n}")]
    assert [one.record for one in logged] == hard

    def plain(one: Record) -> Record:
        fields = {name: getattr(one, name) for name in one.__struct_fields__}
        return Record(**{**fields, "route": 0})

    assert [one.record for one in shipped] == [plain(one) for one in hard]
    assert {one.route for one in shipped} == {ROUTE}
    assert [(one.epoch, one.sequence) for one in shipped] == [(one.epoch, one.sequence) for one in logged]


def test_a_worker_that_lives_is_shipped_as_far_as_it_has_come(tmp_path: Path) -> None:
    one = writer(tmp_path / "log", segment_bytes=1_000)
    route, tables = one.introduce(ROUTE), tables_at(tmp_path)
    for turn in range(4):
        one.append([record(10 * turn + n, route) for n in range(10)])
        assert ship(tmp_path / "log", tables, "p").predictions == 10
        assert len(ids(tables)) == 10 * (turn + 1)
    (folder,) = epochs(tmp_path / "log")
    assert len(segments(folder)) == 1
    one.append([record(40, route)])
    one.close()
    assert ship(tmp_path / "log", tables, "p").predictions == 1
    assert epochs(tmp_path / "log") == []


def test_a_request_that_was_retried_later_is_one_row(tmp_path: Path) -> None:
    tables = tables_at(tmp_path)
    for turn in range(3):
        one = writer(tmp_path / "log")
        route = one.introduce(ROUTE)
        at_us = 1_700_006_399_000_000 + turn * 1_000_000  # around midnight
        rows = [record(n, route, at_us=at_us, request_id="r0", row=n) for n in range(2)]
        one.append(rows)
        one.close()
        done = ship(tmp_path / "log", tables, "p")
        assert (done.predictions, done.repeats) == ((2, 0) if turn == 0 else (0, 2))
    assert tables.marks(NAME)[REPEATS] == 4


def test_of_a_request_that_two_workers_answered_the_first_stays(tmp_path: Path) -> None:
    for worker, at_us in ((1, 2_000), (2, 1_000)):
        one = writer(tmp_path / "log")
        one.append([record(0, one.introduce(ROUTE), at_us=at_us, latency_us=worker)])
        one.close()
    tables = tables_at(tmp_path)
    ship(tmp_path / "log", tables, "p")
    assert tables.scan(NAME).collect()["latency_us"].to_list() == [2]


def test_a_shadow_s_answer_is_no_repeat(tmp_path: Path) -> None:
    one = writer(tmp_path / "log")
    shadow = type(ROUTE)(
        deployment="d", revision=1, arm="v4", model="m", version=4, package="cd" * 32, sticky=("tailnum",), shadow=True
    )
    names = [one.introduce(ROUTE), one.introduce(shadow)]
    one.append([record(0, name) for name in names])
    one.close()
    tables = tables_at(tmp_path)
    assert ship(tmp_path / "log", tables, "p") == Shipped(predictions=2, segments=1)
    assert [found.route.shadow for found in find(tmp_path / "log", tables, "p", "r0")] == [False, True]


@pytest.mark.heavy
def test_what_is_shipped_is_found_while_it_moves(tmp_path: Path) -> None:
    tables = tables_at(tmp_path)
    with working(_answer_for_ever, tmp_path / "log", 0, 0) as one, working(_ship_for_ever, tmp_path) as shipping:
        assert one.poll(30)
        until = time.monotonic() + 2.0
        looks = 0
        while time.monotonic() < until:
            request_id = one.recv()
            assert find(tmp_path / "log", tables, "p", request_id)[0].record.request_id == request_id
            assert verify(tmp_path / "log").problems == []
            looks += 1
        while shipping.poll(0):
            shipping.recv()
    assert looks > 10


def test_days_lie_apart(tmp_path: Path) -> None:
    one = writer(tmp_path / "log")
    route = one.introduce(ROUTE)
    one.append([record(n, route, at_us=n * 86_400_000_000) for n in range(3)])
    one.close()
    tables = tables_at(tmp_path)
    ship(tmp_path / "log", tables, "p")
    folders = sorted(path.name for path in (tmp_path / "objects" / NAME).iterdir() if path.name.startswith("day"))
    assert folders == ["day=1970-01-01", "day=1970-01-02", "day=1970-01-03"]
    assert [one.record.request_id for one in sample(tables, "p", day=date(1970, 1, 2), n=5)] == ["r1"]


def test_few_records_a_commit_end_in_the_same_table(tmp_path: Path) -> None:
    two_workers(tmp_path / "log")
    tables = tables_at(tmp_path)
    done = ship(tmp_path / "log", tables, "p", most=3)
    assert (done.predictions, done.repeats, done.outcomes) == (40, 5, 2)
    assert ids(tables) == sorted(f"r{n}" for n in range(40))
    version = tables.version(NAME)
    assert version is not None
    assert version > 10


def test_small_files_are_joined_and_nothing_else_changes(tmp_path: Path) -> None:
    two_workers(tmp_path / "log")
    tables = tables_at(tmp_path)
    ship(tmp_path / "log", tables, "p", most=3)
    before, marks = tables.scan(NAME).sort("request_id").collect(), tables.marks(NAME)
    assert tidy(tables, "p", keep_hours=0) > 10
    assert tables.scan(NAME).sort("request_id").collect().equals(before)
    assert tables.marks(NAME) == marks
    assert tidy(tables, "p", keep_hours=0) == 0
    assert ship(tmp_path / "log", tables, "p") == Shipped()


def test_damage_is_told_after_everything_else_was_moved(tmp_path: Path) -> None:
    two_workers(tmp_path / "log")
    damaged = next(path for folder in epochs(tmp_path / "log")[:1] for _, path in segments(folder)[1:2])
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    tables = tables_at(tmp_path)
    for _ in range(2):
        with pytest.raises(LogCorrupted, match="0002"):
            ship(tmp_path / "log", tables, "p")
        held = ids(tables)
        assert 20 < len(held) == len(set(held)) < 45
    assert len(epochs(tmp_path / "log")) == 1  # the damaged one stays


def test_one_process_ships_at_a_time(tmp_path: Path) -> None:
    two_workers(tmp_path / "log")
    tables = tables_at(tmp_path)

    started, go_on = threading.Event(), threading.Event()
    real = tables.append

    def slow(*args: object, **kwargs: object) -> int:
        started.set()
        assert go_on.wait(10)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    tables.append = slow  # type: ignore[method-assign]
    shipping = threading.Thread(target=ship, args=(tmp_path / "log", tables, "p"))
    shipping.start()
    assert started.wait(10)
    with pytest.raises(ShippingBusy):
        ship(tmp_path / "log", tables_at(tmp_path), "p")
    go_on.set()
    shipping.join()
    assert len(ids(tables)) == 40


@pytest.mark.parametrize("after", [False, True])
def test_a_store_that_fails_anywhere_is_gone_on_from(tmp_path: Path, after: bool) -> None:
    for k in range(100):
        root = tmp_path / str(k)
        two_workers(root / "log")
        flaky = FlakyObjectStore(LocalObjectStore(root / "objects"), {k}, after=after)
        try:
            ship(root / "log", DeltaTableStore(flaky), "p", most=12)
            undisturbed = k >= len(flaky.fault.calls)
        except Exception:
            undisturbed = False
        tables = tables_at(root)
        ship(root / "log", tables, "p", most=12)
        assert ids(tables) == sorted(f"r{n}" for n in range(40)), k
        assert tables.marks(NAME)[REPEATS] == 5, k
        assert tables.scan(table_name("p", OUTCOMES)).collect().height == 2, k
        assert epochs(root / "log") == []
        if undisturbed:
            assert k > 10
            return
    raise AssertionError("it never came to its end")


@pytest.mark.heavy
def test_shipping_that_is_killed_at_any_system_call_ships_each_id_once(tmp_path: Path) -> None:
    k, killed = 0, True
    while killed:
        root = tmp_path / str(k)
        two_workers(root / "log")
        killed = run_killed(_ship_killed, root, k)
        tables = tables_at(root)
        ship(root / "log", tables, "p", most=12)
        assert ids(tables) == sorted(f"r{n}" for n in range(40)), k
        assert tables.marks(NAME)[REPEATS] == 5, k
        assert tables.scan(table_name("p", OUTCOMES)).collect().height == 2, k
        k += 1 if k < 20 else 4
    assert k > 60


def _ship_killed(root: Path, k: int) -> None:
    with system_calls(kill_at(k)):
        ship(root / "log", tables_at(root), "p", most=12)


@pytest.mark.heavy
def test_workers_and_shipping_that_are_killed_at_any_instant_lose_and_double_nothing(tmp_path: Path) -> None:
    """Two workers answer the same requests, as if a front retried each; everything is killed 12 times."""
    tables, acknowledged = tables_at(tmp_path), set()
    for turn in range(12):
        with (
            working(_answer_for_ever, tmp_path / "log", turn, 0) as one,
            working(_answer_for_ever, tmp_path / "log", turn, 1) as two,
            working(_ship_for_ever, tmp_path) as shipping,
        ):
            assert one.poll(30)
            assert two.poll(30)
            assert shipping.poll(30)
            time.sleep(0.05 + 0.03 * turn)
        acknowledged |= set(said(one)) | set(said(two))
        said(shipping)
    ship(tmp_path / "log", tables, "p")
    held = ids(tables)
    assert len(held) == len(set(held))
    assert acknowledged <= set(held)
    assert len(acknowledged) > 500
    assert tables.marks(NAME)[REPEATS] > 100
    assert epochs(tmp_path / "log") == []


def _answer_for_ever(say: Connection, log: Path, turn: int, worker: int) -> None:
    one = LogWriter(
        log,
        header=LogHeader(project="p", worker=f"w{worker}"),
        durability="process",
        on_full="refuse",
        clock=now_us,
        segment_bytes=4_000,
    )
    route, n = one.introduce(ROUTE), 0
    while True:
        batch = [record(n + k, route, request_id=f"t{turn}-{n + k}") for k in range(1 + n % 5)]
        one.append(batch)
        for each in batch:
            say.send(each.request_id)
        n += len(batch)
        time.sleep(0.001)


def _ship_for_ever(say: Connection, root: Path) -> None:
    tables = tables_at(root)
    while True:
        done = ship(root / "log", tables, "p")
        say.send(done.predictions)


def test_two_hosts_that_ship_into_one_table_keep_each_id_once(tmp_path: Path) -> None:
    """Each has a log of its own; both hold the same requests."""
    hosts = [tmp_path / "a", tmp_path / "b"]
    for host in hosts:
        two_workers(host / "log")
    stores = [tables_at(tmp_path) for _ in hosts]
    begin = threading.Barrier(2)

    def run(host: Path, tables: DeltaTableStore) -> None:
        begin.wait()
        ship(host / "log", tables, "p", most=4)

    threads = [threading.Thread(target=run, args=pair) for pair in zip(hosts, stores, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids(tables_at(tmp_path)) == sorted(f"r{n}" for n in range(40))
    assert tables_at(tmp_path).marks(NAME)[REPEATS] == 50
