"""Iceberg tables as pyiceberg writes them, on this machine and on a real S3 server."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import IntegerType
from tests.conftest import S3Place, remove_objects
from tests.data.stage import Bench, source_of

from headrace.data.errors import (
    SourceEmpty,
    SourceMissing,
    SourceUnavailable,
    SourceUnreadable,
    TableUnsupported,
    VersionMissing,
)
from headrace.data.infer import infer_types
from headrace.data.state import source_state
from headrace.definition.model import Source
from headrace.language.types import Type

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
ROWS = pl.DataFrame({"k": [1, 2, 3], "x": ["a", None, "c"], "at": [NOON] * 3, "amount": [0.5, 1.5, None]})
TYPES = {"k": Type.INTEGER, "x": Type.STRING, "at": Type.TIMESTAMP, "amount": Type.FLOAT}


def table_of(address: str, **more: Any) -> Source:
    return source_of(address, format="iceberg", missing=(), **more)


class Lake:
    """Tables under one folder, or one prefix of a store, kept by a catalog that only the tests have."""

    def __init__(self, root: Path, warehouse: str, **settings: str) -> None:
        self.catalog = SqlCatalog("lake", uri=f"sqlite:///{root}/catalog.db", warehouse=warehouse, **settings)
        self.catalog.create_namespace("n")

    def make(self, rows: pl.DataFrame = ROWS, **more: Any) -> Table:
        arrow = rows.to_arrow()
        table = self.catalog.create_table("n.t", schema=more.pop("schema", arrow.schema), **more)
        table.append(arrow)
        return table

    def table(self) -> Table:
        return self.catalog.load_table("n.t")


@pytest.fixture
def lake(bench: Bench) -> Lake:
    return Lake(bench.root, f"file://{bench.root}/lake")


PLACE = "lake/n/t"


def keys(bench: Bench, **more: Any) -> list[int]:
    return sorted(bench.accepted(bench.check(table_of(PLACE, **more), TYPES))["k"])


def test_types_and_values_come_across(bench: Bench, lake: Lake) -> None:
    lake.make()
    assert {name: one.type for name, one in infer_types(table_of(PLACE), bench.root, {}).items()} == TYPES
    assert bench.accepted(bench.check(table_of(PLACE), TYPES)) == ROWS.to_dict(as_series=False)


def test_decimals_come_across_to_the_last_digit(bench: Bench, lake: Lake) -> None:
    amounts = [Decimal("123456789012.123456"), None, Decimal("-0.000001")]
    digits = {"a": (18, 6), "b": (38, 9)}
    lake.make(pl.DataFrame([pl.Series(name, amounts, dtype=pl.Decimal(*own)) for name, own in digits.items()]))
    found = {name: one.type for name, one in infer_types(table_of(PLACE), bench.root, {}).items()}
    assert found == {"a": Type.DECIMAL, "b": Type.FLOAT}
    exact = bench.accepted(bench.check(table_of(PLACE), dict.fromkeys(found, Type.DECIMAL)))
    assert exact == {"a": amounts, "b": amounts}


def test_the_newest_snapshot_or_the_one_that_is_named(bench: Bench, lake: Lake) -> None:
    table = lake.make()
    table.append(ROWS.with_columns(k=pl.col("k") + 10).to_arrow())
    table.delete("k = 2")
    ids = [snapshot.snapshot_id for snapshot in lake.table().snapshots()]
    found = [keys(bench, version=version) for version in (*ids, None)]
    assert found == [[1, 2, 3], [1, 2, 3, 11, 12, 13], [1, 3, 11, 12, 13], [1, 3, 11, 12, 13]]


def test_a_metadata_file_that_is_named_is_the_table_as_it_was(bench: Bench, lake: Lake) -> None:
    table = lake.make()
    before = table.metadata_location.removeprefix(f"file://{bench.root}/")
    table.append(ROWS.with_columns(k=pl.col("k") + 10).to_arrow())
    checked = bench.check(table_of(before), TYPES)
    assert bench.accepted(checked)["k"] == [1, 2, 3]


def test_the_state_is_the_snapshot(bench: Bench, lake: Lake) -> None:
    table = lake.make()
    first = source_state(table_of(PLACE), bench.root, {})
    (bench.root / PLACE / "data" / "left_over.parquet").write_bytes(b"of a writer that was killed")
    assert source_state(table_of(PLACE), bench.root, {}) == first
    at = table.current_snapshot()
    assert at is not None
    named = source_state(table_of(PLACE, version=at.snapshot_id), bench.root, {})
    table.append(ROWS.to_arrow())
    second = source_state(table_of(PLACE), bench.root, {})
    assert first.parts != second.parts
    assert (first.parts[0][1] > 0, first.volatile) == (True, False)
    assert second.parts[0][1] == 2 * first.parts[0][1]
    assert source_state(table_of(PLACE, version=at.snapshot_id), bench.root, {}) == named


def test_the_metadata_with_the_highest_number_is_the_newest_and_not_the_last_by_name(bench: Bench, lake: Lake) -> None:
    table = lake.make()
    for n in range(2, 13):
        table.append(ROWS.with_columns(k=pl.col("k") + 10 * n).to_arrow())
    metadata = bench.root / PLACE / "metadata"
    for path in metadata.glob("*.metadata.json"):  # as a Hadoop catalog names them
        path.rename(metadata / f"v{int(path.name.partition('-')[0])}.metadata.json")
    (metadata / "version-hint.text").write_text("3")
    assert len(keys(bench)) == 36


def test_two_newest_metadata_files_are_not_chosen_between(bench: Bench, lake: Lake) -> None:
    table = lake.make()
    newest = Path(table.metadata_location.removeprefix("file://"))
    shutil.copy(newest, newest.with_name(newest.name.partition("-")[0] + "-0f0f.metadata.json"))
    with pytest.raises(TableUnsupported, match="two commits have its highest number"):
        keys(bench)
    assert bench.check(table_of(str(newest)), TYPES).report.accepted == 3


def test_columns_that_were_renamed_added_or_dropped(bench: Bench, lake: Lake) -> None:
    table = lake.make()
    with table.update_schema() as update:
        update.rename_column("x", "label")
        update.add_column("new", IntegerType())
        update.delete_column("amount")
    lake.table().append(
        pl.DataFrame(
            {"k": [4], "label": ["d"], "at": [NOON], "new": [7]}, schema_overrides={"new": pl.Int32}
        ).to_arrow()
    )
    checked = bench.check(
        table_of(PLACE), {"k": Type.INTEGER, "label": Type.STRING, "at": Type.TIMESTAMP, "new": Type.INTEGER}
    )
    found = bench.accepted(checked)
    assert set(found) == {"k", "label", "at", "new"}
    rows = sorted(zip(found["k"], found["label"], found["new"], strict=True))
    assert rows == [(1, "a", None), (2, None, None), (3, "c", None), (4, "d", 7)]
    first = lake.table().snapshots()[0].snapshot_id
    assert bench.accepted(bench.check(table_of(PLACE, version=first), TYPES)) == ROWS.to_dict(as_series=False)


def test_partitions_by_a_column(bench: Bench, lake: Lake) -> None:
    table = lake.catalog.create_table("n.t", schema=ROWS.to_arrow().schema)
    with table.update_spec() as update:
        update.add_field("x", IdentityTransform(), "letter")
    lake.table().append(ROWS.to_arrow())
    assert len(list(lake.table().scan().plan_files())) == 3
    assert keys(bench) == [1, 2, 3]


def _hide_rows(bench: Bench, lake: Lake, content: int) -> None:
    """A new snapshot with a delete file: of positions (1) or of values (2), as the format's text lays them out."""
    from pyiceberg.manifest import (
        DataFile,
        DataFileContent,
        FileFormat,
        ManifestContent,
        ManifestEntry,
        ManifestEntryStatus,
        ManifestWriterV2,
        write_manifest_list,
    )
    from pyiceberg.typedef import Record

    table = lake.table()
    (task,) = table.scan().plan_files()
    folder = bench.root / PLACE
    path = folder / "data" / "deletes.parquet"
    if content == 1:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema(
            [
                pa.field("file_path", pa.string(), False, {"PARQUET:field_id": "2147483546"}),
                pa.field("pos", pa.int64(), False, {"PARQUET:field_id": "2147483545"}),
            ]
        )
        pq.write_table(pa.table({"file_path": [task.file.file_path], "pos": [0]}, schema=schema), path)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([pa.field("k", pa.int64(), False, {"PARQUET:field_id": "1"})])
        pq.write_table(pa.table({"k": [1]}, schema=schema), path)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    deletes = DataFile.from_args(
        content=DataFileContent(content),
        file_path=f"file://{path}",
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=1,
        file_size_in_bytes=path.stat().st_size,
        equality_ids=[1] if content == 2 else None,
    )

    class DeletesWriter(ManifestWriterV2):
        def content(self) -> ManifestContent:
            return ManifestContent.DELETES

        @property
        def _meta(self) -> dict[str, str]:
            return {**super()._meta, "content": "deletes"}

    new = 77
    manifest = folder / "metadata" / "deletes.avro"
    with DeletesWriter(table.spec(), table.schema(), table.io.new_output(f"file://{manifest}"), new, "null") as writer:
        writer.add_entry(
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED,
                snapshot_id=new,
                sequence_number=None,
                file_sequence_number=None,
                data_file=deletes,
            )
        )
    number = (snapshot.sequence_number or 0) + 1
    listed = folder / "metadata" / "snap-77.avro"
    lists = write_manifest_list(2, table.io.new_output(f"file://{listed}"), new, snapshot.snapshot_id, number, "null")
    with lists as out:
        out.add_manifests([*snapshot.manifests(table.io), writer.to_manifest_file()])
    document = json.loads(Path(table.metadata_location.removeprefix("file://")).read_text())
    last = dict(document["snapshots"][-1])
    last |= {
        "snapshot-id": new,
        "parent-snapshot-id": snapshot.snapshot_id,
        "sequence-number": number,
        "manifest-list": f"file://{listed}",
    }
    document["snapshots"].append(last)
    document |= {"current-snapshot-id": new, "last-sequence-number": number}
    document["refs"]["main"]["snapshot-id"] = new
    (folder / "metadata" / "00099-0a0a.metadata.json").write_text(json.dumps(document))


