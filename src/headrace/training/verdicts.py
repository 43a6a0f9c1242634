"""Whether a chosen model is to be believed, in a few sentences, each with the figures that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Split, Task
from headrace.pages.scale import short
from headrace.training.answers import Answers
from headrace.training.metrics import Metric, metric_of, plain_decisions
from headrace.training.model import (
    Choice,
    Evaluation,
    Interval,
    LearningCurve,
    LeftOut,
    SearchResult,
    Segment,
    Trial,
    Verdict,
)
from headrace.training.money_words import costs_wrong
from headrace.training.search_words import ended, rivals, strategies
from headrace.training.segments import judged_by

Floats = NDArray[np.float64]

ORDINARY_GAP = 0.1
"""Of the score: by so much, training rows may be known better than others."""
BINS = 20.0
"""Of a calibration curve."""
REPLICATES = 200
ROWS = 20_000
"""Out-of-fold rows, evenly spaced, over which choosing is repeated."""
# of scores, not of decisions: where one class is frequent, or dear to miss, the best decision may be the same for all
NO_SKILL: Mapping[Task, tuple[str, float]] = {
    "binary": ("roc_auc", 0.5),
    "multiclass": ("macro_roc_auc", 0.5),
    "regression": ("r2", 0.0),
}


def verdicts_on(
    trials: SearchResult,
    choice: Choice,
    evaluation: Evaluation,
    *,
    split: Split,
    y: NDArray[np.generic],
    answers: Callable[[Trial], Answers | None],
    learning: LearningCurve | None = None,
) -> tuple[Verdict, ...]:
    """All that can be said.

    Parameters
    ----------
    y : labels of the training rows
    answers : a trial's out-of-fold answers, if they were kept
    """
    chosen = next(t for t in trials.trials if t.number == choice.trial)
    metric = metric_of(trials.metric, evaluation.task)
    done = [t for t in trials.trials if t.state == "done" and t.score is not None]
    bias = search_bias(metric, evaluation.task, y, [a for t in done if (a := answers(t)) is not None])
    said = [
        few_asked(evaluation),
        skill(evaluation),
        gap(chosen, metric),
        optimism(chosen, metric, evaluation, bias, len(done)),
        calibration(chosen, evaluation),
        coverage(evaluation),
        quantile(evaluation),
        rivals(chosen, done, metric, split),
        strategies(trials.trials),
        inputs(trials.left_out),
        costs_wrong(choice),
        ended(trials),
        more_rows(learning),
        segments(evaluation),
        fairness(evaluation),
    ]
    return tuple(verdict for verdict in said if verdict is not None)


TOLD = 4
"""Columns that are left out and named in a sentence; the run's record has them all."""
ROUNDED = " to the seven digits that a model sees (subtract a constant, or give it the type category)"
FEW_ASKED = 50
FEW_OF_A_CLASS = 10
"""Rows of the holdout, and of a class in it, below which figures show hardly anything."""


def inputs(left_out: Sequence[LeftOut]) -> Verdict | None:
    """Which columns training has left out, and what was seen of them."""
    if not left_out:
        return None
    seen = {
        "missing": "{0.name} is missing in all {0.rows:,} training rows",
        "constant": "{0.name} has one value in all {0.rows:,}",
        "repeats": "{0.name} equals {0.of} in all {0.rows:,}",
    }
    said = [seen[each.why].format(each) + ROUNDED * each.rounded for each in left_out[:TOLD]]
    if len(left_out) > TOLD:
        said.append(f"and {len(left_out) - TOLD:,} more")
    count = "One column is" if len(left_out) == 1 else f"{len(left_out):,} columns are"
    return Verdict(
        topic="inputs",
        level="look",
        says=f"{count} left out of training: {'; '.join(said)}. Requests carry them as before; the model "
        "does not look at them.",
    )


