"""The model of all rows: packed after the look at the holdout, its figures those of the model before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.examples import define, write_csv

import headrace
from headrace.app import Project
from headrace.scoring.model import Prediction
from headrace.stages.model import Outcome

TEXT = """
format = 1
[project]
name = "claims"
label = "paid"
task = "regression"
key = ["id"]
time = "at"
request = ["at", "kind", "age"]
[sources.claims]
read = "data/claims.csv"
[features]
auto = false
[training]
families = ["linear"]
budget = "2 trials"
"""


def value(prediction: Prediction) -> float:
    assert prediction.value is not None
    return prediction.value


def run(root: Path, text: str) -> Outcome:
    define(root, text)
    return Project.open(root).run()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """400 rows over 400 days; claims of the kind "new" come, and are dear, in the last fifth only."""
    draw = random.Random(6)
    rows = []
    for n in range(400):
        kind = "new" if n >= 330 and n % 2 else "old"
        at = f"2024-{1 + n // 34:02d}-{1 + n % 28:02d}T{n % 24:02d}:00:00Z"
        rows.append([n, at, kind, n % 60, round(draw.gauss(100 if kind == "old" else 900, 5), 2)])
    write_csv(tmp_path / "data" / "claims.csv", ["id", "at", "kind", "age", "paid"], rows)
    return tmp_path


def test_the_packed_model_has_learnt_from_the_holdout_and_the_figures_are_those_before(root: Path) -> None:
    before = run(root, TEXT)
    asked = [{"id": 1, "at": "2025-01-01T00:00:00Z", "kind": kind, "age": 30} for kind in ("old", "new")]
    unseen = headrace.load("claims@1", project=root).predict(asked)
    after = run(root, TEXT + "refit = true\n")
    assert after.version.number == 2
    assert after.evaluation == before.evaluation
    assert after.stages_done <= 5  # refit, register and pages; nothing is searched again
    old, new = headrace.load("claims@2", project=root).predict(asked)
    assert value(unseen[1]) < value(new) - 50  # of a level that it has hardly seen
    assert value(new) > value(old) + 250
    registry = Project.open(root).registry()
    cards = [registry.read(one.version).files["README.md"].decode() for one in (before, after)]
    assert ["It learnt from every labelled row, those of the holdout included" in card for card in cards] == [
        False,
        True,
    ]


def test_it_is_the_same_bytes_when_it_is_made_again(root: Path) -> None:
    first = run(root, TEXT + "refit = true\n")
    again = Project.open(root).run()
    assert again.version == first.version
    assert again.stages_done == 0
