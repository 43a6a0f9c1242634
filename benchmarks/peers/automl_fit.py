"""One contender of `benchmarks.automl` on one task, within its budget, in the contender's own environment.

Writes OUT: a column of probabilities for each class, or one column `value`. Prints seconds of the fit, the median of
one row through the tool's own interface with the model in memory, and the size of what it saves to answer with.

usage: automl_fit.py CONTENDER TASK_FOLDER SEED OUT
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # in an environment of its own

METRICS = {
    "autogluon": {"binary": "roc_auc", "multiclass": "log_loss", "regression": "root_mean_squared_error"},
    "flaml": {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"},
}
ROWS_TIMED = 40
WARM = 5

Predict = Callable[[Any], Any]


def texts(X: Any) -> list[str]:
    """The columns that are neither numbers nor booleans."""
    types = pd.api.types
    return [c for c in X.columns if not types.is_numeric_dtype(X[c]) and not types.is_bool_dtype(X[c])]


def as_categories(X: Any) -> Callable[[Any], Any]:
    """Texts as categories of the training rows."""
    levels = {c: pd.Index(sorted(X[c].dropna().astype(str).unique())) for c in texts(X)}

    def convert(rows: Any) -> Any:
        rows = rows.copy()
        for column, known in levels.items():
            values = rows[column].where(rows[column].isna(), rows[column].astype(str))
            rows[column] = pd.Categorical(values, categories=known)
        return rows

    return convert


def lightgbm(X: Any, y: Any, task: str, seed: int, **_: Any) -> tuple[Predict, Any, Callable[[Path], None]]:
    """LightGBM as it comes."""
    import lightgbm as library

    convert = as_categories(X)
    kind = library.LGBMRegressor if task == "regression" else library.LGBMClassifier
    model = kind(verbose=-1, n_jobs=2, random_state=seed).fit(convert(X), y)
    answer = model.predict if task == "regression" else model.predict_proba
    return (lambda rows: answer(convert(rows))), getattr(model, "classes_", None), dumped(model)


def catboost(X: Any, y: Any, task: str, seed: int, **_: Any) -> tuple[Predict, Any, Callable[[Path], None]]:
    """CatBoost as it comes."""
    import catboost as library

    named = texts(X)

    def convert(rows: Any) -> Any:
        rows = rows.copy()
        for column in named:
            rows[column] = rows[column].astype(object).where(rows[column].notna(), "NA").astype(str)
        return rows

    kind = library.CatBoostRegressor if task == "regression" else library.CatBoostClassifier
    model = kind(verbose=0, thread_count=2, random_seed=seed, cat_features=named, allow_writing_files=False)
    model.fit(convert(X), y)
    answer = model.predict if task == "regression" else model.predict_proba
    return (lambda rows: answer(convert(rows))), getattr(model, "classes_", None), dumped(model)


def flaml(
    X: Any, y: Any, task: str, seed: int, *, budget_s: float, **_: Any
) -> tuple[Predict, Any, Callable[[Path], None]]:
    """FLAML's AutoML."""
    from flaml import AutoML  # type: ignore[import-not-found]

    convert, model = as_categories(X), AutoML()
    model.fit(
        convert(X),
        y,
        task="regression" if task == "regression" else "classification",
        metric=METRICS["flaml"][task],
        time_budget=budget_s,
        n_jobs=2,
        verbose=0,
        seed=seed,
        log_file_name="",
    )
    answer = model.predict if task == "regression" else model.predict_proba
    return (lambda rows: answer(convert(rows))), getattr(model, "classes_", None), dumped(model.model)


def autogluon(
    X: Any, y: Any, task: str, _: int, *, budget_s: float, preset: str, folder: Path
) -> tuple[Predict, Any, Callable[[Path], None]]:
    """AutoGluon's TabularPredictor under a preset."""
    from autogluon.tabular import TabularPredictor  # type: ignore[import-not-found]

    rows = X.assign(**{y.name: y})
    metric = METRICS["autogluon"][task]
    model = TabularPredictor(label=y.name, problem_type=task, path=folder, verbosity=0, eval_metric=metric)
    model.fit(rows, presets=f"{preset}_quality", time_limit=budget_s, num_cpus=2, num_gpus=0)
    model.persist()
    classes = None if task == "regression" else model.class_labels

    def answer(asked: Any) -> Any:
        return model.predict(asked).to_numpy() if classes is None else model.predict_proba(asked)[classes].to_numpy()

    return answer, classes, lambda out: model.clone_for_deployment(str(out / "deploy"))


def dumped(model: Any) -> Callable[[Path], None]:
    """Saves by joblib."""

    def save(out: Path) -> None:
        import joblib  # type: ignore[import-untyped]

        joblib.dump(model, out / "model.joblib")

    return save


def main(contender: str, folder: Path, seed: int, out: Path) -> None:
    """Fit, answer, time and weigh."""
    about = json.loads((folder / "task.json").read_text())
    task, target = about["task"], about["target"]
    train, test = pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")
    X, y = train.drop(columns=target), train[target]
    if task != "regression":
        y = y.astype(str)
    tool, _, preset = contender.partition("_")
    made = Path(tempfile.mkdtemp())
    started = time.perf_counter()
    tools: dict[str, Any] = {"lightgbm": lightgbm, "catboost": catboost, "flaml": flaml, "autogluon": autogluon}
    predict, classes, save = tools[tool](
        X, y, task, seed, budget_s=about["budget_s"], preset=preset, folder=made / "fit"
    )
    fit_s = time.perf_counter() - started
    answers = np.asarray(predict(test))
    columns = ["value"] if task == "regression" else [str(name) for name in classes]
    pd.DataFrame(answers.reshape(len(test), -1), columns=columns).to_csv(out, index=False)
    took = []
    for place in range(ROWS_TIMED + WARM):
        row = test.iloc[[place % len(test)]]
        began = time.perf_counter()
        predict(row)
        took.append(time.perf_counter() - began)
    (made / "saved").mkdir()
    save(made / "saved")
    size = sum(path.stat().st_size for path in (made / "saved").rglob("*") if path.is_file())
    print(json.dumps({"fit_s": fit_s, "row_ms": statistics.median(took[WARM:]) * 1e3, "model_mb": size / 2**20}))
    shutil.rmtree(made)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
