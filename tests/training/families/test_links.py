"""Values learnt by their logarithm: when, in which configurations, and that the mean comes out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.definition.model import Budget, Objective, Split, Training
from headrace.scoring.graph import Graph
from headrace.testing.families import LEVELS, FamilySuite, family_rows
from headrace.training.families import MEAN, Check, Family, load_family
from headrace.training.families.lightgbm import LightGBM
from headrace.training.families.linear import Linear
from headrace.training.families.links import LINKED, Linked, wants_logarithm, with_links
from headrace.training.measure import agreement_limit
from headrace.training.search import search


class TestLinkedLightGBM(FamilySuite):
    """A label that may be below 0 is learnt plain: the suite holds for what is wrapped too."""

    @pytest.fixture
    def family(self) -> Family:
        return Plain(LightGBM())


class Plain(Linked):
    """The plain configurations of a linked family."""

    def defaults(self) -> Any:
        return [{**params, "link": "plain"} for params in Linked.defaults(self)]


def prices(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels made of factors, whose noise is a factor too."""
    X, y = family_rows(n, "regression", seed=seed)
    numbers = [j for j, levels in enumerate(LEVELS) if levels is None]
    X = X.copy()
    X[:, numbers] = np.log1p(X[:, numbers])  # what factors are made of
    noise = np.random.default_rng(seed).normal(size=n)
    return X, 1_000.0 * np.exp(np.clip((y - 40.0) / 8.0 + 0.3 * noise, -3.0, 3.0))


@pytest.mark.parametrize("name", sorted(LINKED))
def test_factors_are_learnt_better_by_their_logarithm_and_the_mean_comes_out(name: str) -> None:
    family = load_family(name, "regression")
    (X, y), check, (asked, truth) = prices(2_000, seed=1), Check(*prices(600, seed=2)), prices(4_000, seed=3)
    error = {}
    for link in ("log", "plain"):
        params = {**family.defaults()[0], "link": link}
        fitted = family.fit(X, y, params, task="regression", n_classes=0, levels=LEVELS, seed=0, threads=1, check=check)
        assert fitted.settled["link"] == link
        answer = fitted.predict(asked)
        error[link] = float(np.mean((answer - truth) ** 2))
        assert answer.mean() == pytest.approx(truth.mean(), rel=0.05)
        assert np.abs(Graph(fitted.to_onnx()).raw(asked) - answer).max() <= agreement_limit(
            "regression", float(y.std())
        )
        if link == "log":
            assert answer.min() > 0
            assert answer.max() <= y.max() * (1 + 1e-6)
    assert error["log"] < error["plain"]


def test_the_unit_of_a_value_changes_nothing() -> None:
    X, y = prices(1_000, seed=1)
    answers = []
    for unit in (1.0, 1e-4):
        params = {**LightGBM().defaults()[1], "link": "log", "rounds": 50}
        fitted = LightGBM().fit(X, y * unit, params, task="regression", n_classes=0, levels=LEVELS, seed=0, threads=1)
        answers.append(fitted.predict(X) / unit)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4)


def test_only_values_that_spread_upwards_from_zero_are_asked_for_their_logarithm() -> None:
    rng = np.random.default_rng(0)
    skewed = rng.lognormal(size=500)
    assert wants_logarithm(skewed)
    assert not wants_logarithm(skewed - 1.0), "some are below 0"
    assert not wants_logarithm(rng.normal(50.0, 5.0, 500)), "they are even"
    assert not wants_logarithm(np.append(skewed, 1e6)), "one is beyond what float32 would tell apart"
    assert not wants_logarithm(np.full(10, 2.0))
    family = LightGBM()
    assert with_links("lightgbm", family, skewed, "regression", Objective(kind="poisson")) is family
    assert with_links("mlp", family, skewed, "regression", MEAN) is family
    assert with_links("lightgbm", family, skewed, "regression", MEAN) == Linked(family)


def test_the_search_tries_the_logarithm_first_then_plain_and_samples_both() -> None:
    examples = make_examples(400, "regression")
    y = np.exp(examples.y)
    training = Training(families=("linear", "lightgbm"), budget=Budget(trials=16), threads=1)
    result = search(
        dataclasses.replace(examples, y=np.minimum(y, 40.0)),
        training,
        Split(by="random", folds=3),
        None,
        recorder=MemoryRecorder(),
        clock=StepClock(0.001),
    )
    links = [trial.params["link"] for trial in result.trials if trial.form != "ensemble"]
    assert links[:6] == ["log", "log", "log", "log", "plain", "plain"]
    assert set(links[10:]) == {"log", "plain"}
    best = max((t for t in result.trials if t.form != "ensemble" and t.score is not None), key=lambda t: t.score or 0.0)
    assert best.params["link"] == "log"
    assert Linear().defaults()[0].keys() == {"l2", "l1"}, "a family alone knows nothing of it"
