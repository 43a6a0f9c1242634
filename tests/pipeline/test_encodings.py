"""A run with every encoding: what a file, a row and the page say of it."""

from __future__ import annotations

import struct
from pathlib import Path

import polars as pl
from tests.examples import flights, write_csv
from tests.pipeline.test_predict import ASKED, as_sent, asked_rows

import headrace
from headrace.app import Project

ENCODINGS = """
[features.encodings]
dest = ["codes", "frequency", "target"]
tailnum = { as = "target", smoothing = 5 }
route = { as = ["statistics", "hashed"], buckets = 4 }
distance = { group = "carrier", take = ["mean", "difference", "zscore"] }
sched_dep_at = { as = "cyclic", zone = "America/New_York" }

[split]"""


def test_a_run_with_encodings_predicts_the_same_by_the_file_and_by_the_row(tmp_path: Path) -> None:
    root = flights(tmp_path / "delays", days=range(1, 7), change={r"^\[split\]": ENCODINGS})
    project = Project.open(root)
    project.run()
    rows = asked_rows([5, 7, 9], ["LGA", "JFK"])[::7]
    odd = [{"dest": "😀"}, {"dest": "", "tailnum": ""}, {"distance": "1e30"}, {"carrier": "ZZ"}, {"distance": ""}]
    rows += [{**rows[number], **change} for number, change in enumerate(odd)]
    path = write_csv(tmp_path / "rows.csv", ASKED, [list(row.values()) for row in rows])
    project.predict("flight-delays@champion", path, tmp_path / "scores.parquet", reasons=60)
    by_file = pl.read_parquet(tmp_path / "scores.parquet")
    by_row = headrace.load("flight-delays@champion", project=root).predict([as_sent(row) for row in rows], reasons=60)
    assert [struct.pack("<d", one.probability or 0.0) for one in by_row] == [
        struct.pack("<d", value) for value in by_file["probability"]
    ]
    assert by_file["reasons"].to_list() == [
        [{"feature": reason.feature, "effect": reason.effect} for reason in one.reasons] for one in by_row
    ]
    named = {reason.feature: reason for one in by_row for reason in one.reasons}
    assert any(name.endswith("_target") and isinstance(reason.value, float) for name, reason in named.items())
    assert "tailnum" not in named, "its plain code was not asked for"
    registry = project.registry()
    card = registry.read(registry.list("flight-delays")[0]).files["README.md"].decode()
    assert "`dest`: codes, frequency, target" in card
    inputs = len(project.load("flight-delays@champion").encoder.columns)
    assert f"encoded, they are {inputs} inputs of the model" in card
