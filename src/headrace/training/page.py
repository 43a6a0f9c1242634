"""The page of a run: what was chosen, why, how good it is, and what every candidate would cost."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.pages.charts import Bar, Point, Series, bar_chart, line_chart, scatter_chart
from headrace.pages.render import render
from headrace.training.automatic_model import Automatic
from headrace.training.model import Candidate, Choice, Curve, Evaluation, Trial

MOST_BARS = 15
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


def run_page(
    *,
    project: str,
    version: str,
    trials: Sequence[Trial],
    choice: Choice,
    evaluation: Evaluation,
    counts: Sequence[tuple[str, int]],
    classes: Sequence[str],
    automatic: Automatic | None = None,
    split: str = "",
) -> str:
    """One HTML page for a finished run.

    Parameters
    ----------
    version
        `MODEL@NUMBER`.
    counts
        Pairs (what, rows) of the frame, in the order shown.
    classes
        Names of the classes by code; empty for a regression.
    automatic
        What was tried of proposed features, if any were asked for.
    split
        How rows were divided and why, where that was looked at.
    """
    by_number = {t.number: t for t in trials}
    return render(
        "training/run.html.j2",
        project=project,
        version=version,
        trials=by_number,
        others=[t for t in trials if t.state != "done"],
        choice=choice,
        chosen=next(c for c in choice.candidates if c.trial == choice.trial),
        evaluation=evaluation,
        counts=counts,
        classes=classes,
        automatic=automatic,
        split=split,
        frontier=frontier_chart(choice),
        curves=curve_charts((*evaluation.curves, *_learning(evaluation))),
        importances=importance_chart(evaluation),
    )


def frontier_chart(choice: Choice) -> str:
    """Every candidate: cost of a million predictions (or the metric's rank, without costs) against the metric."""
    families = sorted({c.family for c in choice.candidates})

    def cost(c: Candidate) -> float:
        return 0.0 if c.money is None else c.money.total

    points = [
        Point(cost(c), c.score, f"{c.family} {c.trial}", families.index(c.family), marked=c.trial == choice.trial)
        for c in choice.candidates
    ]
    label = f"{choice.currency} a million predictions"
    return scatter_chart("Candidates", points, x_label=label, y_label="metric, out of fold", groups=families)


def _learning(evaluation: Evaluation) -> list[Curve]:
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
    marks = [Point(*first.mark, "threshold", marked=True)] if first.mark is not None else []
    return line_chart(TITLES[first.name], series, x_label=first.x_label, y_label=first.y_label, marks=marks)


def importance_chart(evaluation: Evaluation) -> str:
    """The features that matter most."""
    largest = sorted(evaluation.importances, key=lambda i: (-i.drop, i.feature))[:MOST_BARS]
    return bar_chart("Importances", [Bar(i.feature, i.drop, i.low, i.high) for i in largest])
