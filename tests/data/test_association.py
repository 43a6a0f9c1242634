"""What a column tells of the label: known answers, and nothing where there is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from headrace.data.association import associations
from headrace.data.model import Association
from headrace.language.types import Type

N = 4_000


@pytest.fixture
def found(tmp_path: Path) -> dict[str, dict[str, Association]]:
    """Label → column → association, of columns made from two draws."""
    draw = np.random.default_rng(7)
    signal, noise = draw.normal(size=N), draw.normal(size=N)
    frame = pl.DataFrame(
        {
            "number": signal + noise,
            "noise": noise,
            "level": pl.Series(np.where(signal > 0.5, "high", np.where(signal < -0.5, "low", "mid"))),
            "key": [f"k{n}" for n in range(N)],
            "coin": draw.choice(["heads", "tails"], N),
            "when": pl.Series((1e15 + 1e12 * signal).astype(np.int64)).cast(pl.Datetime("us", "UTC")),
            "same": np.ones(N),
            "endless": np.where(np.arange(N) % 2 == 0, np.inf, signal),
            "holes": pl.Series([None if n % 3 else float(x) for n, x in enumerate(signal)]),
            "y": signal,
        }
    )
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    types = dict.fromkeys(frame.columns, Type.FLOAT) | dict.fromkeys(("level", "coin"), Type.CATEGORY)
    types |= {"key": Type.STRING, "when": Type.TIMESTAMP}
    labels = {"binary": "y > 0.2", "number": "y", "levels": "CASE WHEN y > 1 THEN 'a' WHEN y > 0 THEN 'b' ELSE 'c' END"}
    told = {name: associations(str(path), None, types, label) for name, label in labels.items()}
    return {name: {one.column: one for one in ones} for name, ones in told.items()}


def test_each_pair_of_types_has_its_measure(found: dict[str, dict[str, Association]]) -> None:
    measures = {name: {c: one.measure for c, one in ones.items()} for name, ones in found.items()}
    assert measures["binary"]["number"] == measures["binary"]["when"] == "auc"
    assert measures["binary"]["level"] == measures["levels"]["level"] == "cramers_v"
    assert measures["number"]["number"] == "correlation"
    assert measures["number"]["level"] == measures["levels"]["number"] == "correlation_ratio"


def test_values_are_those_of_the_textbook(found: dict[str, dict[str, Association]], tmp_path: Path) -> None:
    frame = pl.read_parquet(tmp_path / "t.parquet")
    label = frame["y"] > 0.2
    assert found["binary"]["number"].value == pytest.approx(roc_auc_score(label, frame["number"]))
    assert found["number"]["number"].value == pytest.approx(np.corrcoef(frame["number"], frame["y"])[0, 1])
    assert found["binary"]["when"].strength == pytest.approx(1.0)
    between = frame.select((pl.col("y").mean().over("level") - pl.col("y").mean()).pow(2).sum()).item()
    eta = np.sqrt(between / frame.select((pl.col("y") - pl.col("y").mean()).pow(2).sum()).item())
    assert found["number"]["level"].value == pytest.approx(eta, abs=1e-3)


def test_chance_and_constants_tell_nothing(found: dict[str, dict[str, Association]]) -> None:
    for ones in found.values():
        assert "same" not in ones
        assert "y" not in ones
        assert ones["noise"].strength < 0.08
        assert ones["coin"].strength < 0.08
        assert "key" not in ones  # a level a row would tell everything


def test_rows_with_a_null_or_an_infinity_are_left_out(found: dict[str, dict[str, Association]]) -> None:
    assert found["number"]["holes"].rows == len(range(0, N, 3))
    assert found["number"]["endless"].rows == N // 2
    assert found["number"]["endless"].value == pytest.approx(1.0)


def test_a_few_rows_tell_nothing(tmp_path: Path) -> None:
    pl.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]}).write_parquet(tmp_path / "t.parquet")
    assert associations(str(tmp_path / "t.parquet"), None, {"x": Type.FLOAT, "y": Type.FLOAT}, "y") == ()
