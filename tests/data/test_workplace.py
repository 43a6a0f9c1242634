"""Rows set aside are taken out, corrected and handed back; what no longer fits is refused or reported."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.stage import Bench, source_of

from headrace.data.corrections import corrections_of, rows_of
from headrace.data.errors import CorrectionStale, CorrectionUnreadable, NothingCorrected
from headrace.data.model import CheckedSource
from headrace.data.workplace import read_rows, replay, rows_aside, write_rows
from headrace.definition.model import ColumnRule, Source
from headrace.language.types import Type
from headrace.runs.model import ObjectRef
from headrace.stores.catalog.open import open_catalog
from headrace.stores.objects.open import open_objects

TYPES = {"k": Type.INTEGER, "x": Type.FLOAT, "t": Type.STRING}


class Desk:
    """A source, its stores, and what a person does at the quarantine."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.bench = Bench(root)
        columns = {"x": ColumnRule(min=0, max=10), "t": ColumnRule(pattern="[a-z]+")}
        self.source: Source = source_of("a.csv", columns=columns, **more)
        self.catalog = open_catalog(str(root / "catalog.db"), root)
        self.objects = open_objects(str(root / ".stage" / "objects"), root, {})
        self.corrections: list[ObjectRef] = []
        self.last: CheckedSource | None = None

    def check(self, text: str | None = None) -> CheckedSource:
        from headrace.data.check import check

        if text is not None:
            self.bench.write("a.csv", text)
        snapshot = self.bench.snapshot(self.source, TYPES)
        self.last = check(snapshot, self.source, TYPES, {}, self.bench.stage.fresh(), self.corrections)
        report = self.last.report
        assert report.read == report.accepted + report.repaired + report.replayed + report.quarantined
        assert sum(n for _, n in report.reasons) == report.quarantined
        assert self.last.table.rows == report.read - report.quarantined
        return self.last

    def take(self, name: str = "rows.csv", **how: Any) -> list[dict[str, str]]:
        assert self.last is not None
        path = self.bench.root / name
        write_rows(rows_aside(self.last, self.objects, **how), path)
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def hand_back(self, rows: list[dict[str, str]], *, columns: list[str] | None = None) -> int:
        assert self.last is not None
        path = self.bench.root / "rows.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns or list(rows[0]), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        made = replay(
            path, self.last, self.source.unique, project="p", catalog=self.catalog, objects=self.objects,
            clock=lambda: 7,
        )  # fmt: skip
        self.corrections.append(made.ref)
        return made.rows


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


DATA = "k,x,t\n1,1,a\n2,-5,b\n3,99,c\nz,4,d\n5,5\n6,6,f\n"


def test_corrected_rows_stand_where_they_stood_and_have_a_line_of_their_own(desk: Desk) -> None:
    assert desk.check(DATA).report.quarantined == 4
    rows = desk.take()
    assert [(r["_row"], r["_reasons"], r["_line"]) for r in rows] == [
        ("2", "min:x", ""),
        ("3", "max:x", ""),
        ("4", "type:k", ""),
        ("5", "shape:too_few_fields", "6"),
    ]
    rows[0]["x"] = "5"
    rows[2]["k"] = "4"
    rows[3] |= {"k": "5", "x": "5", "t": "e"}
    assert desk.hand_back(rows) == 3
    checked = desk.check()
    assert desk.bench.accepted(checked) == {
        "k": [1, 2, 4, 5, 6],
        "x": [1.0, 5.0, 4.0, 5.0, 6.0],
        "t": ["a", "b", "d", "e", "f"],
    }
    report = checked.report
    assert (report.accepted, report.replayed, report.quarantined) == (2, 3, 1)
    assert desk.bench.reasons(checked) == {3: ["max:x"]}


