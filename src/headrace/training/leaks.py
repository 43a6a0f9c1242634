"""Whether a split that draws rows at random flatters: shown by one quick model, asked about the same rows twice.

The same number of rows teach it once as a random split would let them, and once as the honest split would: earlier rows
only, or rows of other groups only. What it does better in the first case it owes to rows that it will not have.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.data.model import Field
from headrace.definition.model import Task
from headrace.features.encoder import encode_columns
from headrace.features.encodings.fitting import fit_encoder
from headrace.training.automatic import FAST
from headrace.training.families import Params, load_family
from headrace.training.folding import levels_of
from headrace.training.leak_model import Leak, Untried
from headrace.training.metrics import measure, metric_of

MOST_ROWS: Final = 12_000
MOST_COLUMNS: Final = 50
FEWEST_ROWS: Final = 300
BLOCKS: Final = 20
"""Of the rows that are asked, in time: neighbours are not independent, blocks nearly."""
STANDARD_ERRORS: Final = 3.0
"""What the gap in loss has to exceed."""
MATERIAL: Final = 0.03
"""The gap in loss, as a share of the honest loss, from which on it matters."""
GROUP_ROWS: Final = 2.0, 200.0
"""Rows a level, on the mean, of a column that may name groups: with more, the same few come again."""
FEWEST_LEVELS: Final = 30
"""Of a column that may name groups, and of levels of one size that would tell rows apart as well: with most rows in a
few levels, what is left out of learning is a kind of row and not a group."""
MOST_GROUPS: Final = 2
"""Columns whose levels are tried as groups: those whose levels tell most of the label."""

CURVE: Final = 5
"""Degree of the curve that a quantity may follow."""

QUICK: Final[Params] = {"rounds": 60, "num_leaves": 15, "min_data_in_leaf": 10}
"""Of the quick model, beside the fixed one's: small, because what it learns of chance is worth less among new rows, and
that is no leak."""

SCORES: Final[dict[Task, str]] = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}


@dataclass(frozen=True, slots=True)
class Sample:
    """Labelled rows to try a split on."""

    task: Task
    n_classes: int
    outputs: tuple[Field, ...]
    rows: Any
    """A Polars frame with the columns `outputs`."""
    y: NDArray[Any]


def time_leak(sample: Sample, column: str, instants: NDArray[np.int64], *, seed: int, threads: int) -> Leak | Untried:
    """Learn from the first half in time and be asked about half of the third quarter, or learn from any other rows; and
    the same of three quarters and the last. Only what both show is shown: a single model may fail the future by chance.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    order = np.argsort(instants, kind="stable")
    order = order[np.linspace(0, len(order) - 1, min(len(order), MOST_ROWS)).astype(np.intp)]
    leaks = []
    for quarter in (2, 3):
        start, end = (_cut(instants[order], len(order) * part // 4) for part in (quarter, quarter + 1))
        asked = np.sort(rng.permutation(np.arange(start, end))[: (end - start) // 2])
        honest, other = np.arange(start), np.setdiff1d(np.arange(len(order)), asked)
        cluster = np.arange(len(asked)) * BLOCKS // max(len(asked), 1)
        leak = _leak("time", column, sample, order[asked], order[honest], order[other], cluster, rng, threads)
        if isinstance(leak, str):
            return Untried(kind="time", column=column, why=leak)
        leaks.append(leak)
    return min(leaks, key=lambda leak: (leak.shown, leak.share))


def _cut(ordered: NDArray[np.int64], place: int) -> int:
    """The next place where a new instant begins."""
    while 0 < place < len(ordered) and ordered[place] == ordered[place - 1]:
        place += 1
    return place


def group_leak(sample: Sample, column: str, groups: NDArray[np.int64], *, seed: int, threads: int) -> Leak | Untried:
    """Be asked about half of the rows of a third of the groups, and learn from other groups; or from any other rows."""
    rng = np.random.Generator(np.random.PCG64(seed))
    names, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    drawn = rng.permutation(len(names))
    drawn = drawn[np.cumsum(sizes[drawn]) <= max(MOST_ROWS, int(sizes.max()))]
    tested = np.zeros(len(names), np.bool_)
    tested[drawn[: len(drawn) // 3]] = True
    kept = np.zeros(len(names), np.bool_)
    kept[drawn] = True
    place = np.empty(len(code), np.intp)  # of a row within its group, in a random order
    mixed = rng.permutation(len(code))
    mixed = mixed[np.argsort(code[mixed], kind="stable")]
    place[mixed] = np.arange(len(code)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    asked = np.flatnonzero(tested[code] & (place % 2 == 1))
    honest = np.flatnonzero(kept[code] & ~tested[code])
    other = np.setdiff1d(np.flatnonzero(kept[code]), asked)
    leak = _leak("group", column, sample, asked, honest, other, code[asked], rng, threads)
    return Untried(kind="group", column=column, why=leak) if isinstance(leak, str) else leak


def group_columns(
    columns: Sequence[tuple[str, NDArray[np.int64]]], y: NDArray[Any], task: Task, *, numbers: Collection[str] = ()
) -> list[str]:
    """The columns whose levels may be groups, those that tell most of the label first: levels of 2 to 200 rows on the
    mean, between which the label differs by more than chance (F of a one-way analysis of variance).

    Parameters
    ----------
    columns : names and codes, which rise with the values
    numbers : columns of them whose values are numbers: a name of a group in digits says nothing by being larger. Where
        how large it is explains what levels differ by (a curve of degree `CURVE` over the ranks), it is a quantity
    """
    value = (y == np.argmax(np.bincount(y))).astype(np.float64) if task != "regression" else y.astype(np.float64)
    found = []
    for name, code in columns:
        _, level, sizes = np.unique(code, return_inverse=True, return_counts=True)
        n, k = len(code), len(sizes)
        alike = n**2 / float((sizes.astype(np.float64) ** 2).sum())  # as many levels of one size
        if min(k, alike) < FEWEST_LEVELS or not GROUP_ROWS[0] <= n / k <= GROUP_ROWS[1]:
            continue
        means = np.bincount(level, value) / sizes
        between = float((sizes * (means - value.mean()) ** 2).sum()) / (k - 1)
        within = float(((value - means[level]) ** 2).sum()) / max(n - k, 1)
        f = between / within if within > 0 else np.inf
        if name in numbers and f < np.inf:
            f = _beside_a_curve(means, sizes, within)
        if f > 1.0 + 3.0 * np.sqrt(2.0 / k):
            found.append((-f, name))
    return [name for _, name in sorted(found)[:MOST_GROUPS]]


def _beside_a_curve(means: NDArray[np.float64], sizes: NDArray[np.int64], within: float) -> float:
    """F of what levels differ by beside a curve over their ranks."""
    rank = (np.cumsum(sizes) - sizes / 2.0) / sizes.sum()
    heavy = np.sqrt(sizes)
    design = np.polynomial.chebyshev.chebvander(2.0 * rank - 1.0, CURVE) * heavy[:, None]
    rest = means * heavy - design @ np.linalg.lstsq(design, means * heavy, rcond=None)[0]
    return float((rest**2).sum()) / max(len(means) - CURVE - 1, 1) / within


def _leak(
    kind: Literal["time", "group"],
    column: str,
    sample: Sample,
    asked: NDArray[np.intp],
    honest: NDArray[np.intp],
    other: NDArray[np.intp],
    cluster: NDArray[np.intp],
    rng: np.random.Generator,
    threads: int,
) -> Leak | str:
    """What was shown, or why nothing could be."""
    size = min(len(honest), len(other))
    if len(asked) < FEWEST_ROWS // 3 or size < FEWEST_ROWS // 3:
        return f"with {len(asked):,} rows to ask and {size:,} to learn from"
    answers = []
    for rows in (other, honest):
        learnt = np.sort(rng.permutation(rows)[:size])
        if len(np.unique(sample.y[learnt])) < 2:
            return "the rows to learn from have one class or value only"
        answers.append(_answers(sample, learnt, asked, threads))
    y = sample.y[asked]
    drawn_loss, honest_loss = (_losses(y, answer, sample.task) for answer in answers)
    gap = honest_loss - drawn_loss
    error = float(np.sqrt((np.bincount(np.unique(cluster, return_inverse=True)[1], gap - gap.mean()) ** 2).sum()))
    metric = metric_of(SCORES[sample.task], sample.task)
    drawn, fair = (measure(metric, y, answer, sample.task) for answer in answers)
    if not np.isfinite(drawn) or not np.isfinite(fair):
        return f"{metric.name} is undefined on the rows that are asked"
    share = float(gap.mean() / honest_loss.mean()) if honest_loss.mean() > 0 else 0.0
    return Leak(
        kind=kind,
        column=column,
        metric=metric.name,
        drawn=drawn,
        honest=fair,
        share=share,
        shown=bool(gap.sum() > STANDARD_ERRORS * error and share > MATERIAL and drawn - fair > MATERIAL / 2),
        rows=len(asked),
    )


def _answers(sample: Sample, learnt: NDArray[np.intp], asked: NDArray[np.intp], threads: int) -> NDArray[np.float64]:
    encoder = fit_encoder(sample.outputs, sample.rows[learnt])
    family = load_family("lightgbm", sample.task)
    fitted = family.fit(
        encode_columns(encoder, sample.rows[learnt]),
        sample.y[learnt],
        {**family.defaults()[0], **FAST["lightgbm"], **QUICK},
        task=sample.task,
        n_classes=sample.n_classes,
        levels=levels_of(encoder),
        seed=0,
        threads=threads,
    )
    return fitted.predict(encode_columns(encoder, sample.rows[asked]))


def _losses(y: NDArray[Any], answer: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
    if task == "regression":
        error: NDArray[np.float64] = np.abs(answer - y)
        return error
    right = np.where(y == 1, answer, 1.0 - answer) if task == "binary" else answer[np.arange(len(y)), y]
    loss: NDArray[np.float64] = -np.log(np.clip(right, 1e-3, 1.0))
    return loss
