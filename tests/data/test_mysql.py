"""Queries on a real MariaDB: every value as the server has it, nothing written, nothing told of the password."""

from __future__ import annotations

import datetime as dt
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data.stage import Bench, source_of
from tests.servers import MariadbServer, connect_mysql

from headrace.data.errors import (
    AddressRefused,
    DuplicateColumn,
    QueryRefused,
    SourceEmpty,
    SourceUnavailable,
)
from headrace.data.infer import infer_types
from headrace.data.state import source_state
from headrace.definition.model import ColumnRule, Source
from headrace.language.types import Type


def query_of(url: str, query: str, **more: Any) -> Source:
    return source_of(url, format="mysql", query=query, **more)


def fill(url: str, *statements: str) -> None:
    with connect_mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def url(mysql_url: str) -> str:
    fill(
        mysql_url,
        "CREATE TABLE t (k bigint, big bigint unsigned, amount decimal(30,10), whole decimal(20,0), x double, "
        "ok tinyint(1), bits bit(12), label text, at timestamp NULL, wall datetime(6), day date, took time, doc json, "
        "raw varbinary(9), kind enum('a','b'), made year)",
        "INSERT INTO t VALUES (1, 18446744073709551615, '12345678901234567890.0123456789', 7, 0.1, 1, b'101000000001', "
        "'a,\"b\"\\n😀é', '2013-07-01 08:00:00', '2013-07-01 08:00:00.5', '2013-07-01', '-12:30:00', '{\"a\": 1}', "
        "x'00ff0a', 'a', 2013), (2, 2, 1.5, NULL, 1e300, 0, NULL, '', NULL, '0000-00-00', '2013-02-31', '838:59:59', "
        "NULL, NULL, NULL, NULL)",
    )
    return mysql_url


def test_a_decimal_is_one_where_it_is_wanted_or_fits(bench: Bench, mysql_url: str) -> None:
    fill(
        mysql_url,
        "CREATE TABLE m (fits decimal(18,6), cents decimal(14,2) unsigned, wide decimal(19,6), fine decimal(20,7))",
        "INSERT INTO m VALUES (123456789012.123456, 12.30, -0.000001, 0.5)",
    )
    source = query_of(mysql_url, "SELECT * FROM m", missing=())
    found = {name: one.type for name, one in infer_types(source, bench.root, {}).items()}
    assert found == {"fits": Type.DECIMAL, "cents": Type.DECIMAL, "wide": Type.FLOAT, "fine": Type.FLOAT}
    exact = bench.accepted(bench.check(source, dict.fromkeys(found, Type.DECIMAL)))
    assert {name: str(value.normalize()) for name, (value,) in exact.items()} == {
        "fits": "123456789012.123456", "cents": "12.3", "wide": "-0.000001", "fine": "0.5",
    }  # fmt: skip
    floats = bench.accepted(bench.check(source, dict.fromkeys(found, Type.FLOAT)))
    assert floats == {"fits": [123456789012.123456], "cents": [12.3], "wide": [-1e-6], "fine": [0.5]}


def test_types_and_values_come_across(bench: Bench, url: str) -> None:
    source = query_of(url, "SELECT * FROM t ORDER BY k;", missing=())
    types = {name: one.type for name, one in infer_types(source, bench.root, {}).items()}
    assert types == {
        "k": "integer",
        "big": "string",  # beyond 64 bits with a sign
        "amount": "float",
        "whole": "integer",
        "x": "float",
        "ok": "integer",
        "bits": "integer",
        "label": "string",
        "at": "timestamp",
        "wall": "string",  # a zero date is none
        "day": "string",
        "took": "string",
        "doc": "string",
        "raw": "string",
        "kind": "string",
        "made": "integer",
    }
    wanted = {**types, "wall": Type.TIMESTAMP, "ok": Type.BOOLEAN, "amount": Type.STRING}
    checked = bench.check(source, wanted)
    assert bench.reasons(checked) == {2: ["type:wall"]}
    (row,) = bench.read(checked.table.ref).to_dicts()
    assert row == {
        "k": 1,
        "big": "18446744073709551615",
        "amount": "12345678901234567890.0123456789",
        "whole": 7,
        "x": 0.1,
        "ok": True,
        "bits": 0b101000000001,
        "label": 'a,"b"\n😀é',
        "at": dt.datetime(2013, 7, 1, 8, tzinfo=dt.UTC),
        "wall": dt.datetime(2013, 7, 1, 8, 0, 0, 500_000, tzinfo=dt.UTC),
        "day": "2013-07-01",
        "took": "-12:30:00",
        "doc": '{"a": 1}',
        "raw": "00ff0a",
        "kind": "a",
        "made": 2013,
    }
    assert bench.read(checked.quarantine)["label"].to_list() == [""]


