"""Predictions of one version by the file and by the row: the same numbers to the bit, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.examples import flights_rows, write_csv

import headrace
from headrace.app import Project
from headrace.data.errors import CastRefused
from headrace.scoring import batch
from headrace.scoring.errors import (
    ColumnMissing,
    ColumnUnknown,
    FileColumnMissing,
    FileColumnUnknown,
    OutputFailed,
    OutputUnknown,
    RowsUnreadable,
    SignerNotTrusted,
    ValueRefused,
)
from headrace.testing.faults import small_disk

CHAMPION = "flight-delays@champion"
ASKED = (
    *("year", "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin", "dest"),
    *("distance", "hour", "minute", "time_hour"),
)


def asked_rows(days: Sequence[int], origins: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a request: without anything that is known later."""
    header, rows = flights_rows(days, origins)
    return [{name: row[header.index(name)] for name in ASKED} for row in rows]


@pytest.fixture(scope="module")
def mixed() -> list[dict[str, str]]:
    """Several hundred rows: in the history, before it and after it, with nulls, levels never seen, odd numbers."""
    inside, after = asked_rows([2, 7], ["LGA"])[::3], asked_rows([9, 11], ["LGA", "JFK", "EWR"])[::9]
    rows = inside + after
    before = [{**row, "time_hour": row["time_hour"].replace("2013-01", "2012-12")} for row in inside[:40]]
    odd: list[Mapping[str, str]] = [
        {"carrier": "ZZ", "dest": "XXX"},
        {"tailnum": ""},
        {"tailnum": "NA", "distance": "NA"},
        {"distance": ""},
        {"distance": "1e30"},
        {"distance": "nan"},
        {"carrier": "", "origin": "", "dest": "", "tailnum": "", "distance": ""},
        {"carrier": "Æ✈", "tailnum": " N14228 "},
        {"time_hour": "2030-06-01T10:00:00Z"},
    ]
    return before + rows + [{**rows[number], **change} for number, change in enumerate(odd)]


def bits(numbers: Sequence[float]) -> list[bytes]:
    return [struct.pack("<d", number) for number in numbers]


