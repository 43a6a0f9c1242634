"""Types from the data, with evidence that a person can judge."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from tests.data.stage import Bench, source_of

from headrace.data import infer
from headrace.data.errors import SourceEmpty
from headrace.data.infer import infer_types
from headrace.definition.lock import LockedColumn
from headrace.definition.model import ColumnRule, Source
from headrace.language.types import Type


def locked(bench: Bench, source: Source) -> dict[str, LockedColumn]:
    return infer_types(source, bench.root, bench.env)


def column(bench: Bench, values: list[str], **more: Any) -> LockedColumn:
    bench.write("c.csv", "c,n\n" + "".join(f"{value},1\n" for value in values))
    return locked(bench, source_of("c.csv", **more))["c"]


@pytest.mark.parametrize(
    ("values", "type_", "words"),
    [
        (["1", "-2", " 3", "NA", ""], Type.INTEGER, "3 of 3 values are whole numbers"),
        (["1", "2.5", "1e3", "inf"], Type.FLOAT, "4 of 4 values are numbers"),
        (["99999999999999999999", "1"], Type.FLOAT, "2 of 2 values are numbers"),
        (["true", "False", "TRUE"], Type.BOOLEAN, "3 of 3 values are true or false"),
        (["0", "1"], Type.INTEGER, "2 of 2"),
        (["2013-01-01", "2013-12-31"], Type.DATE, "2 of 2 values are dates"),
        (["2013-01-01", "2013-12-31T05:00Z"], Type.TIMESTAMP, "2 of 2 values are ISO 8601 times"),
        (["2013-01-01T00:00:00+02:00", "2013-01-01 00:00"], Type.TIMESTAMP, "2 of 2"),
        (["007", "008", "9"], Type.STRING, "2 are digits with leading zeros"),
        (["0", "0.5"], Type.FLOAT, "2 of 2"),
        (["a", "b"] * 4, Type.CATEGORY, "text with 2 levels in 8 values"),
        (["a", "b", "c"], Type.STRING, "text with 3 levels in 3 values"),
        (["", "NA", ""], Type.STRING, "all 3 values are null"),
        (
            ["1", "2", "3", "four"],
            Type.STRING,
            '3 are whole numbers: type = "integer" in headrace.toml would quarantine',
        ),
    ],
)
def test_the_narrowest_type_that_every_value_is_of(bench: Bench, values: list[str], type_: Type, words: str) -> None:
    found = column(bench, values)
    assert found.type is type_
    assert words in found.evidence


def test_missing_tokens_are_no_values(bench: Bench) -> None:
    assert column(bench, ["1", "-", "none"]).type is Type.STRING
    source = {"missing": ("-",), "columns": {"c": ColumnRule(missing=("none",))}}
    assert column(bench, ["1", "-", "none"], **source).type is Type.INTEGER


def test_what_the_contract_declares_is_not_guessed(bench: Bench) -> None:
    found = column(bench, ["1", "2"], columns={"c": ColumnRule(type=Type.CATEGORY)})
    assert found == LockedColumn(type=Type.CATEGORY, evidence="declared in headrace.toml")


def test_names_are_those_after_rename_in_the_files_order(bench: Bench) -> None:
    bench.write("a.csv", "year,b\n2013,x\n")
    assert list(locked(bench, source_of("a.csv", rename=(("year", "built"),)))) == ["built", "b"]


def test_every_file_is_looked_at(bench: Bench) -> None:
    bench.write("p/1.csv", "a\n1\n2\n")
    bench.write("p/2.csv", "a\n2.5\n")
    bench.write("p/3.csv", "a\nx\n")
    assert locked(bench, source_of("p/[12].csv"))["a"].type is Type.FLOAT
    assert locked(bench, source_of("p/*.csv"))["a"].type is Type.STRING


def test_only_the_first_rows_of_each_file_are_read_and_the_evidence_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infer, "SAMPLE_ROWS", 10)
    bench.write("a.csv", "a\n" + "1\n" * 10 + "x\n")
    found = locked(bench, source_of("a.csv"))["a"]
    assert found.type is Type.INTEGER
    assert "in the first 10 rows of each file" in found.evidence


def test_a_file_with_malformed_rows_still_tells_its_types(bench: Bench) -> None:
    bench.write("a.csv", b'a,b\n1,x\n2\n3,\xff\n4,y,z\n5,"w\n')
    assert {name: one.type for name, one in locked(bench, source_of("a.csv")).items()} == {
        "a": Type.INTEGER,
        "b": Type.STRING,
    }


def test_json_types_are_believed(bench: Bench) -> None:
    rows = [
        {"i": 1, "f": 1, "b": True, "digits": "007", "number": "5", "t": "2013-01-01T00:00:00Z", "mixed": 1, "n": None},
        {"i": 2, "f": 1.5, "b": None, "digits": "9", "number": "6", "t": None, "mixed": "x"},
    ]
    bench.write("a.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    found = {name: one.type for name, one in locked(bench, source_of("a.ndjson")).items()}
    assert found == {
        "i": Type.INTEGER,
        "f": Type.FLOAT,
        "b": Type.BOOLEAN,
        "digits": Type.STRING,
        "number": Type.STRING,
        "t": Type.TIMESTAMP,
        "mixed": Type.STRING,
        "n": Type.STRING,
    }


def test_parquet_types_are_believed(bench: Bench) -> None:
    frame = pl.DataFrame({"i": [1, 2], "s": ["1", "2"], "l": [[1], [2]]}).with_columns(
        u=pl.col("i").cast(pl.UInt8),
        f=pl.col("i").cast(pl.Float32),
        t=pl.from_epoch("i", time_unit="s"),
        d=pl.date(2013, 1, 1),
    )
    frame.write_parquet(bench.root / "a.parquet")
    found = {name: one.type for name, one in locked(bench, source_of("a.parquet")).items()}
    expected = {"i": "integer", "s": "string", "u": "integer", "f": "float", "t": "timestamp", "d": "date"}
    assert found == expected  # a list is no column of values


@pytest.mark.parametrize(("name", "data"), [("a.csv", "a,b\n"), ("a.ndjson", ""), ("a.ndjson", "\n\n")])
def test_nothing_to_infer_from_is_an_error(bench: Bench, name: str, data: str) -> None:
    bench.write(name, data)
    with pytest.raises(SourceEmpty, match=name):
        locked(bench, source_of(name))


def test_many_files_give_fewer_rows_each(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer, "ALL_ROWS", 40)
    monkeypatch.setattr(infer, "FEWEST_ROWS", 2)
    for n in range(10):
        bench.write(f"p/{n}.csv", "c\n" + "1\n" * 100)
    found = locked(bench, source_of("p/*.csv"))["c"]
    assert found.evidence == "40 of 40 values are whole numbers in the first 4 rows of each file"
