"""A logged prediction comes out the same, to the bit; where it does not, what differs is said."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.scoring.made import ROW, decision, package_files
from tests.serving.log.samples import writer

from headrace.definition.model import Task
from headrace.scoring.model import Amount, Decision
from headrace.scoring.package import Package, draft_package
from headrace.scoring.scorer import Scorer
from headrace.serving.log.find import find
from headrace.serving.log.record import Record, Route
from headrace.serving.log.replay import Difference, inputs, replay
from headrace.serving.log.ship import ship
from headrace.serving.log.table import Logged
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.tables.delta import DeltaTableStore

COSTS = Decision(
    task="binary",
    classes=("false", "true"),
    knots=((0.05, 0.0), (0.3, 0.2), (0.7, 0.75), (0.95, 1.0)),
    cost_matrix=((0.0, 4.0), (60.0, 0.0)),
    amounts=(Amount(truth=1, predicted=0, column="distance", otherwise=50.0, factor=0.01),),
    reject=1.5,
)


def packed(task: Task, seed: int, with_costs: bool) -> Package:
    replaced = {"decision.json": msgspec.json.encode(COSTS if with_costs else decision(task))}
    return draft_package("delays", task, package_files(task, seed=seed, replaced=replaced))


def rows(n: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(5)
    return [
        {
            **ROW,
            "carrier": str(draw.choice(["AA", "UA", "never seen"])),
            "distance": None if draw.random() < 0.1 else float(draw.uniform(0, 5000)),
            "seats": int(draw.integers(1, 400)),
        }
        for _ in range(n)
    ]


def answered(scorer: Scorer, row: dict[str, Any], number: int, route: int) -> Record:
    """As a server answers and logs one row: by itself."""
    features = scorer.row_to_features(row)
    [answer] = scorer.predict([row])
    scores = answer.probabilities
    if scores is not None:
        given = tuple(scores.values())
    else:
        given = (answer.probability if answer.probability is not None else answer.value or 0.0,)
    own = tuple(row["distance"] for _ in scorer.decider.columns)
    return Record(f"r{number}", 0, route, number, (), features, given, answer.decision, answer.review, own)


@pytest.mark.parametrize(
    ("task", "with_costs"), [("binary", False), ("binary", True), ("multiclass", False), ("regression", False)]
)
def test_predictions_come_out_the_same_to_the_bit(tmp_path: Path, task: Task, with_costs: bool) -> None:
    """From the log, and from the table after shipping; two versions answered."""
    packages = {package.id: package for package in (packed(task, seed, with_costs) for seed in (0, 1))}
    one = writer(tmp_path / "log")
    scorers = [
        (
            Scorer(package, 1),
            one.introduce(Route(deployment="d", revision=1, arm="a", model="delays", version=1, package=package.id)),
        )
        for package in packages.values()
    ]
    for number, row in enumerate(rows(60)):
        scorer, route = scorers[number % 2]
        one.append([answered(scorer, row, number, route)])
    one.close()
    tables = DeltaTableStore(LocalObjectStore(tmp_path / "objects"))
    logged: list[Logged] = []
    for shipped in (False, True):
        if shipped:
            ship(tmp_path / "log", tables, "p")
        logged = [found for n in range(60) for found in find(tmp_path / "log", tables, "p", f"r{n}")]
        done = replay(logged, packages.__getitem__)
        assert [each.prediction.record.request_id for each in done] == [f"r{n}" for n in range(60)]
        assert [each.differences for each in done] == [()] * 60
    if with_costs:
        assert {each.record.review for each in logged} == {True, False}
        assert {each.record.decision for each in logged} == {True, False, None}


def test_what_differs_is_said() -> None:
    package = packed("binary", 0, with_costs=False)
    scorer = Scorer(package, 1)
    good = answered(scorer, ROW, 0, 1)
    route = Route(deployment="d", revision=1, arm="a", model="delays", version=1, package=package.id)

    def differences(**changed: Any) -> list[str]:
        record = msgspec.structs.replace(good, **changed)
        [done] = replay([Logged(record, route, "e", 0)], lambda _: package)
        return [each.what for each in done.differences]

    score = good.scores[0]
    assert differences() == []
    assert differences(scores=(math.nextafter(score, 2.0),)) == ["scores"]
    assert differences(scores=(score, score)) == ["scores"]
    assert differences(decision=not good.decision) == ["decision"]
    assert differences(decision=None, review=True) == ["decision", "review"]
    assert "scores" in differences(features=bytes(len(good.features)))
    other = packed("binary", 1, with_costs=False)
    [done] = replay([Logged(good, route, "e", 0)], lambda _: other)
    assert done.differences[0] == Difference("scores", good.scores, (Scorer(other).score_features(good.features),))


def test_a_constant_s_answer_is_passed_over() -> None:
    route = Route(deployment="d", revision=1, arm="a", model="delays", version=None, package="", fallback=True)
    record = Record("r", 0, 1, 0, (), b"", (0.5,))
    [done] = replay([Logged(record, route, "e", 0)], lambda _: pytest.fail("nothing to load"))
    assert done.skipped is not None
    assert done.differences == ()


def test_inputs_are_shown_by_name() -> None:
    package = packed("binary", 0, with_costs=False)
    scorer = Scorer(package, 1)
    route = Route(deployment="d", revision=1, arm="a", model="delays", version=1, package=package.id)

    def shown(**changed: Any) -> dict[str, object]:
        return dict(inputs(Logged(answered(scorer, {**ROW, **changed}, 0, 1), route, "e", 0), scorer))

    assert shown()["carrier"] == "UA"
    assert shown(carrier="new")["carrier"] == "(rare)"
    assert shown(carrier=None)["carrier"] is None
    assert shown()["distance"] == 1400.5
    assert list(shown()) == [column.name for column in scorer.encoder.columns]