def test_rows_that_a_position_delete_hides_are_not_read(bench: Bench, lake: Lake) -> None:
    lake.make()
    _hide_rows(bench, lake, 1)
    assert keys(bench) == [2, 3]


def test_deletes_by_value_are_refused_and_not_read_halfway(bench: Bench, lake: Lake) -> None:
    table = lake.make()
    before = table.snapshots()[0].snapshot_id
    _hide_rows(bench, lake, 2)
    with pytest.raises(TableUnsupported, match="deleted by their values") as caught:
        keys(bench)
    assert caught.value.exit_code == 2
    assert keys(bench, version=before) == [1, 2, 3]


def test_a_newer_form_of_the_format_is_refused(bench: Bench, lake: Lake) -> None:
    newest = Path(lake.make().metadata_location.removeprefix("file://"))
    newest.write_text(json.dumps(json.loads(newest.read_text()) | {"format-version": 3, "next-row-id": 0}))
    with pytest.raises(TableUnsupported, match="format version 3"):
        keys(bench)


def test_a_table_or_a_snapshot_that_is_not_there(bench: Bench, lake: Lake) -> None:
    with pytest.raises(SourceMissing, match="no Iceberg table"):
        bench.check(table_of("none"), TYPES)
    lake.make()
    with pytest.raises(VersionMissing, match="no version 9"):
        keys(bench, version=9)


