"""A project's own models: a class beside the definition, a class of a package, a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.definition.model import Task
from headrace.scoring.graph import Graph
from headrace.testing.families import CLASSES, LEVELS, FamilySuite, family_rows
from headrace.training.errors import FamilyOfAnotherTask, OwnModelUnusable
from headrace.training.families import Family, load_family, load_from, path_of
from headrace.training.families.linear import Linear
from headrace.training.families.places import own_digests, own_models_in

MODULE = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from helpers_of_mine import half

class Prior(ClassifierMixin, BaseEstimator):
    def __init__(self, random_state=None): self.random_state = random_state
    def fit(self, X, y):
        assert np.isfinite(X).all()
        self.classes_, counts = np.unique(y, return_counts=True)
        self.share_ = counts / counts.sum()
        return self
    def predict_proba(self, X): return np.tile(self.share_, (len(X), 1))

class Needy(ClassifierMixin, BaseEstimator):
    def __init__(self, needed): self.needed = needed

class Silent(ClassifierMixin, BaseEstimator):
    pass

class Plain:
    def fit(self, X, y): return self
    def predict_proba(self, X): return np.ones((len(X), 2)) / 2
"""


class TestClassifierOfAPackage(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return load_from(path_of("sklearn.ensemble:ExtraTreesClassifier"))


class TestRegressorThatTakesNoMissingValues(FamilySuite):
    @pytest.fixture
    def family(self) -> Family:
        return load_from(path_of("sklearn.ensemble:GradientBoostingRegressor"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "my_models.py").write_text(MODULE)
    (tmp_path / "helpers_of_mine.py").write_text("half = 0.5\n")
    return tmp_path


def test_a_class_beside_the_definition_is_a_family(project: Path) -> None:
    with own_models_in(project):
        family = load_family("my_models:Prior", "binary")
        elsewhere = path_of("my_models:Prior")
    X, y = family_rows(300, "binary", seed=1)
    fitted = family.fit(X, y, {}, task="binary", n_classes=2, levels=LEVELS, seed=0, threads=1)
    np.testing.assert_allclose(fitted.predict(X), y.mean())
    assert not family.compiles
    assert load_from(elsewhere).tasks == {"binary", "multiclass"}  # in a process that knows nothing of the project


def test_a_changed_file_is_another_model(project: Path) -> None:
    names = ["linear", "my_models:Prior", "sklearn.ensemble:ExtraTreesClassifier"]
    before = own_digests(names, project)
    (project / "my_models.py").write_text(MODULE.replace("counts / counts.sum()", "np.array([0.25, 0.75])"))
    assert before.keys() == {"my_models:Prior"}
    assert own_digests(names, project) != before
    with own_models_in(project):
        family = load_family("my_models:Prior", "binary")
    X, y = family_rows(300, "binary", seed=1)
    fitted = family.fit(X, y, {}, task="binary", n_classes=2, levels=LEVELS, seed=0, threads=1)
    np.testing.assert_allclose(fitted.predict(X), 0.75)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("my_models:Needy", "cannot be made without arguments"),
        ("my_models:Silent", "neither a regressor nor a classifier"),
        ("my_models:Plain", "neither a regressor nor a classifier"),
        ("my_models:Absent", "has no Absent"),
        ("no_such_module_of_mine:Model", "cannot be imported"),
    ],
)
def test_a_class_that_cannot_be_used_is_told_with_the_reason(project: Path, name: str, why: str) -> None:
    with own_models_in(project), pytest.raises(OwnModelUnusable, match=why) as caught:
        load_family(name, "binary")
    assert caught.value.fix


def test_a_classifier_is_no_family_for_a_regression(project: Path) -> None:
    says = "'my_models:Prior', which does binary and multiclass; the label makes a regression task"
    with own_models_in(project), pytest.raises(FamilyOfAnotherTask, match=says) as caught:
        load_family("my_models:Prior", "regression")
    assert "lightgbm" in caught.value.facts["known"]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_graph_is_taken_as_it_is(tmp_path: Path, task: Task) -> None:
    X, y = family_rows(500, task, seed=1)
    n_classes = {"binary": 2, "multiclass": CLASSES, "regression": 0}[task]
    trained = Linear().fit(X, y, {"l2": 1.0}, task=task, n_classes=n_classes, levels=LEVELS, seed=0, threads=1)
    (tmp_path / "model.onnx").write_bytes(trained.to_onnx())
    with own_models_in(tmp_path):
        family = load_family("onnx:model.onnx", task)
    fitted = family.fit(X[:10], y[:10], {}, task=task, n_classes=n_classes, levels=LEVELS, seed=0, threads=1)
    assert fitted.to_onnx() == trained.to_onnx()
    np.testing.assert_array_equal(fitted.predict(X), Graph(trained.to_onnx()).raw(X))


def test_a_graph_that_cannot_be_used_is_told_with_the_reason(tmp_path: Path) -> None:
    import onnx

    X, y = family_rows(200, "binary", seed=1)
    graph = Linear().fit(X, y, {"l2": 1.0}, task="binary", n_classes=2, levels=LEVELS, seed=0, threads=1).to_onnx()
    other = onnx.load_model_from_string(graph)
    other.opset_import[0].version = 18
    (tmp_path / "good.onnx").write_bytes(graph)
    (tmp_path / "later.onnx").write_bytes(other.SerializeToString())
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")

    def fit(name: str, width: int) -> None:
        with own_models_in(tmp_path):
            family = load_family(name, "binary")
        family.fit(X[:, :width], y, {}, task="binary", n_classes=2, levels=LEVELS[:width], seed=0, threads=1)

    fit("onnx:good.onnx", X.shape[1])
    for name, width, why in (
        ("onnx:absent.onnx", X.shape[1], "cannot be read"),
        ("onnx:broken.onnx", X.shape[1], "cannot be used"),
        ("onnx:later.onnx", X.shape[1], "version 18"),
        ("onnx:good.onnx", 3, f"it takes {X.shape[1]} columns and gives 1"),
    ):
        with pytest.raises(OwnModelUnusable, match=why):
            fit(name, width)
