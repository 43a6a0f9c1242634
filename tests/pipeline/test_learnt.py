"""What is said of the rows before anything is fitted: in the terminal, among the verdicts, on the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.examples import define, write_csv

from headrace.app import Project
from headrace.cli import main
from headrace.training.errors import TargetUnusable

TEXT = """
format = 1
[project]
name = "visits"
label = "paid"
{project}
[sources.visits]
read = "data/visits.csv"
{source}
[features]
auto = false
[split]
{split}
folds = 2
[training]
families = ["linear"]
budget = "1 trials"
"""


def visits(root: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lines = []
    for n in range(300):
        at = start + timedelta(hours=n)
        age, paid = (n * 37) % 61, (n * 37) % 61 + (n * 7) % 31 > 45
        seen = at + timedelta(hours=60)
        lines.append([at.isoformat(), seen.isoformat(), str(age), f"r{int(paid)}", str(paid).lower()])
    write_csv(root / "data" / "visits.csv", ["at", "seen", "age", "receipt", "paid"], lines)


def test_an_input_that_is_the_label_is_said_on_the_terminal_among_the_verdicts_and_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    visits(tmp_path)
    text = TEXT.format(project='request = ["age", "receipt"]', source="", split='by = "stratified"\ntrust = true')
    root = define(tmp_path, text)
    assert main(["run", "--project", str(root)]) == 0
    told = capsys.readouterr()
    assert "receipt alone nearly is the label (roc auc 1.000 on 240 rows)" in told.err
    assert "receipt alone nearly is the label" in told.out
    outcome = Project.open(root).run()
    (verdict,) = [one for one in outcome.evaluation.verdicts if one.topic == "inputs"]
    assert verdict.level == "look"
    assert "age" not in verdict.says.partition(".")[0]
    assert "receipt alone nearly is the label" in outcome.run_page.read_text(encoding="utf-8")


LATE = """[sources.visits.columns]
paid = { known = "seen" }
seen = { known = "seen" }
"""


def test_labels_that_came_too_late_are_said_and_counted_and_refused_when_none_is_left(tmp_path: Path) -> None:
    visits(tmp_path)
    project = 'time = "at"\nrequest = ["at", "age"]'
    text = TEXT.format(project=project, source=LATE, split='by = "time"')
    root = define(tmp_path, text)
    outcome = Project.open(root).run()
    (verdict,) = [one for one in outcome.evaluation.verdicts if one.topic == "late labels"]
    assert verdict.says.startswith("60 of 240 rows before the holdout were not learnt from")
    assert "2.5 days or more" in verdict.says
    assert "label not known before the holdout began: left out" in outcome.run_page.read_text(encoding="utf-8")
    define(tmp_path, text.replace("folds = 2", 'folds = 2\nembargo = "20d"'))
    with pytest.raises(TargetUnusable, match="known too late: of 240 rows before the holdout none"):
        Project.open(root).run()
