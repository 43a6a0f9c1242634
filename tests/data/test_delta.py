"""Delta tables as deltalake writes them, on this machine and on a real S3 server."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from tests.conftest import S3Place, remove_objects
from tests.data.stage import Bench, source_of

from headrace.data.errors import SourceMissing, SourceUnavailable, SourceUnreadable, TableUnsupported, VersionMissing
from headrace.data.infer import infer_types
from headrace.data.state import source_state
from headrace.definition.model import Source
from headrace.language.types import Type

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
ROWS = pl.DataFrame({"k": [1, 2, 3], "x": ["a", None, "c"], "at": [NOON] * 3, "amount": [0.5, 1.5, None]})
TYPES = {"k": Type.INTEGER, "x": Type.STRING, "at": Type.TIMESTAMP, "amount": Type.FLOAT}


def table_of(address: str, **more: Any) -> Source:
    return source_of(address, format="delta", missing=(), **more)


def test_types_and_values_come_across(bench: Bench) -> None:
    ROWS.write_delta(str(bench.root / "t"))
    source = table_of("t")
    assert {name: one.type for name, one in infer_types(source, bench.root, {}).items()} == TYPES
    assert bench.accepted(bench.check(source, TYPES)) == ROWS.to_dict(as_series=False)


def test_decimals_that_are_wanted_as_text_keep_their_digits(bench: Bench) -> None:
    amounts = pl.Series("amount", [Decimal("1234567890123456.78"), None], dtype=pl.Decimal(38, 2))
    pl.DataFrame({"k": [1, 2]}).with_columns(amounts, fee=amounts).write_delta(str(bench.root / "t"))
    types = {"k": Type.INTEGER, "amount": Type.STRING, "fee": Type.FLOAT}
    found = bench.accepted(bench.check(table_of("t"), types))
    assert found == {"k": [1, 2], "amount": ["1234567890123456.78", None], "fee": [1234567890123456.78, None]}


def test_the_newest_version_or_the_one_that_is_named(bench: Bench) -> None:
    place = bench.root / "t"
    ROWS.write_delta(str(place))
    ROWS.with_columns(k=pl.col("k") + 10).write_delta(str(place), mode="append")
    DeltaTable(str(place)).delete("k = 2")
    keys = [
        sorted(bench.accepted(bench.check(table_of("t", version=version), TYPES))["k"]) for version in (0, 1, 2, None)
    ]
    assert keys == [[1, 2, 3], [1, 2, 3, 11, 12, 13], [1, 3, 11, 12, 13], [1, 3, 11, 12, 13]]


def test_the_state_is_the_version(bench: Bench) -> None:
    place = bench.root / "t"
    ROWS.write_delta(str(place))
    first = source_state(table_of("t"), bench.root, {})
    (place / "left_over.parquet").write_bytes(b"of a writer that was killed")
    assert source_state(table_of("t"), bench.root, {}) == first
    ROWS.write_delta(str(place), mode="append")
    second = source_state(table_of("t"), bench.root, {})
    assert [stamp for _, _, stamp in (*first.parts, *second.parts)] == ["version 0", "version 1"]
    assert first.parts[0][1] > 0
    assert source_state(table_of("t", version=0), bench.root, {}) == first
    assert not first.volatile


def test_partition_columns_and_files_written_before_a_column_was_added(bench: Bench) -> None:
    place = str(bench.root / "t")
    ROWS.select("k", p=pl.lit("u v")).write_delta(place, delta_write_options={"partition_by": "p"})
    more = pl.DataFrame({"k": [4], "p": ["w/x"], "new": [7]})
    more.write_delta(place, mode="append", delta_write_options={"schema_mode": "merge"})
    checked = bench.check(table_of("t"), {"k": Type.INTEGER, "p": Type.STRING, "new": Type.INTEGER})
    found = sorted(zip(*bench.accepted(checked).values(), strict=True))
    assert found == [(1, "u v", None), (2, "u v", None), (3, "u v", None), (4, "w/x", 7)]


def test_rows_that_a_deletion_vector_hides_are_not_read(bench: Bench) -> None:
    place = bench.root / "t"
    ROWS.write_delta(str(place), delta_write_options={"configuration": {"delta.enableDeletionVectors": "true"}})
    _hide_first_row(place)
    assert bench.accepted(bench.check(table_of("t"), TYPES))["k"] == [2, 3]


def _hide_first_row(place: Path) -> None:
    """A new version that hides row 0 by an inline deletion vector, as the protocol's text lays one out."""
    import struct

    (entry,) = (place / "_delta_log").glob("*0.json")
    add = next(json.loads(line)["add"] for line in entry.read_text().splitlines() if '"add"' in line)
    container = struct.pack("<HHI", 0, 0, 16) + struct.pack("<H", 0)  # key 0, one value (less one), offset; value 0
    bitmap = struct.pack("<II", 12346, 1) + container
    data = struct.pack("<I", 1681511377) + struct.pack("<QI", 1, 0) + bitmap
    data += b"\0" * (-len(data) % 4)
    vector = {"storageType": "i", "pathOrInlineDv": _z85(data), "sizeInBytes": len(data), "cardinality": 1}
    remove = {"path": add["path"], "dataChange": True, "deletionTimestamp": 1}
    lines = [{"remove": remove}, {"add": {**add, "deletionVector": vector}}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (place / "_delta_log" / f"{1:020d}.json").write_text(text)


def _z85(data: bytes) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    text = ""
    for at in range(0, len(data), 4):
        number = int.from_bytes(data[at : at + 4], "big")
        text += "".join(digits[number // 85**power % 85] for power in (4, 3, 2, 1, 0))
    return text


@pytest.mark.parametrize("name", ["a b", "100%", "ünö"])
def test_a_folder_may_be_called_anything(bench: Bench, name: str) -> None:
    place = bench.root / name / "t"
    table = ROWS.with_columns(p=pl.lit("u v/%"))
    table.write_delta(place.as_uri(), delta_write_options={"partition_by": "p"})
    types = {**TYPES, "p": Type.STRING}
    for source in (table_of(f"{name}/t"), table_of(str(place))):
        assert bench.accepted(bench.check(source, types)) == table.to_dict(as_series=False)


def test_a_deletion_vector_is_found_in_a_folder_of_any_name(bench: Bench) -> None:
    place = bench.root / "a b %ü"
    properties = {"configuration": {"delta.enableDeletionVectors": "true"}}
    ROWS.write_delta(place.as_uri(), delta_write_options=properties)
    _hide_first_row(place)
    assert bench.accepted(bench.check(table_of("a b %ü"), TYPES))["k"] == [2, 3]


def test_what_is_not_understood_is_refused_and_not_read_halfway(bench: Bench) -> None:
    place = bench.root / "t"
    ROWS.write_delta(str(place))
    entry = place / "_delta_log" / f"{1:020d}.json"
    entry.write_text(json.dumps({"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}) + "\n")
    with pytest.raises(TableUnsupported, match="column mapping") as caught:
        bench.check(table_of("t"), TYPES)
    assert caught.value.exit_code == 2
    assert sorted(bench.accepted(bench.check(table_of("t", version=0), TYPES))["k"]) == [1, 2, 3]


def test_a_table_or_a_version_that_is_not_there(bench: Bench) -> None:
    with pytest.raises(SourceMissing, match="_delta_log"):
        bench.check(table_of("none"), TYPES)
    ROWS.write_delta(str(bench.root / "t"))
    with pytest.raises(VersionMissing, match="no version 9"):
        bench.check(table_of("t", version=9), TYPES)


def test_a_data_file_that_is_gone_or_cut_is_an_error(bench: Bench) -> None:
    place = bench.root / "t"
    ROWS.write_delta(str(place))
    (file,) = place.glob("*.parquet")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceUnreadable, match="gone or damaged"):
        bench.check(table_of("t"), TYPES)
    file.unlink()
    with pytest.raises(SourceUnreadable, match="gone or damaged"):
        bench.check(table_of("t"), TYPES)


def test_equal_tables_give_equal_bytes_however_their_log_is_written(bench: Bench) -> None:
    place = str(bench.root / "t")
    for n in range(5):
        ROWS.with_columns(k=pl.col("k") + n).write_delta(place, mode="append")
    first = bench.snapshot(table_of("t"), TYPES)
    DeltaTable(place).create_checkpoint()
    assert bench.snapshot(table_of("t"), TYPES).ref.sha256 == first.ref.sha256


def test_equal_tables_give_equal_bytes_in_whatever_order_a_commit_names_its_files(bench: Bench) -> None:
    names = ("t", "other")
    for name, is_reversed in zip(names, (False, True), strict=True):
        place = bench.root / name
        for n in range(4):
            ROWS.with_columns(k=pl.col("k") + 10 * n).write_parquet(_made(place) / f"part-{n}.parquet")
        DeltaTable.create(str(place), ROWS.to_arrow().schema)
        lines = [
            json.dumps(
                {
                    "add": {
                        "path": file.name,
                        "partitionValues": {},
                        "size": file.stat().st_size,
                        "modificationTime": 1,
                        "dataChange": True,
                    }
                }
            )
            for file in sorted(place.glob("*.parquet"), reverse=is_reversed)
        ]
        (place / "_delta_log" / f"{1:020d}.json").write_text("".join(f"{line}\n" for line in lines))
    first, second = (bench.snapshot(table_of(name), TYPES) for name in names)
    assert bench.read(first.ref)["k"].to_list() == [k + 10 * n for n in range(4) for k in (1, 2, 3)]
    assert second.ref.sha256 == first.ref.sha256


def _made(place: Path) -> Path:
    place.mkdir(exist_ok=True)
    return place


class TestOnS3:
    @pytest.fixture
    def place(self, bench: Bench, s3_server: S3Place) -> S3Place:
        bench.env = dict(s3_server.env)
        options = {**s3_server.env, "AWS_ALLOW_HTTP": "true"}
        ROWS.write_delta(f"{s3_server.url}/t", storage_options=options)
        return s3_server

    def test_it_is_read_in_place(self, bench: Bench, place: S3Place) -> None:
        source = table_of(f"{place.url}/t")
        assert {name: one.type for name, one in infer_types(source, bench.root, bench.env).items()} == TYPES
        assert bench.accepted(bench.check(source, TYPES)) == ROWS.to_dict(as_series=False)

    def test_a_wrong_secret_is_said_and_not_shown(self, bench: Bench, place: S3Place) -> None:
        bench.env["AWS_SECRET_ACCESS_KEY"] = "hunter2"
        with pytest.raises(SourceUnavailable) as caught:
            bench.check(table_of(f"{place.url}/t"), TYPES)
        assert "hunter2" not in str(caught.value)

    def test_a_secret_without_its_key_is_said(self, bench: Bench, place: S3Place) -> None:
        del bench.env["AWS_ACCESS_KEY_ID"]
        with pytest.raises(SourceUnavailable, match="no AWS_ACCESS_KEY_ID is set"):
            bench.check(table_of(f"{place.url}/t"), TYPES)

    def test_an_object_that_is_gone_is_named(self, bench: Bench, place: S3Place) -> None:
        remove_objects(place, ".parquet")
        with pytest.raises(SourceUnavailable, match=r"NoSuchKey \S+/t/part-\S+\.parquet"):
            bench.check(table_of(f"{place.url}/t"), TYPES)

    def test_no_table_and_no_server(self, bench: Bench, place: S3Place) -> None:
        with pytest.raises(SourceMissing):
            bench.check(table_of(f"{place.url}/none"), TYPES)
        bench.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
        with pytest.raises(SourceUnavailable):
            bench.check(table_of(f"{place.url}/t"), TYPES)
