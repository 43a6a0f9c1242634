"""What the look at the holdout takes, and how near estimated effects of features are to exact ones.

Made rows of 20 columns of which five matter; models of 5,000 of them. Times are of the processor, all threads together.

usage: python -m benchmarks.evaluation [ROWS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.harness import record
from headrace.definition.model import Costs
from headrace.scoring.graph import Graph
from headrace.scoring.model import Decision
from headrace.training.conformal import fit_least
from headrace.training.effects import exact_effects, sampled_effects
from headrace.training.evaluate import Holdout, evaluate
from headrace.training.families import Fitted, load_family
from headrace.training.measure import estimated_us, leaves_in
from headrace.training.model import Effects

T = TypeVar("T")
LEARNT: Final = 5_000
WEIGHTS: Final = (1.0, 0.5, 0.3, 0.2, 0.1)
NAMES: Final = tuple(f"x{column}" for column in range(20))
COSTS: Final = Costs(false_positive=1.0, false_negative=3.0)


def made(rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows, and labels of which about one in five is positive."""
    rng = np.random.Generator(np.random.PCG64(0))
    X = rng.normal(size=(rows, len(NAMES))).astype(np.float32)
    score = X[:, : len(WEIGHTS)] @ np.array(WEIGHTS) - 2.0
    return X, (rng.random(rows) < 1.0 / (1.0 + np.exp(-score))).astype(np.int64)


def fitted(family: str, X: NDArray[np.float32], y: NDArray[np.int64]) -> Fitted:
    """The family's first settings, on the first rows."""
    found = load_family(family, "binary")
    return found.fit(
        X[:LEARNT],
        y[:LEARNT],
        found.defaults()[0],
        task="binary",
        n_classes=2,
        levels=[None] * len(NAMES),
        seed=0,
        threads=2,
    )


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the processor, and what came of it."""
    started = time.process_time()
    done = work()
    return time.process_time() - started, done


def sizes(effects: Effects | None) -> dict[str, float]:
    """Mean effect by feature."""
    return {} if effects is None else {one.feature: one.size for one in effects.features}


def look(rows: int, X: NDArray[np.float32], y: NDArray[np.int64]) -> Sequence[object]:
    """The whole evaluation of a boosted model, with estimates of the effects."""
    model = fitted("lightgbm", X, y)
    held, truth = X[LEARNT:], y[LEARNT:]
    answers = model.predict(held)
    decision = Decision(
        task="binary",
        classes=("no", "yes"),
        threshold=0.25,
        coverage=0.9,
        set_least=fit_least(truth, answers, coverage=0.9),
    )
    holdout = Holdout(held, truth, answers, NAMES)
    onnx = model.to_onnx()
    took, found = timed(lambda: evaluate(holdout, onnx, decision, metric=None, costs=COSTS, label_spread=0.4))
    return (f"{rows:,}", len(NAMES), len(found.metrics), len(found.importances), f"{took:.1f}")


def effects_of(family: str, X: NDArray[np.float32], y: NDArray[np.int64]) -> Sequence[object]:
    """Exact and estimated effects of one model, and how alike they are."""
    model = fitted(family, X, y)
    onnx = model.to_onnx()
    graph = Graph(onnx)
    held = X[LEARNT : LEARNT + 2_000]
    exact_s, exact = timed(lambda: exact_effects([(1.0, model)], onnx, held, NAMES, "binary"))
    sampled_s, sampled = timed(
        lambda: sampled_effects(
            lambda rows: graph.raw(rows).astype(np.float64),
            held,
            NAMES,
            "binary",
            NAMES,
            row_us=estimated_us(onnx),
            seed=0,
        )
    )
    one, other = sizes(exact), sizes(sampled)
    alike: list[Any] = ["", ""]
    if one:
        both = [(one.get(name, 0.0), other.get(name, 0.0)) for name in NAMES]
        alike = [f"{spearmanr(both)[0]:.2f}", f"{sum(b for _, b in both) / sum(a for a, _ in both):.2f}"]
    said = f"{exact_s:.2f}" if one else ""
    return (family, f"{leaves_in(onnx):,}", said, f"{sampled_s:.2f}", *alike)


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    rows = int(float(arguments[0])) if arguments else 100_000
    X, y = made(rows + LEARNT)
    text = "One look at a holdout: metrics, intervals, curves, importances and estimated effects.\n\n"
    text += table(("rows", "columns", "metrics", "importances", "CPU, s"), [look(rows, X, y)])
    text += "\nEffects of features on single rows, by the library and estimated from the graph:\n\n"
    families = ("linear", "lightgbm", "catboost", "xgboost", "extra_trees")
    head = (
        "family",
        "leaves",
        "exact, CPU s",
        "estimated, CPU s",
        "rank correlation of sizes",
        "estimated by exact size",
    )
    text += table(head, [effects_of(family, X, y) for family in families])
    record(
        "Evaluation",
        "python -m benchmarks.evaluation",
        text,
        libraries=("lightgbm", "catboost", "onnxruntime", "numpy"),
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown; the first column stands left, the others right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


if __name__ == "__main__":
    main(sys.argv[1:])
