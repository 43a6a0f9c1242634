"""Amounts of the rows' own and rejection, from the definition to the prediction."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from tests.examples import define, write_csv

import headrace
from headrace.app import Project

TEXT = """
format = 1
[project]
name = "claims"
label = "fraud = 'yes'"
key = ["id"]
request = ["amount", "age"]
[sources.claims]
read = "data/claims.csv"
[features]
auto = false
[training]
families = ["linear"]
budget = "1 trial"
[costs]
false_positive = "20 USD"
false_negative = "amount"
reject = "8 USD"
"""


def test_a_version_decides_by_each_rows_amount_and_leaves_the_dear_ones_to_people(tmp_path: Path) -> None:
    draw = random.Random(6)
    rows = []
    for number in range(1200):
        amount, age = round(draw.lognormvariate(4, 1), 2), draw.randint(18, 80)
        rows.append([number, amount if number % 50 else "", age, "yes" if draw.random() < 0.6 - age / 160 else "no"])
    write_csv(tmp_path / "data" / "claims.csv", ["id", "amount", "age", "fraud"], rows)
    root = define(tmp_path, TEXT)
    outcome = Project.open(root).run()
    assert outcome.evaluation.error_cost is not None
    assert outcome.evaluation.error_cost.value <= 8.0 + 20.0
    assert outcome.evaluation.reviewed is not None
    assert 0.1 < outcome.evaluation.reviewed < 0.9
    scorer = headrace.load("claims", project=root)
    asked = [{"id": n, "amount": amount, "age": 40} for n, amount in enumerate([1.0, 60.0, 400.0, None])]
    together = scorer.predict(asked)
    alone = [scorer.predict([row])[0] for row in asked]
    assert together == alone
    small, middling, large, unknown = together
    assert (small.decision, small.review) == (False, False)
    assert (middling.decision, middling.review) == (None, True)
    assert large.probability is not None
    needless = (1 - large.probability) * 20.0
    assert (large.decision, large.review) == ((None, True) if needless > 8 else (True, False))
    assert unknown.review is True
    pl.DataFrame(asked).write_csv(tmp_path / "asked.csv")
    Project.open(root).predict("claims@champion", tmp_path / "asked.csv", tmp_path / "out.parquet")
    out = pl.read_parquet(tmp_path / "out.parquet")
    assert out["decision"].to_list() == [one.decision for one in together]
    assert out["review"].to_list() == [one.review for one in together]
    assert out["probability"].to_list() == [one.probability for one in together]


def test_an_amount_that_is_no_input_is_refused(tmp_path: Path) -> None:
    rows = [[n, n % 7 + 1.0, n % 50, "yes" if n % 3 else "no"] for n in range(200)]
    write_csv(tmp_path / "data" / "claims.csv", ["id", "amount", "age", "fraud"], rows)
    root = define(tmp_path, TEXT.replace('request = ["amount", "age"]', 'request = ["age"]'))
    with pytest.raises(headrace.errors.HeadraceError, match="no input of the model") as caught:
        Project.open(root).run()
    assert caught.value.exit_code == 2
