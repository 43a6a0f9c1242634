"""What training hands on: trials, the choice among them, and the measured quality of the chosen one."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from headrace.definition.model import Task
from headrace.runs.model import ObjectRef
from headrace.scoring.model import Decision as Decision


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what this station records."""


class Member(Struct, frozen=True, kw_only=True):
    """A trial in an ensemble."""

    trial: int
    family: str
    weight: float
    """All weights sum to 1."""


MapName = Literal["none", "platt", "beta", "isotonic", "temperature"]


class CalibrationGain(Struct, frozen=True, kw_only=True):
    """Which calibration map was chosen, and its log loss on rows that it was not fitted on."""

    map: MapName
    before: float
    """Log loss of the scores as they are."""
    after: float
    noise: float | None = None
    """Standard error of what is gained; None: no map was chosen."""


class CostIf(Struct, frozen=True, kw_only=True):
    """What a candidate's errors would cost, out of fold, if one cost were in truth another."""

    key: str
    factor: float
    """By which the cost is in truth larger than it is said to be."""
    kept: float
    """Mean cost of a prediction's error, decided as now."""
    moved: float
    """The same, decided by the true cost."""


class Race(Struct, frozen=True, kw_only=True):
    """A strategy against imbalance beside the same model without it: the same rows, paired."""

    against: int
    """The trial without it."""
    measure: str
    """`cost`, of one prediction's errors, or the metric."""
    won: float
    low: float
    high: float
    """What it saved or gained, with the 95 % bootstrap interval; below 0: it lost."""
    adopted: bool
    """The whole interval is above 0; else it is no candidate."""


class Shortened(Struct, frozen=True, kw_only=True):
    """A smaller and faster form: the first steps of another trial's models."""

    of: int
    """That trial."""
    share: float
    """Of its steps."""


class Trial(Struct, frozen=True, kw_only=True):
    """One candidate fitted under cross-validation. Scores are out of fold; higher `score` is better."""

    number: int
    family: str
    params: dict[str, Any]
    settled: dict[str, Any] | None = None
    """`params` with what stopping early found (the median of the folds): what a model of all rows is fitted with."""
    imbalance: str = "none"
    """What was done to its training rows because classes are rare."""
    race: Race | None = None
    """What the strategy won, of a trial with one."""
    form: Literal["refit", "bag", "ensemble"] = "refit"
    """What is packed if it is chosen: a model of all training rows, the mean of the folds' models, or the weighted mean
    of `members`."""
    members: tuple[Member, ...] = ()
    shortened: Shortened | None = None
    answers: ObjectRef | None = None
    """Its out-of-fold answers (`headrace.training.answers`)."""
    graph: ObjectRef | None = None
    """The graph that was measured: of a bag the one that is packed, else one of a fold's model. Zstandard."""
    kept: ObjectRef | None = None
    """A bag's models in their library's own format. Zstandard."""
    state: Literal["done", "pruned", "failed"]
    metric: str
    score: float | None = None
    fold_scores: tuple[float, ...] = ()
    train_score: float | None = None
    """The gap to `score` says how much it overfits."""
    threshold: float | None = None
    error_cost: float | None = None
    """Expected cost of errors of one prediction at the threshold, in the currency of [costs]."""
    decision: Decision | None = None
    """Calibration, threshold and cost matrix, fitted out of fold: what the package gets if this trial is chosen."""
    best_threshold: float | None = None
    """Binary with [costs]: the threshold of least cost on the out-of-fold rows themselves; the one used is Elkan's."""
    best_cost: float | None = None
    """Error cost with it."""
    calibration: CalibrationGain | None = None
    cost_ifs: tuple[CostIf, ...] = ()
    """With [costs]: what errors would cost if one of the costs were half or twice what it is said to be."""
    fit_s: float = 0.0
    model_bytes: int = 0
    row_us: float | None = None
    """Median time of one row alone through the compiled graph and calibration, microseconds."""
    batch_us: float | None = None
    """The same of one row in a batch, on one core."""
    estimated_us: float | None = None
    """The same, estimated from the graph alone: equal on every run, so ensembles are limited by it."""
    note: str = ""
    """Why it failed or was pruned."""


def form_of(trial: Trial) -> str:
    """Which form of its family's model it is, in words; empty: the usual one."""
    if trial.shortened is None:
        return ""
    return f"the first 1/{1 / trial.shortened.share:.0f} of trial {trial.shortened.of}"


def named(trial: Trial) -> str:
    """Its family, and the form where it is not the usual one."""
    form = form_of(trial)
    return f"{trial.family}, {form}" if form else trial.family