def test_a_timestamp_is_the_instant_whatever_the_zones(bench: Bench, mysql_url: str) -> None:
    fill(
        mysql_url,
        "CREATE TABLE t (at timestamp)",
        "SET time_zone = '+05:00'",
        "INSERT INTO t VALUES ('2020-01-01 05:00:00')",
    )
    source = query_of(mysql_url, "SELECT * FROM t", columns={"at": ColumnRule(zone="America/New_York")})
    checked = bench.check(source, {"at": Type.TIMESTAMP})
    assert bench.accepted(checked)["at"] == [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]


def test_an_unsigned_key_is_a_number_while_it_fits_and_a_misfit_beyond(bench: Bench, mysql_url: str) -> None:
    fill(mysql_url, "CREATE TABLE t (k bigint unsigned)", "INSERT INTO t VALUES (1), (9223372036854775807)")
    source = query_of(mysql_url, "SELECT k FROM t ORDER BY k")
    types = {name: one.type for name, one in infer_types(source, bench.root, {}).items()}
    assert types == {"k": Type.INTEGER}
    fill(mysql_url, "INSERT INTO t VALUES (9223372036854775808)")
    checked = bench.check(source, types)
    assert bench.accepted(checked)["k"] == [1, 9223372036854775807]
    assert bench.reasons(checked) == {3: ["type:k"]}


def test_a_column_of_another_type_than_last_time_is_quarantined_row_by_row(bench: Bench, mysql_url: str) -> None:
    fill(mysql_url, "CREATE TABLE t (k int, x varchar(9))", "INSERT INTO t VALUES (1, '7'), (2, 'seven')")
    checked = bench.check(query_of(mysql_url, "SELECT * FROM t ORDER BY k"), {"k": Type.INTEGER, "x": Type.INTEGER})
    assert bench.accepted(checked) == {"k": [1], "x": [7]}
    assert bench.reasons(checked) == {2: ["type:x"]}


def test_every_length_of_text_comes_whole(bench: Bench, mysql_url: str) -> None:
    sizes = (0, 1, 250, 251, 252, 255, 256, 65_535, 65_536, 70_000, 16_777_215, 16_777_216, 17_000_000)
    fill(mysql_url, "SET GLOBAL max_allowed_packet = 67108864")
    fill(
        mysql_url,
        "CREATE TABLE t (n int, x longtext)",
        *(f"INSERT INTO t VALUES ({n}, REPEAT('é', {n // 2}))" for n in sizes),
    )
    checked = bench.check(
        query_of(mysql_url, "SELECT * FROM t ORDER BY n", missing=()), {"n": Type.INTEGER, "x": Type.STRING}
    )
    found = bench.read(checked.table.ref).select("n", pl.col("x").str.len_chars().alias("chars"))
    assert found["chars"].to_list() == [n // 2 for n in sizes]


def test_rows_come_in_the_order_that_the_query_asks_for(bench: Bench, mysql_url: str) -> None:
    fill(mysql_url, "CREATE TABLE t AS SELECT seq AS k FROM seq_1_to_120000")
    checked = bench.check(query_of(mysql_url, "SELECT k FROM t ORDER BY k DESC"), {"k": Type.INTEGER})
    assert bench.accepted(checked)["k"] == list(range(120_000, 0, -1))


def test_a_float_column_says_what_the_server_leaves_out(bench: Bench, mysql_url: str) -> None:
    fill(mysql_url, "CREATE TABLE t (x float)", "INSERT INTO t VALUES (123456.789)")
    checked = bench.check(query_of(mysql_url, "SELECT x FROM t"), {"x": Type.FLOAT})
    (warning,) = checked.report.warnings
    assert "CAST(x AS DOUBLE)" in warning
    whole = bench.check(query_of(mysql_url, "SELECT CAST(x AS DOUBLE) AS x FROM t"), {"x": Type.FLOAT})
    assert math.isclose(bench.accepted(whole)["x"][0], 123456.789, rel_tol=1e-7)
    assert whole.report.warnings == ()


def test_a_query_is_always_read_again(bench: Bench, url: str) -> None:
    state = source_state(query_of(url, "SELECT 1 AS k"), bench.root, {})
    assert (state.volatile, state.parts) == (True, ())


def test_mariadb_is_another_word_for_it(bench: Bench, url: str) -> None:
    checked = bench.check(query_of(url.replace("mysql://", "mariadb://"), "SELECT 1 AS k"), {"k": Type.INTEGER})
    assert bench.accepted(checked)["k"] == [1]


def test_the_password_is_taken_from_the_environment_and_never_shown(bench: Bench, url: str) -> None:
    source = query_of("mysql://headrace:${env:DB_PASSWORD}@127.0.0.1:1/db", "SELECT 1 AS k")
    bench.env = {"DB_PASSWORD": "hunter2/@"}
    with pytest.raises(SourceUnavailable) as caught:
        bench.check(source, {"k": Type.INTEGER})
    assert "hunter2" not in str(caught.value) + repr(caught.value.facts)
    assert "mysql://headrace:***@127.0.0.1:1/db" in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_wrong_password_and_a_strange_one(bench: Bench, mysql_url: str) -> None:
    fill(
        mysql_url,
        "CREATE OR REPLACE USER odd@'127.0.0.1' IDENTIFIED BY 'é/@:%?#'",
        "GRANT SELECT ON *.* TO odd@'127.0.0.1'",
    )
    address = f"mysql://odd:${{env:P}}@{mysql_url.rpartition('@')[2]}"
    bench.env = {"P": "é/@:%?#"}
    assert bench.accepted(bench.check(query_of(address, "SELECT 1 AS k"), {"k": Type.INTEGER}))["k"] == [1]
    bench.env = {"P": "hunter2"}
    with pytest.raises(SourceUnavailable, match="Access denied") as caught:
        bench.check(query_of(address, "SELECT 1 AS k"), {"k": Type.INTEGER})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM gone", "gone' doesn't exist"),
        ("SELEC", "error in your SQL syntax"),
        ("SELECT nothing FROM t", "Unknown column 'nothing'"),
        ("DELETE FROM t RETURNING k", "READ ONLY transaction"),
        ("DROP TABLE t", "READ ONLY transaction"),
        ("SELECT 1 AS k; SELECT 2 AS k", "error in your SQL syntax"),
        ("SET @a = 1", "gives no rows"),
        ("SELECT EXP(k * 1000) AS k FROM t", r"a value cannot be computed \(error 1690\)"),
    ],
)
def test_a_query_that_cannot_be_is_refused_without_its_values(bench: Bench, url: str, query: str, words: str) -> None:
    with pytest.raises(QueryRefused, match=words):
        bench.check(query_of(url, query), {"k": Type.INTEGER})


