"""Rows are not drawn where a quick model shows what that hides; a definition may insist."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.examples import define, edit, write_csv

from headrace.app import Project
from headrace.definition.lockfile import read_lock
from headrace.features.errors import CannotSplit
from headrace.stages.splitting import SplitFlatters

TEXT = """
format = 1
[project]
name = "meters"
label = "broken = 'yes'"
key = ["id"]
request = ["at", "meter", "load"]
[sources.readings]
read = "data/readings.csv"
[features]
auto = false
[training]
families = ["linear"]
budget = "1 trial"
"""


def readings(root: Path, *, drift: bool) -> Path:
    """Rows in no order, of meters that only grow; what breaks comes in waves if it drifts."""
    draw = random.Random(5)
    rows = []
    for number in range(1500):
        wave = math.sin(number / 90) * 3 if drift else 0.0
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        load = draw.gauss(0, 1)
        rows.append(
            [
                number,
                at.isoformat(),
                number * 1.5,
                f"{load:.4f}",
                "yes" if wave + load + draw.gauss(0, 0.5) > 0 else "no",
            ]
        )
    draw.shuffle(rows)
    write_csv(root / "data" / "readings.csv", ["id", "at", "meter", "load", "broken"], rows)
    return define(root, TEXT)


def test_a_random_split_that_hides_a_drift_is_refused_with_figures_unless_it_is_trusted(tmp_path: Path) -> None:
    root = readings(tmp_path, drift=True)
    edit(root, {r"\[training\]": '[split]\nby = "random"\n[training]'})
    with pytest.raises(SplitFlatters, match=r"roc_auc 0\.\d+ on 187 rows .* earlier rows") as caught:
        Project.open(root).run()
    assert caught.value.exit_code == 1
    assert caught.value.facts["drawn"] > caught.value.facts["honest"] + 0.05
    assert 'time = "at"' in (caught.value.fix or "")
    edit(root, {r'by = "random"': 'by = "random"\ntrust = true'})
    outcome = Project.open(root).run()
    assert outcome.split is None
    edit(root, {r'by = "random"\ntrust = true': 'by = "time"\ntime = "at"'})
    assert Project.open(root).run().version.number == 2


def test_without_a_split_the_rows_propose_one_which_the_lock_keeps(tmp_path: Path) -> None:
    root = readings(tmp_path, drift=True)
    outcome = Project.open(root).run()
    assert outcome.split is not None
    assert (outcome.split.by, outcome.split.column) == ("time", "at")
    assert outcome.summary()["split"]["why"].startswith("a quick model scores roc_auc")
    assert "Rows were divided by time, at: a quick model scores" in outcome.run_page.read_text()
    locked = read_lock(root / "headrace.lock").split
    assert locked is not None
    assert (locked.by, locked.column) == ("time", "at")
    assert locked.evidence == outcome.split.reason
    again = Project.open(root).run()
    assert again.split is not None
    assert "(headrace.lock)" in again.split.reason
    assert again.version.number == 1


def test_where_nothing_drifts_rows_are_drawn(tmp_path: Path) -> None:
    outcome = Project.open(readings(tmp_path, drift=False)).run()
    assert outcome.split is not None
    assert (outcome.split.by, outcome.split.column) == ("random", None)
    assert [leak.shown for leak in outcome.split.leaks] == [False]
    assert read_lock(tmp_path / "headrace.lock").split is None


@pytest.mark.parametrize("is_quantity", [True, False])
def test_a_number_is_tried_as_the_name_of_a_group_where_it_is_no_quantity(tmp_path: Path, is_quantity: bool) -> None:
    draw = random.Random(8)
    own = [draw.gauss(0, 1.5) for _ in range(60)]
    rows = []
    for number in range(1500):
        meter = draw.randrange(60)
        part = (meter - 30) / 12 if is_quantity else own[meter]
        rows.append([number, meter, f"{draw.gauss(0, 1):.4f}", "yes" if part + draw.gauss(0, 1) > 0 else "no"])
    write_csv(tmp_path / "data" / "readings.csv", ["id", "meter", "load", "broken"], rows)
    outcome = Project.open(define(tmp_path, TEXT.replace('"at", ', ""))).run()
    assert outcome.split is not None
    tried = [leak.column for leak in outcome.split.leaks] + [each.column for each in outcome.split.untried]
    assert tried == ([] if is_quantity else ["meter"])


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    root = readings(tmp_path, drift=False)
    edit(root, {r"\[training\]": '[split]\ntime = "load"\n[training]'})
    with pytest.raises(CannotSplit, match="time is load"):
        Project.open(root).run()
