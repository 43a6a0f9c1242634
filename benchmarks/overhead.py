"""What a search takes beside the fits themselves, at about 50 ms a fit.

A whole run of 60 trials of LightGBM on a made table of so many rows that a fit on one fold takes about 50 ms. Overhead
is the time of all workers during the search, less that of the fits: asking, scoring and compiling in the children;
judging, recording, proposing and the ensemble in the process of the search; encoding; and waiting. The processes that
fit have loaded their libraries before.

usage: python -m benchmarks.overhead [TRIALS [MS]]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.harness import newest, record, table
from headrace.app import Project
from headrace.runs.stage import WorkingStage
from headrace.training import candidates, folding, trial_worker, workers
from headrace.training import search as searching
from headrace.training.model import SearchResult
from headrace.training.proposals import Proposer
from headrace.training.trial_worker import FoldAnswer
from headrace.training.workers import nursery

TRIALS: Final = 60
WANTED_MS: Final = 50.0
ROWS: Final = 4_000
FEWEST_ROWS: Final = 1_500
"""With fewer a class is so rare that the folds' own models are kept, and each is compiled."""
COLUMNS: Final = 12
THREADS: Final = 2
LIMIT: Final = 0.10
DEFINITION: Final = """format = 1
[project]
name = "overhead"
label = "yes"
task = "binary"
[sources.rows]
read = "rows.parquet"
[features]
auto = false
[split]
by = "stratified"
trust = true
[training]
families = ["lightgbm"]
budget = "{trials} trials"
threads = {threads}
"""


class Parts:
    """Seconds by what was done in searches."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.fits = 0
        self.fit_s = 0.0
        self.child_s = 0.0
        """In the children, beside the fits."""
        self.wall_s = 0.0
        self._is_searching = False

    def whole(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """`search`: only what it calls is counted."""

        def outer(*args: Any, **settings: Any) -> Any:
            self._is_searching, began = True, time.perf_counter()
            try:
                return inner(*args, **settings)
            finally:
                self._is_searching = False
                self.wall_s += time.perf_counter() - began

        return outer

    def timed(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added to the part of that name, but for what it calls of other parts."""

        def outer(*args: Any, **settings: Any) -> Any:
            if not self._is_searching:
                return inner(*args, **settings)
            began, before = time.perf_counter(), sum(self.seconds.values())
            try:
                return inner(*args, **settings)
            finally:
                self.seconds[name] += time.perf_counter() - began - (sum(self.seconds.values()) - before)

        return outer

    def taking(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """`Attempt.take`, which hears of every fit."""

        def outer(attempt: Any, fold: int, outcome: FoldAnswer | str) -> None:
            if self._is_searching and isinstance(outcome, FoldAnswer):
                self.fits += 1
                self.fit_s += outcome.fit_s
                self.child_s += outcome.took_s - outcome.fit_s
            inner(attempt, fold, outcome)

        return outer


@contextmanager
def watched(parts: Parts) -> Iterator[None]:
    """Time the parts of every search of this process."""
    places: list[tuple[Any, str, Callable[..., Any]]] = [
        (searching, "search", parts.whole(searching.search)),
        (Proposer, "propose", parts.timed("proposing", Proposer.propose)),
        (Proposer, "tell", parts.timed("proposing", Proposer.tell)),
        (
            candidates.Bench,
            "trial",
            parts.timed("judging: calibration, threshold, a row's time", candidates.Bench.trial),
        ),
        (candidates.Bench, "ensemble", parts.timed("the ensemble", candidates.Bench.ensemble)),
        (WorkingStage, "record", parts.timed("recording", WorkingStage.record)),
        (WorkingStage, "keep_bytes", parts.timed("keeping graphs and answers", WorkingStage.keep_bytes)),
        (workers, "save_fold", parts.timed("encoding and writing folds", trial_worker.save_fold)),
        (
            folding.EncodedFolds,
            "__getitem__",
            parts.timed("encoding and writing folds", folding.EncodedFolds.__getitem__),
        ),
        (folding.Attempt, "take", parts.taking(folding.Attempt.take)),
    ]
    before = [getattr(place, name) for place, name, _ in places]
    for place, name, outer in places:
        setattr(place, name, outer)
    try:
        yield
    finally:
        for (place, name, _), inner in zip(places, before, strict=True):
            setattr(place, name, inner)


def write_rows(path: Path, rows: int) -> None:
    """A made table of which something can be learnt."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, COLUMNS))
    score = X[:, 0] + X[:, 1] * X[:, 2] + np.sin(2 * X[:, 3]) + rng.normal(size=rows)
    columns = {f"x{i}": X[:, i] for i in range(COLUMNS)}
    pl.DataFrame({**columns, "yes": score > 1.0}).write_parquet(path)


def run(folder: Path, rows: int, trials: int) -> tuple[Parts, SearchResult]:
    """One run: the parts of its search, and its trials."""
    folder.mkdir()
    write_rows(folder / "rows.parquet", rows)
    (folder / "headrace.toml").write_text(DEFINITION.format(trials=trials, threads=THREADS), encoding="utf-8")
    project = Project.open(folder, environment={**os.environ, "HEADRACE_CONFIG": str(folder / "keys")})
    parts = Parts()
    with watched(parts):
        project.run()
    return parts, newest(project, "search", SearchResult)


def report(parts: Parts, result: SearchResult, rows: int) -> str:
    """The table."""
    over_s = parts.wall_s * THREADS - parts.fit_s
    seconds = {"fits": parts.fit_s, "asking, scoring, compiling, in the children": parts.child_s}
    seconds |= {"workers that waited": over_s - parts.child_s, "overhead: both": over_s}
    seconds |= dict(sorted(parts.seconds.items(), key=lambda one: -one[1]))
    lines = [(name, f"{spent:.2f}", f"{spent / parts.fit_s:.1%}") for name, spent in seconds.items()]
    done = sum(trial.state == "done" for trial in result.trials)
    each_ms = 1000 * parts.fit_s / max(parts.fits, 1)
    return (
        f"{len(result.trials)} trials ({done} on every fold) of {rows:,} rows, {THREADS} workers: {parts.fits} fits of "
        f"{each_ms:.0f} ms on the mean; the search took {parts.wall_s:.2f} s. Overhead, {THREADS} times that less the "
        f"fits, is {over_s / parts.fit_s:.1%} of them (the limit: {LIMIT:.0%}). The lines below it are done in the "
        "process of the search, and cost where workers wait for it.\n\n" + table(["part", "s", "of the fits"], lines)
    )


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    trials = int(arguments[0]) if arguments else TRIALS
    wanted_ms = float(arguments[1]) if arguments[1:] else WANTED_MS
    child = nursery().fork("/")
    assert child.pid, "it is there once the libraries are loaded"
    child.end()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        rows = ROWS
        for attempt in range(2):  # so many rows that a fit takes about so long
            parts, _ = run(folder / f"size-{attempt}", rows, max(trials // 4, 2))
            rows = max(int(rows * (wanted_ms / 1000 * parts.fits / parts.fit_s) ** 1.3), FEWEST_ROWS)
        parts, result = run(folder / "whole", rows, trials)
    record(
        "Overhead of the search",
        "python -m benchmarks.overhead",
        report(parts, result, rows),
        libraries=["lightgbm", "optuna"],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
