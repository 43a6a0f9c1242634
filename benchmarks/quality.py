"""The flights' champion beside LightGBM's defaults, given the same features, encoder, training rows and holdout.

Reads the last run of the flights example; the champion is scored by its compiled package, as it would be served.

usage: python -m benchmarks.quality [PROJECT]
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import FLIGHTS, newest, record, table
from headrace.app import Project
from headrace.definition.model import Budget
from headrace.features.encoder import encode_columns
from headrace.features.model import CategoryLevels, Encoder, Frame
from headrace.scoring.model import Lineage
from headrace.scoring.package import decode_json
from headrace.scoring.scorer import Scorer
from headrace.training.data import TrainingData, divide
from headrace.training.metrics import metric_of
from headrace.training.model import SearchResult

SEEDS: Final = range(5)
ROUNDS: Final = 100
"""LightGBM's default."""
DRAWS: Final = 200
Floats = NDArray[np.float64]


def champion(project: Project, frame: Frame) -> Scorer:
    """The newest version that was made from the frame."""
    registry = project.registry()
    for version in sorted(registry.list(frame.program.model), key=lambda version: -version.number):
        package = registry.read(version)
        if decode_json(package, "lineage.json", Lineage).frame == frame.ref.sha256:
            return Scorer(package, version.number)
    raise SystemExit("no version was made from the last frame: run the example again")


def defaults(X: NDArray[np.float32], y: NDArray[np.int64], seed: int, categories: list[int]) -> lightgbm.Booster:
    """LightGBM as it comes; of its parameters, only what says which task and seed it is."""
    data = lightgbm.Dataset(X, y, categorical_feature=categories or "auto")
    return lightgbm.train({"objective": "binary", "seed": seed, "verbosity": -1}, data, ROUNDS)


def contenders(data: TrainingData, encoder: Encoder) -> dict[str, list[Floats]]:
    """Name → answers on the holdout, by seed."""
    X, held = (encode_columns(encoder, part.rows) for part in (data.train, data.holdout))
    categories = [n for n, column in enumerate(encoder.columns) if isinstance(column.encoding, CategoryLevels)]
    named = {"LightGBM, defaults": list[int](), "LightGBM, defaults, its own categories": categories}
    return {
        name: [np.asarray(defaults(X, data.train.y, seed, columns).predict(held)) for seed in SEEDS]
        for name, columns in named.items()
    }


def difference(y: NDArray[np.int64], ours: Floats, theirs: Floats) -> tuple[float, float]:
    """The middle 95 % of ours minus theirs over paired bootstrap draws of the holdout's rows."""
    metric = metric_of("average_precision", "binary")
    first, second = metric.prepare(y, ours), metric.prepare(y, theirs)
    draw = np.random.default_rng(0)
    weights = (np.bincount(draw.integers(0, len(y), len(y)), minlength=len(y)).astype(np.float64) for _ in range(DRAWS))
    found = [first(w) - second(w) for w in weights]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def report(y: NDArray[np.int64], ours: Floats, others: Mapping[str, list[Floats]]) -> str:
    """The table of average precision."""
    metric = metric_of("average_precision", "binary")
    score = metric.value(y, ours)
    rows: list[tuple[object, ...]] = [("champion", f"{score:.4f}", "", "")]
    for name, answers in others.items():
        scores = [metric.value(y, answer) for answer in answers]
        middle = answers[scores.index(statistics.median_low(scores))]
        low, high = difference(y, ours, middle)
        spread = f"{min(scores):.4f} to {max(scores):.4f}"
        rows.append((name, f"{statistics.median_low(scores):.4f}", spread, f"{low:+.4f} to {high:+.4f}"))
    headings = ["contender", "average precision", f"over {len(SEEDS)} seeds", "champion minus it, 95 %"]
    return table(headings, rows)


def spoken(budget: Budget) -> str:
    """A budget in words."""
    return f"{budget.trials} trials" if budget.seconds is None else f"{budget.seconds:g} s"


def main(project: Path = FLIGHTS) -> None:
    """Measure and record."""
    opened = Project.open(project)
    frame, search = newest(opened, "assemble", Frame), newest(opened, "search", SearchResult)
    scorer = champion(opened, frame)
    data = divide(frame, pl.read_parquet(opened.objects.scan_target(frame.ref.key).url), opened.definition.split)
    ours = scorer.decider.probabilities(scorer.graph.raw(encode_columns(scorer.encoder, data.holdout.rows), threads=1))
    others = contenders(data, scorer.encoder)
    tried = [trial for trial in search.trials if trial.form != "ensemble" and trial.shortened is None]
    body = (
        f"{len(data.train):,} training rows, {len(data.holdout):,} in the holdout, "
        f"{data.holdout.y.mean():.1%} of them positive; {len(tried)} trials under a budget of "
        f"{spoken(opened.definition.training.budget)}.\n\n" + report(data.holdout.y, np.asarray(ours), others)
    )
    record("Quality", "python -m benchmarks.quality", body, libraries=["lightgbm", "scikit-learn", "polars"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
