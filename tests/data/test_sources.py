"""The other formats: Parquet, NDJSON and SQLite, each with its own ways to go wrong."""

from __future__ import annotations

import datetime as dt
import gzip
import sqlite3
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.stage import Bench, packed, source_of

from headrace.data.errors import (
    ColumnsDiffer,
    DuplicateColumn,
    QueryRefused,
    SourceEmpty,
    SourceMissing,
    SourceUnreadable,
)
from headrace.data.sources import MALFORMED_COLUMNS, Place
from headrace.data.sources import ndjson as ndjson_source
from headrace.data.state import source_state
from headrace.language.types import Type

KX = {"k": Type.INTEGER, "x": Type.STRING}

LINES = (
    *('{"k":1,"x":"a"}', '{"k":null}', "{}", '{"k":1.0}', '{"k":"1"}', '{"x":1}', '{"x":[1, "b"]}', '{"k":true}'),
    *('{"k":9223372036854775808}', '{"k":1,"k":2}', "", " ", "[]", '{"k":', '{"k":1}{"k":2}', '{"x":"\\u00e9"}'),
)


class TestNdjson:
    def test_objects_are_rows_and_absent_keys_nulls(self, bench: Bench) -> None:
        bench.write("a.ndjson", '{"k":1,"x":"a","more":[1]}\n\n{"x":"b"}\r\n{"k":3,"x":null}')
        checked = bench.check(source_of("a.ndjson"), KX)
        assert bench.accepted(checked) == {"k": [1, None, 3], "x": ["a", "b", None]}

    @pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
    def test_what_is_no_object_is_kept_with_its_place(self, bench: Bench, suffix: str) -> None:
        data = (
            b'{"k":1,"x":"a"}\n\n{"k":2,"x"\n[1]\n{"k":4,"x":"\xff"}\n'
            b'{"k":"five","x":"e"}\n{"k":6.5,"x":6}\n{"k":7,"x":{"y":1}}\n'
        )
        bench.write(f"a.ndjson{suffix}", packed(data, suffix))
        checked = bench.check(source_of(f"a.ndjson{suffix}"), KX)
        assert bench.accepted(checked) == {"k": [1, 7], "x": ["a", '{"y": 1}']}
        rows = bench.read(checked.quarantine)
        assert rows["_row"].to_list() == [2, 3, 4, 5, 6]
        assert rows["_line"].to_list() == [3, 4, 5, None, None]
        assert [r[0] for r in rows["_reasons"].to_list()] == ["shape:not_json"] * 3 + ["type:k"] * 2
        assert rows["k"].to_list() == [None, None, None, "five", "6.5"]

    def test_a_byte_order_mark_is_no_malformed_row(self, bench: Bench) -> None:
        bench.write("a.ndjson", b'\xef\xbb\xbf{"k":1,"x":"a"}\n')
        assert bench.check(source_of("a.ndjson"), KX).report.accepted == 1

    def test_a_column_that_changes_type_in_the_second_file(self, bench: Bench) -> None:
        bench.write("p/1.ndjson", '{"k":1,"x":"a"}\n')
        bench.write("p/2.ndjson", '{"k":"2","x":"b"}\n{"k":"two","x":"c"}\n')
        checked = bench.check(source_of("p/*.ndjson"), KX)
        assert bench.accepted(checked)["k"] == [1, 2]
        assert bench.reasons(checked) == {3: ["type:k"]}

    def test_a_truncated_gzip_names_its_file(self, bench: Bench) -> None:
        bench.write("a.ndjson.gz", gzip.compress(b'{"k":1,"x":"a"}\n' * 1000)[:-10])
        with pytest.raises(SourceUnreadable, match=r"a.ndjson.gz cannot be read: it ends too early"):
            bench.check(source_of("a.ndjson.gz"), KX)

    def test_an_empty_file_is_an_empty_source(self, bench: Bench) -> None:
        bench.write("a.ndjson", "\n")
        with pytest.raises(SourceEmpty, match=r"a\.ndjson"):
            bench.check(source_of("a.ndjson"), KX)

    @settings(max_examples=150)
    @given(lines=st.lists(st.sampled_from(LINES), max_size=6))
    def test_the_fast_path_reads_what_the_plain_path_reads(
        self, tmp_path_factory: pytest.TempPathFactory, lines: list[str]
    ) -> None:
        bench = Bench(tmp_path_factory.mktemp("ndjson"))
        bench.write("a.ndjson", "\n".join(["{}", *lines]) + "\n")
        bench.write("b.ndjson", "\n".join(["{}", *lines]) + "\nno object\n")
        fast, plain = (bench.check(source_of(name), KX) for name in ("a.ndjson", "b.ndjson"))
        assert bench.accepted(fast) == bench.accepted(plain)
        assert fast.report.read + 1 == plain.report.read


