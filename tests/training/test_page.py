"""The run's page says what was chosen, what it gave up, and whether to believe it; and it runs nothing."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from headrace.training.model import (
    Candidate,
    Choice,
    Effect,
    Effects,
    Evaluation,
    Importance,
    Interval,
    Member,
    Money,
    Race,
    Segment,
    Segments,
    Sensitivity,
    Trial,
    Verdict,
)
from headrace.training.page import compared, run_page
from headrace.training.page_charts import frontier_chart, money_chart

NASTY = '<script>alert("x")</script>&'


def candidate(trial: int, family: str, score: float, serving: float, errors: float = 0.0, **facts: Any) -> Candidate:
    money = Money(errors=errors, serving=serving, training=0.001)
    return Candidate(trial=trial, family=family, score=score, money=money, **({"on_frontier": True} | facts))


CHOICE = Choice(
    rule="least_cost",
    trial=1,
    candidates=(
        candidate(1, "lightgbm", -2.0, 0.01, 3000.0, loss=0.1, by_request=0.01, by_batch=0.002, p_worse=0.2),
        candidate(2, "ensemble", -1.9, 0.05, 3200.0, extra=200.0),
        candidate(0, "linear", -3.0, 0.001, 9000.0, loss=1.1, extra=6000.0, p_worse=0.001),
        candidate(3, "linear", -3.5, 0.002, 9900.0, loss=1.6, on_frontier=False),
    ),
    reason="Least total cost of 4 candidates.",
    sensitivity=(
        Sensitivity(key="over", factor=0.5, trial=1, regret=0.0),
        Sensitivity(key="over", factor=2.0, trial=2, regret=150.0),
    ),
)


def trial(number: int, family: str, **facts: Any) -> Trial:
    made: dict[str, Any] = {"params": {}, "state": "done", "metric": "rmse", "row_us": 12.5, "batch_us": 2.5}
    return Trial(number=number, family=family, score=-2.0, train_score=-1.5, model_bytes=5000, **(made | facts))


RACE = Race(against=1, measure="cost", won=-0.5, low=-0.9, high=0.1, adopted=False)
TRIALS = (
    trial(0, "linear"),
    trial(1, "lightgbm"),
    trial(2, "ensemble", members=(Member(trial=0, family="linear", weight=0.25),)),
    trial(3, "linear", imbalance="weights", race=RACE),
    trial(4, "mlp", state="failed", note=NASTY),
)


def evaluation(**facts: Any) -> Evaluation:
    names = ("rmse", "mae", "r2", "wape")
    metrics = tuple(Interval(name=n, value=2.0, low=1.5, high=2.5, higher_is_better=n == "r2") for n in names)
    made: dict[str, Any] = {
        "task": "regression",
        "rows": 500,
        "metrics": metrics,
        "agreement": 1e-9,
        "agreement_limit": 1e-6,
        "importances": (Importance(feature=NASTY, drop=0.2, low=-0.1, high=0.5),),
        "effects": Effects(
            method="tree",
            unit="label",
            rows=3,
            features=(Effect(feature=NASTY, size=1.0, trend=0.9, effects=(1.0, -1.0, 0.5), places=(1.0, 0.0, None)),),
        ),
        "verdicts": (Verdict(topic="skill", level="good", says="Better than guessing."),),
        "segments": (
            Segments(
                column="city",
                metrics=("rmse",),
                segments=(
                    Segment(value="big", rows=400, metrics=metrics[:1], worse=("rmse",)),
                    Segment(value="tiny", rows=3),
                ),
            ),
        ),
    }
    return Evaluation(**(made | facts))


def page(**facts: Any) -> str:
    made: dict[str, Any] = {"trials": TRIALS, "choice": CHOICE, "evaluation": evaluation()}
    made |= {"project": "p", "version": "m@1", "counts": [("rows with a label", 900)], "classes": ()}
    return run_page(**(made | facts))


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.split("</style>")[1]))


def test_what_a_reader_asks_first_stands_first() -> None:
    places = [
        page().index(f'<h2 id="{name}">')
        for name in ("choice", "believe", "holdout", "features", "segments", "candidates")
    ]
    assert places == sorted(places)


def test_the_positive_class_is_named_and_where_the_threshold_comes_from_is_said() -> None:
    made = {"task": "binary", "threshold": 0.25, "prevalence": 0.25, "metrics": (), "segments": ()}
    trials = tuple(msgspec.structs.replace(one, metric="log_loss") for one in TRIALS)
    text = text_of(page(evaluation=evaluation(**made), classes=("false", "true"), trials=trials))
    assert "25.00 % of the rows are positive. " in text
    assert "yes from a probability of 0.25 on: the largest F1 out of fold, as no [costs] say" in text
    cost = Interval(name="error_cost", value=1.0, low=0.5, high=1.5, higher_is_better=False)
    found = evaluation(**made, positive=NASTY, error_cost=cost)
    text = text_of(page(evaluation=found, classes=("a", NASTY), trials=trials))
    assert "are positive: their label is &lt;script&gt;" in text
    assert "yes from a probability of 0.25 on: the balance of [costs]" in text


def test_the_choice_stands_beside_the_best_the_cheapest_and_the_quickest() -> None:
    assert [(what, c.trial) for what, c in compared(CHOICE)] == [("chosen, cheapest", 1), ("best", 2), ("quickest", 0)]
    text = text_of(page())
    assert "chosen, cheapest lightgbm 1 2 0.1 0.2 3000" in text, "the metric itself, not its negative"
    assert "best ensemble 2 1.9 0 3200 200" in text


def test_wrong_costs_and_races_are_told_with_their_figures() -> None:
    text = text_of(page())
    assert "over 0.5 the same 0 0.00 %" in text
    assert "over 2 ensemble 2 150 5.00 %" in text
    assert "3 linear weights 1 -0.5 -0.9 0.1 the cost of a prediction, USD not shown to help" in text
    without = text_of(page(choice=Choice(rule="best_metric", trial=1, candidates=CHOICE.candidates, reason="")))
    assert "in truth half or twice" not in without


def test_an_ensemble_says_what_it_is_made_of() -> None:
    chosen = Choice(rule="best_metric", trial=2, candidates=CHOICE.candidates, reason="")
    assert "0 linear 25.00 % 2" in text_of(page(choice=chosen))


def test_parts_that_are_too_small_are_named_and_not_tabled() -> None:
    text = text_of(page())
    assert "big 400 2 1.5 to 2.5 worse: rmse" in text
    assert "Too small to say: tiny (3 rows)." in text


@pytest.mark.parametrize(
    ("effects", "words"),
    [("tree", "own TreeSHAP"), ("linear", "of a linear model"), ("sampled", "Estimated Shapley values")],
)
def test_effects_say_where_they_come_from(effects: Any, words: str) -> None:
    found = Effects(method=effects, unit="log-odds", rows=1, features=evaluation().effects.features)  # type: ignore[union-attr]
    html = page(evaluation=evaluation(effects=found))
    assert words in text_of(html)
    assert "moves the answer by, log-odds" in html
    assert 'id="features"' not in page(evaluation=evaluation(effects=None, importances=()))


def test_the_frontier_is_a_line_of_steps_over_the_candidates_that_nothing_is_better_and_cheaper_than() -> None:
    chart = ET.fromstring(frontier_chart(CHOICE, "rmse", -1.0))
    (line,) = (each for each in chart.iter("polyline") if "frontier" in each.get("class", ""))
    corners = [tuple(map(float, corner.split(","))) for corner in line.get("points", "").split()]
    assert len(corners) == 5, "three candidates and two steps between them"
    for (x1, y1), (x2, y2) in pairwise(corners):
        assert x1 == x2 or y1 == y2
    assert len([c for c in chart.iter() if c.get("class", "").startswith("mark")]) == 4 + 3, "points and their key"
    assert ET.fromstring(money_chart(CHOICE, "rmse", -1.0)).tag == "svg"
    free = Choice(rule="best_metric", trial=0, candidates=(candidate(0, "linear", 0.5, 0.1),), reason="")
    assert money_chart(free, "rmse", -1.0) == "", "without [costs] there is but serving"


def test_the_page_loads_nothing_runs_nothing_and_escapes_names() -> None:
    html = page()
    assert "<script" not in html
    assert "default-src 'none'" in html
    assert not re.search(r"<link|<img|<iframe|url\(|@import| on\w+=", html)
