"""A run without [features]: what is proposed is tried, and what is kept is served."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import polars as pl
import pytest
from tests.examples import edit, flights, write_csv
from tests.pipeline.conftest import Ask
from tests.pipeline.test_predict import ASKED, as_sent, asked_rows

import headrace
from headrace.app import Project
from headrace.features.model import Program
from headrace.scoring.package import decode_json
from headrace.stages import learning

WITHOUT = {r"^\[features\](.|\n)*?^\[split\]": "[split]", r'^budget = ".*"': 'budget = "6 trials"'}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights example without features, not yet run."""
    return flights(tmp_path_factory.mktemp("bare") / "delays", days=range(1, 9), change=WITHOUT)


def test_kept_features_are_in_the_package_on_the_page_and_in_predictions(bare: Path, tmp_path: Path) -> None:
    project = Project.open(bare)
    outcome = project.run()
    assert outcome.automatic is not None
    tried = {one.name: one for one in outcome.automatic.tried}
    assert {"parts of sched_dep_at", "circles of sched_dep_at", "past of carrier"} <= set(tried)
    assert sum(one.state != "not tried" for one in tried.values()) == 3, "half of the six trials"
    said = outcome.summary()["proposed_features"]
    assert said == {"tried": 3, "kept": sorted(outcome.automatic.kept)}
    page = outcome.run_page.read_text(encoding="utf-8")
    assert "Features that were proposed" in page
    assert all(f"<td>{name}</td>" in page for name in tried)
    assert ("[features." in page) == bool(outcome.automatic.kept)

    program = decode_json(project.registry().read(outcome.version), "program.json", Program)
    names = {field.name for field in program.outputs}
    assert ("sched_dep_at_clock" in names) == (tried["parts of sched_dep_at"].state == "kept")
    assert "past_carrier_arr_delay_mean_6h" not in names

    rows = asked_rows([5, 9], ["LGA"])[::9]
    path = write_csv(tmp_path / "rows.csv", ASKED, [list(row.values()) for row in rows])
    project.predict("flight-delays@champion", path, tmp_path / "scores.parquet")
    by_row = headrace.load("flight-delays@champion", project=bare).predict([as_sent(row) for row in rows])
    by_file = pl.read_parquet(tmp_path / "scores.parquet")["probability"]
    assert [struct.pack("<d", one.probability or 0.0) for one in by_row] == [struct.pack("<d", p) for p in by_file]

    again = project.run()
    assert again.stages_done == 0
    assert again.version == outcome.version


def test_the_table_of_all_proposed_features_can_be_built_alone(bare: Path) -> None:
    frame = Project.open(bare).build_features()
    assert "past_carrier_arr_delay_mean_6h" in {field.name for field in frame.program.outputs}


def test_nothing_is_proposed_when_it_is_switched_off(tmp_path: Path) -> None:
    root = flights(tmp_path / "delays", days=range(1, 6), change=WITHOUT)
    edit(root, {r"^\[split\]": "[features]\nauto = false\n[split]"})
    project = Project.open(root)
    outcome = project.run()
    assert outcome.automatic is None
    assert "proposed_features" not in json.dumps(outcome.summary())
    program = decode_json(project.registry().read(outcome.version), "program.json", Program)
    assert [field.name for field in program.outputs] == [
        *("carrier", "flight", "tailnum", "origin", "dest", "distance")
    ]


def test_where_memory_does_not_hold_all_of_them_the_request_alone_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "CELL_BYTES", 60_000)  # as if the table were thousands of times larger
    project = Project.open(flights(tmp_path / "delays", days=range(1, 6), change=WITHOUT))
    outcome = project.run(memory="2GB")
    assert outcome.automatic is not None
    assert {one.state for one in outcome.automatic.tried} == {"not tried"}
    assert "None could be tried" in outcome.run_page.read_text(encoding="utf-8")


@pytest.mark.heavy
def test_killed_while_features_are_tried_a_run_goes_on_to_the_same_package(ask: Ask, tmp_path: Path) -> None:
    root = flights(tmp_path / "quiet", days=range(1, 6), change=WITHOUT)
    other = shutil.copytree(root, tmp_path / "killed")
    quiet = ask(root)
    tries = [step for step in quiet["steps"] if step.startswith("try features")]
    assert "try features: after family-1" in tries
    for step in ("look at inputs: after commit", *tries[1:]):
        assert ask(other, kill_at=step)["killed"], step
    assert ask(other)["package"] == quiet["package"]
