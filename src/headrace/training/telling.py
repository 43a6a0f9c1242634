"""Inputs that alone nearly are the label, and ids that predict: seldom known when a prediction is asked for, or of no
use for rows to come. Each input is held against the label by itself, by a rule learnt from other rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Task
from headrace.language.types import Type
from headrace.training.data import Examples
from headrace.training.leak_model import Telling
from headrace.training.metrics import metric_of

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]

ROWS: Final = 20_000
"""Training rows, evenly spaced, that an input is held against."""
CELLS: Final = 20_000_000
"""Rows times inputs, at most: of wide tables fewer rows are looked at."""
FEWEST_ROWS: Final = 50
PARTS: Final = 100
"""Of a number, of about equally many rows."""
NEARLY: Final[dict[Task, float]] = {"binary": 0.99, "multiclass": 0.98, "regression": 0.99}
"""AUC, kappa or R² from which on an input nearly is the label."""
SOME: Final[dict[Task, float]] = {"binary": 0.6, "multiclass": 0.1, "regression": 0.05}
"""The same, from which on an id is seen to predict."""
SCORES: Final[dict[Task, str]] = {"binary": "roc_auc", "multiclass": "kappa", "regression": "r2"}
NO_SKILL: Final[dict[Task, float]] = {"binary": 0.5, "multiclass": 0.0, "regression": 0.0}
ID_SPAN: Final = 4.0
"""An id's values span at most so many times the rows."""
STANDARD_ERRORS: Final = 5.0


def telling_inputs(examples: Examples) -> tuple[Telling, ...]:
    """The inputs that tell too much, most first; of training rows only.

    An input nearly is the label when a rule learnt from one half of the rows and asked about the other (the mean label
    of each level, or of each hundredth of a number), or for values a straight line, reaches `NEARLY`. A whole number
    that is another in every row, without large gaps, is an id, and is named when it reaches `SOME` beyond chance.
    """
    n = len(examples)
    if n < FEWEST_ROWS:
        return ()
    kept = np.linspace(0, n - 1, min(n, ROWS, max(CELLS // max(len(examples.outputs), 1), FEWEST_ROWS))).astype(np.intp)
    y, task = examples.y[kept], examples.task
    if task != "regression" and np.unique(y, return_counts=True)[1].min() < 10:
        return ()
    half = np.random.Generator(np.random.PCG64(0)).random(len(kept)) < 0.5
    metric = metric_of(SCORES[task], task)
    error = _chance(y, task)
    found = []
    for field in examples.outputs:
        column = examples.rows[field.name]
        sample = column[kept]
        if sample.n_unique() < 2:
            continue
        is_level = field.type in (Type.STRING, Type.CATEGORY, Type.BOOLEAN)
        part = _levels(sample) if is_level else _parts(sample)
        value = float(metric.value(y, _rule(y, part, half, task, examples.n_classes)))
        if task == "regression" and not is_level:
            value = max(value, _line(y, sample))
        if not np.isfinite(value):
            continue
        if value >= NEARLY[task]:
            found.append(Telling(column=field.name, kind="label", metric=metric.name, value=value, rows=len(kept)))
        elif (
            value >= SOME[task]
            and value - NO_SKILL[task] > STANDARD_ERRORS * error
            and field.type is Type.INTEGER
            and _is_id(column)
        ):
            found.append(Telling(column=field.name, kind="id", metric=metric.name, value=value, rows=len(kept)))
    return tuple(sorted(found, key=lambda one: (one.kind, -one.value, one.column)))


def _rule(y: NDArray[Any], part: NDArray[np.intp], half: NDArray[np.bool_], task: Task, n_classes: int) -> NDArray[Any]:
    """The mean label of each part of the rows, each half asked by what the other taught; drawn in by two rows of all.

    Of several classes the likeliest one."""
    classes = max(n_classes, 2) if task == "multiclass" else 1
    target = np.eye(classes)[y] if task == "multiclass" else y.astype(np.float64)[:, None]
    said = np.empty((len(y), classes))
    count = int(part.max()) + 1
    for asked in (half, ~half):
        taught = ~asked
        prior = target[taught].mean(axis=0) if taught.any() else target.mean(axis=0)
        rows = np.bincount(part[taught], minlength=count)
        pull = 2.0 if task != "regression" else 0.1
        sums = np.column_stack([np.bincount(part[taught], target[taught, c], count) for c in range(classes)])
        mean = (sums + pull * prior) / (rows + pull)[:, None]
        said[asked] = mean[part[asked]]
    if task == "multiclass":
        likeliest: NDArray[np.int64] = np.argmax(said, axis=1)
        return likeliest
    return said[:, 0]


def _levels(column: pl.Series) -> NDArray[np.intp]:
    import polars as pl

    return column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy().astype(np.intp)


def _values(column: pl.Series) -> Floats:
    import polars as pl

    if column.dtype.is_temporal():
        column = column.cast(pl.Int64)
    return column.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def _parts(column: pl.Series) -> NDArray[np.intp]:
    """Hundredths by value, those without one the last; few values are parts each."""
    value = _values(column)
    known = np.isfinite(value)
    if not known.any():
        return np.zeros(len(value), np.intp)
    distinct = np.unique(value[known])
    cuts = (
        distinct if len(distinct) <= PARTS else np.unique(np.quantile(value[known], np.linspace(0, 1, PARTS + 1)[1:]))
    )
    part = np.searchsorted(cuts, np.where(known, value, cuts[-1])).astype(np.intp)
    part[~known] = len(cuts)
    return part


def _line(y: Floats, column: pl.Series) -> float:
    """R² of a straight line, where nearly all rows have a value."""
    value = _values(column)
    known = np.isfinite(value)
    if known.mean() < 0.9 or np.ptp(value[known]) == 0.0:
        return 0.0
    return float(np.corrcoef(value[known], y[known])[0, 1] ** 2)


def _is_id(column: pl.Series) -> bool:
    """A whole number that is another in every row, without large gaps."""
    if column.null_count() or column.n_unique() < len(column):
        return False
    low, high = column.min(), column.max()
    return isinstance(low, int) and isinstance(high, int) and high - low < ID_SPAN * len(column)


def _chance(y: NDArray[Any], task: Task) -> float:
    """The standard error of the score where an input tells nothing, about."""
    n = len(y)
    if task == "binary":
        positive = float(np.sum(y == 1))
        return float(np.sqrt((n + 1) / (12.0 * max(positive, 1.0) * max(n - positive, 1.0))))
    return float(1.0 / np.sqrt(n)) if task == "multiclass" else float(1.0 / n)
