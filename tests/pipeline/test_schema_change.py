"""Snapshots compared with the contract and with one another, as a person meets it on the command line."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.examples import define

from headrace.app import Project
from headrace.data.errors import ColumnMissing
from headrace.data.model import QualityReport

DEFINITION = """format = 1

[project]
name = "trips"

[sources.trips]
read = "data/*.csv"
{more}
"""


def write(root: Path, name: str, seed: int, *, factor: float = 1.0, header: str = "id,distance,sex") -> None:
    draw = random.Random(seed)
    rows = [f"{seed * 1000 + n},{draw.gammavariate(2, 300) * factor:.3f},{draw.choice('MF')}" for n in range(800)]
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "data" / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def check(root: Path) -> QualityReport:
    with Project.open(root, environment={"HEADRACE_CONFIG": str(root / "keys")}) as project:
        return project.check().reports[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose first snapshot was accepted."""
    define(tmp_path, DEFINITION.format(more=""))
    write(tmp_path, "1.csv", 1)
    assert check(tmp_path).changes == ()
    return tmp_path


def kinds(report: QualityReport) -> list[tuple[str, str, str]]:
    return [(one.kind, one.column, one.policy) for one in report.changes]


def test_a_new_file_in_another_unit_is_told_among_many_rows_that_stayed(root: Path) -> None:
    for number in range(2, 6):
        write(root, f"{number}.csv", number)
        assert check(root).changes == ()
    write(root, "6.csv", 6, factor=1.609344)
    report = check(root)
    assert kinds(report) == [("scale", "distance", "warn")]
    assert report.passed
    page = (root / ".headrace" / "reports" / "quality.html").read_text(encoding="utf-8")
    assert "from mile to km" in page


def test_the_same_snapshot_is_compared_with_the_same_one_for_ever(root: Path) -> None:
    write(root, "1.csv", 2, factor=100)
    first = check(root)
    assert kinds(first) == [("scale", "distance", "warn")]
    assert check(root) == first
    write(root, "1.csv", 3, factor=100)
    assert check(root).changes == ()  # the one before was accepted, with a warning
    write(root, "1.csv", 2, factor=100)
    assert check(root) == first
    write(root, "1.csv", 1)
    assert check(root).changes == ()  # it was the first


def test_what_was_refused_is_nothing_to_compare_with(root: Path) -> None:
    define(root, DEFINITION.format(more='[sources.trips.schema]\nsemantic = "fail"'))
    write(root, "1.csv", 2, factor=100)
    refused = check(root)
    assert refused.broken == ["change:scale:distance"]
    write(root, "1.csv", 3)
    assert check(root).changes == ()


def test_a_declared_unit_settles_the_change(root: Path) -> None:
    write(root, "1.csv", 2, factor=1.609344)
    fix = check(root).changes[0].fix
    define(root, DEFINITION.format(more=f"[sources.trips.columns]\n{fix}"))
    assert check(root).changes == ()


def test_a_missing_column_names_what_it_may_be_called_now(root: Path) -> None:
    write(root, "1.csv", 2, header="id,dist_total,sex,")
    write(root, "1.csv", 2, header="id,dist_total,sex")
    with pytest.raises(ColumnMissing, match=r'rename = \{ dist_total = "distance" \}'):
        check(root)
    define(root, DEFINITION.format(more='rename = { dist_total = "distance" }'))
    assert check(root).changes == ()


def test_a_column_that_may_be_missing_is_null(root: Path) -> None:
    define(root, DEFINITION.format(more='[sources.trips.schema]\nbreaking = "warn"'))
    write(root, "1.csv", 2, header="id,km,sex")
    report = check(root)
    assert kinds(report) == [("missing-column", "distance", "warn"), ("new-column", "km", "warn")]
    column: Any = next(one for one in report.columns if one.name == "distance")
    assert column.nulls == report.accepted == 800


def test_the_first_snapshot_is_not_compared_and_an_unknown_column_is_named(root: Path) -> None:
    write(root, "1.csv", 1, header="id,distance,sex")
    path = root / "data" / "1.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0] + ",extra", *(line + ",7" for line in lines[1:])]), encoding="utf-8")
    assert kinds(check(root)) == [("new-column", "extra", "warn")]
    define(root, DEFINITION.format(more='[sources.trips.schema]\nadditive = "accept"'))
    assert kinds(check(root)) == [("new-column", "extra", "accept")]