def test_two_columns_of_one_name(bench: Bench, url: str) -> None:
    with pytest.raises(DuplicateColumn, match="'k'"):
        bench.check(query_of(url, "SELECT k, k FROM t"), {"k": Type.INTEGER})


def test_no_rows_is_an_empty_source(bench: Bench, url: str) -> None:
    with pytest.raises(SourceEmpty):
        bench.check(query_of(url, "SELECT k FROM t WHERE false"), {"k": Type.INTEGER})


def test_an_unknown_option_of_the_address_is_refused(bench: Bench, url: str) -> None:
    with pytest.raises(AddressRefused, match="'ssl_mode'") as caught:
        bench.check(query_of(f"{url}?ssl_mode=1", "SELECT 1 AS k"), {"k": Type.INTEGER})
    assert "ssl=required" in str(caught.value.fix)


def test_an_encrypted_line_is_required_or_nothing_is_read(bench: Bench, url: str) -> None:
    with pytest.raises(SourceUnavailable, match=r"SSL|TLS"):
        bench.check(query_of(f"{url}?ssl=required", "SELECT 1 AS k"), {"k": Type.INTEGER})


@pytest.mark.heavy
def test_a_server_that_goes_away_in_mid_query(bench: Bench) -> None:
    def rows_have_come() -> bool:
        with suppress(FileNotFoundError):  # the folder is not made yet, or is being made
            return any(name.startswith(".result.parquet") for name in os.listdir(bench.stage.workdir))  # noqa: PTH208
        return False

    def stop_when_rows_come(server: MariadbServer) -> None:
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and not rows_have_come():
            time.sleep(0.01)
        server.stop()

    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # where the server's own user may walk
        with MariadbServer(Path(place) / "server") as server:
            source = query_of(server.url(), "SELECT seq AS k, REPEAT('x', 2000) AS x FROM seq_1_to_50000000")
            stopper = threading.Thread(target=stop_when_rows_come, args=(server,))
            stopper.start()
            with pytest.raises(SourceUnavailable, match="finished work is kept") as caught:
                bench.check(source, {"k": Type.INTEGER, "x": Type.STRING})
            stopper.join()
            assert server.password not in str(caught.value)


_PEAK = """
import resource, sys
from pathlib import Path
from tests.data.stage import Bench, source_of
from headrace.language.types import Type
bench = Bench(Path(sys.argv[1]))
query = f"SELECT seq AS k, REPEAT('x', 300) AS x, seq / 7e0 AS f FROM seq_1_to_{sys.argv[3]}"
source = source_of(sys.argv[2], format="mysql", query=query)
snapshot = bench.snapshot(source, {"k": Type.INTEGER, "x": Type.STRING, "f": Type.FLOAT})
print(snapshot.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_grows_slower_than_the_rows(mysql_url: str, tmp_path: Path) -> None:
    peaks = {}
    for rows in (60_000, 480_000):
        command = [sys.executable, "-c", _PEAK, str(tmp_path), mysql_url, str(rows)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        read, peaks[rows] = map(int, done.stdout.split())
        assert read == rows
    assert peaks[480_000] < 2 * peaks[60_000], peaks