def as_sent(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of a CSV file as a program would send it."""
    whole = {"year", "month", "day", "sched_dep_time", "sched_arr_time", "flight", "hour", "minute"}
    values: dict[str, Any] = {name: None if text in ("", "NA") else text for name, text in row.items()}
    for name in whole & values.keys():
        values[name] = int(values[name])
    if values["distance"] is not None:
        values["distance"] = float(values["distance"])
    return values


def test_by_the_file_and_by_the_row_are_the_same_numbers_to_the_bit(
    delays: Path, mixed: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_ROWS", 257)
    rows = write_csv(tmp_path / "rows.csv", ASKED, [list(row.values()) for row in mixed])
    project = Project.open(delays)
    done = project.predict(CHAMPION, rows, tmp_path / "scores.parquet", reasons=3)
    by_file = pl.read_parquet(tmp_path / "scores.parquet")
    sent = [as_sent(row) for row in mixed]
    by_row = headrace.load(CHAMPION, project=delays).predict(sent, reasons=3)
    assert done.rows == len(by_file) == len(by_row) == len(mixed) > 400
    assert bits(by_file["probability"].to_list()) == bits([one.probability or 0.0 for one in by_row])
    assert by_file["decision"].to_list() == [one.decision for one in by_row]
    assert by_file["set"].to_list() == [list(one.set or ()) for one in by_row]
    assert all(one.set for one in by_row)
    assert by_file["reasons"].to_list() == [
        [{"feature": reason.feature, "effect": reason.effect} for reason in one.reasons] for one in by_row
    ]
    assert by_file["flight"].to_list() == [row["flight"] for row in sent]
    assert len(by_file["probability"].unique()) > len(mixed) / 2

    scorer = project.load("flight-delays@1")  # one at a time, another path, and what was asked alone changes nothing
    for number in range(0, len(sent), 29):
        assert bits([scorer.predict([sent[number]])[0].probability or 0.0]) == bits([by_file["probability"][number]])


def test_every_output_format_says_the_same(
    delays: Path, mixed: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_ROWS", 100)
    rows = write_csv(tmp_path / "rows.csv", ASKED, [list(row.values()) for row in mixed])
    project = Project.open(delays)
    for name in ("s.parquet", "s.csv", "s.ndjson", "s.jsonl"):
        project.predict(CHAMPION, rows, tmp_path / name, reasons=2)
    told = pl.read_parquet(tmp_path / "s.parquet")
    lines = [json.loads(line) for line in (tmp_path / "s.ndjson").read_text().splitlines()]
    with (tmp_path / "s.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert (tmp_path / "s.jsonl").read_bytes() == (tmp_path / "s.ndjson").read_bytes()
    for read in (lines, cells):
        assert list(read[0]) == told.columns
        assert bits([float(row["probability"]) for row in read]) == bits(told["probability"].to_list())
    assert [row["reasons"] for row in lines] == told["reasons"].to_list()
    assert [json.loads(row["reasons"]) for row in cells] == told["reasons"].to_list()
    assert told["sched_dep_at"].dtype == pl.Datetime("us", "UTC")
    assert cells[0]["sched_dep_at"] == told["sched_dep_at"][0].strftime("%Y-%m-%dT%H:%M:%SZ")


def test_every_input_format_gives_the_same(delays: Path, mixed: list[dict[str, str]], tmp_path: Path) -> None:
    plain = [row for row in mixed if "nan" not in row["distance"]]
    text = write_csv(tmp_path / "rows.csv", ASKED, [list(row.values()) for row in plain])
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(text.read_bytes()))
    sent = pl.DataFrame([as_sent(row) for row in plain], infer_schema_length=None)
    sent.write_parquet(tmp_path / "rows.parquet")
    sent.write_ndjson(tmp_path / "rows.ndjson")
    project = Project.open(delays)
    scores = []
    for name in ("rows.csv", "rows.csv.gz", "rows.parquet", "rows.ndjson"):
        project.predict(CHAMPION, tmp_path / name, tmp_path / "scores.parquet")
        scores.append(pl.read_parquet(tmp_path / "scores.parquet"))
    assert all(other.equals(scores[0]) for other in scores[1:])


def test_a_column_that_is_missing_unknown_or_of_the_wrong_type_is_named(
    delays: Path, mixed: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_ROWS", 100)
    project, out = Project.open(delays), tmp_path / "scores.parquet"
    scorer = project.load(CHAMPION)

    def refused(rows: list[dict[str, str]], kind: type[Exception]) -> Any:
        path = write_csv(tmp_path / "rows.csv", list(rows[0]), [list(row.values()) for row in rows])
        with pytest.raises(kind) as caught:
            project.predict(CHAMPION, path, out)
        assert list(tmp_path.glob("*scores*")) == [], "nothing half-written stays"
        return caught.value

    lacking = [{name: value for name, value in row.items() if name != "distance"} for row in mixed]
    assert refused(lacking, FileColumnMissing).facts["column"] == "distance"
    with pytest.raises(ColumnMissing) as by_row:
        scorer.predict([as_sent(mixed[0]), {"carrier": "UA"}])
    assert by_row.value.facts["row"] == 1

    more = [{**row, "distanse": "1"} for row in mixed]
    unknown = refused(more, FileColumnUnknown)
    assert (unknown.facts["column"], unknown.facts["near"]) == ("distanse", "distance")
    with pytest.raises(ColumnUnknown, match="did you mean 'distance'"):
        scorer.predict([{**as_sent(mixed[0]), "distanse": 1}])
    assert project.predict(CHAMPION, tmp_path / "rows.csv", out, ignore_unknown=True).rows == len(mixed)
    out.unlink()

    for place in (0, 99, 100, 345):
        wrong = [dict(row) for row in mixed]
        wrong[place]["distance"] = "hunter2"
        error = refused(wrong, CastRefused)
        assert error.facts == {"column": "distance", "expected": "float", "row": place + 1}
        assert "hunter2" not in str(error)
        assert error.exit_code == 2
    with pytest.raises(ValueRefused, match=r"rows\[1\], column 'distance'") as value:
        scorer.predict([as_sent(mixed[0]), {**as_sent(mixed[1]), "distance": "hunter2"}])
    assert "hunter2" not in str(value.value)


def test_a_file_that_is_damaged_or_holds_nothing_is_named(
    delays: Path, mixed: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_ROWS", 100)
    project, out = Project.open(delays), tmp_path / "scores.parquet"
    whole = write_csv(tmp_path / "rows.csv", ASKED, [list(row.values()) for row in mixed]).read_bytes()
    out.write_bytes(b"the scores of yesterday")
    packed = gzip.compress(whole)
    for name, data in (
        ("none.csv", None),
        ("rows.xlsx", whole),
        ("empty.csv", b""),
        ("cut.csv.gz", packed[: len(packed) // 2]),
        ("wide.csv", whole + b"1,2,3" * 40 + b"\n"),
        ("latin.csv", whole + "é".encode("latin1") * 10 + b"\n"),
        ("text.parquet", whole),
        ("cut.ndjson", b'{"carrier": "UA"}\n{"carrier": '),
    ):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        for answers in (out, out.with_suffix(".csv")):
            with pytest.raises(RowsUnreadable) as caught:
                project.predict(CHAMPION, tmp_path / name, answers)
            assert name in str(caught.value)
            assert caught.value.exit_code == 3
            assert caught.value.fix
    assert out.read_bytes() == b"the scores of yesterday"
    assert not out.with_suffix(".csv").exists()
    with pytest.raises(OutputUnknown):
        project.predict(CHAMPION, tmp_path / "rows.csv", tmp_path / "scores.xlsx")


def test_a_file_without_rows_gives_columns_without_rows(delays: Path, tmp_path: Path) -> None:
    project = Project.open(delays)
    rows = write_csv(tmp_path / "rows.csv", ASKED, [])
    for name in ("s.parquet", "s.csv", "s.ndjson"):
        assert project.predict(CHAMPION, rows, tmp_path / name).rows == 0
    assert {"carrier", "flight", "probability", "decision"} <= set(pl.read_parquet(tmp_path / "s.parquet").columns)
    assert (tmp_path / "s.csv").read_text().startswith("carrier,flight,sched_dep_at,probability,decision")
    assert project.load(CHAMPION).predict([]) == []


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv", "scores.ndjson"])
def test_on_a_full_disk_the_old_answers_stay(
    name: str, delays: Path, mixed: list[dict[str, str]], tmp_path: Path
) -> None:
    rows = write_csv(tmp_path / "rows.csv", ASKED, [list(row.values()) for row in mixed * 20])
    project = Project.open(delays)
    with small_disk(tmp_path / "disk", size_bytes=1 << 14) as disk:
        out = disk / name
        out.write_bytes(b"the scores of yesterday")
        with pytest.raises(OutputFailed, match=r"No space left|too large") as caught:
            project.predict(CHAMPION, rows, out, reasons=3)
        assert caught.value.exit_code == 3
        assert out.read_bytes() == b"the scores of yesterday"
        assert [path.name for path in disk.iterdir()] == [name]


def test_a_package_of_an_unknown_signer_is_refused(
    delays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "somebody-else"))
    from headrace.governance.signing import load_or_create_key

    load_or_create_key(tmp_path / "somebody-else")
    with pytest.raises(SignerNotTrusted) as caught:
        headrace.load(CHAMPION, project=delays)
    assert caught.value.exit_code == 1
    assert "trust" in str(caught.value.fix)