def few_asked(evaluation: Evaluation) -> Verdict | None:
    """Whether the holdout is too small for what is measured on it to mean much."""
    rarest = min((sum(row) for row in evaluation.confusion), default=FEW_OF_A_CLASS)
    if evaluation.rows >= FEW_ASKED and rarest >= FEW_OF_A_CLASS:
        return None
    rows = "row" if evaluation.rows == 1 else "rows"
    of = "" if evaluation.task == "regression" else f", {rarest:,} of the rarest class"
    return Verdict(
        topic="holdout",
        level="look",
        says=f"The holdout has {evaluation.rows:,} {rows}{of}: what is measured on it shows little, good or bad. More "
        "rows would help, or a larger [split] holdout.",
    )


def skill(evaluation: Evaluation) -> Verdict | None:
    """Whether it is better than an answer that looks at nothing."""
    name, none = NO_SKILL[evaluation.task]
    found = _metric(evaluation, name)
    if evaluation.below is not None:
        name, none, found = "gain over one value for all", 0.0, evaluation.below.gain
    if found is None:
        return None
    figure = f"{_words(name)} {_interval(found)} on the holdout"
    if found.low > none:
        return Verdict(
            topic="skill", level="good", says=f"Better than guessing: {figure}, where guessing gives {none:g}."
        )
    return Verdict(
        topic="skill",
        level="bad",
        says=f"Not shown to be better than guessing: {figure}, where guessing gives {none:g}. It underfits: other "
        "features would help, or more rows.",
    )


def gap(chosen: Trial, metric: Metric) -> Verdict | None:
    """How much better training rows are known than others, with a t interval over the folds."""
    if chosen.train_score is None or chosen.score is None or len(chosen.fold_scores) < 2:
        return None
    value = chosen.train_score - chosen.score
    half = _t(len(chosen.fold_scores) - 1) * float(np.std(chosen.fold_scores, ddof=1)) / len(chosen.fold_scores) ** 0.5
    figure = (
        f"{_words(metric.name)} {short(metric.sign * chosen.train_score)} on training rows, "
        f"{short(metric.sign * chosen.score)} out of fold: a gap of {short(value)} (95 % {short(value - half)} to "
        f"{short(value + half)})"
    )
    if value - half <= 0:
        return Verdict(topic="overfitting", level="good", says=f"No gap beyond chance: {figure}.")
    if value <= ORDINARY_GAP * abs(chosen.score):
        return Verdict(topic="overfitting", level="good", says=f"An ordinary gap: {figure}.")
    return Verdict(
        topic="overfitting",
        level="look",
        says=f"It knows its training rows much better than others: {figure}. More rows or a simpler model may help.",
    )


def optimism(chosen: Trial, metric: Metric, evaluation: Evaluation, bias: float | None, trials: int) -> Verdict | None:
    """Whether the holdout holds what the search promised."""
    found = _metric(evaluation, metric.name)
    flatters = "" if bias is None else f" Choosing the best of {trials} trials flatters by about {short(bias)}."
    if found is None or chosen.score is None or metric.of == "decision":
        return Verdict(topic="optimism", level="good", says=flatters.strip()) if flatters else None
    promised = metric.sign * chosen.score
    figure = f"{_words(metric.name)} {short(promised)} out of fold, {_interval(found)} on the holdout"
    if bias is not None and bias < 0.05 * (found.high - found.low):
        flatters = f" Choosing the best of {trials} trials hardly flatters."
    if metric.sign * promised <= metric.sign * (found.high if metric.higher_is_better else found.low):
        return Verdict(topic="optimism", level="good", says=f"The holdout holds what was promised: {figure}.{flatters}")
    return Verdict(
        topic="optimism",
        level="look",
        says=f"The holdout is worse than was promised: {figure}.{flatters} Its rows may be of another kind or time, or "
        f"its {evaluation.rows:,} rows unlucky.",
    )


