"""Every benchmark runs in its smallest form, so that none rots; no time is judged."""

from __future__ import annotations

import importlib
import json
import random
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from benchmarks.automl import __main__ as automl

from benchmarks import __main__ as whole
from benchmarks import (
    automatic,
    command_start,
    evaluation,
    expressions,
    front,
    harness,
    leaks,
    load_generator,
    online,
    prediction_log,
    quality,
    row_form,
    window_aggregates,
    windows,
)

ROOT = Path(harness.ROOT)


@pytest.mark.parametrize("name", sorted({step[0] for step in (*whole.QUICK, *whole.WHOLE)}))
def test_every_benchmark_that_is_listed_exists(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")


def test_every_benchmark_that_exists_is_listed() -> None:
    found = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"__init__", "__main__", "harness"}
    found |= {path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")}
    assert found == {step[0] for step in whole.WHOLE}
    assert found == {step[0] for step in whole.QUICK}


def test_the_look_at_the_holdout_and_effects_of_features(results: Path) -> None:
    evaluation.main(["2e3"])
    text = results.read_text(encoding="utf-8")
    assert "| 2,000 | 20 | 28 | 20 |" in text
    rows = dict(re.findall(r"^\| (\w+) \| .* \| (\S*) \|$", text, re.MULTILINE))
    assert float(rows["linear"]) == pytest.approx(1.0, abs=0.15), "estimates are about as large as exact effects"


@pytest.mark.heavy
def test_the_front_and_servers_that_are_killed(results: Path) -> None:
    front.main(["1", "0.5"])
    text = results.read_text(encoding="utf-8")
    [failed] = re.findall(r"^\| 1 kills \| [0-9,]+ \| (\d+) \|", text, re.MULTILINE)
    assert failed == "0"


def test_the_prediction_log_beside_a_bare_write(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "RECORDS", 64)
    monkeypatch.setattr(prediction_log, "REPEATS", 3)
    monkeypatch.setattr(prediction_log, "RATES", (200,))
    prediction_log.main(["0.2", str(tmp_path), "400"])
    text = results.read_text(encoding="utf-8")
    assert "| 16 records a call |" in text
    assert "| 200 a second |" in text
    assert "| into an empty table | 400 |" in text


def test_the_load_generator_against_a_constant_answer(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_generator, "RATES", (200,))
    monkeypatch.setattr(load_generator, "CLIENTS", (2,))
    load_generator.main(["0.2", "1"])
    text = results.read_text(encoding="utf-8")
    assert re.search(r"^\| 2 \| [0-9,]+ \| \d+% \| ", text, re.MULTILINE)
    assert "| 200 | " in text


def test_automl_tells_a_better_contender_from_one_that_was_lucky(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automl, "HOME", tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "answers").mkdir()
    off = {"headrace": (0.5, 0.5), "better": (0.3, 0.3), "worse": (0.9, 0.9), "alike": (0.5, 0.5), "once": (0.3, 0.9)}
    for draw, folder in enumerate(("tasks", "tasks-1")):
        truth = rng.normal(size=400)
        (tmp_path / folder / "t").mkdir(parents=True)
        pl.DataFrame({"y": truth}).write_csv(tmp_path / folder / "t" / "truth.csv")
        for name, spread in off.items():
            said = pl.DataFrame({"value": truth + spread[draw] * rng.normal(size=400)})
            said.write_csv(automl.answers_of(name, "t", 3, draw))
    about = {"task": "regression", "target": "y"}
    alike = {"headrace": "level", "better": "lost", "worse": "won", "alike": "level"}
    assert automl.against("t", about, list(off), 3, [0]) == alike | {"once": "lost"}
    assert automl.against("t", about, list(off), 3, [0, 1]) == alike | {"once": "won"}


def test_automl_takes_the_means_of_a_task_over_its_draws() -> None:
    errors = {("t", 0): (0.2, 0.1), ("t", 1): (0.2, 0.4), ("t", 2): (0.1, 0.2), ("large", 0): (0.3, 0.2)}
    results = [
        {"contender": name, "task": task, "draw": draw, "seed": 0, "error": error, "value": 1 - error}
        | {"fit_s": 10 * draw, "cpu_s": 1.0, "row_ms": 0.5, "model_mb": 2.0}
        for (task, draw), pair in errors.items()
        for name, error in zip(("a", "b"), pair, strict=True)
    ]
    about = {"task": "binary", "share": 0.5, "rows": 300, "features": 3}
    text = automl.report(results, {"t": about, "large": about | {"rows": 9_000}}, ["a", "b"])
    # a: ranks (2 + 1 + 1) / 3 and 2; gaps (100 + 0 + 0) / 3 and 50
    assert "| a | 1.67 | 41.7 | 10 | 2 | 0.500 | 2.00 |" in text
    assert "| b | 1.33 | 33.3 | 10 | 2 | 0.500 | 2.00 |" in text
    assert "Tasks of fewer than 5,000 training rows, 1 of them, are asked 3 times" in text
    assert "| t (AUC; 300 rows, 3 columns) | 0.8333 | 0.7667 |" in text


def test_automl_runs_us_on_a_task_and_ranks_by_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tasks" / "small"
    folder.mkdir(parents=True)
    draw = random.Random(3)
    rows = [(draw.gauss(0, 1), draw.choice(["red", "blue"]), draw.random()) for _ in range(400)]
    frame = pl.DataFrame(rows, schema=["x", "colour", "luck"], orient="row").with_columns(
        pl.when(pl.col("x") > 3 * pl.col("luck") - 1.5).then(pl.lit("yes")).otherwise(pl.lit("no")).alias("the-answer")
    )
    frame[:300].write_csv(folder / "train.csv")
    frame[300:].drop("the-answer").write_csv(folder / "test.csv")
    frame[300:].select("the-answer").write_csv(folder / "truth.csv")
    about = {"task": "binary", "target": "the-answer", "positive": "yes", "rows": 300, "features": 3, "share": 0.5}
    (folder / "task.json").write_text(json.dumps(about | {"budget_s": 24}))
    monkeypatch.setattr(automl, "HOME", tmp_path)
    automl.main(["--contenders", "headrace"])
    assert re.search(r"\| small \(AUC; 300 rows, 3 columns\) \| (0\.[89]|1\.0)\d+ \|", capsys.readouterr().out)
    assert automl.ranks([0.3, 0.1, 0.3, 0.2]) == [3.5, 1.0, 3.5, 2.0]


def test_expressions_of_one_row(results: Path) -> None:
    expressions.main()
    assert "10 expressions of one row" in results.read_text(encoding="utf-8")


def test_row_form(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_form, "ROWS", 20)
    monkeypatch.setattr(row_form, "REPEATS", 3)
    monkeypatch.setattr(row_form, "TREES", 5)
    row_form.main()
    text = results.read_text(encoding="utf-8")
    assert re.search(r"Row features, lookups given: [0-9.]+ µs", text)
    assert text.count("\n| ") == 11


@pytest.mark.heavy
def test_windows(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "TIMES", 1)
    windows.main(["1000", "--duckdb"])
    assert "Windows, 1,000 events" in results.read_text(encoding="utf-8")


@pytest.mark.heavy
def test_window_aggregates(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_aggregates, "TAKEN", ("median", "n_unique", "decayed_mean"))
    window_aggregates.main(["1000"])
    assert "| decayed_mean |" in results.read_text(encoding="utf-8")


@pytest.mark.heavy
def test_command_start(small_flights: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_start, "TIMES", 1)
    command_start.main(small_flights)
    assert "headrace run, nothing to do" in results.read_text(encoding="utf-8")


def test_leaks(small_flights: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "ROWS", 20)
    leaks.main(small_flights)
    assert "420 aggregates of 20 random rows" in results.read_text(encoding="utf-8")


def test_online(small_flights: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "ROWS", 120)
    monkeypatch.setattr(online, "WATERMARK_US", 1_357_164_000_000_000)  # 2013-01-02T22:00:00Z
    online.main(small_flights)
    text = results.read_text(encoding="utf-8")
    assert "120 rows, answers equal to history's" in text
    assert re.search(r"\| Redis \| [0-9.e+]+ \| [0-9.e+]+ \| 1 \|", text)


def test_quality(small_flights: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "SEEDS", range(2))
    monkeypatch.setattr(quality, "DRAWS", 5)
    quality.main(small_flights)
    text = results.read_text(encoding="utf-8")
    assert "2 trials under a budget of 2 trials" in text
    assert text.count("\n| LightGBM, defaults") == 2


@pytest.mark.heavy
def test_automatic(small_flights: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "DRAWS", 5)
    automatic.main(1, small_flights / "data")
    text = results.read_text(encoding="utf-8")
    assert text.count("\n| proposed |") == 2
    assert "| past of carrier |" in text
