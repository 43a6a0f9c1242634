"""What a version says of how it was made."""

from __future__ import annotations

from importlib.metadata import version

from headrace.stages.versions import libraries_of
from headrace.training.model import Member, Trial


def test_the_libraries_of_extras_are_named_where_they_fitted_a_model() -> None:
    alone = Trial(number=1, family="catboost", params={}, state="done", metric="rmse")
    assert libraries_of(alone)["catboost"] == version("catboost")
    members = tuple(Member(trial=i, family=name, weight=0.5) for i, name in enumerate(("linear", "xgboost")))
    together = Trial(number=2, family="ensemble", params={}, state="done", metric="rmse", members=members)
    assert any(name.startswith("xgboost") for name in libraries_of(together))
    assert "catboost" not in libraries_of(together)
    plain = Trial(number=3, family="linear", params={}, state="done", metric="rmse")
    assert libraries_of(plain).keys() == {"lightgbm", "numpy", "onnx", "polars", "scikit-learn"}