class TestParquet:
    def write(self, bench: Bench, name: str, **columns: object) -> None:
        (bench.root / name).parent.mkdir(exist_ok=True)
        pl.DataFrame(columns).write_parquet(bench.root / name)

    def test_a_column_that_changes_type_in_the_second_file(self, bench: Bench) -> None:
        self.write(bench, "p/1.parquet", k=[1, 2], x=["a", "b"])
        self.write(bench, "p/2.parquet", x=["c", "d"], k=["3", "four"])
        checked = bench.check(source_of("p/*.parquet"), KX)
        assert bench.accepted(checked) == {"k": [1, 2, 3], "x": ["a", "b", "c"]}
        assert bench.reasons(checked) == {4: ["type:k"]}

    def test_wider_numbers_in_the_second_file_need_no_text(self, bench: Bench) -> None:
        self.write(bench, "p/1.parquet", k=[1, 2])
        self.write(bench, "p/2.parquet", k=[3.0, 4.5])
        assert bench.accepted(bench.check(source_of("p/*.parquet"), {"k": Type.FLOAT}))["k"] == [1.0, 2.0, 3.0, 4.5]
        assert bench.reasons(bench.check(source_of("p/*.parquet"), {"k": Type.INTEGER})) == {4: ["type:k"]}

    def test_a_column_that_the_second_file_lacks(self, bench: Bench) -> None:
        self.write(bench, "p/1.parquet", k=[1], x=["a"])
        self.write(bench, "p/2.parquet", k=[1])
        with pytest.raises(ColumnsDiffer, match=r"p/2.parquet lacks 'x'"):
            bench.check(source_of("p/*.parquet"), KX)

    def test_numbers_beyond_64_bits_are_quarantined(self, bench: Bench) -> None:
        pl.DataFrame({"k": pl.Series([1, 2**63], dtype=pl.UInt64)}).write_parquet(bench.root / "a.parquet")
        checked = bench.check(source_of("a.parquet"), {"k": Type.INTEGER})
        assert bench.accepted(checked)["k"] == [1]
        assert bench.read(checked.quarantine)["k"].to_list() == [str(2**63)]

    def test_every_own_type_becomes_one_of_the_languages(self, bench: Bench) -> None:
        from decimal import Decimal

        noon = dt.datetime(2013, 1, 1, 12)  # noqa: DTZ001 - a wall clock
        self.write(
            bench,
            "a.parquet",
            c=pl.Series(["u", "v"], dtype=pl.Categorical),
            d=[dt.date(2013, 1, 1), None],
            naive=pl.Series([noon, None], dtype=pl.Datetime("ms")),
            aware=pl.Series([noon, None], dtype=pl.Datetime("ns")).dt.replace_time_zone("America/New_York"),
            span=[dt.timedelta(seconds=1), None],
            money=[Decimal("1.50"), None],
            flag=[True, None],
            small=pl.Series([1, None], dtype=pl.Int8),
        )
        wanted = {"c": "category", "d": "timestamp", "naive": "timestamp", "aware": "timestamp", "span": "duration"}
        types = {
            name: Type(type_)
            for name, type_ in {**wanted, "money": "float", "flag": "integer", "small": "boolean"}.items()
        }
        checked = bench.check(source_of("a.parquet"), types)
        first = {name: values[0] for name, values in bench.accepted(checked).items()}
        utc = dt.UTC
        assert first == {
            "c": "u",
            "d": dt.datetime(2013, 1, 1, tzinfo=utc),
            "naive": noon.replace(tzinfo=utc),
            "aware": dt.datetime(2013, 1, 1, 17, tzinfo=utc),
            "span": dt.timedelta(seconds=1),
            "money": 1.5,
            "flag": 1,
            "small": True,
        }

    def test_lists_are_left_out_and_said_so(self, bench: Bench) -> None:
        self.write(bench, "a.parquet", k=[1], x=["a"], tags=[["b"]])
        checked = bench.check(source_of("a.parquet"), KX)
        assert checked.report.accepted == 1
        assert checked.report.warnings == ("column 'tags' is left out: Headrace reads no List(String)",)

    def test_a_damaged_file_is_named(self, bench: Bench) -> None:
        self.write(bench, "p/1.parquet", k=[1], x=["a"])
        whole = (bench.root / "p/1.parquet").read_bytes()
        for name, data in (("cut", whole[:-20]), ("text", b"k,x\n1,a\n"), ("empty", b"")):
            bench.write(f"{name}/2.parquet", data)
            with pytest.raises(SourceUnreadable, match=rf"{name}/2.parquet cannot be read"):
                bench.check(source_of("p/1.parquet", f"{name}/*.parquet"), KX)

    def test_no_rows_is_an_empty_source(self, bench: Bench) -> None:
        pl.DataFrame(schema={"k": pl.Int64, "x": pl.String}).write_parquet(bench.root / "a.parquet")
        with pytest.raises(SourceEmpty):
            bench.check(source_of("a.parquet"), KX)


