"""Headrace on one task: a definition of a few lines, `headrace run`, `load(…).predict`.

usage: python -m benchmarks.automl.ours TASK_FOLDER SEED OUT
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

SEARCHED, BEFORE_S = 0.8, 4.0
"""Of the budget, less what stages before the search take: the rest is for those after it, the last fit among them."""
ROWS_TIMED = 40
SCORED = 400
WARM = 5
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def definition(folder: Path, about: dict[str, object], seed: int) -> str:
    """The project's definition."""
    task, budget_s = str(about["task"]), float(str(about["budget_s"]))
    return f"""
format = 1
[project]
name = "bench"
label = '"{about["target"]}"'
task = "{task}"
[sources.t]
read = "{folder / "train.csv"}"
[split]
holdout = 0.1
[training]
metric = "{METRICS[task]}"
budget = "{int(budget_s * SEARCHED - BEFORE_S)}s"
refit = true
seed = {seed}
"""


def main(folder: Path, seed: int, out: Path) -> None:
    """Run, answer, time and weigh."""
    from headrace.app import Project

    about = json.loads((folder / "task.json").read_text())
    command = str(Path(sys.executable).with_name("headrace"))
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        os.environ["HEADRACE_CONFIG"] = str(root / "keys")
        (root / "headrace.toml").write_text(definition(folder, about, seed))
        started = time.perf_counter()
        subprocess.run([command, "run"], cwd=root, check=True, stdout=sys.stderr)
        fit_s = time.perf_counter() - started
        subprocess.run([command, "show", "last"], cwd=root, check=True, stdout=sys.stderr)
        project = Project.open(root)
        registry = project.registry()
        model = project.load("bench@champion")
        test = pl.read_csv(folder / "test.csv", infer_schema_length=None, null_values=["", "NA"])
        asked = test.to_dicts()
        answers = model.predict(asked)
        if about["task"] == "regression":
            frame = pl.DataFrame({"value": [one.value for one in answers]})
        elif about["task"] == "binary":
            no, yes = model.decider.decision.classes
            frame = pl.DataFrame({yes: [one.probability for one in answers]}).with_columns((1 - pl.col(yes)).alias(no))
        else:
            frame = pl.DataFrame([one.probabilities for one in answers])
        frame.write_csv(out)
        took = []
        for place in range(ROWS_TIMED + WARM):
            row = asked[place % len(asked)]
            began = time.perf_counter()
            model.predict([row])
            took.append(time.perf_counter() - began)
        scored = []
        for place in range(SCORED + WARM):
            features = model.row_to_features(asked[place % len(asked)])
            began = time.perf_counter()
            model.answer([features], [()])
            scored.append(time.perf_counter() - began)
        size = sum(map(len, registry.read(registry.get("bench@champion")).files.values()))
        times = {"row_ms": statistics.median(took[WARM:]) * 1e3, "score_us": statistics.median(scored[WARM:]) * 1e6}
        print(json.dumps({"fit_s": fit_s, **times, "model_mb": size / 2**20}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