def test_what_is_still_wrong_is_set_aside_as_corrected_and_can_be_corrected_again(desk: Desk) -> None:
    desk.check(DATA)
    rows = desk.take(rule="min")
    assert [r["_row"] for r in rows] == ["2"]
    rows[0]["x"] = "12"
    desk.hand_back(rows)
    checked = desk.check()
    assert desk.bench.reasons(checked)[2] == ["max:x"]
    assert checked.report.replayed == 0
    again = desk.take(rule="max:x")
    assert [r["x"] for r in again] == ["12", "99.0"]
    again[0]["x"] = "3"
    assert desk.hand_back(again) == 1
    assert desk.bench.accepted(desk.check())["x"] == [1.0, 3.0, 6.0]


def test_rows_added_around_it_leave_a_correction_in_force(desk: Desk) -> None:
    desk.check(DATA)
    rows = desk.take()[:1]
    rows[0]["x"] = "2"
    desk.hand_back(rows)
    checked = desk.check("k,x,t\n0,0,n\n1,1,a\n2,-5,b\n9,9,z\n")
    assert desk.bench.accepted(checked) == {"k": [0, 1, 2, 9], "x": [0.0, 1.0, 2.0, 9.0], "t": ["n", "a", "b", "z"]}
    assert checked.report.warnings == ()


def test_a_correction_whose_row_has_changed_is_not_applied_but_reported(desk: Desk) -> None:
    desk.check(DATA)
    rows = desk.take()[:1]
    rows[0]["x"] = "2"
    desk.hand_back(rows)
    checked = desk.check(DATA.replace("2,-5,b", "2,-6,b"))
    assert 2 in desk.bench.reasons(checked)
    assert checked.report.replayed == 0
    assert any("1 corrected rows are no longer in the source" in warning for warning in checked.report.warnings)


def test_of_rows_that_read_alike_the_one_that_was_meant_is_corrected(desk: Desk) -> None:
    desk.check("k,x,t\n1,-5,a\n1,-5,a\n1,-5,a\n")
    rows = desk.take()
    rows[1]["x"] = "5"
    desk.hand_back(rows)
    assert sorted(desk.bench.reasons(desk.check())) == [1, 3]


def test_the_same_corrections_give_the_same_bytes_and_without_them_all_is_as_before(desk: Desk) -> None:
    before = desk.check(DATA)
    rows = desk.take()[:1]
    rows[0]["x"] = "2"
    desk.hand_back(rows)
    first, second = desk.check(), desk.check()
    assert first == second
    desk.corrections.clear()
    assert desk.check() == before


def test_rows_can_be_matched_by_the_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path, unique=("k",))
    desk.check(DATA)
    rows = desk.take()[:2]
    rows[1]["x"] = "9"
    desk.hand_back([rows[1]], columns=["k", "x"])
    assert desk.bench.accepted(desk.check())["k"] == [1, 3, 6]


def test_a_number_from_a_spreadsheet_is_a_number(desk: Desk) -> None:
    desk.check("k,x,t\n1,-5,a\n2,-6,b\n")
    rows = desk.take()
    assert rows[0]["x"] == "'-5.0"
    rows[0]["x"] = "+5"
    desk.hand_back(rows)
    assert desk.bench.accepted(desk.check())["x"] == [5.0]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"_row": "1"}, CorrectionStale, r"does not set these rows aside \(row 1 of the file\)"),
        ({"_row": "zz"}, CorrectionStale, "does not set these rows aside"),
        ({"_snapshot": "0" * 16}, CorrectionStale, "from another snapshot"),
        ({"x": "-5.0"}, NothingCorrected, "reads as it was set aside"),
    ],
)
def test_rows_that_are_not_those_set_aside_are_refused(
    desk: Desk, change: dict[str, str], error: type[Exception], words: str
) -> None:
    desk.check(DATA)
    rows = [{**desk.take()[0], "x": "5", **change}]
    with pytest.raises(error, match=words):
        desk.hand_back(rows)


