"""Labels of which there is little: one class, a class of two rows, ten rows, infinite values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.examples import define, write_csv

from headrace.app import Project
from headrace.errors import CheckFailed
from headrace.training.errors import FoldsImpossible

TEXT = """
format = 1
[project]
name = "few"
label = "{label}"
key = ["id"]
request = ["x"]
[sources.rows]
read = "data/rows.csv"
[features]
auto = false
[split]
by = "stratified"
folds = 2
[training]
families = ["linear"]
budget = "1 trial"
"""


def run(root: Path, labels: list[Any], label: str) -> Any:
    write_csv(root / "data" / "rows.csv", ["id", "x", "y"], [[n, n * 7 % 11 + 0.5, y] for n, y in enumerate(labels)])
    return Project.open(define(root, TEXT.format(label=label))).run()


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed):
        run(tmp_path, ["no"] * 100, "y = 'yes'")


def test_ten_rows_give_a_version(tmp_path: Path) -> None:
    outcome = run(tmp_path, ["yes", "no"] * 5, "y = 'yes'")
    assert outcome.version.number == 1
    [said] = [one.says for one in outcome.evaluation.verdicts if one.topic == "label"]
    assert "hardly any rows to learn from: 'false' 4, 'true' 4" in said
    assert said[:40] in outcome.run_page.read_text()


def test_a_class_of_two_rows_one_of_them_held_out_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FoldsImpossible, match="undefined on every fold's validation rows") as caught:
        run(tmp_path, ["yes"] * 2 + ["no"] * 98, "y = 'yes'")
    assert "give more rows" in (caught.value.fix or "")


def test_infinite_labels_are_counted_and_left_out(tmp_path: Path) -> None:
    outcome = run(tmp_path, [*(n * 0.5 for n in range(98)), "inf", "-inf"], "y")
    assert outcome.version.number == 1
    assert "without a label: counted, never trained on" in outcome.run_page.read_text()