def is_candidate(trial: Trial) -> bool:
    """Whether it may be chosen: done, compiled, and shown to be better than doing nothing against imbalance."""
    proven = trial.imbalance == "none" or (trial.race is not None and trial.race.adopted)
    return trial.state == "done" and trial.graph is not None and proven


Why = Literal["missing", "constant", "repeats"]


class LeftOut(Struct, frozen=True, kw_only=True):
    """A column of the model's input that training leaves out; requests carry it as before."""

    name: str
    why: Why
    """Missing in all training rows; of one value in all of them, as the model sees values; or in all of them equal to
    `of`, a column before it."""
    of: str = ""
    rows: int
    """The training rows that this was seen in."""
    rounded: bool = False
    """Whether its own values differ, beyond the seven digits or so that a model sees of a number."""


class SearchResult(Struct, frozen=True, kw_only=True):
    """Every trial of a search, by number."""

    metric: str
    higher_is_better: bool
    """Of the metric itself; scores are oriented so that higher is better: of rmse, `score` is minus its value."""
    folds: int
    """Folds that could be used."""
    ratio: float | None = None
    """Rows asked by rows learnt from, of a fold on the mean: how much folds have in common."""
    trials: tuple[Trial, ...]
    stopped: str = ""
    """Why the search ended before its budget did."""
    left_out: tuple[LeftOut, ...] = ()
    """Columns that no trial was given."""


class Money(Struct, frozen=True, kw_only=True):
    """A candidate's cost of a million predictions, in one currency."""

    errors: float
    serving: float
    training: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.errors + self.serving + self.training


class Candidate(Struct, frozen=True, kw_only=True):
    """A trial as the choice saw it."""

    trial: int
    family: str
    form: str = ""
    """`form_of` the trial."""
    score: float
    money: Money | None = None
    on_frontier: bool
    """No other candidate is both better and cheaper to serve."""
    loss: float = 0.0
    """By how much its score is worse than the best one's."""
    extra: float | None = None
    """By how much a million predictions are dearer than with the cheapest candidate."""
    by_request: float | None = None
    """Serving a million predictions, one row a request."""
    by_batch: float | None = None
    """The same in batches; which of the two `money` counts, [costs] says."""
    p_worse: float | None = None
    """How likely folds as different as these are if it is no worse than the best (`headrace.training.comparing`); None
    for the best itself, and where folds cannot say."""


class Sensitivity(Struct, frozen=True, kw_only=True):
    """What the choice loses where one of the costs is wrong."""

    key: str
    factor: float
    """By which the cost is in truth larger than it is said to be."""
    trial: int
    """What would have been chosen by cost, had that been known."""
    regret: float
    """By how much a million predictions with the choice, decided as now, are then dearer than with that one."""


class Choice(Struct, frozen=True, kw_only=True):
    """The chosen trial, and what was given up."""

    rule: str
    trial: int
    candidates: tuple[Candidate, ...]
    """Best first by the rule."""
    reason: str
    currency: str = "USD"
    sensitivity: tuple[Sensitivity, ...] = ()
    """Each of [costs] at half and at twice its value; none without [costs]."""


class Interval(Struct, frozen=True, kw_only=True):
    """A metric on the holdout with its 95 % bootstrap interval."""

    name: str
    value: float
    low: float
    high: float
    higher_is_better: bool


class Curve(Struct, frozen=True, kw_only=True):
    """Points of a picture."""

    name: Literal[
        "roc",
        "precision_recall",
        "gain",
        "lift",
        "calibration",
        "cost",
        "residuals",
        "predicted_actual",
        "class_roc",
        "learning",
    ]
    x: tuple[float, ...]
    y: tuple[float, ...]
    x_label: str
    y_label: str
    low: tuple[float, ...] = ()
    """Of `y`, the ends of 95 % intervals, point by point; empty: not told."""
    high: tuple[float, ...] = ()
    mark: tuple[float, float] | None = None
    """The point that the package's threshold stands at."""
    of: str = ""
    """The class that is asked for, where there are several curves of one name."""


class Importance(Struct, frozen=True, kw_only=True):
    """How much the metric falls when one feature is shuffled on the holdout."""

    feature: str
    drop: float
    low: float
    high: float


class Effect(Struct, frozen=True, kw_only=True):
    """What one feature did to single answers, by rows of the holdout."""

    feature: str
    size: float
    """Mean of its effects without their signs; of several classes, over all of them."""
    trend: float | None
    """Rank correlation of values and effects, -1 to 1: above 0, higher values raise the answer. None where there is
    none: values or effects are all alike, or there are several classes."""
    effects: tuple[float, ...]
    """By row; of several classes, on the likeliest one."""
    places: tuple[float | None, ...]
    """Where the row's value stands among the others, 0 (lowest) to 1; None: it is missing, or there is no one value."""


