"""Sources on real servers: PostgreSQL and S3, there, wrong, and gone."""

from __future__ import annotations

import datetime as dt
import gzip
import math
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import obstore
import polars as pl
import psycopg
import pytest
from obstore.store import S3Store
from tests.conftest import S3Place
from tests.data.stage import Bench, source_of
from tests.servers import PostgresServer

from headrace.data.errors import QueryRefused, SourceEmpty, SourceMissing, SourceUnavailable
from headrace.data.infer import infer_types
from headrace.data.state import source_state
from headrace.definition.model import Source
from headrace.language.types import Type


def query_of(url: str, query: str, **more: Any) -> Source:
    return source_of(url, format="postgresql", query=query, **more)


class TestPostgresql:
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        with psycopg.connect(postgres_url) as connection:
            connection.execute(
                "CREATE TABLE t (k bigint, small smallint, x double precision, money numeric, ok boolean, label text, "
                "at timestamptz, wall timestamp, day date, tags text[])"
            )
            connection.execute(
                "INSERT INTO t VALUES (1, 2, 'NaN', 1.50, true, %s, '2013-07-01 08:00-04', '2013-07-01 08:00:00.5', "
                "'2013-07-01', '{a,b}'), (2, NULL, 'Infinity', NULL, false, '', 'infinity', NULL, NULL, NULL)",
                ['a,"b"\nc'],
            )
        return postgres_url

    def test_a_numeric_that_is_wanted_as_text_keeps_its_digits(self, bench: Bench, url: str) -> None:
        source = query_of(url, "SELECT 1 AS k, 1234567890123456.78::numeric AS money, 0.10::numeric(9, 4) AS fee")
        checked = bench.check(source, {"k": Type.INTEGER, "money": Type.STRING, "fee": Type.FLOAT})
        assert bench.accepted(checked) == {"k": [1], "money": ["1234567890123456.78"], "fee": [0.1]}

    def test_a_numeric_is_a_decimal_where_it_is_wanted_or_fits(self, bench: Bench, url: str) -> None:
        amount = "123456789012.123456"
        texts = {"any": f"{amount}::numeric", "fits": f"{amount}::numeric(18, 6)", "w": "1::numeric(38, 9)"}
        source = query_of(url, f"SELECT {', '.join(f'{text} AS {name}' for name, text in texts.items())}")
        found = {name: one.type for name, one in infer_types(source, bench.root, {}).items()}
        assert found == {"any": Type.FLOAT, "fits": Type.DECIMAL, "w": Type.FLOAT}
        exact = bench.check(source, dict.fromkeys(found, Type.DECIMAL))
        assert bench.accepted(exact) == {"any": [Decimal(amount)], "fits": [Decimal(amount)], "w": [Decimal(1)]}
        assert bench.accepted(bench.check(source, dict.fromkeys(found, Type.FLOAT)))["fits"] == [float(amount)]

    def test_types_and_values_come_across(self, bench: Bench, url: str) -> None:
        source = query_of(url, "SELECT * FROM t ORDER BY k;", missing=())
        types = {name: one.type for name, one in infer_types(source, bench.root, {}).items()}
        assert types == {
            "k": "integer",
            "small": "integer",
            "x": "float",
            "money": "float",
            "ok": "boolean",
            "label": "string",
            "at": "string",  # an infinite instant is none
            "wall": "timestamp",
            "day": "date",
            "tags": "string",
        }
        checked = bench.check(source, {**types, "at": Type.TIMESTAMP})
        assert bench.reasons(checked) == {2: ["type:at"]}
        assert bench.read(checked.quarantine)["label"].to_list() == [""]
        (row,) = bench.read(checked.table.ref).to_dicts()
        assert row == {
            "k": 1,
            "small": 2,
            "x": None,
            "money": 1.5,
            "ok": True,
            "label": 'a,"b"\nc',
            "at": dt.datetime(2013, 7, 1, 12, tzinfo=dt.UTC),
            "wall": dt.datetime(2013, 7, 1, 8, 0, 0, 500_000, tzinfo=dt.UTC),
            "day": dt.date(2013, 7, 1),
            "tags": "{a,b}",
        }
        assert checked.report.repairs == (("nan:x", 1),)

    def test_infinities_stay(self, bench: Bench, url: str) -> None:
        checked = bench.check(query_of(url, "SELECT x FROM t ORDER BY k"), {"x": Type.FLOAT})
        assert bench.accepted(checked)["x"] == [None, math.inf]

    def test_a_query_is_always_read_again(self, bench: Bench, url: str) -> None:
        state = source_state(query_of(url, "SELECT 1 AS k"), bench.root, {})
        assert (state.volatile, state.parts) == (True, ())

    def test_the_password_is_taken_from_the_environment_and_never_shown(self, bench: Bench, url: str) -> None:
        source = query_of("postgresql://headrace:${env:DB_PASSWORD}@127.0.0.1:1/db", "SELECT 1 AS k")
        bench.env = {"DB_PASSWORD": "hunter2/@"}
        with pytest.raises(SourceUnavailable) as caught:
            bench.check(source, {"k": Type.INTEGER})
        assert "hunter2" not in str(caught.value) + repr(caught.value.facts)
        assert "postgresql://headrace:***@127.0.0.1:1/db" in str(caught.value)
        assert caught.value.exit_code == 3

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("SELECT * FROM gone", '"gone" does not exist'),
            ("SELEC", "syntax error"),
            ("SELECT nothing FROM t", '"nothing" does not exist'),
            ("DELETE FROM t RETURNING k", "syntax error"),
            ("SELECT set_config('a.b', label::int::text, false) FROM t", "SQLSTATE 22P02"),
        ],
    )
    def test_a_query_that_cannot_be_is_refused_without_its_values(
        self, bench: Bench, url: str, query: str, words: str
    ) -> None:
        with pytest.raises(QueryRefused, match=words) as caught:
            bench.check(query_of(url, query), {"k": Type.INTEGER})
        assert 'a,"b"' not in str(caught.value)

    def test_nothing_can_be_written(self, bench: Bench, url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE FUNCTION grab() RETURNS bigint LANGUAGE sql AS 'DELETE FROM t RETURNING k'")
        with pytest.raises(QueryRefused, match="read-only"):
            bench.check(query_of(url, "SELECT grab() AS k"), {"k": Type.INTEGER})

    def test_no_rows_is_an_empty_source(self, bench: Bench, url: str) -> None:
        with pytest.raises(SourceEmpty) as caught:
            bench.check(query_of(url, "SELECT k FROM t WHERE false"), {"k": Type.INTEGER})
        assert "${" not in str(caught.value)

    @pytest.mark.heavy
    def test_a_server_that_goes_away_in_mid_query(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(bench.root))  # the server's package warns where there is none
        rows = "SELECT n AS k, repeat('x', 200) AS x FROM generate_series(1, 20000000) n"
        written = bench.stage.workdir / "result.csv"
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)  # where the server's own user may walk
            with PostgresServer(Path(place) / "server") as server:
                stopper = threading.Thread(target=stop_when_it_flows, args=(server, written))
                stopper.start()
                with pytest.raises(SourceUnavailable, match="finished work is kept") as caught:
                    bench.check(query_of(server.url(), rows), {"k": Type.INTEGER, "x": Type.STRING})
                stopper.join()
                assert server.password not in str(caught.value)


