"""Files of rows as people have them: parted, named and keyed as their source is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.scoring.made import COLUMNS, KEY, id_of, package_files, program, signed

from headrace.definition.model import Source, Task
from headrace.scoring.batch import Contract, predict_file
from headrace.scoring.errors import FileColumnMissing, OutputIsInput
from headrace.scoring.package import read_package
from headrace.scoring.scorer import Scorer

NAMES = ("carrier", "distance", "seats", "vip", "due")
ROW = ("UA", "1400.5", "120", "true", "2013-01-01T23:15:00Z")


def scorer(key: tuple[str, ...], task: Task = "binary") -> Scorer:
    own = {"program.json": msgspec.json.encode(msgspec.structs.replace(program(), key=key))}
    stored = signed(package_files(task, replaced=own), task=task)
    return Scorer(read_package(stored.__getitem__, package=id_of(stored), signers=[KEY.public]), 3)


def contract(*key: str, separator: str | None = None) -> Contract:
    source = Source(name="flights", read=("flights.csv",), format="csv", separator=separator)
    return Contract(source, {**COLUMNS, **dict.fromkeys(key, COLUMNS["seats"])})


def write(path: Path, separator: str, names: tuple[str, ...] = NAMES, row: tuple[str, ...] = ROW) -> Path:
    path.write_text(f"{separator.join(names)}\n{separator.join(row)}\n")
    return path


@pytest.mark.parametrize("key", ["value", "model", "version", "probability", "set", "reasons"])
@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_a_key_that_is_called_as_an_answer_is_comes_under_a_name_of_its_own(
    key: str, ending: str, tmp_path: Path
) -> None:
    path, out = write(tmp_path / "rows.csv", ",", (key, *NAMES), ("17", *ROW)), tmp_path / f"out.{ending}"
    predict_file(scorer((key,)), contract(key), {}, path, out, reasons=2)
    read = pl.read_parquet(out) if ending == "parquet" else pl.read_csv(out) if ending == "csv" else pl.read_ndjson(out)
    assert read.columns == [f"key_{key}", "probability", "decision", "reasons", "model", "version"]
    assert read[f"key_{key}"].to_list() == [17]
    assert read["version"].to_list() == [3]


def test_a_key_keeps_its_name_where_it_can(tmp_path: Path) -> None:
    key = ("key_version", "version", "probability_early", "probability_none")
    path, out = write(tmp_path / "rows.csv", ",", (*key, *NAMES), ("1", "2", "3", "4", *ROW)), tmp_path / "out.csv"
    predict_file(scorer(key, "multiclass"), contract(*key), {}, path, out)
    named = ["key_version", "key_key_version", "key_probability_early", "probability_none"]
    assert pl.read_csv(out).columns[:4] == named
    assert pl.read_csv(out).row(0)[:4] == (1, 2, 3, 4)


def test_a_file_is_parted_as_its_source_is_or_as_files_usually_are(tmp_path: Path) -> None:
    answers = []
    for name, separator, of_source in (
        ("usual.csv", ",", None),
        ("semicolons.csv", ";", ";"),
        ("bars.tsv", "|", "|"),
        ("commas.csv", ",", ";"),
        ("tabs.tsv", "\t", ";"),
    ):
        path = write(tmp_path / name, separator)
        predict_file(scorer(()), contract(separator=of_source), {}, path, tmp_path / "out.csv")
        answers.append((tmp_path / "out.csv").read_bytes())
    assert len({*answers}) == 1
    with pytest.raises(FileColumnMissing):
        predict_file(scorer(()), contract(), {}, tmp_path / "semicolons.csv", tmp_path / "out.csv")


def test_names_are_read_as_those_of_a_source_are(tmp_path: Path) -> None:
    write(tmp_path / "plain.csv", ",", (*NAMES, "column_6"), (*ROW, "7"))
    write(tmp_path / "rows[1].csv", ",", (" carrier ", "distance", "seats ", " vip", "due", ""), (*ROW, "7"))
    write(tmp_path / "rows1.csv", ",", ("another",), ("file",))
    for name in ("plain", "rows[1]"):
        predict_file(scorer(()), contract("column_6"), {}, tmp_path / f"{name}.csv", tmp_path / f"{name}.ndjson")
    assert (tmp_path / "rows[1].ndjson").read_bytes() == (tmp_path / "plain.ndjson").read_bytes()


def test_the_answers_never_take_the_place_of_the_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ",")
    (tmp_path / "same.csv").symlink_to(path)
    before = path.read_bytes()
    for out in (path, tmp_path / "same.csv"):
        with pytest.raises(OutputIsInput, match="is the file of the rows"):
            predict_file(scorer(()), contract(), {}, path, out)
    assert path.read_bytes() == before
