"""Looks at the holdout: every new model that is shown to it counts, what is found again does not."""

from __future__ import annotations

import random
from pathlib import Path

from tests.examples import define, edit, write_csv

from headrace.app import Project
from headrace.runs.history import get_run

TEXT = """
format = 1
[project]
name = "visits"
label = "paid = 'yes'"
key = ["id"]
request = ["age", "spent"]
[sources.visits]
read = "data/visits.csv"
[training]
families = ["linear"]
budget = "1 trial"
"""


def looks(root: Path) -> int:
    with Project.open(root) as project:
        outcome = project.run()
        with project.catalog.read() as reader:
            assert get_run(reader, project.name, outcome.run).result["holdout_looks"] == outcome.holdout_looks
        said = (
            f'times that the holdout has been looked at, this one included</td><td class="n">{outcome.holdout_looks}<'
        )
        assert said in outcome.run_page.read_text().replace("</th>", "</td>")
    return outcome.holdout_looks


def test_models_that_were_shown_to_one_holdout_are_counted(tmp_path: Path) -> None:
    draw = random.Random(4)
    rows = []
    for number in range(300):
        age, spent = draw.randint(18, 90), round(draw.random() * 100, 2)
        rows.append([number, age, spent, "yes" if age + spent + 40 * draw.random() > 110 else "no"])
    write_csv(tmp_path / "data" / "visits.csv", ["id", "age", "spent", "paid"], rows)
    root = define(tmp_path, TEXT)
    assert looks(root) == 1
    assert looks(root) == 1, "nothing was evaluated again"
    edit(root, {r'budget = "1 trial"': 'budget = "1 trial"\nmetric = "roc_auc"'})
    assert looks(root) == 2
    edit(root, {r'request = \["age", "spent"\]': 'request = ["age"]'})
    assert looks(root) == 3, "other features, the same rows"
    edit(root, {r"\[training\]": "[split]\nseed = 5\n[training]"})
    assert looks(root) == 1, "other rows"
    edit(root, {r"seed = 5": "seed = 0"})
    assert looks(root) == 3