def test_a_file_that_cannot_be_matched_is_refused(desk: Desk) -> None:
    desk.check(DATA)
    rows = desk.take()[:1]
    with pytest.raises(CorrectionUnreadable, match="nothing to match its rows by: _row"):
        desk.hand_back(rows, columns=["x"])
    with pytest.raises(CorrectionUnreadable, match="has no column 'y'"):
        desk.hand_back([{**rows[0], "y": "1"}])
    with pytest.raises(CorrectionStale, match="corrected twice"):
        desk.hand_back([{**rows[0], "x": "1"}, {**rows[0], "x": "2"}])
    for name in ("bad.csv", "bad.parquet"):
        (desk.bench.root / name).write_bytes(b"")
        with pytest.raises(CorrectionUnreadable):
            read_rows(desk.bench.root / name)
    with pytest.raises(CorrectionUnreadable, match="there is no such file"):
        read_rows(desk.bench.root / "none.csv")
    with pytest.raises(CorrectionUnreadable, match="neither"):
        read_rows(desk.bench.root / "rows.xlsx")


@settings(max_examples=100)
@given(
    cells=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6), min_size=1, max_size=8)
)
def test_any_cell_comes_back_from_a_file_as_it_was_and_begins_no_formula(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    cells = [cell for cell in cells if cell] or ["="]
    frame = pl.DataFrame({"_row": range(len(cells)), "_reasons": [["a:b", "c"]] * len(cells), "t": cells})
    path = tmp_path_factory.mktemp("cells") / "rows.csv"
    write_rows(frame, path)
    assert read_rows(path)["t"].to_list() == cells
    with path.open(newline="", encoding="utf-8") as file:
        assert not [row["t"] for row in csv.DictReader(file) if row["t"].startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_a_parquet_file_is_as_good(desk: Desk) -> None:
    desk.check(DATA)
    assert desk.last is not None
    path = desk.bench.root / "rows.parquet"
    write_rows(rows_aside(desk.last, desk.objects), path)
    rows = pl.read_parquet(path)
    assert rows["_reasons"].to_list()[0] == ["min:x"]
    rows.with_columns(x=pl.lit("3")).write_parquet(path)
    made = replay(path, desk.last, (), project="p", catalog=desk.catalog, objects=desk.objects, clock=lambda: 1)
    assert made.rows == 4
    assert made.number == 1


@settings(max_examples=100)
@given(
    rows=st.lists(st.tuples(st.sampled_from("ab") | st.none(), st.integers(0, 2)), min_size=1, max_size=12),
    lost=st.sets(st.integers(0, 11), max_size=3),
    data=st.data(),
)
def test_corrections_of_any_rows_find_exactly_those_rows(
    rows: list[tuple[str | None, int]], lost: set[int], data: st.DataObject
) -> None:
    lost = {n for n in lost if n < len(rows)}
    good = [row for n, row in enumerate(rows) if n not in lost]
    raw = pl.LazyFrame(good, schema={"a": pl.String, "b": pl.Int64}, orient="row")
    places = {"row": [n + 1 for n in sorted(lost)], "file": "f", "line": 0, "reason": "r", "text": "same"}
    malformed = pl.DataFrame(places, schema_overrides={"row": pl.Int64, "line": pl.Int64}).lazy() if lost else None
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True, min_size=1))
    cells = pl.DataFrame({"a": [f"n{n}" for n in chosen], "b": ["7"] * len(chosen)})
    found = rows_of(raw, malformed, [corrections_of(raw, malformed, chosen, cells)])
    frame = found.frame.collect()
    expected = {n: (f"n{n}", "7") for n in chosen} | {
        n: (row[0], str(row[1])) for n, row in enumerate(rows) if n not in lost and n not in chosen
    }
    assert dict(zip(frame["_hr_row"], zip(frame["a"], frame["b"], strict=True), strict=True)) == expected
    assert frame["_hr_row"].is_sorted()
    assert found.stale == 0
    assert found.places["row"].to_list() == [n + 1 for n in sorted(lost - set(chosen))]
