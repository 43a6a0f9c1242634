"""The promises of a `TableStore` as tests: subclass and give a picklable `opener`."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from headrace.stores.errors import ObjectNotFound, TableCorrupted, TableMoved, TableSchemaMismatch
from headrace.stores.objects import ObjectStore
from headrace.stores.tables import TableStore
from headrace.testing.damage import MUTATIONS, Mutation
from headrace.testing.processes import race, said, working

if TYPE_CHECKING:
    import polars as pl

Opener: TypeAlias = Callable[[], tuple[TableStore, ObjectStore]]
Damage: TypeAlias = Callable[[str, Mutation], None]

TABLE = "tables/usage"
N_PROCESSES = 16


class TableStoreSuite:
    """What every `TableStore` promises."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        """A picklable function that opens one and the same place for tables, and the objects below it; new at first."""
        raise NotImplementedError

    @pytest.fixture
    def damage(self, opener: Opener) -> Damage:
        """A function that changes the stored bytes of a key behind the store's back."""
        raise NotImplementedError

    @pytest.fixture
    def tables(self, opener: Opener) -> TableStore:
        return opener()[0]

    @pytest.fixture
    def objects(self, opener: Opener) -> ObjectStore:
        return opener()[1]

    def test_a_table_is_made_by_its_first_rows_and_grows(self, tables: TableStore) -> None:
        assert tables.version(TABLE) is None
        assert tables.append(TABLE, _rows(1, 2)) == 0
        assert tables.append(TABLE, _rows(3)) == 1
        assert tables.version(TABLE) == 1
        assert _numbers(tables) == [1, 2, 3]

    def test_the_same_rows_twice_are_twice_there(self, tables: TableStore) -> None:
        tables.append(TABLE, _rows(1))
        tables.append(TABLE, _rows(1))
        assert _numbers(tables) == [1, 1]

    def test_no_rows_are_a_version_too(self, tables: TableStore) -> None:
        assert tables.append(TABLE, _rows()) == 0
        assert tables.append(TABLE, _rows()) == 1
        assert tables.scan(TABLE).collect().equals(_rows())

    def test_old_versions_stay_readable(self, tables: TableStore) -> None:
        for number in range(4):
            tables.append(TABLE, _rows(number))
        assert [_numbers(tables, version) for version in range(4)] == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
        with pytest.raises(ObjectNotFound):
            tables.scan(TABLE, version=4)

    def test_an_absent_table_is_named(self, tables: TableStore) -> None:
        for call in (
            lambda: tables.scan("tables/none"),
            lambda: tables.delete_where("tables/none", "n = 1"),
            lambda: tables.compact("tables/none"),
            lambda: tables.vacuum("tables/none", keep_hours=1),
        ):
            with pytest.raises(ObjectNotFound, match="tables/none"):
                call()

    def test_every_type_comes_back(self, tables: TableStore) -> None:
        import polars as pl

        instant = pl.Datetime("us", "UTC")
        values: dict[str, tuple[list[Any], Any]] = {
            "byte": ([-128, 127, None], pl.Int8()),
            "short": ([-(2**15), 1, None], pl.Int16()),
            "integer": ([-(2**31), 1, None], pl.Int32()),
            "long": ([-(2**63), 2**63 - 1, None], pl.Int64()),
            "float": ([0.5, float("inf"), None], pl.Float32()),
            "double": ([0.1, float("nan"), None], pl.Float64()),
            "boolean": ([True, False, None], pl.Boolean()),
            "string": (["", "Ü🜲", None], pl.String()),
            "binary": ([b"", b"\0\xff", None], pl.Binary()),
            "date": ([date(1, 1, 1), date(9999, 12, 31), None], pl.Date()),
            "at": ([datetime(1677, 1, 1, tzinfo=UTC), datetime(2262, 5, 1, tzinfo=UTC), None], instant),
            "with space": ([1, 2, None], pl.Int64()),
        }
        rows = pl.DataFrame({name: pl.Series(name, data, dtype) for name, (data, dtype) in values.items()})
        tables.append(TABLE, rows)
        found = tables.scan(TABLE).collect()
        assert found.schema == rows.schema
        assert found.equals(rows)

    def test_rows_of_another_shape_are_refused_and_the_column_is_named(self, tables: TableStore) -> None:
        import polars as pl

        tables.append(TABLE, _rows(1))
        good = _rows(2)
        for bad in (
            good.drop("name"),
            good.with_columns(more=pl.lit(1)),
            good.with_columns(pl.col("n").cast(pl.Int32)),
            good.with_columns(pl.col("n").cast(pl.UInt64)),
            good.with_columns(pl.lit([1]).alias("name")),
        ):
            with pytest.raises(TableSchemaMismatch, match=r"'(n|name|more)'"):
                tables.append(TABLE, bad)
        assert tables.version(TABLE) == 0
        assert tables.vacuum(TABLE, keep_hours=0) == 0  # refused before anything was written

    def test_columns_may_come_in_another_order(self, tables: TableStore) -> None:
        tables.append(TABLE, _rows(1))
        tables.append(TABLE, _rows(2).select("name", "n"))
        tables.compact(TABLE)
        assert tables.scan(TABLE).sort("n").collect().equals(_rows(1, 2))

    def test_marks_are_set_with_the_rows_or_not_at_all(self, tables: TableStore, opener: Opener) -> None:
        assert tables.marks(TABLE) == {}
        tables.append(TABLE, _rows(1), marks={"a": 1})
        tables.append(TABLE, _rows(2), marks={"b": 5})
        tables.append(TABLE, _rows())
        tables.append(TABLE, _rows(), marks={"a": 3})
        tables.compact(TABLE)
        for one in (tables, opener()[0]):
            assert one.marks(TABLE) == {"a": 3, "b": 5}

    def test_rows_for_another_version_are_refused(self, tables: TableStore) -> None:
        with pytest.raises(TableMoved):
            tables.append(TABLE, _rows(1), after=0)
        assert tables.append(TABLE, _rows(1), after=-1) == 0
        for after in (-1, 1):
            with pytest.raises(TableMoved):
                tables.append(TABLE, _rows(2), after=after)
        assert tables.append(TABLE, _rows(2), after=0) == 1
        assert _numbers(tables) == [1, 2]

    def test_what_many_processes_count_in_a_mark_is_counted_once(self, tables: TableStore, opener: Opener) -> None:
        race(8, _count_up, opener, 4)
        assert tables.marks(TABLE) == {"count": 32}
        assert _numbers(tables) == [*range(32)]

    def test_a_partitioned_table_is_one_table(self, tables: TableStore, opener: Opener, objects: ObjectStore) -> None:
        import polars as pl

        days = [date(2026, 11, day) for day in (1, 2, 1, 3)]
        rows = _rows(1, 2, 3, 4).with_columns(day=pl.Series(days))
        tables.append(TABLE, rows, partition="day")
        tables.append(TABLE, rows.with_columns(pl.col("n") + 10))
        assert len(_data_files(objects)) == 6
        assert all(f"{TABLE}/day=2026-11-0" in key for key in _data_files(objects))
        both = pl.concat([rows, rows.with_columns(pl.col("n") + 10)])
        tables.compact(TABLE)
        assert tables.vacuum(TABLE, keep_hours=0) == 6
        for one in (tables, opener()[0]):
            found = one.scan(TABLE).sort("n").collect()
            assert found.select(both.columns).equals(both)
            assert found.schema["day"] == pl.Date
        assert tables.scan(TABLE).filter(day=date(2026, 11, 1)).collect()["n"].sort().to_list() == [1, 3, 11, 13]
        assert tables.delete_where(TABLE, "day = DATE '2026-11-01' AND n > 1") == 3
        assert tables.delete_where(TABLE, "n = 2") == 1
        assert _numbers(tables) == [1, 4, 12, 14]

    def test_other_delta_readers_understand_partitions_and_marks(
        self, tables: TableStore, objects: ObjectStore
    ) -> None:
        import deltalake
        import polars as pl

        rows = _rows(1, 2).with_columns(day=pl.Series([date(2026, 11, 1), date(2026, 11, 2)]))
        tables.append(TABLE, rows, partition="day", marks={"a": 7})
        url, options = objects.scan_target(TABLE)
        theirs = deltalake.DeltaTable(url, storage_options=options)
        assert theirs.metadata().partition_columns == ["day"]
        assert theirs.transaction_version("a") == 7
        assert theirs.count() == 2
        deltalake.write_deltalake(url, rows, mode="append", storage_options=options)
        assert _numbers(tables) == [1, 1, 2, 2]

    def test_only_text_and_dates_part_a_table(self, tables: TableStore) -> None:
        with pytest.raises(TableSchemaMismatch, match="date or string"):
            tables.append(TABLE, _rows(1), partition="n")

    def test_delete_where_deletes_what_is_true_and_counts(self, tables: TableStore) -> None:
        import polars as pl

        tables.append(TABLE, _rows(1, 2, 3))
        tables.append(TABLE, _rows(3, 4).with_columns(name=pl.lit(None, pl.String())))
        assert tables.delete_where(TABLE, "n >= 3 AND name = 'row 3'") == 1  # null is not true: those rows stay
        assert _numbers(tables) == [1, 2, 3, 4]
        assert tables.delete_where(TABLE, "name IS NULL") == 2
        assert tables.delete_where(TABLE, "n = 99") == 0
        assert _numbers(tables) == [1, 2]
        assert tables.version(TABLE) == 3  # what deletes nothing is no version
        assert tables.delete_where(TABLE, "true") == 2
        assert tables.scan(TABLE).collect().equals(_rows())
        for predicate in ("no such sql (", "nothing = 1", "n + 1"):
            with pytest.raises(ValueError, match="predicate"):
                tables.delete_where(TABLE, predicate)

    def test_compacting_joins_files_and_readers_notice_nothing(self, tables: TableStore, objects: ObjectStore) -> None:
        for number in range(8):
            tables.append(TABLE, _rows(number))
        tables.compact(TABLE)
        assert tables.version(TABLE) == 8
        assert _numbers(tables) == list(range(8))
        assert _numbers(tables, 3) == [0, 1, 2, 3]
        tables.compact(TABLE)
        assert tables.version(TABLE) == 8  # nothing left to join
        assert tables.vacuum(TABLE, keep_hours=0) == 8
        assert len(_data_files(objects)) == 1
        assert _numbers(tables) == list(range(8))

    def test_vacuum_keeps_what_a_young_version_needs(self, tables: TableStore, objects: ObjectStore) -> None:
        tables.append(TABLE, _rows(1, 2))
        tables.delete_where(TABLE, "n = 1")
        objects.put(f"{TABLE}/part-of-a-killed-writer.parquet", b"")
        assert tables.vacuum(TABLE, keep_hours=1) == 0
        assert _numbers(tables, 0) == [1, 2]
        assert tables.vacuum(TABLE, keep_hours=0) == 2
        assert _numbers(tables) == [2]
        with pytest.raises(TableCorrupted, match="missing"):
            tables.scan(TABLE, version=0)

    def test_what_is_deleted_and_vacuumed_is_gone_from_every_file(
        self, tables: TableStore, objects: ObjectStore
    ) -> None:
        import polars as pl

        secret = "subject-7f3a9c"  # noqa: S105
        tables.append(TABLE, _rows(1).with_columns(name=pl.lit(secret)))
        tables.append(TABLE, _rows(2))
        tables.delete_where(TABLE, f"name = '{secret}'")
        tables.vacuum(TABLE, keep_hours=0)
        for info in objects.list(TABLE):
            assert secret.encode() not in objects.get(info.key), info.key

    def test_other_delta_readers_and_writers_understand_us(self, tables: TableStore, objects: ObjectStore) -> None:
        import deltalake

        tables.append(TABLE, _rows(1))
        tables.append(TABLE, _rows(2))
        url, options = objects.scan_target(TABLE)
        theirs = deltalake.DeltaTable(url, storage_options=options)
        assert theirs.version() == 1
        assert theirs.count() == 2
        deltalake.write_deltalake(url, _rows(3), mode="append", storage_options=options)
        assert _numbers(tables) == [1, 2, 3]
        assert tables.append(TABLE, _rows(4)) == 3
        assert tables.delete_where(TABLE, "n = 3") == 1
        assert deltalake.DeltaTable(url, storage_options=options).count() == 3

    @pytest.mark.parametrize("mutation", MUTATIONS)
    def test_a_damaged_data_file_is_refused_and_named(
        self, tables: TableStore, opener: Opener, objects: ObjectStore, damage: Damage, mutation: Mutation
    ) -> None:
        for number in range(3):
            tables.append(TABLE, _rows(*range(number * 100, number * 100 + 100)))
        hurt = _data_files(objects)[1]
        damage(hurt, mutation)
        fresh, _ = opener()
        for call in (
            lambda: fresh.scan(TABLE),
            lambda: fresh.compact(TABLE),
            lambda: fresh.delete_where(TABLE, "n = 1"),
        ):
            with pytest.raises(TableCorrupted, match=re.escape(hurt)) as caught:
                call()
            assert caught.value.facts["table"] == TABLE

    def test_a_missing_data_file_is_named(self, tables: TableStore, opener: Opener, objects: ObjectStore) -> None:
        tables.append(TABLE, _rows(1))
        (gone,) = _data_files(objects)
        objects.delete(gone)
        with pytest.raises(TableCorrupted, match=re.escape(gone)):
            opener()[0].scan(TABLE)

    @pytest.mark.parametrize("mutation", MUTATIONS)
    def test_a_damaged_entry_in_the_middle_is_named_never_skipped(
        self, tables: TableStore, opener: Opener, damage: Damage, mutation: Mutation
    ) -> None:
        for number in range(3):
            tables.append(TABLE, _rows(number))
        entry = f"{TABLE}/_delta_log/{1:020d}.json"
        damage(entry, mutation)
        fresh, _ = opener()
        for call in (
            lambda: fresh.scan(TABLE),
            lambda: fresh.version(TABLE),
            lambda: fresh.append(TABLE, _rows(9)),
            lambda: fresh.vacuum(TABLE, keep_hours=0),
        ):
            with pytest.raises(TableCorrupted, match=re.escape(entry)):
                call()

    def test_a_missing_entry_in_the_middle_is_named(
        self, tables: TableStore, opener: Opener, objects: ObjectStore
    ) -> None:
        for number in range(3):
            tables.append(TABLE, _rows(number))
        entry = f"{TABLE}/_delta_log/{1:020d}.json"
        objects.delete(entry)
        with pytest.raises(TableCorrupted, match=re.escape(entry)):
            opener()[0].scan(TABLE)

    def test_what_many_processes_append_is_all_there(self, tables: TableStore, opener: Opener) -> None:
        told = [version for versions in race(N_PROCESSES, _append_some, opener, 5) for version in versions]
        assert sorted(told) == list(range(N_PROCESSES * 5))  # each told its own version, none missing
        assert _numbers(tables) == sorted(who * 100 + number for who in range(N_PROCESSES) for number in range(5))

    def test_appending_beside_compacting_and_deleting_loses_nothing(self, tables: TableStore, opener: Opener) -> None:
        tables.append(TABLE, _rows(*range(-20, 0)))
        race(6, _append_or_rewrite, opener)
        assert _numbers(tables) == sorted(who * 100 + number for who in range(1, 5) for number in range(6))

    @pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1, 0.3])
    def test_a_killed_writer_leaves_whole_appends_and_all_that_it_was_told(
        self, tables: TableStore, opener: Opener, after_s: float
    ) -> None:
        with working(_append_for_ever, opener) as heard:
            heard.poll(30)
            time.sleep(after_s)
        told = said(heard)
        found = tables.scan(TABLE).collect().sort("n")["n"].to_list()
        version = tables.version(TABLE)
        assert version is not None
        assert found == sorted([*range(version + 1)] * 2)  # two rows each, both or none
        assert max(told) <= version
        assert tables.append(TABLE, _rows(-1)) == version + 1