@pytest.mark.parametrize("name", ["a b", "100%", "50%20x", "ünö"])
def test_a_folder_may_be_called_anything(bench: Bench, name: str) -> None:
    folder = bench.root / name
    folder.mkdir()
    Lake(bench.root, f"file://{folder}/lake").make()
    for source in (table_of(f"{name}/lake/n/t"), table_of(f"{folder}/lake/n/t")):
        assert bench.accepted(bench.check(source, TYPES)) == ROWS.to_dict(as_series=False)


def test_a_commit_that_changes_columns_alone_is_another_state(bench: Bench, lake: Lake) -> None:
    table = lake.make()
    before = source_state(table_of(PLACE), bench.root, {})
    with table.update_schema() as update:
        update.rename_column("x", "label")
    assert source_state(table_of(PLACE), bench.root, {}) != before


def test_metadata_may_be_packed(bench: Bench, lake: Lake) -> None:
    path = Path(lake.make().metadata_location.removeprefix("file://"))
    packed = path.with_name(f"{path.name.partition('.')[0]}.gz.metadata.json")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert keys(bench) == [1, 2, 3]


@pytest.mark.parametrize("text", ["{}", '{"format-version": 2', "[]", ""])
def test_metadata_that_describes_no_table_is_named(bench: Bench, lake: Lake, text: str) -> None:
    path = Path(lake.make().metadata_location.removeprefix("file://"))
    path.write_text(text)
    with pytest.raises(SourceUnreadable, match=rf"{path.name}.*cut or damaged: it describes no table"):
        keys(bench)


