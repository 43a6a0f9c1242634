"""The suite that every model family passes: subclass it and return the family from `family`."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.scoring.graph import Graph
from headrace.training.families import AsksInSteps, Check, Family, Fitted, Params, Shortens
from headrace.training.measure import agreement_limit, spread_of_labels
from headrace.training.metrics import metric_of

Case = Literal["binary", "multiclass", "regression", "counts", "quantile"]
"""A task, with what is learnt of a value."""
CASES: tuple[Case, ...] = ("binary", "multiclass", "regression", "counts", "quantile")
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
QUANTILE = 0.8
LEVELS: tuple[int | None, ...] = (None, 3, None, 200, None, 0, None, None)
"""Columns 4 and 6 are constant and all missing; column 5 is a category without a level."""
CLASSES = 4


def task_of(case: Case) -> Task:
    """The case's task."""
    return case if case in ("binary", "multiclass") else "regression"


def objective_of(case: Case) -> Objective:
    """What is learnt of the case's values."""
    if case == "counts":
        return Objective(kind="poisson")
    return Objective(kind="quantile", quantile=QUANTILE) if case == "quantile" else Objective()


def family_rows(n: int, case: Case, *, seed: int, unseen: bool = False) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Encoded rows with missing values, skewed numbers and codes of rare levels, and labels that depend on them.

    With `unseen`, also what training rows do not have: codes of other levels, missing values in every column, and the
    largest numbers that an encoder lets through."""
    rng = np.random.Generator(np.random.PCG64(seed))
    X = np.empty((n, len(LEVELS)), np.float32)
    for j, levels in enumerate(LEVELS):
        X[:, j] = rng.lognormal(0.0, 2.0, n) if levels is None else np.minimum(rng.geometric(0.03, n) - 1, levels)
    X[:, 4] = 7.0
    weights = np.random.Generator(np.random.PCG64(11)).normal(size=len(LEVELS))
    score = np.log1p(X) @ weights + rng.normal(size=n)
    X[rng.random(n) < 0.1, 0] = np.nan
    X[rng.random(n) < 0.1, 3] = np.nan
    X[:, 6] = np.nan
    if unseen:
        largest = np.finfo(np.float32).max
        for j, levels in enumerate(LEVELS):
            X[rng.random(n) < 0.1, j] = np.nan
            X[rng.random(n) < 0.1, j] = largest if levels is None else levels
            if levels is None:
                X[rng.random(n) < 0.1, j] = -largest
    match case:
        case "binary":
            y: NDArray[Any] = (score > np.median(score)).astype(np.int64)
        case "multiclass":
            y = np.searchsorted(np.quantile(score, [0.3, 0.6, 0.9]), score).astype(np.int64)
        case "counts":
            y = rng.poisson(np.exp(np.clip(0.6 * score, -3.0, 4.0))).astype(np.float64)
        case _:
            y = 40.0 + 3.0 * score
    for each in (X, y):  # as those that a search maps
        each.setflags(write=False)
    return X, y


def needs(family: Family, case: Case, *, compiled: bool = False) -> None:
    """Skip what is not promised by a family of other tasks, or by one that does not compile."""
    if task_of(case) not in family.tasks or objective_of(case).kind not in family.objectives:
        pytest.skip("the family does not do this task")
    if compiled and not family.compiles:
        pytest.skip("the family does not compile")


class FamilySuite:
    """What `Family` and `Fitted` promise."""

    @pytest.fixture
    def family(self) -> Family:
        """The family under test."""
        raise NotImplementedError("return the family")

    def fit(self, family: Family, case: Case, *, n: int = 2_000, config: int = 0, seed: int = 1) -> Fitted:
        """The family fitted on `family_rows`, stopped early by other rows."""
        configurations = family.defaults()
        rows = family_rows(n, case, seed=seed)
        check = Check(*family_rows(600, case, seed=14))
        return self.learn(family, case, *rows, configurations[config % len(configurations)], check=check)

    def learn(self, family: Family, case: Case, X: Any, y: Any, params: Params, **more: Any) -> Fitted:
        """The family fitted on rows of the case's kind."""
        task = task_of(case)
        return family.fit(
            X,
            y,
            params,
            task=task,
            n_classes={"binary": 2, "multiclass": CLASSES, "regression": 0}[task],
            levels=LEVELS,
            seed=5,
            threads=1,
            objective=objective_of(case),
            **more,
        )

    @pytest.mark.parametrize("config", range(4))
    @pytest.mark.parametrize("case", CASES)
    def test_the_compiled_graph_agrees_with_the_library(self, family: Family, case: Case, config: int) -> None:
        needs(family, case, compiled=True)
        fitted = self.fit(family, case, config=config)
        graph = Graph(fitted.to_onnx())
        for unseen in (False, True):
            X, y = family_rows(3_000, case, seed=2, unseen=unseen)
            library = fitted.predict(X)
            assert library.dtype == np.float64
            assert library.shape == ((len(X), CLASSES) if case == "multiclass" else (len(X),))
            limit = agreement_limit(task_of(case), spread_of_labels(y, objective_of(case)))
            assert np.abs(graph.raw(X) - library).max() <= limit

    @pytest.mark.parametrize("case", CASES)
    def test_a_row_alone_gives_the_bits_that_it_gives_in_a_batch(self, family: Family, case: Case) -> None:
        needs(family, case, compiled=True)
        graph = Graph(self.fit(family, case).to_onnx())
        X, _ = family_rows(300, case, seed=3, unseen=True)
        alone = np.concatenate([graph.raw(X[i : i + 1]) for i in range(len(X))])
        np.testing.assert_array_equal(alone, graph.raw(X))
        np.testing.assert_array_equal(alone[7:20], graph.raw(X[7:20]))

    @pytest.mark.parametrize("case", CASES)
    def test_an_equal_fit_gives_equal_bytes(self, family: Family, case: Case) -> None:
        needs(family, case)
        first, again = self.fit(family, case), self.fit(family, case)
        X, _ = family_rows(100, case, seed=10, unseen=True)
        np.testing.assert_array_equal(first.predict(X), again.predict(X))
        if family.compiles:
            assert first.to_onnx() == again.to_onnx()

    @pytest.mark.parametrize("case", CASES)
    def test_it_learns_something(self, family: Family, case: Case) -> None:
        needs(family, case)
        X, y = family_rows(2_000, case, seed=4)
        answer = self.fit(family, case).predict(X)
        if case == "quantile":
            pinball = metric_of("pinball_80", "regression")
            flat = np.full(len(y), np.quantile(y, QUANTILE))
            assert pinball.value(y, answer) < 0.85 * pinball.value(y, flat)
            assert abs(np.mean(y <= answer) - QUANTILE) < 0.08
        elif case == "counts":
            assert answer.min() > 0
            deviance = metric_of("poisson_deviance", "regression")
            assert deviance.value(y, answer) < 0.9 * deviance.value(y, np.full(len(y), y.mean()))
            assert abs(answer.mean() / y.mean() - 1) < 0.1
        elif case == "regression":
            assert np.mean((answer - y) ** 2) < 0.8 * np.var(y)
        else:
            decided = np.argmax(answer, axis=1) if case == "multiclass" else answer >= 0.5
            assert np.mean(decided == y) > np.bincount(y).max() / len(y) + 0.15

    @pytest.mark.parametrize("case", ["binary", "multiclass"])
    def test_probabilities_are_probabilities(self, family: Family, case: Case) -> None:
        needs(family, case)
        X, _ = family_rows(500, case, seed=6, unseen=True)
        answer = self.fit(family, case).predict(X)
        assert (answer >= 0).all()
        assert (answer <= 1).all()
        if case == "multiclass":
            np.testing.assert_allclose(answer.sum(axis=1), 1.0, atol=1e-9)

    @pytest.mark.parametrize("case", CASES)
    def test_ten_rows_are_enough_to_fit(self, family: Family, case: Case) -> None:
        needs(family, case)
        fitted = self.fit(family, case, n=10)
        X, _ = family_rows(50, case, seed=8, unseen=True)
        assert np.isfinite(fitted.predict(X)).all()
        if family.compiles:
            assert np.abs(Graph(fitted.to_onnx()).raw(X) - fitted.predict(X)).max() <= agreement_limit(
                task_of(case), 5.0 if case == "counts" else 1.0
            )

    def test_a_class_without_training_rows_has_a_place_and_no_probability(self, family: Family) -> None:
        needs(family, "multiclass")
        X, y = family_rows(1_000, "multiclass", seed=9)
        y = np.where(y == 1, 2, y)
        for present in (y, np.where(y == 3, 2, y)):
            fitted = family.fit(
                X, present, family.defaults()[0], task="multiclass", n_classes=CLASSES, levels=LEVELS, seed=5, threads=1
            )
            answer = fitted.predict(X)
            assert answer.shape == (len(X), CLASSES)
            assert answer[:, 1].max() < 1e-6
            if family.compiles:
                assert np.abs(Graph(fitted.to_onnx()).raw(X) - answer).max() <= 1e-6

    def test_every_default_is_a_point_of_the_space(self, family: Family) -> None:
        import optuna

        space = family.space()
        for params in family.defaults():
            assert params.keys() == space.keys()
            for name, kind in space.items():
                # raises unless the distribution holds the value
                optuna.trial.create_trial(params={name: params[name]}, distributions={name: kind}, value=0.0)

    @pytest.mark.parametrize("case", CASES)
    def test_a_row_of_weight_two_counts_as_two_rows(self, family: Family, case: Case) -> None:
        """Of two halves of one labelling and its opposite, the heavier is learnt."""
        needs(family, case)
        X, y = family_rows(1_500, case, seed=12)
        if case == "counts":
            y = np.minimum(y, 9.0)
        opposite = {"binary": 1 - y, "multiclass": CLASSES - 1 - y, "counts": 9.0 - y}.get(case, 2 * y.mean() - y)
        answer = self.learn(
            family,
            case,
            np.vstack([X, X]),
            np.concatenate([y, opposite]),
            family.defaults()[0],
            weights=np.repeat([1.8, 0.2], len(X)),
        ).predict(X)
        if task_of(case) == "regression":
            assert np.mean((answer - y) ** 2) < np.mean((answer - opposite) ** 2)
        else:
            decided = np.argmax(answer, axis=1) if case == "multiclass" else answer >= 0.5
            assert np.mean(decided == y) > np.mean(decided == opposite) + 0.2

    @pytest.mark.parametrize("case", CASES)
    def test_what_stopping_early_found_is_settled_and_fits_the_same_model_again(
        self, family: Family, case: Case
    ) -> None:
        needs(family, case)
        stopped = self.fit(family, case)
        assert stopped.settled.keys() == family.space().keys()
        X, y = family_rows(2_000, case, seed=1)
        again = self.learn(family, case, X, y, stopped.settled)
        np.testing.assert_allclose(again.predict(X), stopped.predict(X), rtol=1e-6, atol=1e-9)
        assert again.settled == stopped.settled

    def test_a_fit_that_has_a_time_to_end_ends_with_what_it_has(self, family: Family) -> None:
        needs(family, "binary")
        X, y = family_rows(4_000, "binary", seed=37)
        both = family_rows(600, "binary", seed=38)
        params = dict(family.defaults()[0])
        steps = next((name for name in ("rounds", "epochs") if name in params), None)
        if steps is None:
            pytest.skip("the family does not learn step by step")
        params["learning_rate"] /= 5  # there is more to learn than there is time for
        given: dict[str, Any] = {"task": "binary", "n_classes": 2, "levels": LEVELS, "seed": 3, "threads": 1}
        whole = family.fit(X, y, params, check=Check(*both), **given)
        ended = family.fit(X, y, params, check=Check(*both, seconds=0.0), **given)
        assert 0 < ended.settled[steps] < whole.settled[steps]
        assert ended.settled.get("horizon", 0) < params[steps]
        assert np.isfinite(ended.predict(both[0])).all()

    @pytest.mark.parametrize("case", CASES)
    def test_its_first_steps_are_the_model_that_so_many_steps_fit(self, family: Family, case: Case) -> None:
        needs(family, case)
        whole = self.fit(family, case)
        if not isinstance(whole, Shortens):
            pytest.skip("it does not learn step by step")
        X, y = family_rows(2_000, case, seed=1)
        before = whole.predict(X)
        short = whole.shortened(0.25)
        again = self.learn(family, case, X, y, short.settled)
        np.testing.assert_allclose(again.predict(X), short.predict(X), rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(whole.predict(X), before)
        np.testing.assert_array_equal(family.restore(short.keep()).predict(X), short.predict(X))
        assert len(onnx := short.to_onnx()) < len(whole.to_onnx())
        assert short.to_onnx() == family.restore(short.keep()).to_onnx() == onnx
        limit = agreement_limit(task_of(case), spread_of_labels(y, objective_of(case)))
        assert np.abs(Graph(onnx).raw(X) - short.predict(X)).max() <= limit

    @pytest.mark.parametrize("case", CASES)
    def test_asked_in_steps_it_answers_as_its_shorter_forms_do(self, family: Family, case: Case) -> None:
        needs(family, case)
        whole = self.fit(family, case)
        if not isinstance(whole, AsksInSteps):
            pytest.skip("it is asked form by form")
        X, _ = family_rows(500, case, seed=16, unseen=True)
        shares = (0.5, 1.0, 0.001, 0.25)
        for share, answer in zip(shares, whole.predict_after(X, shares), strict=True):
            np.testing.assert_allclose(answer, whole.shortened(share).predict(X), rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(whole.predict_after(X, ()), [])

    @pytest.mark.parametrize("case", CASES)
    def test_a_kept_model_of_a_bagging_family_comes_back_to_the_bit(self, family: Family, case: Case) -> None:
        needs(family, case)
        if not family.bags:
            pytest.skip("nothing is kept")
        fitted = self.fit(family, case)
        again = family.restore(fitted.keep())
        X, _ = family_rows(500, case, seed=15, unseen=True)
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
        assert again.to_onnx() == fitted.to_onnx()
        assert again.settled == fitted.settled

    def test_checked_rows_count_by_their_weights(self, family: Family) -> None:
        """Of checked rows whose labels were drawn apart from their values nothing can be learnt: where they alone
        count, learning stops before it would by rows of the same kind as the training rows."""
        if "binary" not in family.tasks:
            pytest.skip("the family does not do this task")
        X, y = family_rows(2_000, "binary", seed=1)
        good, truth = family_rows(1_000, "binary", seed=14)
        drawn = np.random.Generator(np.random.PCG64(3)).permutation(truth)
        both = np.vstack([good, good]), np.concatenate([truth, drawn])
        steps = []
        for of_good, of_drawn in ((1.0, 1e-9), (1e-9, 1.0)):
            check = Check(*both, np.repeat([of_good, of_drawn], len(good)))
            settled = family.fit(
                X,
                y,
                family.defaults()[0],
                task="binary",
                n_classes=2,
                levels=LEVELS,
                seed=5,
                threads=1,
                check=check,
            ).settled
            steps.append(settled.get("rounds", settled.get("epochs")))
        if steps[0] is None or steps[0] == family.defaults()[0].get("rounds", family.defaults()[0].get("epochs")):
            pytest.skip("it does not learn step by step, or is not stopped by these rows")
        assert steps[1] < steps[0]