class TestSqlite:
    def database(self, bench: Bench, *rows: tuple[object, object], name: str = "r.db") -> Path:
        path = bench.root / name
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (k, x)")
            connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        connection.close()
        return path

    def test_a_query_is_read_in_its_own_order(self, bench: Bench) -> None:
        self.database(bench, *((n, f"v{n}") for n in range(120_000)))
        checked = bench.check(source_of("r.db", query="SELECT * FROM t ORDER BY k DESC"), KX)
        table = bench.read(checked.table.ref)
        assert table["k"].to_list() == list(range(119_999, -1, -1))
        assert table["x"][0] == "v119999"

    def test_values_of_other_types_than_the_columns(self, bench: Bench) -> None:
        self.database(bench, (1, "a"), ("2", 2), (2.5, b"\x01"), ("z", None), (None, "NA"))
        checked = bench.check(source_of("r.db", query="SELECT * FROM t"), KX)
        assert bench.accepted(checked) == {"k": [1, 2, None], "x": ["a", "2", None]}
        assert bench.reasons(checked) == {3: ["type:k"], 4: ["type:k"]}
        assert bench.read(checked.quarantine)["x"].to_list() == ["01", None]

    def test_a_value_of_another_type_far_down_is_found(self, bench: Bench) -> None:
        self.database(bench, *((n, "v") for n in range(120_000)), ("last", "v"))
        checked = bench.check(source_of("r.db", query="SELECT * FROM t"), KX)
        assert bench.reasons(checked) == {120_001: ["type:k"]}

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("SELECT * FROM gone", "no such table: gone"),
            ("SELEC", "syntax error"),
            ("SELECT q FROM t", "no such column"),
        ],
    )
    def test_a_query_that_cannot_be_is_refused(self, bench: Bench, query: str, words: str) -> None:
        self.database(bench, (1, "a"))
        with pytest.raises(QueryRefused, match=words):
            bench.check(source_of("r.db", query=query), KX)

    def test_the_file_is_only_read(self, bench: Bench) -> None:
        path = self.database(bench, (1, "a"))
        before = path.read_bytes()
        with pytest.raises(QueryRefused, match="readonly"):
            bench.check(source_of("r.db", query="DELETE FROM t RETURNING k, x"), KX)
        assert path.read_bytes() == before

    def test_files_that_are_no_database(self, bench: Bench) -> None:
        bench.write("r.db", b"not a database" * 100)
        with pytest.raises(SourceUnreadable, match=r"r\.db cannot be read"):
            bench.check(source_of("r.db", query="SELECT * FROM t"), KX)
        with pytest.raises(SourceMissing):
            bench.check(source_of("gone.db", query="SELECT 1 AS k"), KX)

    def test_two_columns_of_one_name(self, bench: Bench) -> None:
        self.database(bench, (1, "a"))
        with pytest.raises(DuplicateColumn, match="'k'"):
            bench.check(source_of("r.db", query="SELECT k, k FROM t"), KX)

    def test_no_rows_is_an_empty_source(self, bench: Bench) -> None:
        self.database(bench)
        with pytest.raises(SourceEmpty):
            bench.check(source_of("r.db", query="SELECT * FROM t"), KX)


