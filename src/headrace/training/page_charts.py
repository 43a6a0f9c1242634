"""Pictures of a run: candidates by quality and money, curves of the holdout, what the model looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.pages.charts import Bar, Point, Series, bar_chart, line_chart, scatter_chart
from headrace.pages.swarm import Swarm, swarm_chart
from headrace.training.model import Candidate, Choice, Curve, Effects, Evaluation

MOST_BARS = 15
MOST_SWARMS = 12
TITLES = {
    "roc": "ROC curve",
    "precision_recall": "Precision and recall",
    "gain": "Gain: positives found by looking at the likeliest rows",
    "lift": "Lift: times what chance finds",
    "learning": "Learning curve: would more rows help?",
    "class_roc": "ROC curve of each class against the rest",
    "calibration": "Calibration: said against happened",
    "cost": "Expected cost of one prediction, by threshold",
    "residuals": "Residuals",
    "predicted_actual": "Predicted against actual",
}


def frontier_chart(choice: Choice, metric: str, sign: float) -> str:
    """Every candidate: its metric by what serving costs, and the line of those that no other is better and cheaper
    than.

    Parameters
    ----------
    sign : 1 where more of the metric is better, -1 where less is
    """
    points = _points(choice, sign, lambda c: 0.0 if c.money is None else c.money.serving)
    path: list[tuple[float, float]] = []
    for x, y in sorted((p.x, p.y) for p, c in zip(points, choice.candidates, strict=True) if c.on_frontier):
        if path:
            path.append((x, path[-1][1]))
        path.append((x, y))
    return scatter_chart(
        "Quality by what serving costs",
        points,
        x_label=f"serving, {choice.currency} a million predictions",
        y_label=f"{metric}, out of fold",
        groups=_families(choice),
        log_x=True,
        path=path,
    )


def money_chart(choice: Choice, metric: str, sign: float) -> str:
    """Every candidate: its metric by all that a million predictions are expected to cost; empty without [costs]."""
    if not any(c.money is not None and c.money.errors for c in choice.candidates):
        return ""
    return scatter_chart(
        "Quality by expected cost",
        _points(choice, sign, lambda c: 0.0 if c.money is None else c.money.total),
        x_label=f"errors, serving and training, {choice.currency} a million predictions",
        y_label=f"{metric}, out of fold",
        groups=_families(choice),
    )


def _points(choice: Choice, sign: float, money: Callable[[Candidate], float]) -> list[Point]:
    families = _families(choice)
    return [
        Point(
            money(c),
            sign * c.score,
            f"{'chosen: ' if c.trial == choice.trial else ''}{c.family} {c.trial}",
            families.index(c.family),
            marked=c.trial == choice.trial,
        )
        for c in choice.candidates
    ]


def _families(choice: Choice) -> list[str]:
    return sorted({c.family for c in choice.candidates})


def effects_chart(effects: Effects | None) -> str:
    """How far each row's value of a feature moved its answer; empty where nothing did."""
    if effects is None or not effects.features:
        return ""
    units = {
        "log-odds": "moves the answer by, log-odds",
        "label": "moves the answer by, in the label's unit",
        "logarithm": "moves the logarithm of the answer by",
    }
    rows = [Swarm(one.feature, one.effects, one.places) for one in effects.features[:MOST_SWARMS]]
    return swarm_chart(
        "Effects of features on single answers",
        rows,
        x_label=units[effects.unit],
        low="low value",
        high="high value",
        none="missing or several",
    )


def learning_curves(evaluation: Evaluation) -> list[Curve]:
    """The learning curve as points, with intervals of twice the standard error."""
    found = evaluation.learning
    if found is None:
        return []
    return [
        Curve(
            name="learning",
            x=tuple(float(rows) for rows in found.rows),
            y=found.scores,
            x_label="rows learnt from",
            y_label=f"{found.metric.replace('_', ' ')}, out of fold",
            low=tuple(y - 2 * s for y, s in zip(found.scores, found.spread, strict=True)),
            high=tuple(y + 2 * s for y, s in zip(found.scores, found.spread, strict=True)),
        )
    ]


def curve_charts(curves: Sequence[Curve]) -> list[tuple[str, str]]:
    """Titles and charts; curves of one name stand in one chart."""
    named: dict[str, list[Curve]] = {}
    for curve in curves:
        named.setdefault(curve.name, []).append(curve)
    return [(TITLES[name], curve_chart(*several)) for name, several in named.items()]


def curve_chart(*curves: Curve) -> str:
    """Curves over one pair of axes, with the line of reference where there is one, and the threshold's place."""
    first = curves[0]
    series = [
        Series(curve.of or curve.name.replace("_", " "), curve.x, curve.y, low=curve.low, high=curve.high)
        for curve in curves
    ]
    if first.name in ("roc", "class_roc", "gain", "calibration"):
        words = "perfect" if first.name == "calibration" else "chance"
        series.append(Series(words, (0.0, 1.0), (0.0, 1.0), dashed=True))
    elif first.name == "predicted_actual":
        ends = (min(*first.x, *first.y), max(*first.x, *first.y))
        series.append(Series("perfect", ends, ends, dashed=True))
    below = first.name in ("roc", "gain")
    marks = [Point(*first.mark, "threshold", marked=True, name_below=below)] if first.mark is not None else []
    return line_chart(TITLES[first.name], series, x_label=first.x_label, y_label=first.y_label, marks=marks)


def importance_chart(evaluation: Evaluation) -> str:
    """The features that matter most; empty where none could be asked."""
    if not evaluation.importances:
        return ""
    largest = sorted(evaluation.importances, key=lambda i: (-i.drop, i.feature))[:MOST_BARS]
    return bar_chart("Importances", [Bar(i.feature, i.drop, i.low, i.high) for i in largest])
