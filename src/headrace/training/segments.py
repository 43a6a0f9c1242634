"""The holdout by its parts: how good the model is for each segment, and whether groups are treated alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Task
from headrace.training.metrics import METRICS, bootstrap_weights, intervals_of, prepare_all, spread_of
from headrace.training.model import Fairness, Group, Interval, Rate, Segment, Segments

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]

MOST_PARTS = 20
"""Of a column, the most frequent values; the others are one part."""
MOST_NUMBERS = 12
"""Different numbers that are told one by one; more are told in four parts of equally many rows."""
FEWEST_ROWS = 50
"""A part with fewer is said to be too small."""
REPLICATES = 200
TOLD: dict[Task, tuple[str, ...]] = {
    "binary": ("average_precision", "roc_auc", "log_loss", "precision", "recall"),
    "multiclass": ("log_loss", "accuracy", "macro_f1"),
    "regression": ("rmse", "mae", "r2"),
}
JUDGED: dict[Task, tuple[str, ...]] = {"binary": ("roc_auc",)}
"""By which of these a part may be said to be worse: the others follow how often the positive class happens in it."""
RATES = {
    "selection": "share acted on",
    "tpr": "share of the positives acted on",
    "fpr": "share of the negatives acted on",
    "precision": "share of positives among those acted on",
    "calibration": "share of positives less the mean probability",
}
FOUR_FIFTHS = 0.8


def parts_of(column: pl.Series) -> tuple[NDArray[np.intp], list[str]]:
    """Which part each row is of, and the parts' names, the largest first.

    Examples
    --------
    >>> import polars as pl
    >>> codes, names = parts_of(pl.Series("c", ["b", "a", "b", None]))
    >>> codes.tolist(), names
    ([0, 2, 0, 1], ['b', '(null)', 'a'])
    """
    import polars as pl

    if column.dtype.is_numeric() and column.n_unique() > MOST_NUMBERS:
        values = column.cast(pl.Float64).fill_nan(None)
        known = values.drop_nulls().to_numpy()
        known = known[np.isfinite(known)]  # between a number and an infinity there is no quantile
        cuts = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.array([])
        ends = _told_apart(cuts)
        names = ["all"] if not ends else [f"≤ {ends[0]}", *_between(ends), f"> {ends[-1]}"]
        codes = np.searchsorted(cuts, values.fill_null(0.0).to_numpy(), side="left").astype(np.intp)
        missing = values.is_null().to_numpy()
        if missing.any():
            codes[missing], names = len(names), [*names, "(null)"]
        some = np.unique(codes)  # above a cut that is the largest number there is nothing
        return np.searchsorted(some, codes), [names[code] for code in some]
    text = column.cast(pl.String).fill_null("(null)").alias("value")
    counts = text.value_counts().sort(["count", text.name], descending=[True, False])
    names = counts[text.name].head(MOST_PARTS).to_list()
    place = {name: code for code, name in enumerate(names)}
    codes = np.array([place.get(value, len(names)) for value in text.to_list()], np.intp)
    return codes, [*names, "(others)"] if counts.height > MOST_PARTS else names


def _told_apart(cuts: Floats) -> list[str]:
    """The cuts in words, with as many digits as tell them apart, four at least."""
    told = ([f"{cut:.{digits}g}" for cut in cuts] for digits in range(4, 18))
    return next(ends for ends in told if len(set(ends)) == len(ends))


def _between(ends: Sequence[str]) -> list[str]:
    return [f"{low} to {high}" for low, high in pairwise(ends)]


def by_segment(
    column: pl.Series, task: Task, y: NDArray[Any], answer: Floats, decided: NDArray[Any], *, seed: int
) -> Segments:
    """The main metrics of each part of a column's values, and which parts are clearly worse than the whole."""
    codes, names = parts_of(column)
    metrics = [METRICS[name] for name in TOLD[task]]
    judged = judged_by(task)
    whole = {name: of(np.ones(len(y))) for name, of in prepare_all(metrics, y, answer, decided).items()}
    found = []
    for code, name in enumerate(names):
        own = np.flatnonzero(codes == code)
        prevalence = float(np.mean(y[own])) if task == "binary" and len(own) else None
        if len(own) < FEWEST_ROWS:
            found.append(Segment(value=name, rows=len(own), prevalence=prevalence))
            continue
        prepared = prepare_all(metrics, y[own], answer[own], decided[own])
        spreads = intervals_of(prepared, len(own), replicates=REPLICATES, seed=seed)
        intervals = tuple(
            Interval(name=metric.name, **spreads[metric.name]._asdict(), higher_is_better=metric.higher_is_better)
            for metric in metrics
            if np.isfinite(spreads[metric.name].value)
        )
        worse = tuple(one.name for one in intervals if one.name in judged and _is_worse(one, whole[one.name]))
        found.append(Segment(value=name, rows=len(own), prevalence=prevalence, metrics=intervals, worse=worse))
    return Segments(column=column.name, metrics=TOLD[task], segments=tuple(found))


def judged_by(task: Task) -> tuple[str, ...]:
    """The metrics by which a part may be said to be worse."""
    return JUDGED.get(task, TOLD[task])