@pytest.mark.parametrize("part", ["*.metadata.json", "snap-*.avro", "*-m0.avro", "*.parquet"])
def test_a_file_that_is_gone_or_cut_is_an_error(bench: Bench, lake: Lake, part: str) -> None:
    lake.make()
    said = "describes no table" if part == "*.metadata.json" else "gone or damaged"
    path = max((bench.root / PLACE).rglob(part))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceUnreadable, match=said):
        keys(bench)
    path.write_bytes(b"")
    with pytest.raises(SourceUnreadable, match=said):
        keys(bench)
    path.unlink()
    if part == "*.metadata.json":  # the table is as it was before its last commit
        with pytest.raises(SourceEmpty):
            keys(bench)
        return
    with pytest.raises(SourceUnreadable, match=said):
        keys(bench)


def test_columns_of_types_that_are_not_read_are_left_out_and_told(bench: Bench, lake: Lake) -> None:
    lake.make(ROWS.select("k", tags=pl.concat_list("k"), both=pl.struct("k", "x")))
    snapshot = bench.snapshot(table_of(PLACE), {"k": Type.INTEGER})
    assert snapshot.columns == ("k",)
    assert len(snapshot.warnings) == 2


class TestOnS3:
    @pytest.fixture
    def place(self, bench: Bench, s3_server: S3Place) -> S3Place:
        bench.env = dict(s3_server.env)
        settings = {
            "s3.endpoint": s3_server.env["AWS_ENDPOINT_URL"],
            "s3.access-key-id": s3_server.env["AWS_ACCESS_KEY_ID"],
            "s3.secret-access-key": s3_server.env["AWS_SECRET_ACCESS_KEY"],
            "s3.region": s3_server.env.get("AWS_REGION", "us-east-1"),
        }
        Lake(bench.root, s3_server.url, **settings).make()
        return s3_server

    def test_it_is_read_in_place(self, bench: Bench, place: S3Place) -> None:
        source = table_of(f"{place.url}/n/t")
        assert {name: one.type for name, one in infer_types(source, bench.root, bench.env).items()} == TYPES
        assert bench.accepted(bench.check(source, TYPES)) == ROWS.to_dict(as_series=False)

    def test_a_wrong_secret_is_said_and_not_shown(self, bench: Bench, place: S3Place) -> None:
        bench.env["AWS_SECRET_ACCESS_KEY"] = "hunter2"
        with pytest.raises(SourceUnavailable) as caught:
            bench.check(table_of(f"{place.url}/n/t"), TYPES)
        assert "hunter2" not in str(caught.value)

    def test_a_secret_without_its_key_is_said(self, bench: Bench, place: S3Place) -> None:
        del bench.env["AWS_ACCESS_KEY_ID"]
        with pytest.raises(SourceUnavailable, match="no AWS_ACCESS_KEY_ID is set"):
            bench.check(table_of(f"{place.url}/n/t"), TYPES)

    def test_an_object_that_is_gone_is_named(self, bench: Bench, place: S3Place) -> None:
        remove_objects(place, ".parquet")
        with pytest.raises(SourceUnavailable, match=r"NoSuchKey \S+/n/t/data/\S+\.parquet"):
            bench.check(table_of(f"{place.url}/n/t"), TYPES)

    def test_no_table(self, bench: Bench, place: S3Place) -> None:
        with pytest.raises(SourceMissing):
            bench.check(table_of(f"{place.url}/none"), TYPES)