def _rows(*numbers: int) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(
        {"n": numbers, "name": [f"row {number}" for number in numbers]}, schema={"n": pl.Int64, "name": pl.String}
    )


def _numbers(tables: TableStore, version: int | None = None) -> list[int]:
    found: list[int] = tables.scan(TABLE, version=version).collect()["n"].sort().to_list()
    return found


def _data_files(objects: ObjectStore) -> list[str]:
    found = [info for info in objects.list(f"{TABLE}/") if info.key.endswith(".parquet")]
    return [info.key for info in found]


def _append_some(who: int, opener: Opener, times: int) -> list[int]:
    tables, _ = opener()
    return [tables.append(TABLE, _rows(who * 100 + number)) for number in range(times)]


def _count_up(who: int, opener: Opener, times: int) -> None:
    del who
    tables, _ = opener()
    done = 0
    while done < times:
        version = tables.version(TABLE)
        count = tables.marks(TABLE).get("count", 0)
        try:
            tables.append(TABLE, _rows(count), marks={"count": count + 1}, after=-1 if version is None else version)
        except TableMoved:
            continue
        done += 1


def _append_or_rewrite(who: int, opener: Opener) -> None:
    tables, _ = opener()
    for number in range(6):
        if who == 0:
            tables.compact(TABLE)
        elif who == 5:
            tables.delete_where(TABLE, f"n < 0 AND n >= {-4 * (number + 1)}")
        else:
            tables.append(TABLE, _rows(who * 100 + number))


def _append_for_ever(say: Connection, opener: Opener) -> None:
    tables, _ = opener()
    for number in itertools.count():
        say.send(tables.append(TABLE, _rows(number, number)))