def _is_worse(one: Interval, whole: float) -> bool:
    return one.high < whole if one.higher_is_better else one.low > whole


def fairness_of(column: pl.Series, y: NDArray[Any], p: Floats, decided: NDArray[Any], *, seed: int) -> Fairness:
    """Rates by group, over the same draws of rows, with the largest difference and the smallest ratio of two groups.

    Groups of fewer than `FEWEST_ROWS` rows are named, and not compared.

    Notes
    -----
    Chance alone makes the extremes of many groups differ, and of draws of their rows even more: of ten groups of 100
    rows that are acted on alike the ratio is about 0.4, and 0.06 to 0.42 in draws. So intervals are made for all pairs
    of groups at once (Bonferroni), by the errors of their rates, and the largest difference lies between the largest
    of their lower ends and the largest of their upper ends (docs/decisions/0083-parts-judged-together.md).
    """
    codes, names = parts_of(column)
    sizes = np.bincount(codes, minlength=len(names))
    kept = np.flatnonzero(sizes >= FEWEST_ROWS)
    cell = (codes * 4 + y * 2 + decided).astype(np.intp)

    def rates(weights: Floats) -> dict[str, tuple[Floats, Floats]]:
        """Each rate, and the weight that it is a share of, by group."""
        table = np.bincount(cell, weights, 4 * len(names)).astype(np.float64).reshape(-1, 2, 2)[kept]
        said = np.bincount(codes, weights * p, len(names)).astype(np.float64)[kept]
        rows, acted, positive = table.sum(axis=(1, 2)), table[:, :, 1].sum(axis=1), table[:, 1].sum(axis=1)
        return {
            "selection": (_share(acted, rows), rows),
            "tpr": (_share(table[:, 1, 1], positive), positive),
            "fpr": (_share(table[:, 0, 1], rows - positive), rows - positive),
            "precision": (_share(table[:, 1, 1], acted), acted),
            "calibration": (_share(positive - said, rows), rows),
        }

    found = rates(np.ones(len(y)))
    level = {name: rate for name, (rate, _) in found.items()}
    drawn = [rates(weights) for weights in bootstrap_weights(len(y), replicates=REPLICATES, seed=seed)]
    draws = {name: np.array([one[name][0] for one in drawn]) for name in RATES}
    groups = tuple(
        Group(
            value=names[code],
            rows=int(sizes[code]),
            rates=tuple(
                _interval(name, level[name][i], draws[name][:, i]) for name in RATES if np.isfinite(level[name][i])
            ),
        )
        for i, code in enumerate(kept)
    )
    small = tuple(name for name, size in zip(names, sizes.tolist(), strict=True) if size < FEWEST_ROWS)
    compared = tuple(_compare(name, *found[name], draws[name]) for name in RATES if np.isfinite(level[name]).sum() > 1)
    return Fairness(column=column.name, groups=groups, too_small=small, compared=compared)


def _compare(name: str, rates: Floats, of: Floats, draws: Floats) -> Rate:
    """The extremes of the groups' rates, which are shares of so many rows each."""
    from scipy.stats import norm

    known = np.isfinite(rates)
    rate, n = rates[known], of[known]
    one, other = np.triu_indices(len(rate), 1)
    wide = float(norm.isf(0.025 / len(one)))
    # half a row more of either kind: no group is so small that its rate is sure
    drawn_in = (rate * n + 0.5) / (n + 1.0)
    error = np.nanstd(draws[:, known], axis=0) if name == "calibration" else np.sqrt(drawn_in * (1.0 - drawn_in) / n)
    gap, half = np.abs(rate[one] - rate[other]), wide * np.hypot(error[one], error[other])
    difference = Interval(
        name=name,
        value=float(gap.max()),
        low=max(float((gap - half).max()), 0.0),
        high=float((gap + half).max()),
        higher_is_better=False,
    )
    if name == "calibration" or not rate.max() > 0:  # may be of either sign, or nothing: a ratio says nothing
        return Rate(name=name, difference=difference)
    size, error = np.log(drawn_in), np.sqrt((1.0 - drawn_in) / (n * drawn_in))
    gap, half = np.abs(size[one] - size[other]), wide * np.hypot(error[one], error[other])
    value, low, high = float(rate.min() / rate.max()), np.exp(-(gap + half).max()), np.exp(-(gap - half).max())
    ratio = Interval(
        name=name,
        value=value,
        low=min(float(low), value),
        high=max(min(float(high), 1.0), value),
        higher_is_better=False,
    )
    verdict: Literal["no", "yes", "not clear"] = (
        "no" if ratio.low >= FOUR_FIFTHS else "yes" if ratio.high < FOUR_FIFTHS else "not clear"
    )
    return Rate(name=name, difference=difference, ratio=ratio, below_four_fifths=verdict if name == "selection" else "")


def _share(part: Floats, whole: Floats) -> Floats:
    shares: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares


def _interval(name: str, value: float, draws: Floats) -> Interval:
    spread = spread_of(float(value), draws)
    return Interval(name=name, **spread._asdict(), higher_is_better=False)
