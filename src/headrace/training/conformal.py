"""How sure an answer is: intervals of values and sets of classes that hold the truth as often as they say.

Conformal prediction on answers out of fold: what the errors of rows were that the model had not learnt from, the errors
of further rows will be, as long as these are of the same kind. Under a split by time that is an assumption, so the
coverage on the holdout is measured and shown.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.scoring.model import Decision, Margin

Floats = NDArray[np.float64]

PARTS = (1, 4, 10, 20)
"""Into how many parts of equally many rows, by the predicted value, errors may be told apart."""
FEWEST_IN_PART = 10.0
"""Rows of a part that lie beyond either end of its interval, at least, when it is told apart."""


def with_uncertainty(
    decision: Decision,
    y: NDArray[Any],
    answer: Floats,
    fold: NDArray[np.intp],
    *,
    coverage: float,
    least: float | None = None,
) -> Decision:
    """The decision with margins or least probabilities; as it is when there are too few rows for the coverage.

    Parameters
    ----------
    answer : out of fold; of classes calibrated, each row by what the other folds taught
    least : of values: what no end of an interval may be below
    """
    from msgspec.structs import replace

    if decision.task == "regression":
        margins = fit_margins(y, answer, fold, coverage=coverage)
        return replace(decision, coverage=coverage, margins=margins, least_value=least) if margins else decision
    least_of = fit_least(y, answer, coverage=coverage)
    return replace(decision, coverage=coverage, set_least=least_of) if least_of else decision


def fit_margins(y: Floats, value: Floats, fold: NDArray[np.intp], *, coverage: float) -> tuple[Margin, ...]:
    """Margins below and above a value, by parts of the predicted values: a Mondrian conformal regressor.

    Few parts or many, as gives the better intervals on rows of other folds (Winkler's score: the width, and what lies
    outside, 2 / (1 - coverage) times). Papadopoulos et al., 2002; Bostrom and Johansson, "Mondrian conformal
    regressors", COPA 2020.
    """
    part = fold if fold.min() < fold.max() else np.arange(len(y)) % 2
    best: tuple[float, int] | None = None
    for parts in PARTS:
        if parts > 1 and len(y) / parts * (1.0 - coverage) / 2.0 < FEWEST_IN_PART:
            break
        score = np.zeros(len(y))
        for i in np.unique(part):
            own = part == i
            margins = _margins(y[~own], value[~own], parts, coverage)
            if not margins:
                break
            low, high = intervals(value[own], margins)
            outside = np.maximum(low - y[own], 0.0) + np.maximum(y[own] - high, 0.0)
            score[own] = high - low + 2.0 / (1.0 - coverage) * outside
        else:
            mean = float(score.mean())
            if best is None or mean < best[0]:
                best = (mean, parts)
    return _margins(y, value, 1 if best is None else best[1], coverage)


def _margins(y: Floats, value: Floats, parts: int, coverage: float) -> tuple[Margin, ...]:
    """Empty when a part has too few rows for the coverage.

    Equal predictions are of one part: it is made of exactly those rows that its margin will be given to. A part that is
    left less than half of its share of the rows by that is one with the next.
    """
    order = np.argsort(value, kind="stable")
    ordered = value[order]
    begins = [0]
    for rows in np.array_split(np.arange(len(order)), parts)[1:]:
        begin = int(np.searchsorted(ordered, ordered[rows[0]])) if len(rows) else 0
        if begin - begins[-1] >= len(order) / parts / 2.0:
            begins.append(begin)
    found: list[Margin] = []
    for begin, end in pairwise([*begins, len(order)]):
        rows = order[begin:end]
        error = np.sort(y[rows] - value[rows])
        beyond = _beyond(len(error), (1.0 - coverage) / 2.0)
        if beyond < 1:
            return ()
        low, high = float(error[beyond - 1]), float(error[len(error) - beyond])
        start = _between(float(ordered[begin - 1]), float(ordered[begin])) if found else -1.7976931348623157e308
        found.append(Margin(start=start, below=low, above=high))
    return tuple(found)


def _between(low: float, high: float) -> float:
    """Halfway, above `low`: a compiled model, which answers in float32, moves no row across it."""
    middle = low / 2.0 + high / 2.0
    return middle if middle > low else high


def _beyond(rows: int, share: float) -> int:
    """Which row from an end, of so many, a further one lies beyond with a chance of `share` at most; 0: of too few."""
    return int(np.floor((rows + 1) * share + 1e-9))  # 1 - 0.9 is a little less than 0.1


def intervals(value: Floats, margins: tuple[Margin, ...]) -> tuple[Floats, Floats]:
    """Both ends for a column of values."""
    place = np.searchsorted(np.array([m.start for m in margins]), value, side="right") - 1
    below, above = (np.array([getattr(m, end) for m in margins])[place] for end in ("below", "above"))
    return value + below, value + above


def fit_least(y: NDArray[Any], p: Floats, *, coverage: float) -> tuple[float, ...]:
    """The probability from which on a class belongs to the set of a row; empty of too few rows.

    Of two classes each has its own, so that the set holds the truth as often among the rare class as among the
    frequent one (a rare class would else never be named). Of several one serves all: the least ambiguous sets of
    Sadinle, Lei and Wasserman, JASA 2019.
    """
    if p.ndim == 1:
        own = [_least(1.0 - p[y == 0], coverage), _least(p[y == 1], coverage)]
        return () if None in own else tuple(one for one in own if one is not None)
    shared = _least(p[np.arange(len(y)), y], coverage)
    return () if shared is None else (shared,) * p.shape[1]


def _least(own: Floats, coverage: float) -> float | None:
    """The probability of their own class that all rows but the share `1 - coverage` reach."""
    below = _beyond(len(own), 1.0 - coverage)
    return float(np.sort(own)[below - 1]) if below >= 1 else None
