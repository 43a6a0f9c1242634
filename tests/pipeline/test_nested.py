"""`[evaluation] nested`: a stage of its own beside the run, which changes nothing else of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.examples import define, write_csv

from headrace.app import Project
from headrace.cli import main

TEXT = """
format = 1
[project]
name = "visits"
label = "paid"
[sources.visits]
read = "data/visits.csv"
[features]
auto = false
[split]
by = "stratified"
trust = true
folds = 3
[training]
families = ["linear"]
budget = "4 trials"
"""


def test_nested_validation_is_asked_for_afterwards_and_looks_at_no_holdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [[str(n), str((n * 7) % 31), str((n * 7) % 31 + n % 5 > 17).lower()] for n in range(300)]
    write_csv(tmp_path / "data" / "visits.csv", ["id", "age", "paid"], lines)
    root = define(tmp_path, TEXT)
    before = Project.open(root).run()
    assert before.nested is None
    define(tmp_path, TEXT + "[evaluation]\nnested = 2\n")
    after = Project.open(root).run()
    assert after.nested is not None
    assert after.nested.budget == "2 trials"
    assert [one.note for one in after.nested.parts] == ["", ""]
    assert after.holdout_looks == before.holdout_looks == 1
    assert after.evaluation.metrics == before.evaluation.metrics
    assert {v.topic for v in after.evaluation.verdicts} - {v.topic for v in before.evaluation.verdicts} == {"procedure"}
    assert main(["show", "last", "--project", str(root)]) == 0
    said = capsys.readouterr().out
    assert "nested validation, 2 trials a part:" in said
    assert "search and choice give average precision" in said
    assert "search and choice give average precision" in after.run_page.read_text(encoding="utf-8")