def stop_when_it_flows(server: PostgresServer, written: Path) -> None:
    while not (written.exists() and written.stat().st_size > 1_000_000):
        time.sleep(0.01)
    server.stop()


class TestS3:
    def put(self, place: S3Place, key: str, data: bytes) -> None:
        bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
        config = {name.lower(): value for name, value in place.env.items()}
        store = S3Store(bucket, prefix=prefix, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]
        obstore.put(store, key, data)

    @pytest.fixture
    def place(self, bench: Bench, s3_server: S3Place) -> S3Place:
        bench.env = dict(s3_server.env)
        return s3_server

    def test_globs_of_every_format_in_key_order(self, bench: Bench, place: S3Place, tmp_path: Path) -> None:
        for n in (2, 1):
            frame = pl.DataFrame({"k": [n], "x": ["a"]})
            frame.write_parquet(tmp_path / "x.parquet")
            self.put(place, f"p/day={n} x/part.csv", b"k,x\n%d,a\n" % n)
            self.put(place, f"p/day={n} x/part.csv.gz", gzip.compress(b"k,x\n%d,a\n" % n))
            self.put(place, f"p/day={n} x/part.parquet", (tmp_path / "x.parquet").read_bytes())
            self.put(place, f"p/day={n} x/part.ndjson", b'{"k":%d,"x":"a"}\n' % n)
        self.put(place, "p/deeper/day=3/part.csv", b"k,x\n3,a\n")
        types = {"k": Type.INTEGER, "x": Type.STRING}
        for suffix in ("csv", "csv.gz", "parquet", "ndjson"):
            source = source_of(f"{place.url}/p/day=*/part.{suffix}")
            checked = bench.check(source, types)
            assert bench.accepted(checked) == {"k": [1, 2], "x": ["a", "a"]}
            assert set(infer_types(source, bench.root, bench.env)) == {"k", "x"}
        assert bench.accepted(bench.check(source_of(f"{place.url}/p/**/part.csv"), types))["k"] == [1, 2, 3]

    def test_a_folder_is_all_objects_below_it(self, bench: Bench, place: S3Place) -> None:
        for key in ("f/a.csv", "f/day=1/b.csv", "f/_SUCCESS", "f/_temporary/c.csv", "f/.d.csv.crc", "fg/e.csv"):
            self.put(place, key, b"k\n1\n")
        source = source_of(f"{place.url}/f/", format="csv")
        parts = source_state(source, bench.root, bench.env).parts
        assert [name for name, _, _ in parts] == [f"{place.url}/f/a.csv", f"{place.url}/f/day=1/b.csv"]
        assert bench.accepted(bench.check(source, {"k": Type.INTEGER}))["k"] == [1, 1]

    def test_a_malformed_row_names_its_object(self, bench: Bench, place: S3Place) -> None:
        self.put(place, "a.csv", b"k,x\n1,a\n2\n")
        checked = bench.check(source_of(f"{place.url}/a.csv"), {"k": Type.INTEGER, "x": Type.STRING})
        assert bench.read(checked.quarantine)["_file"].to_list() == [f"{place.url}/a.csv"]

    def test_the_state_holds_etags_and_changes_with_them(self, bench: Bench, place: S3Place) -> None:
        source = source_of(f"{place.url}/*.csv")
        self.put(place, "a.csv", b"k,x\n1,a\n")
        first = source_state(source, bench.root, bench.env)
        assert source_state(source, bench.root, bench.env) == first
        self.put(place, "a.csv", b"k,x\n1,b\n")
        assert source_state(source, bench.root, bench.env) != first

    def test_a_wrong_secret_is_said_and_not_shown(self, bench: Bench, place: S3Place) -> None:
        bench.env["AWS_SECRET_ACCESS_KEY"] = "hunter2"
        with pytest.raises(SourceUnavailable, match="SignatureDoesNotMatch") as caught:
            bench.check(source_of(f"{place.url}/a.csv"), {"k": Type.INTEGER})
        assert "hunter2" not in str(caught.value)

    def test_an_absent_object_and_an_absent_bucket(self, bench: Bench, place: S3Place) -> None:
        with pytest.raises(SourceMissing, match="nothing matches"):
            bench.check(source_of(f"{place.url}/none/*.csv"), {"k": Type.INTEGER})
        with pytest.raises((SourceUnavailable, SourceMissing)):
            bench.check(source_of("s3://no-such-bucket/a.csv"), {"k": Type.INTEGER})

    def test_a_server_that_does_not_answer(self, bench: Bench, place: S3Place) -> None:
        bench.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
        with pytest.raises(SourceUnavailable):
            bench.check(source_of(f"{place.url}/a.csv"), {"k": Type.INTEGER})
