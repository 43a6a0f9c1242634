"""Rare classes in money: what errors cost at a ratio of 1 to 20, beside LightGBM with class weights and 0.5.

Imbalanced tables of KEEL. A false alarm costs 1 USD, a miss 20 USD. Ours is a run of a definition of a few lines with
these costs and a small budget; its errors are priced on its holdout, as the compiled package decides. LightGBM learns
from the very rows that the run trained on, with its defaults and `class_weight="balanced"`, and acts from 0.5 on; in a
second column its weights are the costs. To act on all rows, or on none, whichever is cheaper, is the third rival.
Several seeds draw several holdouts; costs are summed over them.

usage: python -m benchmarks.keel [SEEDS [SECONDS]]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import newest, record, table
from benchmarks.public import public_tables
from headrace.app import Project
from headrace.features.encoder import encode_columns
from headrace.features.encodings.fitting import fit_encoder
from headrace.features.model import CategoryLevels, Frame
from headrace.scoring.decision import Decider
from headrace.stages.model import Compiled
from headrace.training.data import divide
from headrace.training.pricing import decisions

FALSE_ALARM, MISS = 1.0, 20.0
SEEDS: Final = 3
SECONDS: Final = 10
TABLES: Final = (
    "pima",
    "haberman",
    "vehicle1",
    "ecoli3",
    "yeast1",
    "yeast3",
    "yeast4",
    "yeast6",
    "abalone9-18",
    "winequality-red-4",
    "flare-F",
    "page-blocks0",
)
DEFINITION: Final = """format = 1
[project]
name = "keel"
label = "label = 'positive'"
[sources.rows]
read = "{path}"
[split]
by = "stratified"
trust = true
seed = {seed}
[training]
budget = "{seconds}s"
seed = {seed}
[costs]
false_positive = "1 USD"
false_negative = "20 USD"
"""


@dataclass(frozen=True)
class Priced:
    """Costs on one holdout, USD in all."""

    rows: int
    positives: int
    ours: float
    balanced: float
    by_cost: float
    family: str

    @property
    def alike(self) -> float:
        """To decide the same of every row, whichever is cheaper."""
        return min(FALSE_ALARM * (self.rows - self.positives), MISS * self.positives)


def cost_of(y: NDArray[np.int64], acted: NDArray[Any]) -> float:
    """What these decisions cost."""
    return float(FALSE_ALARM * ((y == 0) & (acted == 1)).sum() + MISS * ((y == 1) & (acted == 0)).sum())


def run(folder: Path, path: Path, seed: int, seconds: int) -> Priced:
    """One run and both rivals, on the same rows."""
    folder.mkdir()
    (folder / "headrace.toml").write_text(DEFINITION.format(path=path, seed=seed, seconds=seconds), encoding="utf-8")
    project = Project.open(folder, environment={**os.environ, "HEADRACE_CONFIG": str(folder / "keys")})
    outcome = project.run()
    compiled, frame = newest(project, "compile", Compiled), newest(project, "assemble", Frame)
    data = divide(frame, pl.read_parquet(project.objects.scan_target(frame.ref.key).url), project.definition.split)
    y = data.holdout.y
    raw = np.frombuffer(project.objects.get(compiled.library.key), np.float64)
    answer = Decider(compiled.decision).probabilities(raw.astype(np.float32))
    ours = cost_of(y, decisions(answer, compiled.decision))
    said = outcome.evaluation.error_cost
    assert said is not None, "the definition has costs"
    assert abs(said.value * len(y) - ours) < 1e-6 * max(ours, 1.0), "the run prices its errors as this does"
    encoder = fit_encoder(data.train.outputs, data.train.rows)
    X, asked = encode_columns(encoder, data.train.rows), encode_columns(encoder, data.holdout.rows)
    levels = [i for i, column in enumerate(encoder.columns) if isinstance(column.encoding, CategoryLevels)]
    balanced, by_cost = (
        cost_of(y, rival(X, data.train.y, asked, levels, weights, seed))
        for weights in ("balanced", {0: FALSE_ALARM, 1: MISS})
    )
    chosen = next(c for c in outcome.choice.candidates if c.trial == outcome.choice.trial)
    return Priced(len(y), int(y.sum()), ours, balanced, by_cost, chosen.family)


def rival(
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    asked: NDArray[np.float32],
    levels: Sequence[int],
    weights: Any,
    seed: int,
) -> NDArray[np.int64]:
    """LightGBM's decisions at 0.5, its defaults but for the weights of the classes."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(class_weight=weights, n_jobs=2, random_state=seed, verbose=-1)
    model.fit(X, y, categorical_feature=list(levels) or "auto")
    probability = np.asarray(model.booster_.predict(asked))
    return (probability >= 0.5).astype(np.int64)


def report(found: dict[str, list[Priced]], seconds: int) -> str:
    """By table, summed over the seeds."""
    rows: list[Sequence[object]] = []
    won = won_by_cost = 0
    for name, runs in found.items():
        asked, positives = sum(one.rows for one in runs), sum(one.positives for one in runs)
        ours, balanced, by_cost, alike = (
            sum(getattr(one, kind) for one in runs) / asked for kind in ("ours", "balanced", "by_cost", "alike")
        )
        won += ours < balanced
        won_by_cost += ours < by_cost
        families = ", ".join(sorted({one.family for one in runs}))
        rows.append((name, asked, positives, ours, balanced, by_cost, alike, f"{ours / balanced - 1:+.0%}", families))
    headings = ["table", "rows asked", "positives", "ours", "LightGBM, balanced", "LightGBM, weights 1:20"]
    headings += ["all rows alike"]
    headings += ["ours against balanced", "chosen"]
    return (
        f"Cost of the errors of one prediction, USD, at 1 USD a false alarm and 20 USD a miss; {seconds} s a run, "
        f"{len(next(iter(found.values())))} seeds. Lower than LightGBM with balanced class weights and a threshold of "
        f"0.5 on {won} of {len(found)} tables, than LightGBM weighted by the costs on {won_by_cost}.\n\n"
        + table(headings, rows)
    )


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    seeds, seconds = (*(int(each) for each in arguments), *(SEEDS, SECONDS)[len(arguments) :])
    found: dict[str, list[Priced]] = {}
    files = public_tables([f"keel:imbalanced/{name}" for name in TABLES])
    for name, path in zip(TABLES, files.values(), strict=True):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = [run(Path(folder) / str(seed), path, seed, seconds) for seed in range(seeds)]
        print(name, found[name], flush=True)
    record("Rare classes in money", "python -m benchmarks.keel", report(found, seconds), libraries=["lightgbm"])


if __name__ == "__main__":
    main(sys.argv[1:])
