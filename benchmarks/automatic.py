"""What proposed features and encodings are worth: whole runs of the same rows, with one of them more each time.

The flights with the raw request alone, with what Headrace proposes, with the example's own features, and with target
encodings beside these; and scikit-learn's diabetes rows without and with proposals. All are asked about one holdout.

usage: python -m benchmarks.automatic [TRIALS]
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import FLIGHTS, newest, record, table
from headrace.app import Project
from headrace.features.model import Frame
from headrace.stages.model import Compiled, Outcome
from headrace.training.automatic_model import Automatic
from headrace.training.data import divide
from headrace.training.metrics import bootstrap_weights, metric_of

TRIALS: Final = 20
DRAWS: Final = 200
Floats = NDArray[np.float64]
OFF: Final = "[features]\nauto = false\n"
ENCODED: Final = """
[features.encodings]
carrier = ["codes", "target"]
dest = ["codes", "target"]
tailnum = ["codes", "target"]
route = ["codes", "target"]
"""
DIABETES: Final = """format = 1
[project]
name = "diabetes"
label = "progression"
task = "regression"
[sources.patients]
read = "data/patients.csv"
"""


@dataclass(frozen=True)
class Run:
    """A finished run, and its answers on the holdout."""

    outcome: Outcome
    wall_s: float
    inputs: int
    y: NDArray[np.float64]
    answers: Floats
    automatic: Automatic | None


def flights(features: str | None) -> str:
    """The example's definition with other features; None: with its own."""
    text = (FLIGHTS / "headrace.toml").read_text(encoding="utf-8")
    return (
        text
        if features is None
        else re.sub(r"^\[features\].*?(?=^\[split\])", features, text, flags=re.MULTILINE | re.DOTALL)
    )


def with_trials(text: str, trials: int) -> str:
    """The definition with a budget in trials, so that the same is found again."""
    if "[training]" not in text:
        return f'{text}\n[training]\nbudget = "{trials} trials"\n'
    return re.sub(r'^budget = ".*"', f'budget = "{trials} trials"', text, flags=re.MULTILINE)


def run(folder: Path, data: Path, text: str) -> Run:
    """Run a definition in a folder of its own."""
    folder.mkdir()
    (folder / "data").symlink_to(data, target_is_directory=True)
    (folder / "headrace.toml").write_text(text, encoding="utf-8")
    project = Project.open(folder, environment={**os.environ, "HEADRACE_CONFIG": str(folder / "keys")})
    started = time.perf_counter()
    outcome = project.run()
    wall_s = time.perf_counter() - started
    frame, compiled = newest(project, "assemble", Frame), newest(project, "compile", Compiled)
    rows = pl.read_parquet(project.objects.scan_target(frame.ref.key).url)
    answers = np.frombuffer(project.objects.get(compiled.library.key), np.float64)
    y = divide(frame, rows, project.definition.split).holdout.y
    return Run(outcome, wall_s, len(compiled.encoder.columns), y, answers, outcome.automatic)


def difference(one: Run, other: Run) -> tuple[float, float]:
    """The middle 95 % of `one` minus `other` in the metric, over paired draws of the holdout's rows."""
    task = one.outcome.evaluation.task
    metric = metric_of(None, task)
    first, second = metric.prepare(one.y, one.answers), metric.prepare(other.y, other.answers)
    drawn = [first(row) - second(row) for row in bootstrap_weights(len(one.y), replicates=DRAWS, seed=0)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def report(runs: Mapping[str, Run]) -> str:
    """Quality by contender; the first is what the others are held against."""
    base = next(iter(runs.values()))
    metric = metric_of(None, base.outcome.evaluation.task)
    rows: list[Sequence[object]] = []
    for name, one in runs.items():
        low, high = (0.0, 0.0) if one is base else difference(one, base)
        errors = one.outcome.evaluation.error_cost
        rows.append(
            (
                name,
                one.inputs,
                f"{metric.value(one.y, one.answers):.4f}",
                "" if one is base else f"{low:+.4f} to {high:+.4f}",
                "" if errors is None else f"{errors.value:.4f}",
                f"{one.wall_s:.0f}",
            )
        )
    title = metric.name.replace("_", " ")
    headings = ["features", "inputs", title, "minus the first, 95 %", "errors, USD a prediction", "run, s"]
    return table(headings, rows)


def tried(automatic: Automatic) -> str:
    """What became of each family."""
    rows = [
        (
            one.name,
            one.inputs,
            "" if one.gain is None or one.low is None or one.high is None else _interval(one.gain, one.low, one.high),
            one.state,
        )
        for one in automatic.tried
    ]
    unit = automatic.measure.replace("_", " ")
    return table([f"family, on {automatic.rows:,} rows", "inputs", f"gain in {unit}", "outcome"], rows)


def _interval(gain: float, low: float, high: float) -> str:
    form = "{:+,.0f}" if abs(gain) >= 100 else "{:+.4f}"
    return f"{form.format(gain)} ({form.format(low)} to {form.format(high)})"


def patients(folder: Path) -> Path:
    """scikit-learn's diabetes rows, unscaled, as CSV."""
    from sklearn.datasets import load_diabetes

    read = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    folder.mkdir()
    pl.from_pandas(read).write_csv(folder / "patients.csv")
    return folder


def main(trials: int = TRIALS, data: Path = FLIGHTS / "data") -> None:
    """Measure and record."""
    asked = {
        "the request alone": flights(OFF),
        "proposed": flights(""),
        "the example's own": flights(None),
        "its own and target encodings": flights(None).replace("\n[split]", ENCODED + "\n[split]"),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runs = {
            name: run(folder / f"flights-{place}", data.resolve(), with_trials(text, trials))
            for place, (name, text) in enumerate(asked.items())
        }
        rows = patients(folder / "patients")
        toys = {
            "the columns alone": run(folder / "toy-0", rows, with_trials(DIABETES + OFF, trials)),
            "proposed": run(folder / "toy-1", rows, with_trials(DIABETES, trials)),
        }
    parts = [f"{trials} trials a run. Flights, {len(runs['proposed'].y):,} rows in the holdout:", report(runs)]
    parts += [tried(runs["proposed"].automatic)] if runs["proposed"].automatic else []
    parts += [f"Diabetes, {len(toys['proposed'].y):,} rows in the holdout:", report(toys)]
    parts += [tried(toys["proposed"].automatic)] if toys["proposed"].automatic else []
    body = "\n\n".join(parts)
    record(
        "Proposed features", "python -m benchmarks.automatic", body, libraries=["lightgbm", "scikit-learn", "polars"]
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else TRIALS)