def test_the_state_changes_with_the_files_and_only_then(bench: Bench) -> None:
    bench.write("p/1.csv", "k,x\n1,a\n")
    bench.write("p/2.csv", "k,x\n2,b\n")
    source = source_of("p/*.csv")
    first = source_state(source, bench.root, {})
    assert [name for name, _, _ in first.parts] == ["p/1.csv", "p/2.csv"]
    assert not first.volatile
    assert source_state(source, bench.root, {}) == first
    bench.write("p/2.csv", "k,x\n2,c\n")
    second = source_state(source, bench.root, {})
    assert second != first
    bench.write("p/3.csv", "k,x\n")
    assert len(source_state(source, bench.root, {}).parts) == 3


def test_malformed_rows_have_the_promised_columns(bench: Bench) -> None:
    bench.write("a.ndjson", '{"k":1,"x":"a"}\nno\n')
    snapshot = bench.snapshot(source_of("a.ndjson"), KX)
    assert tuple(bench.read(snapshot.malformed).columns) == MALFORMED_COLUMNS
    assert ndjson_source.state(source_of("a.ndjson"), Place(bench.root, {})) == snapshot.state


def test_a_folder_is_all_files_below_it_but_for_what_engines_write_beside_rows(bench: Bench) -> None:
    bench.write("out/day=1/part-0.csv", "k\n1\n")
    bench.write("out/day=2/part-0.csv", "k\n2\n")
    bench.write("out/part-1.csv", "k\n3\n")
    for name in ("_SUCCESS", ".part-1.csv.crc", "_temporary/0/part-9.csv", "day=2/_committed_1"):
        bench.write(f"out/{name}", "no rows")
    source = source_of("out/", format="csv")
    assert [name for name, _, _ in source_state(source, bench.root, {}).parts] == [
        "out/day=1/part-0.csv",
        "out/day=2/part-0.csv",
        "out/part-1.csv",
    ]
    assert bench.accepted(bench.check(source, {"k": Type.INTEGER}))["k"] == [1, 2, 3]
    absolute = source_of(f"{bench.root}/out/", format="csv")
    assert len(source_state(absolute, bench.root, {}).parts) == 3
    for address in ("out/_temporary/", f"{bench.root}/out/_temporary/"):  # what is named is meant
        named = source_state(source_of(address, format="csv"), bench.root, {}).parts
        assert [name for name, _, _ in named] == ["out/_temporary/0/part-9.csv"]
    with pytest.raises(SourceMissing):
        source_state(source_of("none/", format="csv"), bench.root, {})
