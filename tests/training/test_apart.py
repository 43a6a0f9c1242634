"""A model whose parts are fitted in processes is the one that this process fits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.samples import make_examples

from headrace.definition.model import Split, Training
from headrace.training.apart import LONG_FIT_S
from headrace.training.families import FAMILIES, Fitted
from headrace.training.families.mlp import MLP
from headrace.training.fit import fit_chosen
from headrace.training.learn import learn
from headrace.training.model import Member, Trial

SPLIT = Split(by="random", folds=3)


class Fragile(MLP):
    """Ends every process but this one."""

    def fit(self, *given: Any, **settings: Any) -> Fitted:
        if getattr(sys.modules["__main__"].__spec__, "name", "") == "headrace.runs.nursery":
            sys.exit(3)
        return super().fit(*given, **settings)


def networks(number: int, family: str = "mlp", members: int = 3, fold_s: float = LONG_FIT_S + 0.1) -> Trial:
    params = dict(MLP().defaults()[0]) | {"members": members, "epochs": 2, "units": 8}
    scores = (0.7, 0.7, 0.7)
    made = {"params": params, "settled": params, "fold_scores": scores, "fit_s": fold_s * len(scores)}
    return Trial(number=number, family=family, state="done", metric="roc_auc", **made)  # type: ignore[arg-type]


def together(*trials: Trial) -> Trial:
    members = tuple(Member(trial=each.number, family=each.family, weight=1 / len(trials)) for each in trials)
    return Trial(number=99, family="ensemble", params={}, state="done", metric="roc_auc", members=members)


@pytest.mark.parametrize("threads", [2, 5])
def test_parts_fitted_in_processes_are_one_model_beside_others(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = make_examples(400)
    ridge = Trial(number=0, family="linear", params={"l2": 1.0, "l1": 0.0}, state="done", metric="roc_auc")
    trials = (ridge, networks(1), networks(2, members=2))
    alone = fit_chosen(examples, together(*trials), Training(threads=1), SPLIT, trials=trials)
    fitted_here: list[str] = []

    def heard(strategy: str, family: Any, *given: Any, **rest: Any) -> Any:
        fitted_here.append(type(family).__name__)
        return learn(strategy, family, *given, **rest)

    monkeypatch.setattr("headrace.training.fit.learn", heard)
    several = Training(threads=threads)
    apart = fit_chosen(examples, together(*trials), several, SPLIT, trials=trials, workdir=tmp_path)
    assert fitted_here == ["Linear"]
    assert apart.onnx == alone.onnx
    X = np.zeros((3, len(apart.encoder.columns)), np.float32)
    np.testing.assert_array_equal(apart.predict(X), alone.predict(X))
    assert list(tmp_path.iterdir()) == []


def test_what_is_fitted_soon_is_worth_no_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("headrace.training.fit.Workers")
    quick = networks(0, fold_s=LONG_FIT_S / 2)
    assert fit_chosen(make_examples(200), quick, Training(threads=2), SPLIT, workdir=tmp_path).onnx


def test_a_process_that_ends_costs_time_and_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "fragile", f"{__name__}:Fragile")
    examples, training = make_examples(300), Training(threads=2)
    fitted = fit_chosen(examples, networks(0, "fragile"), training, SPLIT, workdir=tmp_path)
    assert fitted.onnx == fit_chosen(examples, networks(0), training, SPLIT).onnx
