"""A table of many columns, of which some say nothing: the run ends with a model, and says what it left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from tests.examples import define

import headrace
from headrace.app import Project

WIDE = """
format = 1
[project]
name = "wide"
label = "bought = 'yes'"
[sources.rows]
read = "data/rows.parquet"
[features]
auto = false
[split]
by = "random"
folds = 2
[training]
families = ["lightgbm"]
budget = "1 trial"
"""
COLUMNS = 1_200
ROWS = 150


def wide() -> pl.DataFrame:
    """Of every ten columns one is constant, one empty, one repeats the first; the label depends on two."""
    rng = np.random.default_rng(0)
    columns: dict[str, pl.Series] = {}
    for tens in range(COLUMNS // 10):
        for place in range(7):
            columns[f"n{tens}_{place}"] = pl.Series(rng.normal(size=ROWS))
        columns[f"constant{tens}"] = pl.Series(np.full(ROWS, tens))
        columns[f"empty{tens}"] = pl.Series([None] * ROWS, dtype=pl.Float64)
        columns[f"repeated{tens}"] = columns[f"n{tens}_0"]
    score = columns["n0_0"].to_numpy() + columns["n1_1"].to_numpy()
    columns["bought"] = pl.Series(np.where(score > 0.5, "yes", "no"))
    return pl.DataFrame(columns)


def test_columns_that_say_nothing_are_left_out_and_still_taken(tmp_path: Path) -> None:
    table = wide()
    (tmp_path / "data").mkdir()
    table.write_parquet(tmp_path / "data" / "rows.parquet")
    root = define(tmp_path, WIDE)
    outcome = Project.open(root).run()
    left_out = {each.name: each for each in outcome.evaluation.left_out}
    assert len(left_out) == 3 * COLUMNS // 10
    assert (left_out["repeated3"].why, left_out["repeated3"].of) == ("repeats", "n3_0")
    verdict = next(verdict for verdict in outcome.summary()["verdicts"] if verdict["topic"] == "inputs")
    assert verdict["says"].startswith("360 columns are left out of training: constant0 has one value in all ")
    assert "left out of training" in outcome.run_page.read_text()
    importances = {each.feature for each in outcome.evaluation.importances}
    assert not importances & left_out.keys()

    model = headrace.load("wide@1", project=root)
    asked = table.drop("bought").head(20)
    answers = model.predict(asked)
    others = asked.with_columns(constant0=pl.lit(77, pl.Int64), empty0=pl.lit("x"), repeated3=pl.lit(-4.0))
    assert model.predict(others) == answers
    changed = asked.with_columns(n0_0=pl.col("n0_0") + 3.0)
    assert model.predict(changed) != answers