def search_bias(
    metric: Metric, task: Task, y: NDArray[np.generic], answers: Sequence[Answers], *, seed: int = 0
) -> float | None:
    """By how much the best of these answers looks better than it is, because it was chosen: >= 0 on the mean.

    Rows are drawn again and again; the best on the rows drawn is scored on the rows that were not. None of fewer than
    two answers, or of answers to different rows. Tsamardinos, Greasidou and Borboudakis, "Bootstrapping the
    out-of-sample predictions", Machine Learning 107, 2018.
    """
    if len(answers) < 2 or any(not np.array_equal(a.rows, answers[0].rows) for a in answers):
        return None
    n = len(answers[0].rows)
    kept = np.linspace(0, n - 1, min(ROWS, n)).astype(np.intp)
    label = y[answers[0].rows[kept]]
    prepared = []
    for each in answers:
        scores = each.scores[kept]
        prepared.append(metric.prepare(label, scores if metric.of == "score" else plain_decisions(scores, task)))
    whole = np.array([metric.sign * of(np.ones(len(kept))) for of in prepared])
    if not np.isfinite(whole).all():
        return None
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = []
    for _ in range(max(20, min(REPLICATES, 4_000 // len(answers)))):
        weights = np.bincount(rng.integers(0, len(kept), len(kept)), minlength=len(kept)).astype(np.float64)
        left = (weights == 0).astype(np.float64)
        inside = np.array([metric.sign * of(weights) for of in prepared])
        if not left.any() or not np.isfinite(inside).all():
            continue
        outside = metric.sign * prepared[int(np.argmax(inside))](left)
        if np.isfinite(outside):
            drawn.append(outside)
    return max(float(whole.max() - np.mean(drawn)), 0.0) if drawn else None


def calibration(chosen: Trial, evaluation: Evaluation) -> Verdict | None:
    """Whether probabilities happen as often as they say."""
    curve = next((c for c in evaluation.curves if c.name == "calibration"), None)
    if curve is None:
        return None
    said, happened = np.array(curve.x), np.array(curve.y)
    off = float(np.mean(np.abs(said - happened)))
    chance = float(np.mean(0.8 * np.sqrt(said * (1.0 - said) * BINS / max(evaluation.rows, 1))))
    gain = chosen.calibration
    how = ""
    if gain is not None and gain.map != "none":
        how = f" A map ({gain.map}) took the log loss out of fold from {gain.before:.4g} to {gain.after:.4g}."
    figure = f"said and happened differ by {short(off)} on the mean, chance alone gives {short(chance)}"
    if off <= max(2.0 * chance, 0.01):
        return Verdict(topic="calibration", level="good", says=f"Probabilities mean what they say: {figure}.{how}")
    return Verdict(topic="calibration", level="look", says=f"Probabilities are off: {figure}.{how}")


def coverage(evaluation: Evaluation) -> Verdict | None:
    """Whether intervals or sets hold the truth as often as they say."""
    found = evaluation.coverage
    if found is None:
        return None
    what = "intervals" if evaluation.task == "regression" else "sets"
    size = (
        f"{short(found.size.value)} wide"
        if evaluation.task == "regression"
        else f"of {short(found.size.value)} classes"
    )
    figure = f"{found.share.value:.1%} of the holdout (95 % {found.share.low:.1%} to {found.share.high:.1%}), {size}"
    promised = f"{100 * found.wanted:.4g}%"
    if found.share.high < found.wanted:
        says = f"The {what} promise {promised} and hold {figure}: rows may have changed since training."
        return Verdict(topic="coverage", level="look", says=says)
    return Verdict(topic="coverage", level="good", says=f"The {what} promise {promised} and hold {figure}.")


def quantile(evaluation: Evaluation) -> Verdict | None:
    """Whether as many labels lie below the answers as were to."""
    found = evaluation.below
    if found is None:
        return None
    share = found.share
    figure = f"{share.value:.1%} of the holdout's labels (95 % {share.low:.1%} to {share.high:.1%})"
    says = f"The answer is to be the {100 * found.wanted:.4g} % quantile: {figure} lie at or below it"
    if share.low <= found.wanted <= share.high:
        return Verdict(topic="quantile", level="good", says=f"{says}.")
    return Verdict(topic="quantile", level="look", says=f"{says}: rows have changed, or there are too few.")


def more_rows(learning: LearningCurve | None) -> Verdict | None:
    """Whether more rows would help."""
    if learning is None:
        return None
    figure = (
        f"twice the {learning.rows[-1]:,} rows of a fold would better {_words(learning.metric)} by about "
        f"{short(learning.gain)} (95 % {short(learning.low)} to {short(learning.high)})"
    )
    if learning.low > 0:
        return Verdict(topic="more rows", level="good", says=f"More rows would help: {figure}.")
    return Verdict(topic="more rows", level="good", says=f"It is not shown that more rows would help: {figure}.")


def segments(evaluation: Evaluation) -> Verdict | None:
    """Where it is clearly worse than on the whole."""
    if not evaluation.segments:
        return None
    parts = [(one.column, part) for one in evaluation.segments for part in one.segments if part.metrics]
    if not parts:
        return Verdict(topic="segments", level="good", says="All segments are too small to say anything of.")
    marked = [(column, part) for column, part in parts if part.worse]
    if not marked:
        return Verdict(
            topic="segments", level="good", says=f"None of {len(parts)} segments is clearly worse than the whole."
        )
    judged = judged_by(evaluation.task)
    looks = sum(one.name in judged for _, part in parts for one in part.metrics)
    worse = [each for each in marked if _beyond_luck(each[1], evaluation, looks)]
    if not worse:
        return Verdict(
            topic="segments",
            level="good",
            says=f"Of {len(parts)} segments {len(marked)} {'is' if len(marked) == 1 else 'are'} worse in a metric, by "
            "no more than chance gives among so many.",
        )
    named = ", ".join(f"{column} {part.value}" for column, part in worse[:5]) + (" and more" if len(worse) > 5 else "")
    return Verdict(
        topic="segments",
        level="look",
        says=f"{len(worse)} of {len(parts)} segments {'is' if len(worse) == 1 else 'are'} clearly worse in a metric: "
        f"{named}.",
    )


def _beyond_luck(part: Segment, evaluation: Evaluation, looks: int) -> bool:
    """Whether the part would be worse as well if its intervals were so wide that all `looks` together had the error of
    one (Bonferroni)."""
    from scipy.stats import norm

    wider = float(norm.isf(0.025 / max(looks, 1)) / norm.isf(0.025))
    for one in part.metrics:
        whole = _metric(evaluation, one.name)
        if one.name not in part.worse or whole is None:
            continue
        end = one.high if one.higher_is_better else one.low
        sign = 1.0 if one.higher_is_better else -1.0
        if sign * (one.value + wider * (end - one.value)) < sign * whole.value:
            return True
    return False


def fairness(evaluation: Evaluation) -> Verdict | None:
    """Whether groups are acted on alike, by the rule of four fifths."""
    found = [(one.column, rate) for one in evaluation.fairness for rate in one.compared if rate.below_four_fifths]
    if not found:
        return None
    order = ("no", "not clear", "yes")
    column, rate = max(found, key=lambda each: order.index(each[1].below_four_fifths))
    assert rate.ratio is not None, "a rate that is judged has a ratio"
    figure = f"by {column}, the smallest share acted on is {_interval(rate.ratio)} of the largest"
    words = {
        "no": ("good", f"Groups are acted on about alike: {figure}."),
        "not clear": ("look", f"Whether groups are acted on alike is not clear: {figure}; the rule of thumb is 0.8."),
        "yes": ("bad", f"Groups are acted on unlike: {figure}; the rule of thumb is 0.8."),
    }
    level, says = words[rate.below_four_fifths]
    return Verdict(
        topic="fairness", level="good" if level == "good" else "bad" if level == "bad" else "look", says=says
    )


def _t(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))


def _metric(evaluation: Evaluation, name: str) -> Interval | None:
    return next((m for m in evaluation.metrics if m.name == name), None)


def _interval(found: Interval) -> str:
    return f"{short(found.value)} (95 % {short(found.low)} to {short(found.high)})"


def _words(name: str) -> str:
    return name.replace("_", " ")