class Effects(Struct, frozen=True, kw_only=True):
    """Shapley values: what each feature adds to a row's score, beside what all rows have alike."""

    method: Literal["tree", "linear", "sampled"]
    """`tree`: the library's own TreeSHAP; `linear`: exact by formula; `sampled`: estimated from answers."""
    unit: Literal["log-odds", "label", "logarithm"]
    """Of the scores: log-odds (of several classes, each beside their mean), the label's own unit, or its logarithm."""
    rows: int
    features: tuple[Effect, ...]
    """The largest first, at most 20."""


class Coverage(Struct, frozen=True, kw_only=True):
    """How often intervals or sets held the truth."""

    wanted: float
    share: Interval
    size: Interval
    """Mean width of an interval, or mean number of classes in a set."""


class Below(Struct, frozen=True, kw_only=True):
    """How many labels lie at or below answers that are a quantile."""

    wanted: float
    share: Interval
    gain: Interval
    """By which share the pinball loss is below that of one value for all rows, the best on these."""


class Segment(Struct, frozen=True, kw_only=True):
    """One part of the holdout."""

    value: str
    rows: int
    prevalence: float | None = None
    metrics: tuple[Interval, ...] = ()
    """Empty: the part is too small."""
    worse: tuple[str, ...] = ()
    """Metrics whose whole interval is worse than the holdout's value."""


class Segments(Struct, frozen=True, kw_only=True):
    """The holdout by the values of one column."""

    column: str
    metrics: tuple[str, ...]
    segments: tuple[Segment, ...]


class Group(Struct, frozen=True, kw_only=True):
    """What is decided about one group; a rate that its rows leave undefined is left out."""

    value: str
    rows: int
    rates: tuple[Interval, ...]


class Rate(Struct, frozen=True, kw_only=True):
    """How far a rate differs between the groups."""

    name: str
    difference: Interval
    """Largest less smallest."""
    ratio: Interval | None = None
    """Smallest by largest."""
    below_four_fifths: Literal["", "no", "not clear", "yes"] = ""
    """Of the share acted on: whether the ratio is below 0.8, by its interval."""


class Fairness(Struct, frozen=True, kw_only=True):
    """Whether the groups of one column are treated alike."""

    column: str
    groups: tuple[Group, ...]
    too_small: tuple[str, ...] = ()
    compared: tuple[Rate, ...] = ()


class LearningCurve(Struct, frozen=True, kw_only=True):
    """The chosen candidate (of an ensemble its heaviest member) on parts of its training rows, out of fold."""

    trial: int
    family: str
    metric: str
    rows: tuple[int, ...]
    """Learnt from, on the mean over the folds; the last is all of them."""
    scores: tuple[float, ...]
    """The metric itself."""
    spread: tuple[float, ...]
    """Standard errors over the folds."""
    gain: float
    """Of the score, oriented so that higher is better, from twice as many rows, by a fitted power law."""
    low: float
    high: float


class Verdict(Struct, frozen=True, kw_only=True):
    """One sentence on whether the model is to be believed."""

    topic: str
    level: Literal["good", "look", "bad"]
    says: str


class Evaluation(Struct, frozen=True, kw_only=True):
    """The one look at the holdout, made with the compiled package itself."""

    task: Task
    rows: int
    prevalence: float | None = None
    positive: str | None = None
    """Binary: the class that a probability is of; None where the label itself is true or false."""
    metrics: tuple[Interval, ...]
    threshold: float | None = None
    error_cost: Interval | None = None
    reviewed: float | None = None
    """Share of the rows that are left to people; None: the model was told no price of that."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Truth by row, prediction by column, in the order of the classes."""
    curves: tuple[Curve, ...] = ()
    importances: tuple[Importance, ...] = ()
    effects: Effects | None = None
    """None: the rows are too few to ask."""
    agreement: float
    """Largest difference between the compiled package and the library that trained it, on the whole holdout."""
    agreement_limit: float
    coverage: Coverage | None = None
    """None when the package gives neither intervals nor sets."""
    below: Below | None = None
    """Of a model that answers a quantile."""
    segments: tuple[Segments, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    learning: LearningCurve | None = None
    """None: too few rows or folds."""
    left_out: tuple[LeftOut, ...] = ()
    """Columns that the model takes and does not look at."""
    holdout: str = ""
    """Names the rows that were asked and their labels, by content: looks at equal ones are counted."""
