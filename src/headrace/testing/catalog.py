"""The promises of a `Catalog` as tests: subclass and give a picklable `opener`."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.stores.catalog import Catalog, Row, Value, Where, Writer
from headrace.stores.catalog.where import conditions, orders
from headrace.stores.errors import AlreadyExists, SchemaTooNew, StoreUnavailable
from headrace.testing.faults import FlakyCatalog
from headrace.testing.processes import race, run_killed, said, working

Opener: TypeAlias = Callable[[], Catalog]

Select: TypeAlias = Callable[[str, Where, list[str], int | None], list[Row] | None]

N_PROCESSES = 50
PROJECT = "p"
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
_INTEGER = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2)


def run_row(run_id: str, *, project: str = PROJECT, state: str = "running", at_us: int = 0, **more: Value) -> Row:
    """A row of `runs`."""
    row: Row = {"project": project, "id": run_id, "state": state, "started_us": at_us, "definition_sha256": "0"}
    return {**row, **more}


def stage_row(run_id: str) -> Row:
    """A row of `stages`."""
    row: Row = {"project": PROJECT, "run_id": run_id, "position": 0, "name": "n", "state": "s", "fingerprint": "f"}
    return {**row, "started_us": 0}


class CatalogSuite:
    """What every `Catalog` promises."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        """A picklable function that opens one and the same catalog, new at the beginning of the test."""
        raise NotImplementedError

    @pytest.fixture
    def catalog(self, opener: Opener) -> Iterator[Catalog]:
        catalog = opener()
        yield catalog
        catalog.close()

    def test_every_kind_of_value_comes_back(self, catalog: Catalog) -> None:
        part: Row = {
            "project": "Ü ' \" ; --",
            "fingerprint": "",
            "part": "\u2028🜲",
            "seq": -(2**63),
            "made_us": 2**63 - 1,
        }
        with catalog.write() as writer:
            writer.insert("parts", {**part, "data": bytes(range(256))})
            writer.insert("runs", run_row("a", ended_us=None, started_us=True))
        with catalog.read() as reader:
            assert reader.select("parts") == [{**part, "data": bytes(range(256))}]
            (row,) = reader.select("runs")
        assert row["ended_us"] is None
        assert row["error"] is None
        assert row["started_us"] == 1

    def test_get_is_for_one_row(self, catalog: Catalog) -> None:
        with catalog.write() as writer:
            writer.insert("runs", run_row("a"))
            writer.insert("runs", run_row("b"))
            assert writer.get("runs", {"project": PROJECT, "id": "c"}) is None
            found = writer.get("runs", {"project": PROJECT, "id": "b"})
            assert found is not None
            assert found["id"] == "b"
            with pytest.raises(ValueError, match="more than one"):
                writer.get("runs", {"project": PROJECT})

    def test_what_the_schema_does_not_have_is_a_mistake_of_the_caller(self, catalog: Catalog) -> None:
        with catalog.read() as reader:
            calls: list[Callable[[], object]] = [
                lambda: reader.select("nothing"),
                lambda: reader.select("runs", {"nothing": 1}),
                lambda: reader.select("runs", order_by=["nothing"]),
                lambda: reader.select("runs", {"1=1; DROP TABLE runs; --": 1}),
            ]
            for call in calls:
                with pytest.raises(KeyError):
                    call()

    def test_insert_says_when_the_key_is_taken_and_the_transaction_goes_on(self, catalog: Catalog) -> None:
        with catalog.write() as writer:
            writer.insert("runs", run_row("a", state="first"))
            with pytest.raises(AlreadyExists, match="runs"):
                writer.insert("runs", run_row("a", state="second"))
            assert not writer.insert_if_absent("runs", run_row("a", state="third"))
            assert writer.insert_if_absent("runs", run_row("b"))
        with catalog.read() as reader:
            rows = reader.select("runs", order_by=["id"])
            assert [(row["id"], row["state"]) for row in rows] == [("a", "first"), ("b", "running")]

    def test_a_unique_constraint_besides_the_key_counts_too(self, catalog: Catalog) -> None:
        version: Row = {"project": PROJECT, "model": "m", "number": 1, "package": "x", "signer": "s", "created_us": 0}
        with catalog.write() as writer:
            writer.insert("versions", {**version, "summary": "{}"})
            assert not writer.insert_if_absent("versions", {**version, "summary": "{}", "number": 2})

    def test_update_and_delete_count_the_rows(self, catalog: Catalog) -> None:
        with catalog.write() as writer:
            for name in "abc":
                writer.insert("runs", run_row(name))
            assert writer.update("runs", {"id": ["a", "b", "z"]}, {"state": "done"}) == 2
            assert writer.update("runs", {"state": "lost"}, {"state": "done"}) == 0
            assert writer.delete("runs", {"state": "done"}) == 2
            assert writer.delete("runs", {"state": "done"}) == 0
        with catalog.read() as reader:
            assert [row["id"] for row in reader.select("runs")] == ["c"]

    def test_parts_go_with_the_whole_and_none_is_without(self, catalog: Catalog) -> None:
        with catalog.write() as writer:
            writer.insert("stages", stage_row("a"))
            writer.insert("runs", run_row("a"))  # in any order inside one transaction
        with catalog.write() as writer:
            writer.delete("runs", {"id": "a"})
            assert writer.select("stages") == []
        with pytest.raises(ValueError, match="refuses"), catalog.write() as writer:
            writer.insert("stages", stage_row("a"))
        with catalog.write() as writer:  # and the catalog goes on
            writer.insert("runs", run_row("a"))
            assert writer.select("stages") == []

    def test_an_exception_undoes_the_transaction_and_is_passed_on(self, catalog: Catalog) -> None:
        error = RuntimeError("of the caller")
        with pytest.raises(RuntimeError) as caught, catalog.write() as writer:  # noqa: PT012
            writer.insert("runs", run_row("a"))
            raise error
        assert caught.value is error
        with catalog.read() as reader:
            assert reader.select("runs") == []

    @pytest.mark.parametrize("failing_call", range(6))
    def test_a_store_that_fails_inside_leaves_nothing_half_written(self, catalog: Catalog, failing_call: int) -> None:
        flaky = FlakyCatalog(catalog, {failing_call})
        try:
            with flaky.write() as writer:
                _write_pair(writer, 0)
        except StoreUnavailable:
            assert failing_call < 5
        with catalog.read() as reader:
            n_rows = len(reader.select("runs")) + len(reader.select("stages"))
        assert n_rows == (2 if failing_call == 5 else 0)

    def test_a_writer_sees_what_it_wrote(self, catalog: Catalog) -> None:
        with catalog.write() as writer:
            writer.insert("runs", run_row("a"))
            writer.update("runs", {"id": "a"}, {"state": "done"})
            assert [row["state"] for row in writer.select("runs")] == ["done"]

    def test_a_reader_sees_one_instant(self, catalog: Catalog) -> None:
        with catalog.read() as reader:
            assert reader.select("runs") == []
            with catalog.write() as writer:
                writer.insert("runs", run_row("a"))
            assert reader.select("runs") == []
        with catalog.read() as reader:
            assert len(reader.select("runs")) == 1

    def test_a_writer_waits_for_another(self, catalog: Catalog) -> None:
        order = []

        def second() -> None:
            with catalog.write() as writer:
                order.append(("second", len(writer.select("runs"))))

        with catalog.write() as writer:
            waiting = threading.Thread(target=second)
            waiting.start()
            time.sleep(0.2)
            writer.insert("runs", run_row("a"))
            order.append(("first", 1))
        waiting.join(30)
        assert order == [("first", 1), ("second", 1)]

    def test_select_is_filter_sort_and_limit(self, catalog: Catalog) -> None:
        check_against_plain(catalog, _seldom)

    def test_an_instance_opened_again_goes_on(self, catalog: Catalog, opener: Opener) -> None:
        with catalog.write() as writer:
            writer.insert("runs", run_row("a"))
        again = opener()
        with again.read() as reader:
            assert len(reader.select("runs")) == 1
        again.close()

    def test_a_newer_schema_is_refused(self, catalog: Catalog, opener: Opener) -> None:
        with catalog.write() as writer:
            writer.update("alembic_version", {}, {"version_num": "9999"})
        with pytest.raises(SchemaTooNew, match="9999"):
            opener()
        with pytest.raises(SchemaTooNew, match="9999"):
            catalog.migrate()

    def test_fifty_processes_open_a_new_catalog_at_once(self, opener: Opener) -> None:
        assert race(N_PROCESSES, _open_and_insert, opener) == [None] * N_PROCESSES
        catalog = opener()
        with catalog.read() as reader:
            assert len(reader.select("runs")) == N_PROCESSES
            assert len(reader.select("alembic_version")) == 1
        catalog.close()

    def test_fifty_processes_count_without_losing_one(self, catalog: Catalog, opener: Opener) -> None:
        with catalog.write() as writer:
            writer.insert("runs", run_row("counter"))
        waited_s = [second for seconds in race(N_PROCESSES, _count, opener, 10) for second in seconds]
        with catalog.read() as reader:
            counter = reader.get("runs", {"id": "counter"})
        assert counter is not None
        assert counter["started_us"] == N_PROCESSES * 10
        assert max(waited_s) < 25, "a writer came close to giving up"

    def test_a_writer_killed_between_any_two_steps_leaves_all_or_nothing(
        self, catalog: Catalog, opener: Opener
    ) -> None:
        seen = set()
        for step in itertools.count():
            was_killed = run_killed(_write_and_die, opener, step)
            seen.add(self._count_pairs(catalog, step))
            if not was_killed:
                break
        assert step == 5
        assert seen == {0, 1}

    @pytest.mark.parametrize("after_s", [0.0, 0.01, 0.05, 0.2])
    def test_a_killed_writer_keeps_all_that_it_was_told(self, catalog: Catalog, opener: Opener, after_s: float) -> None:
        with working(_write_for_ever, opener) as heard:
            heard.poll(30)
            time.sleep(after_s)
        told = said(heard)
        with catalog.write() as writer:  # nobody holds the lock
            runs = {row["id"] for row in writer.select("runs")}
            stages = {row["run_id"] for row in writer.select("stages")}
        assert runs == stages
        assert {str(number) for number in told} <= runs
        assert len(runs) <= len(told) + 2  # one commit in flight, one word cut off

    def _count_pairs(self, catalog: Catalog, step: int) -> int:
        with catalog.read() as reader:
            runs, stages = reader.select("runs", {"id": str(step)}), reader.select("stages", {"run_id": str(step)})
        assert len(runs) == len(stages)
        return len(runs)


def check_against_plain(
    catalog: Catalog, read: Callable[[str, Where, list[str], int | None], list[Row] | None]
) -> None:
    """Compare `select`, and `read` where it answers, with the plain path: a Python filter and sort over all rows."""

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(
        rows=st.dictionaries(_TEXT, st.tuples(_TEXT, _INTEGER, st.none() | _INTEGER), max_size=6),
        where=st.fixed_dictionaries(
            {},
            optional={
                "id": st.one_of(_TEXT, st.lists(_TEXT, max_size=3), _compared(_TEXT)),
                "state": st.one_of(_TEXT, st.lists(_TEXT, max_size=3), _compared(_TEXT)),
                "ended_us": st.one_of(st.none(), _INTEGER, st.just(("!=", None)), _compared(_INTEGER)),
            },
        ),
        order_by=st.permutations(["id", "-state", "ended_us", "-started_us"]),
        limit=st.none() | st.integers(0, 4),
    )
    def check(rows: Mapping[str, tuple[str, int, int | None]], where: Where, order_by: list[str], limit: Any) -> None:
        stored = [
            run_row(name, state=state, at_us=at_us, ended_us=ended_us, result=None, error=None)
            for name, (state, at_us, ended_us) in rows.items()
        ]
        with catalog.write() as writer:
            writer.delete("runs", {})
            for row in stored:
                writer.insert("runs", row)
            found = writer.select("runs", where, order_by=order_by, limit=limit)
        expected = plain_select(stored, where, order_by, limit)
        assert found == expected
        second = read("runs", where, order_by, limit)
        assert second is None or second == expected

    check()


def plain_select(rows: list[Row], where: Where, order_by: list[str], limit: int | None) -> list[Row]:
    """What `select` means, written plainly."""
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "=": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }

    def holds(row: Row) -> bool:
        for column, operator, values in conditions(where):
            value = row[column]
            if operator == "is null":
                matches = value is None
            elif operator == "is not null":
                matches = value is not None
            elif operator == "in":
                matches = value in values
            else:
                matches = value is not None and tests[operator](_in_byte_order(value), _in_byte_order(values[0]))
            if not matches:
                return False
        return True

    found = [row for row in rows if holds(row)]
    for column, descending in reversed(orders(order_by)):
        found.sort(key=lambda row: _nulls_first(row[column]), reverse=descending)
    return found[:limit]


def _nulls_first(value: Value) -> tuple[bool, Any]:
    return (value is not None, _in_byte_order(value) if value is not None else 0)


def _in_byte_order(value: Value) -> Any:
    return value.encode() if isinstance(value, str) else value


def _compared(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(st.sampled_from(["!=", "<", "<=", ">", ">="]), values)


def _seldom(_table: str, _where: Where, _order_by: list[str], _limit: int | None) -> None:
    return None


def _write_pair(writer: Writer, number: int, at: Callable[[int], None] = lambda _step: None) -> None:
    at(1)
    writer.insert("runs", run_row(str(number)))
    at(2)
    writer.insert("stages", stage_row(str(number)))
    at(3)
    writer.update("runs", {"id": str(number)}, {"state": "done"})


def _open_and_insert(number: int, opener: Opener) -> None:
    catalog = opener()
    with catalog.write() as writer:
        writer.insert("runs", run_row(str(number)))
    catalog.close()


def _count(_number: int, opener: Opener, times: int) -> list[float]:
    catalog = opener()
    waited_s = []
    for _ in range(times):
        began = time.monotonic()
        with catalog.write() as writer:
            row = writer.get("runs", {"id": "counter"})
            assert row is not None
            found = cast("int", row["started_us"])
            assert writer.update("runs", {"id": "counter", "started_us": found}, {"started_us": found + 1}) == 1
        waited_s.append(time.monotonic() - began)
    catalog.close()
    return waited_s


def _write_and_die(opener: Opener, step: int) -> None:
    def at(reached: int) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    catalog = opener()
    at(0)
    with catalog.write() as writer:
        _write_pair(writer, step, at)
    at(4)


def _write_for_ever(say: Connection, opener: Opener) -> None:
    catalog = opener()
    for number in itertools.count():
        with catalog.write() as writer:
            _write_pair(writer, number)
        say.send(number)
